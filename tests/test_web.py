"""The page of `mrnn serve` in a real browser, with the shipped model and photos of our own."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from mrnn.demo import sample_photos
from web_browser import Browser, require_chromium

KEY = "a-key-of-the-tests"
WEB = Path(__file__).parents[1] / "src" / "mrnn" / "server" / "web"
MRNN = (sys.executable, "-m", "mrnn")


@contextmanager
def serving(log: Path, *options: object) -> Iterator[str]:
    """The address of a `mrnn serve` that ends with the block."""
    command = [*MRNN, "serve", "--port", "0", *map(str, options)]
    env = {**os.environ, "XDG_CACHE_HOME": str(log.parent / "cache")}
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stderr=errors, stdout=errors, env=env) as server,
    ):
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            server.wait(20)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"mrnn serve ended: {log.read_text()}")
    return found.group()


@pytest.fixture(scope="module")
def photos() -> list[Path]:
    return sample_photos()


@pytest.fixture(scope="module")
def server(photos, tmp_path_factory):
    require_chromium()
    folder = tmp_path_factory.mktemp("web")
    (folder / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, folder / "photos")
    index = [*MRNN, "index", str(folder / "photos"), "--library", str(folder / "library")]
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run(index, check=True, capture_output=True, env=env)
    with serving(folder / "log", "--library", folder / "library") as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    require_chromium()
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, server):
    """The page just opened; after the test it must have kept to its rules."""
    browser.open(server)
    browser.until_text("#model", "words")
    yield browser
    assert browser.faults() == []
    asked = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert [url for url in asked if not url.startswith((server, f"blob:{server}"))] == []


def explain(server: str, photo: Path, **fields: object) -> dict:
    """What the server itself answers."""
    return _post(server, "explain", photo, **fields)


def _post(server: str, question: str, photo: Path, **fields: object) -> dict:
    body = {"image": base64.b64encode(photo.read_bytes()).decode(), **fields}
    request = urllib.request.Request(  # noqa: S310
        f"{server}v1/{question}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)["results"][0]


def said(page: Browser, card: str = ".card") -> str:
    """The sentence of a card once it is there."""
    page.one(f"{card}:not([aria-busy=true]) .word")
    return " ".join(text for text in page.texts(f"{card} .word") if text != "(end)")


def heat(page: Browser, card: str = ".card") -> str:
    """The heat map as it is painted."""
    return page.run("return document.querySelector(arguments[0]).toDataURL()", f"{card} canvas")


def point_at(page: Browser, word: int) -> str:
    """Rest the pointer on a word; returns what the panel says then."""
    target = page.seen(".word")[word]
    ActionChains(page.driver).move_to_element(target).perform()
    page.until(lambda: "shown" in target.get_attribute("class"), "the word to show")
    return page.text(".panel")


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
    page.upload("#files", photos[:1])
    said(page)
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
    page.upload("#files", photos[:1])
    said(page)
    point_at(page, 1)
    line = page.until_text(".sources .small", "the factors multiply")
    start, end = (float(share) for share in re.findall(r"([\d.]+)%", line))
    product = 1.0
    for row in page.texts(".sources .number"):
        sign, value = row.split()
        product *= float(value) if sign == "×" else 1 / float(value)
    assert start * product == pytest.approx(end, rel=0.25)  # of rounded numbers


def test_a_map_covers_only_what_the_model_sees(page, photos, tmp_path):
    """The middle of a wide picture; the rest is veiled, evenly."""
    from PIL import Image

    with Image.open(photos[0]) as photo:
        photo.convert("RGB").resize((300, 100)).save(tmp_path / "wide.jpg")
    page.upload("#files", [tmp_path / "wide.jpg"])
    said(page)
    point_at(page, 1)
    at = (
        "const c = document.querySelector('canvas');"
        "return [...c.getContext('2d').getImageData(arguments[0] * c.width, c.height / 2, 1, 1).data]"
    )
    left, right = page.run(at, 0.05), page.run(at, 0.95)
    assert left == right
    assert left[:3] == [0, 0, 0]
    assert left[3] > 0
    assert page.one(".veil").text == "not seen by the model"


def test_a_runner_up_continues_the_sentence_and_undo_goes_back(page, server, photos):
    page.upload("#files", photos[:1])
    before = said(page)
    place = 1
    page.seen(".word")[place].click()
    runner = page.seen("button.runner")[0]
    word = runner.text.split("\n")[0]
    prefix = " ".join([*before.split()[:place], word])
    runner.click()
    page.until(lambda: said(page).startswith(prefix), prefix)
    assert said(page) == explain(server, photos[0], prefix=prefix)["caption"]
    assert page.seen(".word")[place].get_attribute("aria-pressed") == "true"
    page.until(lambda: page.run("return document.activeElement.innerText") == word, "its focus")
    page.one(".tools").find_element("xpath", "button[.='Undo']").click()
    assert said(page) == before
    assert not [b for b in page.all(".tools button") if b.text == "Undo" and b.is_displayed()]


def test_the_end_as_a_runner_up_ends_the_sentence(page, photos):
    page.upload("#files", photos[:1])
    said(page)
    for i in range(len(page.seen(".word")) - 1):
        page.seen(".word")[i].click()
        ends = [row for row in page.all("button.runner") if row.text.startswith("(end)")]
        if ends and i:
            break
    else:
        pytest.skip("no word of this caption has the end among its runners-up")
    before = page.texts(".word")[:i]
    ends[0].click()
    page.until(lambda: page.texts(".word") == [*before, "(end)"], "the sentence to end")


def test_ones_own_sentence_is_scored_and_explained(page, server, photos):
    page.upload("#files", photos[:1])
    said(page)
    sentence = "a woman in an orange zorbsuit smiles"
    page.one(".own input").send_keys(sentence + Keys.ENTER)
    line = page.until_text(".scored summary", "log P")
    told = _post(server, "score", photos[0], sentence=[sentence])["scores"][0]
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
    page.upload("#files", photos[:1])
    said(page)
    page.run("document.querySelector('[value=best]').click()")
    told = explain(server, photos[0], beam=5, n_best=5)["n_best"]
    page.one(".choices")
    assert [text.split("\n")[0] for text in page.texts(".choice")] == [t["caption"] for t in told]
    page.seen(".choice")[2].click()
    page.until(lambda: said(page) == told[2]["caption"], "the third")
    assert [b.get_attribute("aria-pressed") for b in page.all(".choice")].index("true") == 2


def test_drawn_sentences_change_with_another_one(page, server, photos):
    page.upload("#files", photos[:1])
    said(page)
    page.run("document.querySelector('[value=drawn]').click()")
    another = page.until(
        lambda: next((b for b in page.all(".tools button") if b.text == "Another one"), None),
        "the button",
    )
    for seed in (1, 2):
        told = explain(server, photos[0], temperature=0.8, seed=seed)
        page.until(lambda told=told: said(page) == told["caption"], told["caption"])
        another.click()


def test_photos_come_by_drop_and_by_paste(page, photos):
    data = base64.b64encode(photos[3].read_bytes()).decode()
    give = """
      const [data, kind, member, event] = arguments;
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], kind + ".png", { type: "image/png" }));
      const made = { drop: DragEvent, dragover: DragEvent, paste: ClipboardEvent }[event];
      document.body.dispatchEvent(new made(event, { [member]: transfer, bubbles: true,
        cancelable: true }));
    """
    page.run(give, data, "held", "dataTransfer", "dragover")
    page.one(".over.shown")
    page.run(give, data, "dropped", "dataTransfer", "drop")
    assert not page.all(".over.shown")
    page.run(give, data, "pasted", "clipboardData", "paste")
    page.until(lambda: len(page.all(".words")) == 2, "two captions")
    assert page.texts(".name") == ["pasted.png", "dropped.png"]


def test_at_most_two_photos_are_asked_about_at_a_time(browser, server, photos):
    gate = """
      const real = fetch;
      window.now = window.most = 0;
      window.gate = new Promise((resolve) => { window.open = resolve; });
      window.fetch = async (path, options) => {
        if (!path.includes("explain")) return real(path, options);
        window.most = Math.max(window.most, ++window.now);
        await window.gate;
        return real(path, options).finally(() => { window.now -= 1; });
      };
    """
    with browser.before(gate):
        browser.open(server)
        browser.upload("#files", [*photos, photos[0]])
        browser.until(lambda: browser.run("return window.now") == 2, "two questions")
        assert len(browser.all(".card img")) == 5  # all are shown at once
        browser.run("window.open()")
        browser.until(lambda: len(browser.all(".words")) == 5, "five captions")
        assert browser.run("return window.most") == 2


def refusing(status: int, detail: str, times: int = 1) -> str:
    """A script: the server's first answers about photos are this problem."""
    return f"""
      const real = fetch;
      let left = {times};
      window.fetch = async (path, options) => {{
        if (!path.includes("explain") || left-- <= 0) return real(path, options);
        const body = JSON.stringify({{ detail: {json.dumps(detail)}, status: {status} }});
        return new Response(body, {{ status: {status}, headers: {{ "Retry-After": "1",
          "Content-Type": "application/problem+json" }} }});
      }};
    """


def test_a_full_queue_is_waited_for(browser, server, photos):
    with browser.before(refusing(429, "the queue is full")):
        browser.open(server)
        browser.upload("#files", photos[:1])
        browser.until_text(".status", "busy; trying again in 1 second")
        assert said(browser)
        assert not browser.all(".fault p")


def test_a_fault_of_the_server_can_be_tried_again(browser, server, photos):
    with browser.before(refusing(503, "too slow; send <b>fewer</b> pictures")):
        browser.open(server)
        browser.upload("#files", photos[:1])
        browser.until_text(".fault", "too slow; send <b>fewer</b> pictures")
        browser.one(".fault button").click()
        assert said(browser)
        assert not browser.all(".fault p")


def test_a_big_file_is_not_even_sent(browser, server, photos):
    tell = """
      const real = fetch;
      window.sent = 0;
      window.fetch = async (path, options) => {
        if (path.includes("explain")) window.sent += 1;
        const answer = await real(path, options);
        if (!path.includes("v1/model")) return answer;
        const told = await answer.json();
        told.limits.bytes = 200_000;
        return Response.json(told);
      };
    """
    small = min(photos, key=lambda photo: photo.stat().st_size)
    big = max(photos, key=lambda photo: photo.stat().st_size)
    with browser.before(tell):
        browser.open(server)
        browser.until_text("#model", "words")
        browser.upload("#files", [big, small])
        assert said(browser)
        assert "the server takes 200 kB at most" in browser.text(".fault")
        assert browser.run("return window.sent") == 1


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


def test_all_of_it_by_keyboard(page, photos):
    page.upload("#files", photos[:1])
    said(page)

    def focused(script: str = "innerText") -> str:
        return page.run(f"return document.activeElement.{script}")

    def press(*keys: str) -> None:
        ActionChains(page.driver).send_keys(*keys).perform()

    def tab_to(name: str) -> None:
        for _ in range(30):
            press(Keys.TAB)
            if name in focused("className").split():
                outline = page.run("return getComputedStyle(document.activeElement).outlineStyle")
                assert outline == "solid"
                return
        pytest.fail(f"Tab does not lead to .{name}")

    words = page.texts(".word")
    tab_to("word")
    assert focused() == words[0]
    press(Keys.ARROW_RIGHT)
    assert focused() == words[1]
    assert page.text(".said-word") == words[1]
    label = focused("ariaLabel")
    assert re.match(rf"{words[1]}: (under )?[\d.]+ percent, .*; considered: ", label), label
    press(Keys.END)
    assert focused() == words[-1]
    press(Keys.HOME, Keys.ARROW_LEFT)
    assert focused() == words[0]
    press(Keys.ARROW_RIGHT, Keys.ENTER)
    assert focused("ariaPressed") == "true"
    before = page.texts("#said")
    tab_to("runner")
    chosen = focused().split("\n")[0]
    press(Keys.ENTER)
    page.until(lambda: page.texts(".word")[:2] == [words[0], chosen], "the new sentence")
    assert page.texts("#said") != before
    press(Keys.ESCAPE)
    assert not page.all(".said-word")
    press(Keys.SHIFT + Keys.TAB)
    assert "close" in focused("className")
    press(Keys.ENTER)
    page.until(lambda: not page.all(".card"), "the card to go")
    assert focused() == "Choose photos"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_leads_sideways_on_a_phone(page, server, photos, tmp_path, scheme):
    long_name = tmp_path / f"{'long-name-' * 12}.png"
    shutil.copy(photos[0], long_name)
    (tmp_path / "bad.jpg").write_bytes(b"no")

    def fits() -> bool:
        return page.run("return document.documentElement.scrollWidth <= innerWidth")

    with page.phone(scheme):
        assert page.run("return innerWidth") == 360
        assert fits()
        page.upload("#files", [long_name, tmp_path / "bad.jpg"])
        said(page)
        page.one(".own input").send_keys("a " + "very" * 20 + Keys.ENTER)
        page.one(".scored")
        page.seen(".word")[1].click()
        page.one(".runner")
        page.run("document.querySelector('[value=drawn]').click()")
        assert fits()
        page.driver.save_screenshot(str(tmp_path / "card.png"))
        page.go("#search")
        page.one("#query-text").send_keys("a " + "zorb" * 30 + Keys.ENTER)
        page.one(".tile")
        assert fits()
        page.one(".tile button").click()
        page.one("dialog .scored")
        assert fits()
        assert page.run("const d = document.querySelector('dialog');"
                        "return d.scrollWidth <= d.clientWidth")  # fmt: skip
        page.driver.save_screenshot(str(tmp_path / "why.png"))


def test_a_key_is_asked_for_and_kept_and_search_needs_a_library(browser, photos, tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "key").chmod(0o600)
    with serving(tmp_path / "log", "--key-file", tmp_path / "key") as address:
        browser.open(address)
        assert browser.one("#key label").text == "This server asks for a key"
        browser.one("#key-value").send_keys("wrong" + Keys.ENTER)
        browser.until_text("#key-note", "not the right one")
        browser.upload("#files", photos[:1])
        browser.one("#key-value").send_keys(KEY + Keys.ENTER)
        assert said(browser)
        browser.until_text("#model", "words")
        assert not browser.one("#explain").find_elements("css selector", ".fault p")
        browser.go("#search")
        assert "mrnn serve --library DIR" in browser.text("#no-library")
        browser.open(address)  # the key is still known
        browser.until_text("#model", "words")
        assert not browser.all("#key:not([hidden])")
        assert browser.faults() == []


def test_the_page_keeps_to_its_own_policy():
    """No inline script or style, no address elsewhere, no text read as HTML."""
    page = (WEB / "index.html").read_text()
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", page) == []
    for path in WEB.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|url\(", text), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert max(len(line) for line in text.splitlines()) <= 110, path.name


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("text", "page"),
        ("text", "card"),
        ("text", "soft"),
        ("dim", "page"),
        ("dim", "card"),
        ("dim", "soft"),
        ("tint", "page"),
        ("warm", "card"),
        ("on-tint", "tint"),
        ("fault", "fault-ground"),
    ],
)
def test_text_has_the_contrast_of_wcag_aa(scheme, ink, ground):
    block = re.findall(r":root \{(.*?)\}", (WEB / "style.css").read_text(), re.DOTALL)[scheme]
    colours = {name: _rgb(value) for name, value in re.findall(r"--([\w-]+): ([#\da-f ]+);", block)}
    lighter, darker = sorted((_luminance(colours[ink]), _luminance(colours[ground])))[::-1]
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def _rgb(value: str) -> tuple[int, ...]:
    if not value.startswith("#"):
        return tuple(int(part) for part in value.split())
    digits = value[1:] if len(value) == 7 else "".join(2 * digit for digit in value[1:])
    return tuple(bytes.fromhex(digits))


def _luminance(rgb: tuple[int, ...]) -> float:
    """Relative luminance as WCAG 2 defines it."""
    shares = [value / 255 for value in rgb]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(weight * s for weight, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
