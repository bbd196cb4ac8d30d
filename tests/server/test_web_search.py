"""The Search view of the page of `mrnn serve`, and its key, in a real browser."""

from __future__ import annotations

import base64
import re

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from mrnn.commands.samples import sample_photos
from web_browser import focused, heat, point_at, said
from web_scripts import COUNT, GIVE, MANY, changing, refusing
from web_servers import KEY

# Its fixtures are those of the tests here.
pytest_plugins = ["web_fixtures"]


def test_search_finds_pictures_and_says_why(page):
    page.go("#search")
    page.one("#query-text").send_keys("a woman smiles" + Keys.ENTER)
    page.until(lambda: len(page.all(".tile")) == 4, "four pictures")
    loaded = "return [...document.querySelectorAll('.thumb img')].every((i) => i.naturalWidth)"
    page.until(lambda: page.run(loaded), "the pictures")
    assert "the best 4 of 4 pictures" in page.text("#found-note")
    assert sorted(page.texts(".tile-name")) == sorted(photo.name for photo in sample_photos())
    ratios = [float(re.search(r"ratio ([+−][\d.]+)", t)[1].replace("−", "-"))
              for t in page.texts(".tile-figures")]  # fmt: skip
    assert ratios == sorted(ratios, reverse=True)
    page.one(".tile button").click()
    assert said(page, "dialog") == "a woman smiles"
    page.seen("dialog .word")[1].click()
    assert page.text("dialog .panel").startswith("woman")
    assert page.texts("dialog h2")[0] == "Why “a woman smiles”"
    ActionChains(page.driver).send_keys(Keys.ESCAPE, Keys.ESCAPE).perform()
    page.until(lambda: not page.all("dialog[open]"), "the dialog to close")
    assert page.run("return document.activeElement.innerText") == "Why?"


def test_more_pictures_come_below_those_that_are_there(browser, server):
    with browser.before(changing("search", MANY)):
        browser.open(server + "#search")
        browser.one("#query-text").send_keys("a woman smiles" + Keys.ENTER)
        browser.until(lambda: len(browser.all(".tile")) == 12, "twelve pictures")
        first = browser.one(".tile")
        for number, start in ((24, 12), (30, 24)):
            browser.one("#more").send_keys(Keys.ENTER)
            browser.until(lambda n=number: len(browser.all(".tile")) == n, f"{number} pictures")
            tile = "return [...document.querySelectorAll('.tile')].findIndex((tile) => " \
                "tile.contains(document.activeElement))"  # fmt: skip
            assert browser.run(tile) == start
        assert first.is_displayed()  # still the same element
        assert browser.all("#more[hidden]")
        loaded = "return [...document.querySelectorAll('.thumb img')].every((i) => i.naturalWidth)"
        browser.until(lambda: browser.run(loaded), "the pictures")
        one_each = "return new Set(asked.filter((path) => path.includes('pictures'))).size"
        assert browser.run(one_each) == 4
        browser.one("#query-text").send_keys(" at us" + Keys.ENTER)
        browser.until(lambda: len(browser.all(".tile")) == 12, "twelve pictures")


def test_a_library_that_cannot_be_used_says_so(browser, server):
    with browser.before(refusing(503, "make the library anew", "search")):
        browser.open(server + "#search")
        browser.one("#query-text").send_keys("a dog" + Keys.ENTER)
        browser.until_text("#found-note", "make the library anew")
        browser.one("#found-note button").send_keys(Keys.ENTER)
        browser.one(".tile")
        assert focused(browser) == "Why?"


def test_pictures_wait_for_a_full_queue(browser, server):
    with browser.before(refusing(429, "the queue is full", "pictures")):
        browser.open(server + "#search")
        browser.one("#query-text").send_keys("a dog" + Keys.ENTER)
        loaded = "return document.querySelectorAll('.thumb img[src]').length"
        browser.until(lambda: browser.run(loaded) == 4, "all four pictures")
        assert not browser.all(".thumb .unshown")


def test_a_drop_while_a_reason_is_shown_is_answered_where_it_is_seen(page, photos):
    page.go("#search")
    page.one("#query-text").send_keys("a woman smiles" + Keys.ENTER)
    page.one(".tile button").click()
    page.one("dialog .word")
    data = base64.b64encode(photos[3].read_bytes()).decode()
    page.run(GIVE, data, "held", "dataTransfer", "drop")
    assert not page.all("dialog[open]")
    page.until_text("#found-note", "Like held.png")


def test_a_key_is_asked_for_where_it_can_be_given(browser, server):
    with browser.before(refusing(401, "a key is needed")):
        browser.open(server + "#search")
        browser.one("#query-text").send_keys("a woman smiles" + Keys.ENTER)
        browser.one(".tile button").click()
        browser.one("#key-value").send_keys(KEY + Keys.ENTER)
        browser.until(lambda: browser.all("#key[hidden]"), "the field to go")
        assert not browser.all("dialog[open]")
        browser.one(".tile button").click()
        assert said(browser, "dialog")


def test_more_like_this_and_like_a_photo_of_ones_own(page, photos):
    page.go("#search")
    page.upload("#like-file", photos[:1])
    page.until_text("#found-note", f"Like {photos[0].name}")
    assert page.texts(".tile-name")[0] == photos[0].name
    assert page.texts(".tile-figures")[0] == "Similarity 1.00"
    page.seen(".tile")[1].find_element("xpath", ".//button[.='More like this']").click()
    page.until_text("#found-note", f"Like {page.texts('.tile-name')[1]}")
    page.until(lambda: page.texts(".tile-figures")[0] == "Similarity 1.00", "itself first")
    assert page.texts(".tile button")[0] == "Explain"  # there is no sentence to give a reason for


def test_unknown_words_are_left_out_and_find_nothing_alone(page):
    page.go("#search")
    page.one("#query-text").send_keys("A womann with a dog" + Keys.ENTER)
    page.until_text("#found-note", "does not know “womann”: it was left out")
    assert page.seen(".tile")
    assert not page.all(".badge")
    page.one("#query-text").clear()
    page.one("#query-text").send_keys("the womann" + Keys.ENTER)
    page.until_text("#found-note", "“womann”: nothing else tells pictures apart")
    assert not page.all(".tile")


def test_pictures_that_are_gone_take_no_memory(browser, server, photos):
    def live(number: int) -> None:
        browser.until(lambda: browser.run("return live.size") == number, f"{number} pictures")

    with browser.before(COUNT):
        browser.open(server + "#search")
        browser.upload("#files", photos[:2])
        live(2)
        for query in ("a dog", "a cat"):
            browser.one("#query-text").clear()
            browser.one("#query-text").send_keys(query + Keys.ENTER)
            browser.until_text("#found-note", query)
            live(6)
        browser.one(".tile button").click()
        browser.one("dialog .word")
        live(7)
        browser.one("#why-close").click()
        live(6)
        browser.go("#explain")
        browser.one(".card .close").click()
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
    assert not browser.one("#explain").find_elements("css selector", ".fault p")
    browser.go("#search")
    assert "mrnn serve --library DIR" in browser.text("#no-library")
    browser.open(keyed)  # the key is still known
    browser.until_text("#model", "words")
    assert not browser.all("#key:not([hidden])")
    assert browser.faults() == []
