"""A real browser for the tests of the web page, and what they do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = Path("/usr/bin/chromium")
DRIVER = Path("/usr/bin/chromedriver")
PATIENCE = 20  # seconds

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


class Browser:
    """A headless chromium; `page` is found by CSS selectors, and always waited for."""

    def __init__(self, profile: Path) -> None:
        options = Options()
        options.binary_location = str(CHROMIUM)
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # The driver is given, so that selenium looks for none and downloads none.
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))

    def close(self) -> None:
        self.driver.quit()

    def open(self, address: str) -> None:
        """Load a page anew, whatever was there before."""
        self.driver.get("about:blank")
        self.faults()  # of the page before
        self.driver.get(address)

    def go(self, view: str) -> None:
        """Go to a view of the page, "#search"."""
        self.run("location.hash = arguments[0]", view)

    @contextmanager
    def before(self, script: str) -> Iterator[None]:
        """Run a script before those of any page that is opened meanwhile."""
        added = self._tell("Page.addScriptToEvaluateOnNewDocument", source=script)
        try:
            yield
        finally:
            self._tell("Page.removeScriptToEvaluateOnNewDocument", **added)

    @contextmanager
    def phone(self, scheme: str) -> Iterator[None]:
        """A small phone that prefers the scheme "light" or "dark"."""
        size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        self._tell("Emulation.setDeviceMetricsOverride", **size)
        scheme_now = [{"name": "prefers-color-scheme", "value": scheme}]
        self._tell("Emulation.setEmulatedMedia", features=scheme_now)
        try:
            yield
        finally:
            self._tell("Emulation.clearDeviceMetricsOverride")
            self._tell("Emulation.setEmulatedMedia", features=[])

    def _tell(self, command: str, **arguments: Any) -> dict[str, Any]:
        return self.driver.execute_cdp_cmd(command, arguments)

    def until(self, true: Callable[[], Any], what: str) -> Any:
        """What a function returns as soon as that is true."""
        wait = WebDriverWait(
            self.driver,
            PATIENCE,
            poll_frequency=0.05,
            ignored_exceptions=[StaleElementReferenceException],
        )
        return wait.until(lambda _: true(), f"waited for {what}")

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", selector)

    def seen(self, selector: str) -> list[WebElement]:
        """The elements that are shown, once there is one."""

        def found() -> list[WebElement]:
            return [element for element in self.all(selector) if element.is_displayed()]

        return self.until(found, selector)

    def one(self, selector: str) -> WebElement:
        return self.seen(selector)[0]

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def texts(self, selector: str) -> list[str]:
        return self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)",
                        selector)  # fmt: skip

    def until_text(self, selector: str, part: str) -> str:
        """The text of the first such element that has this part."""
        what = f"{part!r} in {selector}"
        return self.until(lambda: next((t for t in self.texts(selector) if part in t), None), what)

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def upload(self, selector: str, files: Sequence[Path]) -> None:
        """Choose files as in the browser's dialog; the field itself may be hidden."""
        self.all(selector)[0].send_keys("\n".join(map(str, files)))

    def faults(self) -> list[str]:
        """What the browser complained of since it was last asked, refused requests apart."""
        found = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in found if "status of 4" not in message]


def require_chromium() -> None:
    """Skip where there is no browser to drive."""
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        pytest.skip(f"{' and '.join(missing)} missing: install chromium and chromium-driver")
