"""The page of `mrnn serve` in a real browser, with the shipped model and photos of our own."""

from __future__ import annotations

import base64
import math
import re
import shutil
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from typer.testing import CliRunner

from mrnn.cli import app
from mrnn.demo import sample_photos
from web_browser import (
    Browser,
    beyond,
    explained,
    focused,
    heat,
    heat_at,
    point_at,
    require_chromium,
    said,
)
from web_scripts import (
    COUNT,
    FORMATTED,
    GATE,
    GIVE,
    GIVE_TEXT,
    MANY,
    READINGS,
    SILENT,
    changing,
    refusing,
)
from web_servers import address, explain, save_sightless, score, serving

KEY = "a-key-of-the-tests"


@pytest.fixture(scope="module")
def photos() -> list[Path]:
    return sample_photos()


@pytest.fixture(scope="module")
def servers(photos, tmp_path_factory):
    """The addresses of a server with a library, and of a sightless one that asks for a key."""
    require_chromium()
    folder = tmp_path_factory.mktemp("web")
    (folder / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, folder / "photos")
    (folder / "key").write_text(KEY + "\n")
    (folder / "key").chmod(0o600)
    library, logs = folder / "library", (folder / "open.log", folder / "keyed.log")
    sightless = save_sightless(folder / "sightless")
    with serving(logs[1], "--model", sightless, "--key-file", folder / "key") as keyed:
        index = ["index", str(folder / "photos"), "--library", str(library)]
        assert CliRunner().invoke(app, index).exit_code == 0
        with serving(logs[0], "--library", library) as opened:
            yield address(opened, logs[0]), address(keyed, logs[1])


@pytest.fixture(scope="module")
def server(servers):
    return servers[0]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    require_chromium()
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(server, browser):
    """The page just opened; after the test it must have kept to its rules."""
    browser.open(server)
    browser.until_text("#model", "words")
    yield browser
    assert browser.faults() == []
    asked = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert [url for url in asked if not url.startswith((server, f"blob:{server}"))] == []


def test_a_photo_gets_the_servers_caption_and_its_confidence(page, server, photos):
    page.upload("#files", photos[:1])
    told = explain(server, photos[0])
    assert said(page) == told["caption"]
    share = math.exp(told["logprob"] / len(told["words"]))
    assert page.text(".figures summary").startswith(f"Confidence {100 * share:.0f}%")
    assert f"Perplexity {told['perplexity']:.1f}" in page.text(".figures")
    assert told["caption"] in page.until_text("#said", photos[0].name)
    assert page.one(".card img").get_attribute("alt") == told["caption"]
    page.one(".figures summary").click()
    assert "geometric mean" in page.text(".figures p")


def test_words_show_their_map_their_runners_up_and_their_sources(page, server, photos):
    explained(page, photos[0])
    told = explain(server, photos[0])["words"]
    empty = heat(page)
    maps = set()
    for i in (0, 1):
        panel = point_at(page, i)
        maps.add(heat(page))
        considered = [word["word"] for word in told[i]["alternatives"]]
        assert [text.split("\n")[0] for text in page.texts(".runner")][:4] == considered
        assert f"{100 * math.exp(told[i]['logprob']):.0f}%" in panel
        assert [row.split("\t")[0] for row in page.texts(".sources tr")] == [
            "the picture",
            "the sentence so far",
            "the last word",
        ]
    assert len(maps | {empty}) == 3
    ActionChains(page.driver).move_to_element(page.one(".brand")).perform()
    assert "shown" in page.seen(".word")[1].get_attribute("class")  # it stays


def test_the_factors_of_a_word_multiply_to_its_probability(page, photos):
    explained(page, photos[0])
    point_at(page, 1)
    line = page.until_text(".sources .small", "the factors multiply")
    start, end = (float(share) for share in re.findall(r"([\d.]+)%", line))
    product = 1.0
    for row in page.texts(".sources .number"):
        sign, value = row.split()
        product *= float(value) if sign == "×" else 1 / float(value)
    assert start * product == pytest.approx(end, rel=0.25)  # of rounded numbers


def test_a_map_is_warm_and_cool_where_the_model_looks(browser, server, photos):
    """Some encoders see the middle of a picture only; the rest is veiled."""
    change = "told.results[0].heat.area = [0.25, 0, 0.75, 1];"
    change += "told.results[0].words[1].heat = [[2, -2], [0, 0]]"
    with browser.before(changing("explain", change)):
        browser.open(server)
        explained(browser, photos[0])
        point_at(browser, 1)
        red, _, blue, _ = heat_at(browser, 0.375, 0.25)
        assert red > blue + 100
        red, _, blue, _ = heat_at(browser, 0.625, 0.25)
        assert blue > red + 100
        assert heat_at(browser, 0.5, 0.95)[3] < 30
        veil = heat_at(browser, 0.05, 0.5)
        assert veil == heat_at(browser, 0.95, 0.5)
        assert veil[:3] == (0, 0, 0)
        assert veil[3] > 60
        assert browser.one(".veil").text == "not seen by the model"


def test_a_runner_up_continues_the_sentence_and_undo_goes_back(page, server, photos):
    before = explained(page, photos[0])
    place = 1
    page.seen(".word")[place].click()
    runner = page.seen("button.runner")[0]
    word = runner.text.split("\n")[0]
    prefix = " ".join([*before.split()[:place], word])
    runner.click()
    page.until(lambda: said(page).startswith(prefix), prefix)
    assert said(page) == explain(server, photos[0], prefix=prefix)["caption"]
    assert page.seen(".word")[place].get_attribute("aria-pressed") == "true"
    page.until(lambda: focused(page) == word, "its focus")
    page.one(".tools").find_element("xpath", "button[.='Undo']").click()
    assert said(page) == before
    assert not [b for b in page.all(".tools button") if b.text == "Undo" and b.is_displayed()]


def test_the_end_as_a_runner_up_ends_the_sentence(page, photos):
    explained(page, photos[0])
    sentence = "two dogs run through the snow in the grass by a tree"
    words = sentence.split()
    page.one(".own input").send_keys(sentence + Keys.ENTER)
    page.one(".scored")
    page.seen(".word")[words.index("a")].click()
    [end] = [row for row in page.seen("button.runner") if row.text.startswith("(end)")]
    end.click()
    page.until(lambda: page.texts(".word") == [*words[:-2], "(end)"], "the sentence to end")


def test_nobody_goes_on_after_a_word_that_the_model_does_not_know(page, photos):
    explained(page, photos[0])
    page.one(".own input").send_keys("a zzyx runs fast" + Keys.ENTER)
    page.one(".scored")
    point_at(page, 1)
    assert page.all("button.runner")
    panel = point_at(page, 2)
    assert page.all(".runner")
    assert not page.all("button.runner")
    assert "goes on after words that it knows" in panel


def test_a_long_sentence_goes_on_until_it_is_as_long_as_can_be(page, photos):
    explained(page, photos[0])
    words = ["a"] * 102
    page.one(".own input").send_keys(" ".join(words) + Keys.ENTER)
    page.one(".scored")
    page.seen(".word")[100].click()
    assert not page.all("button.runner")
    for place in (99, 40):
        page.seen(".word")[place].click()
        word = page.seen("button.runner")[1].text.split("\n")[0]
        page.seen("button.runner")[1].click()
        prefix = [*words[:place], word]
        page.until(lambda prefix=prefix: page.texts(".word")[: len(prefix)] == prefix, "the prefix")


def test_ones_own_sentence_is_scored_and_explained(page, server, photos):
    explained(page, photos[0])
    sentence = "a woman in an orange zorbsuit smiles"
    page.one(".own input").send_keys(sentence + Keys.ENTER)
    line = page.until_text(".scored summary", "log P")
    told = score(server, photos[0], sentence)
    assert line.startswith(("Less likely", "Likelier")[told["log_ratio"] > 0])
    assert f"log P −{-told['logprob']:.1f}" in line
    assert f"Perplexity {told['perplexity']:.1f}" in line
    assert f"{told['log_ratio']:+.1f}".replace("-", "−") in line
    assert said(page) == sentence
    assert "“zorbsuit”" in page.text(".unknown")
    assert point_at(page, 1).startswith("woman")


def test_html_in_names_and_sentences_is_text(page, photos, tmp_path):
    name = "<img src=x onerror=alert(1)>.png"
    shutil.copy(photos[0], tmp_path / name)
    (tmp_path / "<b>bad<b>.jpg").write_bytes(b"no picture")
    page.upload("#files", [tmp_path / name, tmp_path / "<b>bad<b>.jpg"])
    said(page)
    assert page.texts(".name") == [name, "<b>bad<b>.jpg"]
    assert "<b>bad<b>.jpg" in page.text(".fault")
    typed = "a <i>dog</i> <script>alert(2)</script>"
    page.one(".own input").send_keys(typed + Keys.ENTER)
    page.one(".scored")
    assert "script" in page.until_text(".unknown", "does not know")
    assert (
        page.run("return document.querySelectorAll('#cards :is(i, script, [src=x])').length") == 0
    )
    page.go("#search")
    page.one("#query-text").send_keys("<u>dog</u> zorb<s>" + Keys.ENTER)
    assert "<u>dog</u>" in page.until_text("#found-note", "the best")
    assert page.run("return document.querySelectorAll('#search :is(u, s)').length") == 0


def test_an_unreadable_file_says_so_and_the_others_go_on(page, photos, tmp_path):
    bad = tmp_path / "letter.jpg"
    bad.write_bytes(b"no picture at all")
    page.upload("#files", [bad, *photos[:2]])
    page.until(lambda: len(page.all(".words")) == 2, "two captions")
    fault = page.text(".fault")
    assert "letter.jpg" in fault
    assert "Try again" in fault
    assert "not an image" in fault
    shutil.copy(photos[0], bad)  # in vain: the browser gave the page the file as it was
    page.one(".card:first-child .close").click()
    page.until(lambda: len(page.all(".card")) == 2, "the card to go")
    assert not page.all(".fault p")


def test_what_the_browser_cannot_show_is_captioned_all_the_same(page, photos, tmp_path):
    from PIL import Image

    with Image.open(photos[0]) as photo:
        photo.save(tmp_path / "scan.tif")
    page.upload("#files", [tmp_path / "scan.tif"])
    assert said(page)
    assert page.text(".photo .unshown") == "This browser cannot show this file."


def test_five_best_are_a_list_to_choose_from(page, server, photos):
    explained(page, photos[0])
    page.run("document.querySelector('[value=best]').click()")
    told = explain(server, photos[0], beam=5, n_best=5)["n_best"]
    page.one(".choices")
    rows = [f"{t['caption']}\nlog P −{-t['logprob']:.1f}" for t in told]
    assert page.texts(".choice") == rows
    page.seen(".choice")[2].send_keys(Keys.ENTER)
    page.until(lambda: said(page) == told[2]["caption"], "the third")
    assert focused(page) == told[2]["caption"]
    assert [b.get_attribute("aria-pressed") for b in page.all(".choice")].index("true") == 2


def test_drawn_sentences_change_with_another_one(page, server, photos):
    explained(page, photos[0])
    page.run("document.querySelector('[value=drawn]').click()")
    another = page.until(
        lambda: next((b for b in page.all(".tools button") if b.text == "Another one"), None),
        "the button",
    )
    for seed in (1, 2):
        told = explain(server, photos[0], temperature=0.8, seed=seed)
        page.until(lambda told=told: said(page) == told["caption"], told["caption"])
        another.click()


def test_settings_change_what_the_model_wrote_and_nothing_else(browser, server, photos):
    def choose(*modes: str) -> None:
        """One after the other, as arrow keys do."""
        for_each = "[...arguments].forEach((m) => document.querySelector(`[value=${m}]`).click())"
        browser.run(for_each, *modes)

    with browser.before(changing("explain", "")):
        browser.open(server)
        browser.until_text("#model", "words")
        browser.upload("#files", photos[:2])
        browser.until(lambda: len(browser.all(".words")) == 2, "two captions")
        browser.one(".own input").send_keys("a woman smiles" + Keys.ENTER)
        browser.one(".scored")
        choose("drawn", "best")
        browser.one(".card:last-child .choices")
        assert said(browser, ".card:first-child") == "a woman smiles"
        assert browser.run("return asked.filter((path) => path.includes('explain')).length") == 4
        anew = browser.one(".card:first-child .tools button")
        assert anew.text == "Write anew"
        anew.send_keys(Keys.ENTER)
        browser.one(".card:first-child .choices")
        assert not anew.is_displayed()
        assert focused(browser) == browser.texts(".card:first-child .word")[0]
        choose("surest")
        browser.until(lambda: not browser.all(".choices"), "all cards to follow")
        browser.faults()


def test_what_is_no_file_says_so(page, photos):
    page.run(GIVE_TEXT)
    assert page.text("#notice") == "That was no file. Save the picture, then drop it."
    page.one("h1").click()
    assert page.texts("#notice") == [""]
    assert not page.all(".card")


def test_photos_come_by_drop_and_by_paste(page, photos):
    assert page.text("#drop h1") == "Drop a photo here"
    assert page.text("#drop .or") == "or paste one"
    data = base64.b64encode(photos[3].read_bytes()).decode()
    page.run(GIVE, data, "held", "dataTransfer", "dragover")
    page.one(".over.shown")
    page.run(GIVE, data, "dropped", "dataTransfer", "drop")
    assert not page.all(".over.shown")
    page.run(GIVE, data, "pasted", "clipboardData", "paste")
    page.until(lambda: len(page.all(".words")) == 2, "two captions")
    assert page.texts(".name") == ["pasted.png", "dropped.png"]
    assert page.text("#drop h1") == "Drop or paste more photos"


def test_at_most_two_photos_are_asked_about_at_a_time(browser, server, photos):
    with browser.before(GATE):
        browser.open(server)
        browser.upload("#files", [*photos, photos[0]])
        browser.until(lambda: browser.run("return window.now") == 2, "two questions")
        assert len(browser.all(".card img")) == 5  # all are shown at once
        browser.run("window.open()")
        browser.until(lambda: len(browser.all(".words")) == 5, "five captions")
        assert browser.run("return window.most") == 2


def test_a_full_queue_is_waited_for(browser, server, photos):
    with browser.before(refusing(429, "the queue is full")):
        browser.open(server)
        browser.upload("#files", photos[:1])
        browser.until_text(".status", "busy; trying again in 1 second")
        assert said(browser)
        assert not browser.all(".fault p")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (refusing(503, "too slow; send <b>fewer</b> pictures"), "too slow; send <b>fewer</b>"),
        (SILENT, "The server did not answer. Is it still running?"),
    ],
)
def test_a_fault_of_the_server_can_be_tried_again(browser, server, photos, script, message):
    with browser.before(script):
        browser.open(server)
        browser.upload("#files", photos[:1])
        browser.until_text(".fault", message)
        browser.one(".fault button").send_keys(Keys.ENTER)
        assert said(browser).startswith(focused(browser))
        assert not browser.all(".fault p")


def test_a_big_file_is_not_even_sent(browser, server, photos):
    small = min(photos, key=lambda photo: photo.stat().st_size)
    big = max(photos, key=lambda photo: photo.stat().st_size)
    with browser.before(changing("model", "told.limits.bytes = 200_000")):
        browser.open(server)
        browser.until_text("#model", "words")
        browser.upload("#files", [big, small])
        assert said(browser)
        assert "the server takes 200 kB at most" in browser.text(".fault")
        browser.run("document.querySelector('[value=best]').click()")
        browser.one(".choices")
        assert browser.run("return window.asked") == ["v1/model", "v1/explain", "v1/explain"]
        assert not browser.all(".fault button")
        assert "the server takes 200 kB at most" in browser.text(".fault")


def test_the_unknown_word_is_no_way_to_go_on(browser, server, photos):
    change = 'told.results[0].words[1].alternatives[3].word = "##UNK##"'
    with browser.before(changing("explain", change)):
        browser.open(server)
        explained(browser, photos[0])
        point_at(browser, 1)
        assert browser.texts(".runner")[3].startswith("(a rare word)")
        assert browser.seen(".runner")[3].tag_name == "span"


def test_nobody_goes_on_after_the_unknown_word(browser, server, photos):
    with browser.before(changing("explain", 'told.results[0].words[1].word = "##UNK##"')):
        browser.open(server)
        explained(browser, photos[0])
        point_at(browser, 1)
        assert browser.all("button.runner")
        point_at(browser, 2)
        assert not browser.all("button.runner")


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
        assert not browser.one("#searching").find_element("id", "more").is_displayed()
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
        browser.until(lambda: not browser.one("#key").is_displayed(), "the field to go")
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


def test_an_unknown_word_comes_with_a_suggestion(page):
    page.go("#search")
    page.one("#query-text").send_keys("A womann smiles" + Keys.ENTER)
    page.until_text("#found-note", "does not know “womann”")
    page.one(".suggestion").click()
    page.until_text("#found-note", "“A woman smiles”")
    assert page.one("#query-text").get_property("value") == "A woman smiles"
    assert not page.all(".suggestion")


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


def test_numbers_read_well(page):
    found = page.driver.execute_async_script(FORMATTED, list(READINGS))
    assert dict(zip(READINGS, found, strict=True)) == READINGS


def test_all_of_it_by_keyboard(page, photos):
    explained(page, photos[0])

    def active(script: str = "innerText") -> str:
        return page.run(f"return document.activeElement.{script}")

    def press(*keys: str) -> None:
        ActionChains(page.driver).send_keys(*keys).perform()

    def tab_to(name: str) -> None:
        for _ in range(30):
            press(Keys.TAB)
            if name in active("className").split():
                outline = page.run("return getComputedStyle(document.activeElement).outlineStyle")
                assert outline == "solid"
                return
        pytest.fail(f"Tab does not lead to .{name}")

    words = page.texts(".word")
    tab_to("word")
    assert active() == words[0]
    press(Keys.ARROW_RIGHT)
    assert active() == words[1]
    assert page.text(".said-word") == words[1]
    label = active("ariaLabel")
    assert re.match(rf"{words[1]}: (under )?[\d.]+ percent, .*; considered: ", label), label
    press(Keys.END)
    assert active() == words[-1]
    press(Keys.ARROW_LEFT)
    assert active() == words[-2]
    press(Keys.HOME, Keys.ARROW_LEFT)
    assert active() == words[0]
    press(Keys.ARROW_RIGHT, Keys.ENTER)
    assert active("ariaPressed") == "true"
    before = page.texts("#said")
    tab_to("runner")
    chosen = active().split("\n")[0]
    press(Keys.ENTER)
    page.until(lambda: page.texts(".word")[:2] == [words[0], chosen], "the new sentence")
    assert page.texts("#said") != before
    press(Keys.ESCAPE)
    assert not page.all(".said-word")
    ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).perform()
    ActionChains(page.driver).key_up(Keys.SHIFT).perform()
    assert "close" in active("className")
    press(Keys.ENTER)
    page.until(lambda: not page.all(".card"), "the card to go")
    assert active() == "Choose photos"


def test_nothing_leads_sideways_on_a_phone(page, server, photos, tmp_path):
    long_name = tmp_path / f"{'long-name-' * 12}.png"
    shutil.copy(photos[0], long_name)
    (tmp_path / "bad.jpg").write_bytes(b"no")

    with page.phone():
        assert page.run("return innerWidth") == 360
        assert beyond(page) == []
        page.upload("#files", [long_name, tmp_path / "bad.jpg"])
        said(page)
        page.one(".own input").send_keys("a " + "very" * 20 + Keys.ENTER)
        page.one(".scored")
        page.seen(".word")[1].click()
        page.one(".runner")
        page.run("document.querySelector('[value=drawn]').click()")
        assert beyond(page) == []
        page.go("#search")
        page.one("#query-text").send_keys("a " + "zorb" * 30 + Keys.ENTER)
        page.one(".tile")
        assert beyond(page) == []
        page.one(".tile button").click()
        page.one("dialog .scored")
        assert beyond(page) == []


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
