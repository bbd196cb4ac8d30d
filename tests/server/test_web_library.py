"""The Photos view of the page of `mrnn serve`, and its key, in a real browser."""

from __future__ import annotations

import base64

import pytest
from selenium.webdriver.common.keys import Keys

from web_browser import (
    address,
    ask,
    closed,
    focused,
    heat,
    loaded,
    opened,
    point_at,
    press,
    said,
    shown,
    tiles,
)
from web_scripts import COUNT, GIVE, MANY, PAGES, changing, refusing
from web_servers import KEY

# Its fixtures are those of the tests here.
pytest_plugins = ["web_fixtures"]


# Without a query


def test_photos_are_shown_by_day_newest_first(browser, server, photos):
    browser.open(server)  # a server with a library begins there
    tiles(browser, 4)
    loaded(browser)
    assert shown(browser) == [photos[i].name for i in (3, 2, 1, 0)]
    days = browser.texts(".day h2")
    assert len(days) == 3
    for day, year in zip(days, ("2024", "2024", "2023"), strict=True):
        assert year in day
    assert ["by file" in day for day in days] == [True, False, False]
    assert browser.run("return performance.getEntriesByType('resource').every((e) => "
                       "!e.name.includes('explain'))")  # fmt: skip
    assert browser.faults() == []


@pytest.mark.parametrize(("width", "columns"), [(390, 2), (820, 4), (1440, 6), (2560, 11)])
def test_the_grid_fills_the_window(grid, width, columns):
    with grid.window(width, 900):
        widths = "return [...document.querySelectorAll('.tile')].map((t) => t.clientWidth)"
        assert len(set(grid.run(widths))) == 1
        assert grid.run(widths)[0] == pytest.approx(width / columns, abs=20)


def test_filters_stand_in_the_address_and_count_for_a_search_too(grid, photos):
    grid.one("#filters").click()
    options = grid.run("return [...document.querySelectorAll('#folder option')].map((o) => o.text)")
    assert options == ["All folders", "2023 (1)", "2023/Alps (1)", "2024 (3)", "2024/Rome (2)"]
    grid.run("folder.value = '2024/Rome'; folder.dispatchEvent(new Event('change'))")
    tiles(grid, 2)
    assert shown(grid) == [photos[3].name, photos[2].name]
    assert grid.text("#filters") == "1 filter"
    ask(grid, "a woman smiles")
    assert "the best 2 of 2 photos" in grid.text("#found-note")
    assert address(grid) == "#photos?q=a woman smiles&folder=2024/Rome"
    grid.run("month.value = '2023-02'; month.dispatchEvent(new Event('change'))")
    grid.until_text("#found-note", "No photos in “2024/Rome” since")
    grid.driver.refresh()
    grid.until_text("#found-note", "No photos in “2024/Rome” since")
    assert grid.all("#folder")[0].get_attribute("value") == "2024/Rome"
    assert grid.all("#since")[0].get_attribute("value") == "2023-02-01"
    assert grid.all("#until")[0].get_attribute("value") == "2023-02-28"
    grid.one("#filters").click()
    grid.one("#clear").click()
    tiles(grid, 4)
    assert address(grid) == "#photos?q=a woman smiles"


def test_a_date_counts_when_it_was_typed_to_its_end(grid):
    grid.one("#filters").click()
    grid.run("window.moves = 0; addEventListener('hashchange', () => { moves += 1; })")
    typed = grid.one("#since")
    typed.send_keys("05312024")
    assert typed.get_attribute("value") == "2024-05-31"
    assert address(grid) == "#photos"
    typed.send_keys(Keys.ENTER)
    tiles(grid, 3)
    grid.one("#until").send_keys("05312024")
    grid.one("#query-text").click()
    tiles(grid, 2)
    assert address(grid) == "#photos?since=2024-05-31&until=2024-05-31"
    assert grid.run("return moves") == 2  # history.length ends at 50


def test_an_address_that_no_longer_holds_says_so(grid):
    grid.go(f"#photos?photo={'0' * 64}")
    grid.until_text("#notice", "is not in the library now")
    grid.until(lambda: address(grid) == "#photos", "the address to follow")
    picture = grid.run("return (await (await fetch('v1/pictures')).json()).results[3].image")
    grid.go(f"#photos?folder=2024&photo={picture}")
    grid.until_text("#notice", "not among those that are shown")
    grid.go("#photos?folder=gone")
    grid.until_text("#found-note", "No photos in “gone”.")
    grid.one("#filters").click()
    grid.one("#since").send_keys("01012024" + Keys.ENTER)
    grid.until_text("#found-note", "No photos in “gone” since")
    grid.go("#photos?since=2024-06-01&until=2024-05-01")
    grid.until_text("#found-note", "its last day comes first")
    grid.go("#photos?like=xyz")
    grid.until_text("#found-note", "names no photo")
    assert not grid.all("#found-note button")
    grid.go(f"#photos?q=a+dog&like={picture}")
    tiles(grid, 4)
    grid.until_text("#found-note", "Like ")
    assert grid.one("#query-text").get_attribute("value") == ""


def test_a_photo_that_is_gone_is_not_tried_again(browser, server):
    gone = refusing(422, "a.jpg: not where it was", "search")
    with browser.before(gone):
        browser.open(server + "#photos?q=a+dog")
        browser.until_text("#found-note", "a.jpg: not where it was")
        assert not browser.all("#found-note button")


def test_of_many_photos_one_is_looked_for_and_the_others_are_told_of(grid, photos):
    data = base64.b64encode(photos[3].read_bytes()).decode()
    add = "transfer.items.add("
    two = GIVE.replace(add, f"{add}new File([bytes], 'second.png', {{ type: 'image/png' }}));{add}")
    grid.run(two.replace("kind +", "'first' +"), data, "x", "dataTransfer", "drop")
    grid.until_text("#notice", "Explain takes all 2")
    grid.until_text("#found-note", "Like second.png")


def test_a_large_library_comes_page_by_page(browser, server):
    with browser.before(PAGES):
        browser.open(server + "#photos")
        tiles(browser, 60)
        assert len(browser.all(".day")) == 1
        for number in (120, 180, 200):
            browser.run("scrollTo(0, document.body.scrollHeight)")
            tiles(browser, number)
        assert browser.run("return window.asked") == [0, 60, 120, 180]
        assert not browser.seen("#photos-view")[0].find_elements("css selector", "#found-note p")
        assert browser.all("#more[hidden]")
        held = "return [...document.querySelectorAll('.open img')].filter((i) => i.src).length"
        browser.until(lambda: browser.run(held) < 120, "far pictures to be let go")
        with browser.window(2560, 2400):
            browser.open(server + "#photos")
            tiles(browser, 200)  # a large window is filled without a scroll


def test_a_library_that_changes_under_the_grid_is_told_of(browser, server):
    with browser.before(PAGES):
        browser.open(server + "#photos")
        tiles(browser, 60)
        browser.run("window.added = 5")  # newer ones, above those that are there
        browser.run("more.scrollIntoView()")
        browser.until_text("#found-note", "The library has changed")
        while not browser.all("#more[hidden]"):
            browser.run("more.scrollIntoView()")
        tiles(browser, 200)
        ids = (
            "return new Set([...document.querySelectorAll('.pick input')].map((i) => i.ariaLabel))"
        )
        assert browser.run(f"{ids}.size") == 200
        assert "has changed" in browser.text("#notice")  # where it is seen
        contents = "return performance.getEntriesByName(new URL('v1/contents', location)).length"
        assert browser.run(contents) == 1
        browser.one("#found-note button").send_keys(Keys.ENTER)
        browser.until(lambda: "new 4" in shown(browser), "the new ones")
        browser.until(lambda: browser.run(contents) == 2, "what there is to filter by now")
        assert not browser.texts("#found-note p")


def test_a_library_of_before_says_what_dates_it_lacks(browser, server):
    with browser.before(changing("contents", "told.dated = false")):
        browser.open(server + "#photos")
        browser.until(lambda: browser.run("return !undated.hidden"), "the note")
        browser.one("#filters").click()
        assert "mrnn index" in browser.text("#undated")


# A search


def test_search_finds_pictures_and_says_why(grid, photos):
    ask(grid, "a woman smiles")
    tiles(grid, 4)
    loaded(grid)
    assert "the best 4 of 4 photos" in grid.text("#found-note")
    assert sorted(shown(grid)) == sorted(photo.name for photo in photos)
    first = shown(grid)[0]
    grid.one(".open").click()
    opened(grid, first)
    assert not grid.all("dialog .word")  # the photo comes first
    press(grid, "i")
    assert said(grid, "dialog") == "a woman smiles"
    grid.one(".found-figures summary").click()
    assert "Log ratio" in grid.text(".found-figures")
    grid.seen("dialog .word")[1].click()
    assert grid.text("dialog .panel").startswith("woman")
    press(grid, Keys.ESCAPE, Keys.ESCAPE)
    closed(grid)
    focus = "return document.activeElement.parentElement.querySelector('.pick input').ariaLabel"
    assert grid.run(focus) == f"Select {first}"


def test_the_same_words_are_searched_for_again(browser, server):
    with browser.before(changing("search", "")):
        browser.open(server + "#photos?q=a+dog")
        tiles(browser, 4)
        browser.one("#query-text").send_keys(Keys.ENTER)
        asked = "return asked.filter((path) => path === 'v1/search').length"
        browser.until(lambda: browser.run(asked) == 2, "another search")
        tiles(browser, 4)


def test_a_match_is_told_and_its_absence_is_not(browser, server):
    change = (
        "told.results.forEach((r, i) => { r.chance = [0.83, 0.18, null][i]; r.match = !i });"
        "told.results[3].match = true"
    )
    with browser.before(changing("search", change)):
        browser.open(server + "#photos?q=a+dog")
        tiles(browser, 4)
        pills = "return [...document.querySelectorAll('.tile')].map((t) => " \
            "t.querySelector('.pill')?.innerText ?? '')"  # fmt: skip
        assert browser.run(pills) == ["83% likely right", "", "", "match"]
        assert "more likely right" not in browser.text("#found-note")
    change = "told.results.forEach((r, i) => { r.chance = 0.18 / (1 + i); r.match = false })"
    with browser.before(changing("search", change)):
        browser.open(server + "#photos?q=a+dog")
        tiles(browser, 4)
        assert "(the best: 18% likely right)" in browser.text("#found-note")
        assert not browser.all(".pill")


def test_more_pictures_come_below_those_that_are_there(browser, server):
    with browser.before(changing("search", MANY)):
        browser.open(server + "#photos?q=a+woman+smiles")
        tiles(browser, 60)
        first = browser.one(".tile")
        browser.run("more.focus({ preventScroll: true })")
        browser.one("#more").send_keys(Keys.ENTER)
        tiles(browser, 100)  # as many as the server gives
        assert first.is_displayed()  # still the same element
        assert browser.all("#more[hidden]")
        browser.one("#query-text").send_keys(" at us" + Keys.ENTER)
        tiles(browser, 60)


def test_the_address_says_what_is_shown_and_back_leads_back(grid, photos):
    ask(grid, "a woman smiles")
    ask(grid, "two cats")
    second = shown(grid)[1]
    grid.seen(".open")[1].click()
    opened(grid, second)
    assert address(grid).startswith("#photos?q=two cats&photo=")
    press(grid, Keys.ARROW_RIGHT)
    third = shown(grid)[2]
    opened(grid, third)
    grid.driver.refresh()
    opened(grid, third)
    assert grid.one("#query-text").get_attribute("value") == "two cats"
    grid.driver.back()
    closed(grid)
    assert address(grid) == "#photos?q=two cats"
    grid.driver.back()
    grid.until_text("#found-note", "“a woman smiles”")
    grid.driver.back()
    grid.until(lambda: len(grid.all(".day h2")) == 3, "all photos by day")
    assert grid.one("#query-text").get_attribute("value") == ""
    grid.driver.forward()
    grid.until_text("#found-note", "“a woman smiles”")


def test_a_library_that_cannot_be_used_says_so(browser, server):
    with browser.before(refusing(503, "make the library anew", "search")):
        browser.open(server + "#photos?q=a+dog")
        browser.until_text("#found-note", "make the library anew")
        browser.one("#found-note button").send_keys(Keys.ENTER)
        tiles(browser, 4)
        assert "the best 4" in browser.text("#found-note")


def test_photos_say_why_they_are_not_there_and_can_be_asked_for_again(browser, server):
    with browser.before(refusing(503, "about to stop", "v1/model")):
        browser.open(server + "#photos")
        browser.until_text("#unmet", "about to stop")
        browser.one("#unmet button").send_keys(Keys.ENTER)
        tiles(browser, 4)
        assert not browser.texts("#unmet p")


def test_a_picture_that_did_not_come_is_asked_for_again(browser, server):
    with browser.before(refusing(503, "the disk is away", "pictures/")):
        browser.open(server + "#photos")
        browser.until_text(".tile .unshown", "the disk is away")
        browser.go("#explain")
        browser.until(lambda: browser.run("return grid.checkVisibility() === false"), "Explain")
        browser.go("#photos")
        loaded(browser)
        assert not browser.all(".tile .unshown")


def test_pictures_wait_for_a_full_queue(browser, server):
    with browser.before(refusing(429, "the queue is full", "pictures/")):
        browser.open(server + "#photos")
        tiles(browser, 4)
        loaded(browser)
        assert not browser.all(".tile .unshown")


def test_more_like_this_and_like_a_photo_of_ones_own(grid, photos):
    grid.upload("#like-file", photos[:1])
    grid.until_text("#found-note", f"Like {photos[0].name}")
    tiles(grid, 4)
    assert shown(grid)[0] == photos[0].name
    other = shown(grid)[1]
    grid.seen(".open")[1].click()
    opened(grid, other)
    grid.one("#viewer-like").click()
    grid.until_text("#found-note", f"Like {other}")
    closed(grid)
    assert shown(grid)[0] == other  # itself first
    grid.one(".open").click()
    press(grid, "i")
    grid.one(".found-figures summary").click()
    assert "1.00" in grid.text(".found-figures")
    assert said(grid, "dialog")  # its own caption: there is no sentence to give a reason for
    grid.driver.refresh()
    opened(grid, other)
    press(grid, Keys.ESCAPE)
    grid.until_text("#found-note", f"Like {other}")


def test_unknown_words_are_left_out_and_find_nothing_alone(grid):
    ask(grid, "A womann with a dog")
    grid.until_text("#found-note", "does not know “womann”: it was left out")
    assert grid.seen(".tile")
    assert not grid.all(".pill")
    ask(grid, "the womann")
    grid.until_text("#found-note", "“womann”: nothing else tells pictures apart")
    assert not grid.all(".tile")


# Around it


def test_pictures_that_are_gone_take_no_memory(browser, server, photos):
    def live(number: int) -> None:
        browser.until(lambda: browser.run("return live.size") == number, f"{number} pictures")

    with browser.before(COUNT):
        browser.open(server + "#photos")
        live(4)
        for query in ("a dog", "a cat"):
            ask(browser, query)
            live(4)
        browser.one(".open").click()
        live(5)
        browser.one("#viewer-close").click()
        live(4)
        browser.go("#explain")
        live(0)  # nobody sees the grid
        browser.upload("#files", photos[:2])
        live(2)
        browser.one(".card .close").click()
        live(1)
        browser.go("#photos?q=a+cat")
        live(5)


def test_a_key_is_asked_for_and_kept_and_search_needs_a_library(browser, servers, photos):
    keyed = servers[1]
    browser.open(keyed)
    assert browser.one("#key label").text == "This server asks for a key"
    browser.one("#key-value").send_keys("wrong" + Keys.ENTER)
    browser.until_text("#key-note", "not the right one")
    browser.upload("#files", photos[:1])
    browser.one("#key-value").send_keys(KEY + Keys.ENTER)
    assert said(browser)
    assert browser.text(".hint") == "Choose a word to see what else was considered."
    empty = heat(browser)
    assert "Most probable here" in point_at(browser, 1)
    assert heat(browser) == empty  # a model that sees nothing has no map
    browser.until_text("#model", "words")
    assert not browser.one("#explain-view").find_elements("css selector", ".fault p")
    browser.go("#search")  # as the view was called before
    assert "mrnn serve --library DIR" in browser.text("#no-library")
    browser.open(keyed)  # the key is still known
    browser.until_text("#model", "words")
    assert not browser.all("#key:not([hidden])")
    assert browser.faults() == []


def test_the_address_for_others_is_shown(browser, server):
    change = 'told.address = "http://192.0.2.7:8000/"'
    with browser.before(changing("model", change)):
        browser.open(server)
        browser.one("header button").click()
        assert "http://192.0.2.7:8000/" in browser.until_text("#elsewhere", "other devices")
    browser.open(server)
    known = "with 4,850 words"  # signs are none
    assert known in browser.until_text("#model", "words")
    browser.one("header button").click()
    assert not browser.one("#about").find_elements("css selector", "#elsewhere:not([hidden])")
    assert focused(browser) == "About"


def test_the_skip_link_leaves_the_address(page):
    page.run("document.querySelector('.skip').focus()")
    press(page, Keys.ENTER)
    assert page.run("return document.activeElement.id") == "main"
    assert address(page) == "#explain"
