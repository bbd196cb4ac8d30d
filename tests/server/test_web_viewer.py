"""The full view of the page of `mrnn serve`, in a real browser."""

from __future__ import annotations

import base64

import pytest
from selenium.webdriver.common.keys import Keys

from web_browser import address, beyond, closed, opened, press, said, shown, tiles
from web_scripts import GIVE, PAGES, changing, refusing
from web_servers import KEY

# Its fixtures are those of the tests here.
pytest_plugins = ["web_fixtures"]


def test_the_full_view_by_keys(grid, photos):
    names = shown(grid)
    grid.seen(".open")[0].send_keys(Keys.ENTER)
    opened(grid, names[0])
    assert grid.text("#viewer-place") == "1 of 4"
    press(grid, Keys.ARROW_LEFT)  # there is none before
    press(grid, Keys.ARROW_RIGHT)
    opened(grid, names[1])
    assert grid.texts("dialog #viewer-said")[0].startswith(f"{names[1]}, 2 of 4, a ")
    press(grid, "x")
    assert grid.one("#viewer-pick").is_selected()
    press(grid, "i")
    facts = grid.text(".facts")
    assert "Taken" in facts
    assert "2024/Rome" in facts
    assert grid.text(".facts-caption").endswith("(the model’s guess)")
    grid.one("dialog .word").click()
    press(grid, Keys.ARROW_RIGHT)  # goes to the next word, not to the next photo
    assert grid.texts("#viewer-name") == [names[1]]
    press(grid, Keys.ESCAPE, Keys.ESCAPE)
    closed(grid)
    assert grid.text("#selected") == "1 photo selected"


def test_the_full_view_on_a_phone_says_which_photo_it_is(grid):
    names = shown(grid)
    with grid.window(390, 844, mobile=True):
        grid.one(".open").click()
        opened(grid, names[0])
        assert grid.text("#viewer-name") == names[0]
        assert grid.text("#viewer-place") == "1 of 4"
        place = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
        name = grid.run(place, "#viewer-name")
        assert name["width"] > 100
        assert name["bottom"] <= grid.run(place, "#viewer-card")["top"]
        assert beyond(grid) == []
        press(grid, Keys.ESCAPE)
        closed(grid)


def test_html_in_what_a_library_tells_is_text(browser, server):
    hostile = "<img src=x onerror=alert(1)>"
    change = f"for (const one of told.results) one.name = one.caption = one.folder = '{hostile}';"
    with browser.before(changing("search", change)):
        browser.open(server + "#photos?q=a+dog")
        tiles(browser, 4)
        browser.one(".open").click()
        browser.one("#viewer-info").click()
        assert browser.text(".facts").count(hostile) == 3
        assert browser.text("#viewer-name") == hostile
        assert shown(browser)[0] == hostile
        assert not browser.all("[src=x], [onerror]")
        browser.faults()


def test_a_drop_while_a_photo_is_shown_is_answered_where_it_is_seen(grid, photos):
    grid.one(".open").click()
    grid.one("dialog[open]")
    data = base64.b64encode(photos[3].read_bytes()).decode()
    grid.run(GIVE, data, "held", "dataTransfer", "drop")
    grid.until_text("#found-note", "Like held.png")
    closed(grid)


def test_a_key_is_asked_for_where_it_can_be_given(browser, server):
    with browser.before(refusing(401, "a key is needed")):
        browser.open(server + "#photos?q=a+woman+smiles")
        tiles(browser, 4)
        browser.one(".open").click()
        browser.one("#viewer-info").click()
        browser.one("#key-value").send_keys(KEY + Keys.ENTER)
        browser.until(lambda: browser.all("#key[hidden]"), "the field to go")
        closed(browser)
        browser.one(".open").click()
        assert said(browser, "dialog")


def test_the_full_view_closes_where_it_was_opened(grid):
    with grid.window(360, 300):
        grid.run("document.querySelectorAll('.open')[3].focus()")
        at = grid.until(lambda: grid.run("return scrollY"), "the page to scroll")
        press(grid, Keys.ENTER)
        grid.one("dialog[open]")
        press(grid, Keys.ESCAPE)
        closed(grid)
        grid.until(lambda: address(grid) == "#photos", "the address to follow")
        grid.run("return new Promise(requestAnimationFrame)")
        assert grid.run("return scrollY") == at
        place = "return [...document.querySelectorAll('.open')].indexOf(document.activeElement)"
        assert grid.run(place) == 3


@pytest.mark.parametrize("width", [390, 1280])
def test_a_photo_that_does_not_come_says_so_on_the_stage(browser, server, width):
    with browser.before(refusing(503, "the disk is away", "side=")), browser.window(width, 844):
        browser.open(server + "#photos")
        tiles(browser, 4)
        browser.run("left = Infinity")
        browser.one(".open").click()
        assert "the disk is away" in browser.text("dialog .unshown p")
        browser.run("left = 0")
        browser.one("dialog .unshown button").send_keys(Keys.ENTER)
        browser.until(lambda: browser.all("dialog .unshown[hidden]"), "the picture")
        assert browser.one("dialog .photo img").get_attribute("src")
        press(browser, Keys.ARROW_RIGHT)  # the focus did not go with the button
        browser.until_text("#viewer-place", "2 of 4")


def test_a_photo_that_is_gone_says_so_in_the_full_view(browser, server):
    with browser.before(refusing(422, "a.jpg: not where it was", "side=1600")):
        browser.open(server + "#photos")
        tiles(browser, 4)
        browser.one(".open").click()
        browser.until_text("dialog .unshown", "a.jpg: not where it was")
        assert not browser.all("dialog .unshown button")
        assert browser.one("dialog .photo img").is_displayed()  # the small one is there


def test_photos_that_cannot_be_reached_are_told_of(browser, server):
    lost = (
        "window.pages = fetch; window.fetch = async (path, options) => { "
        "if (path.startsWith('v1/pictures?')) throw new TypeError(); return pages(path, options); }"
    )
    with browser.before(PAGES):
        browser.open(server + "#photos")
        tiles(browser, 60)
        browser.run("document.querySelectorAll('.open')[59].click()")
        browser.until_text("#viewer-place", "60 of 200")
        browser.run(lost)
        press(browser, Keys.ARROW_RIGHT)
        browser.until_text("#viewer-notice", "did not come")
        browser.run("window.fetch = pages")
        press(browser, Keys.ARROW_RIGHT)
        browser.until_text("#viewer-place", "61 of 200")


def test_an_address_keeps_its_photo_where_that_was_not_reached(grid, server):
    picture = grid.run("return (await (await fetch('v1/pictures')).json()).results[3].image")
    refused = refusing(503, "the library is being made", "pictures?")
    with grid.before(refused.replace("left = 1", "left = 2")):  # the page asks twice
        grid.open(f"{server}#photos?photo={picture}")
        grid.until(lambda: grid.run("return left === 0"), "both questions")
        grid.until_text("#found-note", "the library is being made")
        assert address(grid) == f"#photos?photo={picture}"
        grid.one("#found-note button").send_keys(Keys.ENTER)
        grid.until_text("#viewer-place", "4 of 4")
    far = f"{3500:064x}"
    with grid.before(PAGES.replace("200", "4000")):
        grid.open(f"{server}#photos?photo={far}")
        grid.until_text("#notice", "after the first 3,000 photos")
        assert address(grid) == f"#photos?photo={far}"
    grid.faults()


def test_another_question_shows_the_photo_that_is_at_the_same_place_now(grid):
    first, second = shown(grid)[:2]
    grid.one(".open").click()
    opened(grid, first)
    picture = grid.run("return (await (await fetch('v1/pictures')).json()).results[1].image")
    grid.go(f"#photos?until=2024-05-31&photo={picture}")
    opened(grid, second)
    assert grid.text("#viewer-place") == "1 of 3"


def test_keys_go_on_where_what_had_the_focus_went(grid):
    grid.one(".open").click()
    for place in ("2 of 4", "3 of 4", "4 of 4"):
        grid.one("#viewer-next").click()
        grid.until_text("#viewer-place", place)
    press(grid, Keys.ARROW_LEFT)  # the button cannot be pressed any more
    grid.until_text("#viewer-place", "3 of 4")
    grid.one("#viewer-name").click()  # which takes no focus
    press(grid, "i")
    grid.one("dialog .word")
    grid.run("document.querySelector('dialog .own button').focus()")
    press(grid, Keys.ARROW_LEFT)  # its button goes with the card
    grid.until_text("#viewer-place", "2 of 4")
    assert grid.run("return document.activeElement.id") == "viewer-card"
    press(grid, "i", Keys.ARROW_LEFT)
    grid.until_text("#viewer-place", "1 of 4")


def test_a_photo_of_an_address_closes_to_the_grid_around_it(grid):
    grid.one(".open").click()
    grid.one("dialog[open]")
    grid.driver.back()
    closed(grid)
    picture = grid.run("return (await (await fetch('v1/pictures')).json()).results[1].image")
    grid.go(f"#photos?folder=2024&photo={picture}")
    grid.one("dialog[open]")
    press(grid, Keys.ESCAPE)
    grid.until(lambda: "photo=" not in address(grid), "the address to follow")
    assert address(grid) == "#photos?folder=2024"


def test_the_last_photo_is_the_last_whatever_was_counted(browser, server):
    with browser.before(PAGES.replace("200 + window", "205 + window")):
        browser.open(f"{server}#photos?photo={207:064x}")
        browser.until_text("#viewer-place", "200 of 200")
        assert browser.all("#viewer-next:disabled")
        browser.faults()
