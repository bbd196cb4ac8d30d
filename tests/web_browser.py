"""A real browser for the tests of the web page, and what they do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = Path("/usr/bin/chromium")
DRIVER = Path("/usr/bin/chromedriver")
PATIENCE = 60  # seconds

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
    "--force-prefers-reduced-motion",
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

    def phone(self) -> AbstractContextManager[None]:
        """A small phone."""
        return self.window(360, 740, scale=2, mobile=True)

    @contextmanager
    def window(
        self, width: int, height: int, scale: float = 1, mobile: bool = False
    ) -> Iterator[None]:
        """A window of another size."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self._tell("Emulation.setDeviceMetricsOverride", **size)
        try:
            yield
        finally:
            self._tell("Emulation.clearDeviceMetricsOverride")

    @contextmanager
    def scheme(self, name: str) -> Iterator[None]:
        """Colours as the user has them: "light" or "dark"."""
        colours = {"name": "prefers-color-scheme", "value": name}
        self._tell("Emulation.setEmulatedMedia", features=[colours])
        try:
            yield
        finally:
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


def said(page: Browser, card: str = ".card") -> str:
    """The sentence of a card once it is there."""
    page.one(f"{card}:not([aria-busy=true]) .word")
    return " ".join(text for text in page.texts(f"{card} .word") if text != "(end)")


def explained(page: Browser, photo: Path) -> str:
    """Choose a photo, and wait for its sentence."""
    page.upload("#files", [photo])
    return said(page)


def beyond(page: Browser) -> list[str]:
    """What reaches beyond the window's sides."""
    script = """
      const inside = (element) => {
        const { left, right } = element.getBoundingClientRect();
        const isCut = getComputedStyle(element).overflowX !== "visible";
        const end = isCut ? right : Math.max(right, left + element.scrollWidth);
        return left >= -1 && end <= innerWidth + 1;
      };
      const all = [...document.querySelectorAll("body :not(.unseen, .skip)")];
      return all.filter((element) => !inside(element))
        .map((element) => `${element.localName}.${element.className}`);
    """
    return page.run(script)


def focused(page: Browser) -> str:
    """The first line of what has the keyboard's focus."""
    return page.run("return document.activeElement.innerText").split("\n")[0]


def heat(page: Browser, card: str = ".card") -> str:
    """The heat map as it is painted."""
    return page.run("return document.querySelector(arguments[0]).toDataURL()", f"{card} canvas")


def heat_at(page: Browser, x: float, y: float) -> tuple[int, int, int, int]:
    """Red, green, blue and alpha of the map at these shares of its width and height."""
    script = """
      const canvas = document.querySelector("canvas");
      const [x, y] = [arguments[0] * canvas.width, arguments[1] * canvas.height];
      return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data];
    """
    red, green, blue, alpha = page.run(script, x, y)
    return red, green, blue, alpha


def point_at(page: Browser, word: int) -> str:
    """Rest the pointer on a word; returns what the panel says then."""
    target = page.seen(".word")[word]
    ActionChains(page.driver).move_to_element(target).perform()
    page.until(lambda: "shown" in target.get_attribute("class"), "the word to show")
    return page.text(".panel")


# The Photos view


def tiles(page: Browser, number: int) -> None:
    page.until(lambda: len(page.all(".tile")) == number, f"{number} pictures")


def ask(page: Browser, sentence: str) -> None:
    page.one("#query-text").clear()
    page.one("#query-text").send_keys(sentence + Keys.ENTER)
    page.until_text("#found-note", f"“{sentence}”")


def shown(page: Browser) -> list[str]:
    """The names of the pictures in the grid."""
    script = "return [...document.querySelectorAll('.pick input')].map((one) => one.ariaLabel)"
    return [label.removeprefix("Select ") for label in page.run(script)]


def loaded(page: Browser) -> None:
    script = "return [...document.querySelectorAll('.open img')].every((i) => i.naturalWidth)"
    page.until(lambda: page.run(script), "the pictures")


def opened(page: Browser, name: str) -> None:
    """Wait for a picture in the full view."""
    page.until(lambda: page.texts("dialog[open] #viewer-name") == [name], f"{name} in full")


def closed(page: Browser) -> None:
    page.until(lambda: not page.all("dialog[open]"), "the full view to close")


def press(page: Browser, *keys: str) -> None:
    ActionChains(page.driver).send_keys(*keys).perform()


def address(page: Browser) -> str:
    return page.run("return decodeURIComponent(location.hash)").replace("+", " ")
