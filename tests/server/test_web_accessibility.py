"""What axe-core says of the page: no serious fault, in light and dark, on a phone and a desktop.

It is no dependency: `npm install axe-core` at the root of the repository, or name its `axe.min.js`
in AXE.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from web_browser import Browser, explained, said
from web_scripts import refusing

# Its fixtures are those of the tests here.
pytest_plugins = ["web_fixtures"]

INSTALLED = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
AXE = Path(os.environ.get("AXE", INSTALLED))
pytestmark = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not there: npm install axe-core, or name it in AXE"
)
RUN = """
  const done = arguments[0];
  axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => done(violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(", ")}`)));
"""


def faults(page: Browser) -> list[str]:
    if not page.run("return 'axe' in window"):
        page.run(AXE.read_text())
    return page.driver.execute_async_script(RUN)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_serious(page, photos, scheme, width):
    with page.window(width, 900), page.scheme(scheme):
        explained(page, photos[0])
        page.seen(".word")[1].click()
        assert faults(page) == []
        page.upload("#files", photos)
        page.until_text("#progress-text", "5 of 5 captioned")
        assert faults(page) == []
        page.go("#photos?q=a+woman")
        page.one(".tile")
        page.one("#filters").click()
        page.run("document.querySelector('.pick input').click()")
        assert faults(page) == []
        page.one("#select-none").click()
        page.one(".open").send_keys(Keys.ENTER)
        page.one("#viewer-info").click()
        assert said(page, "dialog")
        page.one(".found-figures summary").click()
        assert faults(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_where_photos_do_not_come(browser, server, scheme):
    refused = refusing(503, "the disk is away", "side=").replace("left = 1", "left = Infinity")
    with browser.before(refused), browser.window(390, 900), browser.scheme(scheme):
        browser.open(server + "#photos")
        browser.until_text(".tile .unshown", "the disk is away")
        assert faults(browser) == []
        browser.one(".open").click()
        browser.until_text("dialog .unshown", "the disk is away")
        assert faults(browser) == []
