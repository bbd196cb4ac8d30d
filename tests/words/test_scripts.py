"""Scripts are named as people name them."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mrnn.words.scripts import script_of, script_shares


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("Latin", "aZéßøłªAﬁ𝐀"),
        ("Greek", "Ωλµ"),
        ("Cyrillic", "яЖ"),
        ("Hebrew", "א"),
        ("Arabic", "مچﷺ"),
        ("Devanagari", "कऄ"),
        ("Bengali", "ক"),
        ("Tamil", "த"),
        ("Thai", "กไำ"),
        ("Lao", "ກ"),
        ("Khmer", "ក"),
        ("Myanmar", "က"),
        ("Tibetan", "ཀ"),
        ("Georgian", "ქ"),
        ("Armenian", "Ա"),
        ("Ethiopic", "አ"),
        ("Hangul", "한ㄱ"),
        ("Han", "猫々一"),
        ("Hiragana", "ひっ"),
        ("Katakana", "カーｶ"),
        ("Old Persian", "𐎠"),
        ("Emoji", "😀🐕☀☎"),
        (None, "1 !\u0301\ud800\n™①\u02bc"),
    ],
)
def test_letters_belong_to_their_script(script, text):
    assert {script_of(character) for character in text} == {script}


@settings(deadline=None)
@given(st.characters())
@example("\ufe70")  # an Arabic mark as a letter
@example("\N{THAI CHARACTER SARA AM}")  # begins with a mark when it is taken apart
def test_every_letter_and_nothing_else_but_emoji_has_a_script(character):
    is_letter = unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo")
    script = script_of(character)
    if is_letter:
        assert script
        assert script == script.title()
    elif not unicodedata.category(character).startswith("L"):
        assert script in (None, "Emoji")


def test_shares_are_of_letters_and_emoji_the_largest_first():
    shares = script_shares(Counter("Der Hund 犬, 12 🐕!"))
    assert list(shares) == ["Latin", "Han", "Emoji"]
    assert list(shares.values()) == pytest.approx([7 / 9, 1 / 9, 1 / 9])
    assert script_shares(Counter("12 !")) == {}
