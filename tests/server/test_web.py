"""The page of `mrnn serve` in a real browser, with the shipped model and photos of our own."""

from __future__ import annotations

import base64
import math
import re
import shutil

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from web_browser import beyond, explained, focused, heat, heat_at, point_at, said
from web_scripts import FORMATTED, GATE, GIVE, GIVE_TEXT, KEPT, READINGS, SILENT, changing, refusing
from web_servers import explain, score

# Its fixtures are those of the tests here.
pytest_plugins = ["web_fixtures"]


def test_a_photo_gets_the_servers_caption_and_its_confidence(page, server, photos):
    page.upload("#files", photos[:1])
    told = explain(server, photos[0])
    assert said(page) == told["caption"]
    line = page.text(".figures summary")
    assert line.lower().startswith(f"{told['certainty']}: {told['main_word']}".lower())
    assert f"{100 * told['sure']:.0f}%" in line
    assert "Perplexity" not in page.text(".figures")
    assert told["caption"] in page.until_text("#said", photos[0].name)
    assert page.one(".card img").get_attribute("alt") == told["caption"]
    page.one(".figures summary").click()
    assert f"The chance that “{told['main_word']}” is right" in page.text(".figures p")
    assert f"Perplexity\n{told['perplexity']:.1f}" in page.text(".figures dl")


def test_words_show_their_map_their_runners_up_and_their_sources(page, server, photos):
    explained(page, photos[0])
    told = explain(server, photos[0])["words"]
    empty = heat(page)
    maps = set()
    for i in (0, 1):
        panel = point_at(page, i)
        maps.add(heat(page))
        considered = [word["word"] for word in told[i]["alternatives"]]
        considered = [word.replace("##UNK##", "(a rare word)") for word in considered]
        assert [text.split("\n")[0] for text in page.texts(".runner")][:4] == considered
        share = 100 * math.exp(told[i]["logprob"])
        assert f"{share:.{0 if share >= 10 else 1}f}%" in panel
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
    for word in range(len(page.seen(".word"))):
        point_at(page, word)
        line = page.until_text(".sources .small", "the factors multiply")
        if "<" not in line:  # "< 0.1%" is no number to begin with
            break
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
        browser.open(server + "#explain")
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


def test_a_closer_look_brings_other_maps_of_the_same_sentence(page, photos):
    sentence = explained(page, photos[0])
    point_at(page, 1)
    before = heat(page)
    [closer] = [b for b in page.all(".tools button") if b.text == "Look closer"]
    closer.click()
    page.until(lambda: closer.get_attribute("hidden"), "better maps")
    assert said(page) == sentence
    assert focused(page) == sentence.split()[1]
    assert page.all(".word")[1].get_attribute("aria-pressed") == "true"
    assert heat(page) != before


def test_a_runner_up_continues_the_sentence_and_undo_goes_back(page, server, photos):
    before = explained(page, photos[0])
    place = 1
    page.seen(".word")[place].click()
    runner = page.seen("button.runner")[0]
    word = runner.text.split("\n")[0]
    prefix = " ".join([*before.split()[:place], word])
    runner.click()
    page.one(".own input").send_keys("mine")  # what a person goes on to keeps the focus
    page.until(lambda: said(page).startswith(prefix), prefix)
    most = len(prefix.split()) + 30
    told = explain(server, photos[0], prefix=prefix, max_length=most)
    assert said(page) == told["caption"]
    assert page.seen(".word")[place].get_attribute("aria-pressed") == "true"
    assert page.run("return document.activeElement.value") == "mine"
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
    line = page.until_text(".scored summary", "with this photo")
    page.one(".scored summary").click()
    figures = page.text(".scored dl")
    told = score(server, photos[0], sentence)
    assert line.startswith(("Less likely", "Likelier")[told["log_ratio"] > 0])
    assert f"log P\n−{-told['logprob']:.1f}" in figures
    assert f"Perplexity\n{told['perplexity']:.1f}" in figures
    assert f"Log ratio\n{told['log_ratio']:+.1f}".replace("-", "−") in figures
    assert said(page) == sentence
    [closer] = [b for b in page.all(".tools button") if b.text == "Look closer"]
    closer.click()
    page.until(lambda: closer.get_attribute("hidden"), "better maps")
    assert page.text(".scored summary") == line
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
    page.go("#photos")
    page.one("#query-text").send_keys("<u>dog</u> zorb<s>" + Keys.ENTER)
    assert "<u>dog</u>" in page.until_text("#found-note", "the best")
    assert page.run("return document.querySelectorAll('#photos-view :is(u, s)').length") == 0


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
        browser.open(server + "#explain")
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


def test_many_photos_are_a_list_with_the_progress_of_each(browser, server, photos, tmp_path):
    bad = tmp_path / "=letter.jpg"
    bad.write_bytes(b"no picture at all")
    with browser.before(GATE + KEPT):
        browser.open(server + "#explain")
        browser.upload("#files", [bad, *photos])
        browser.until(lambda: browser.run("return window.now") == 2, "two questions")
        assert len(browser.all(".card.compact")) == 5
        heights = browser.run("return [...document.querySelectorAll('.card')].map((c) => "
                              "c.offsetHeight)")  # fmt: skip
        assert max(heights) < 130
        status = ["Looking at it …"] * 2 + ["Waiting for its turn …"] * 3
        assert browser.texts(".status") == status
        assert browser.text("#progress-text") == "0 of 5 captioned"
        browser.run("window.open()")
        browser.until_text("#progress-text", "4 of 5 captioned, 1 failed")
        with browser.window(390, 844):
            assert browser.one("#progress-bar").size["width"] > 200
        assert "=letter.jpg" in browser.text(".compact .fault")
        browser.one("#save").click()
        name, content = browser.until(lambda: browser.run("return window.kept"), "the file")
        assert "4 photos: 1 of 5 have no caption yet, or failed" in browser.text("#notice")
        rows = base64.b64decode(content).decode("utf-8-sig").splitlines()
        assert name == "captions.csv"
        assert rows[0] == "image,caption"
        assert [row.split(",")[0] for row in rows[1:]] == [photo.name for photo in photos]
        browser.seen(".unfold")[1].send_keys(Keys.ENTER)
        assert focused(browser) == ""
        point_at(browser, 0)
        assert browser.seen(".panel h3")
        browser.faults()


def test_what_is_no_file_says_so(page, photos):
    page.run(GIVE_TEXT)
    assert page.text("#notice") == "That was no file. Save the picture, then drop it."
    page.one("h1").click()
    assert page.texts("#notice") == [""]
    assert not page.all(".card")
    page.run(GIVE_TEXT.replace("document.body", "document.getElementById('query-text')"))
    assert page.texts("#notice") == [""]  # the field has it


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
        browser.open(server + "#explain")
        browser.upload("#files", [*photos, photos[0]])
        browser.until(lambda: browser.run("return window.now") == 2, "two questions")
        assert len(browser.all(".card img")) == 5  # all are shown at once
        browser.run("window.open()")
        browser.until(lambda: len(browser.all(".words")) == 5, "five captions")
        assert browser.run("return window.most") == 2


def test_a_full_queue_is_waited_for(browser, server, photos):
    with browser.before(refusing(429, "the queue is full")):
        browser.open(server + "#explain")
        browser.upload("#files", photos[:1])
        browser.until_text(".status", "busy; trying again in 1 second")
        assert said(browser)
        assert not browser.all(".fault p")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (refusing(503, "too slow; send <b>fewer</b> pictures"), "too slow; send <b>fewer</b>"),
        (SILENT, "The server did not answer, or broke off. Is it still running?"),
        (SILENT.replace("throw new TypeError", "return new Response"), "The server did not answer"),
    ],
)
def test_a_fault_of_the_server_can_be_tried_again(browser, server, photos, script, message):
    with browser.before(script):
        browser.open(server + "#explain")
        browser.upload("#files", photos[:1])
        browser.until_text(".fault", message)
        browser.one(".fault button").send_keys(Keys.ENTER)
        assert said(browser).startswith(focused(browser))
        assert not browser.all(".fault p")


def test_a_big_file_is_not_even_sent(browser, server, photos):
    small = min(photos, key=lambda photo: photo.stat().st_size)
    big = max(photos, key=lambda photo: photo.stat().st_size)
    with browser.before(changing("model", "told.limits.bytes = 200_000")):
        browser.open(server + "#explain")
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
        browser.open(server + "#explain")
        explained(browser, photos[0])
        point_at(browser, 1)
        assert browser.texts(".runner")[3].startswith("(a rare word)")
        assert browser.seen(".runner")[3].tag_name == "span"


def test_nobody_goes_on_after_the_unknown_word(browser, server, photos):
    with browser.before(changing("explain", 'told.results[0].words[1].word = "##UNK##"')):
        browser.open(server + "#explain")
        explained(browser, photos[0])
        point_at(browser, 1)
        assert browser.all("button.runner")
        point_at(browser, 2)
        assert not browser.all("button.runner")


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
        page.go("#photos")
        page.one("#query-text").send_keys("a dog " + "zorb" * 30 + Keys.ENTER)
        page.until_text("#found-note", "the best")
        page.one("#filters").click()
        assert beyond(page) == []
        page.one(".open").click()
        page.one("#viewer-info").click()
        page.one("dialog .scored")
        assert beyond(page) == []
