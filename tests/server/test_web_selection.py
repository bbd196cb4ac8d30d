"""Selecting photos of a library, and taking their captions away, in a real browser."""

from __future__ import annotations

import base64
import io
import zipfile

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from web_browser import ask, press, shown, tiles
from web_scripts import KEPT, MANY, PAGES, changing

# Its fixtures are those of the tests here.
pytest_plugins = ["web_fixtures"]


def test_all_but_some_are_selected_whatever_is_loaded_or_searched_for(browser, server):
    with browser.before(PAGES):
        browser.open(server + "#photos")
        tiles(browser, 60)
        browser.run("document.querySelector('.pick input').click()")
        browser.one("#select-all").click()
        browser.until_text("#selected", "200 photos selected")
        browser.run("document.querySelector('.pick input').click()")
        assert browser.text("#selected") == "199 photos selected"
        ask(browser, "a dog")
        assert browser.text("#selected") == "199 photos selected"
        browser.driver.back()
        tiles(browser, 60)
        assert browser.text("#selected") == "199 photos selected"
        boxes = "return [...document.querySelectorAll('.pick input')].map((one) => one.checked)"
        assert browser.run(boxes) == [False] + 59 * [True]
        with browser.window(1280, 900):
            browser.one("#export-csv").click()  # of ids that this server does not have
            browser.until_text("#notice", "no such pictures now")
        browser.one("#select-none").click()
    with browser.before(changing("search", MANY)):
        browser.open(server + "#photos?q=a+dog")
        tiles(browser, 60)
        browser.run("document.querySelector('.pick input').click()")
        browser.one("#select-all").click()
        tiles(browser, 100)
        browser.until_text("#selected", "100 photos selected")
        assert browser.all("#select-all[hidden]")


def test_no_more_are_selected_than_can_be_taken_away(browser, server):
    with browser.before(PAGES.replace("200", "10_001")):
        browser.open(server + "#photos")
        tiles(browser, 60)
        browser.run("document.querySelectorAll('.pick input')[59].click()")
        browser.one("#select-all").click()
        browser.until_text("#selected", "10,000 photos selected")
        browser.until_text("#notice", "10,000 photos can be selected at a time")
        browser.run("document.querySelector('.pick input').click()")
        browser.until_text("#selected", "9,999 photos selected")


def test_a_file_of_fewer_photos_than_were_selected_says_so(browser, server):
    with browser.before(KEPT):
        browser.open(server + "#photos")
        tiles(browser, 4)
        browser.run("""
          const real = fetch;
          window.fetch = async (path, options) => {
            if (path !== "v1/export") return real(path, options);
            const [first] = JSON.parse(options.body).picture;
            return real(path, { ...options, body: JSON.stringify({ picture: [first] }) });
          };
        """)  # as if the others were gone
        browser.run("document.querySelector('.pick input').click()")
        browser.one("#select-all").click()
        browser.until_text("#selected", "4 photos selected")
        browser.one("#export-csv").click()
        browser.until_text("#notice", "The file has 1 of the 4 photos")


def test_a_range_is_selected_and_exported(browser, server, photos):
    with browser.before(KEPT):
        browser.open(server + "#photos")
        tiles(browser, 4)
        names = shown(browser)
        boxes = browser.all(".pick input")
        browser.run("arguments[0].click()", boxes[0])
        shift = ActionChains(browser.driver).key_down(Keys.SHIFT)
        shift.click(browser.seen(".open")[2]).key_up(Keys.SHIFT).perform()
        assert browser.text("#selected") == "3 photos selected"
        browser.seen(".open")[1].click()  # takes one out again
        assert browser.text("#selected") == "2 photos selected"
        browser.one("#export-csv").click()
        name, content = browser.until(lambda: browser.run("return window.kept"), "the file")
        assert name == "captions.csv"
        rows = base64.b64decode(content).decode("utf-8-sig").splitlines()
        assert rows[0] == "image,folder,date,date_of,caption,copies"
        assert [row.split(",")[0] for row in rows[1:]] == [names[0], names[2]]
        browser.run("window.kept = null")
        browser.one("#select-all").click()
        browser.until_text("#selected", "4 photos selected")
        browser.one("#export-xmp").click()
        name, content = browser.until(lambda: browser.run("return window.kept"), "the file")
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(content))) as archive:
            assert len(archive.namelist()) == 4
            assert f"2023/Alps/{photos[0].name}.xmp" in archive.namelist()
        browser.one("#select-none").click()
        assert not browser.one("#grid").find_elements("css selector", ".selected")
        browser.faults()


def test_the_grid_by_keys(grid):
    grid.seen(".open")[0].send_keys(Keys.ARROW_RIGHT, "x", Keys.SHIFT + Keys.ARROW_RIGHT)
    press(grid, Keys.NULL)
    assert grid.text("#selected") == "2 photos selected"
    pressed = "return [...document.querySelectorAll('.open')].map((one) => one.ariaPressed)"
    assert grid.run(pressed) == ["false", "true", "true", "false"]
    assert "Enter or x selects" in grid.run("return document.getElementById('grid').ariaLabel")
    grid.run("document.getElementById('select-none').click()")
    assert grid.run(pressed) == [None] * 4
    at = "return [...document.querySelectorAll('.open')].indexOf(document.activeElement)"
    press(grid, Keys.TAB)  # one stop for all of the grid
    assert grid.run(at) == -1
    ActionChains(grid.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).perform()
    ActionChains(grid.driver).key_up(Keys.SHIFT).perform()
    assert grid.run(at) == 2
    with grid.phone():  # two columns: a day of one photo, of two, of one
        steps = ((Keys.END, 3), (Keys.HOME, 0), (Keys.ARROW_DOWN, 1), (Keys.ARROW_UP, 0))
        for key, place in steps:
            press(grid, key)
            assert grid.run(at) == place
