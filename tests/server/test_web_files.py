"""The files of the page of `mrnn serve`, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "src" / "mrnn" / "server" / "web"


def test_the_page_keeps_to_its_own_policy():
    """No inline script or style, no address elsewhere, no text read as HTML."""
    page = (WEB / "index.html").read_text()
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", page) == []
    for path in WEB.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|url\(", text), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert max(len(line) for line in text.splitlines()) <= 100, path.name


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
        ("spoken", "card"),
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
