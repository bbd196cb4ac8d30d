"""The page of an explanation as a browser lays it out."""

from __future__ import annotations

import pytest
from PIL import Image

from mrnn.explanation.page import explanation_page

pytest_plugins = ["web_fixtures"]

SIZES = [(300, 900), (450, 800), (600, 800), (64, 64), (800, 600), (1600, 900), (1200, 400)]
WINDOWS = {"desktop": (1280, 900), "low": (1400, 420), "narrow": (780, 900), "phone": (360, 740)}
_FRAMES = """
const frame = (e) => { const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; };
const photo = document.querySelector(".photo");
const clipped = photo.scrollHeight - photo.clientHeight;
const sideways = document.documentElement.scrollWidth - document.documentElement.clientWidth;
return [frame(photo.querySelector("img")), frame(photo.querySelector(".h0")), clipped, sideways];
"""


@pytest.mark.parametrize("window", WINDOWS)
def test_heat_lies_on_the_photo_at_every_window_and_aspect(
    captioner, browser, tmp_path, picture, window
):
    explanation = captioner.explain(picture("a.jpg"), "a dog", quick=True)
    for width, height in SIZES:
        photo, page = tmp_path / f"{width}x{height}.png", tmp_path / f"{width}x{height}.html"
        Image.new("RGB", (width, height), "orange").save(photo)
        page.write_text(explanation_page(photo, explanation), "utf-8")
        with browser.window(*WINDOWS[window]):
            browser.open(page.as_uri())
            shown, heat, clipped, sideways = browser.run(_FRAMES)
        assert heat == pytest.approx(shown, abs=0.6), (width, height)
        assert shown[2] / shown[3] == pytest.approx(width / height, rel=0.02)
        assert shown[3] <= 0.8 * WINDOWS[window][1] + 1
        assert (clipped, sideways) == (0, 0)


def test_unknown_words_look_unlike_known_ones(captioner, browser, tmp_path, picture):
    photo, page = picture("a.jpg"), tmp_path / "page.html"
    page.write_text(
        explanation_page(photo, captioner.explain(photo, "a dog zebra", quick=True)), "utf-8"
    )
    browser.open(page.as_uri())
    lines = "return [...document.querySelectorAll('.sentence label')].map("
    lines += "e => getComputedStyle(e).textDecorationLine)"
    assert browser.run(lines) == ["none", "none", "underline", "none"]
    browser.one("[for=w2]").click()
    assert "does not know this word" in browser.text(".e2")
    browser.one("[for=w1]").click()
    assert "does not know this word" not in browser.text(".e1")
