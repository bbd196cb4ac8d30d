"""Which scripts a text is written in, by the names that Unicode gives its letters."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

EMOJI = "Emoji"
# A script's name goes before one of these: OLD PERSIAN SIGN A; else it is the first word.
_KIND = re.compile(r"(.*?) (?:SMALL|CAPITAL|LETTER|SYLLAB|CHARACTER|SIGN|VOWEL)|(\S+)")
_RENAMED = {"Cjk": "Han", "Ideographic": "Han", "Katakana-Hiragana": "Katakana", "Modifier": None}


def script_of(character: str) -> str | None:
    """The script of a letter, such as Latin or Devanagari; Emoji; None for all other characters."""
    if _is_emoji(character):
        return EMOJI
    if not _is_letter(character):
        return None
    plain = unicodedata.normalize("NFKC", character)  # of full-width and mathematical letters, too
    return next(filter(None, map(_named, filter(_is_letter, plain + character))), None)


def script_shares(characters: Mapping[str, int]) -> dict[str, float]:
    """The share of each script among characters that were counted, the largest first."""
    counts: Counter[str] = Counter()
    for character, count in characters.items():
        if script := script_of(character):
            counts[script] += count
    return {script: count / counts.total() for script, count in counts.most_common()}


def _named(letter: str) -> str | None:
    found = _KIND.match(unicodedata.name(letter, "OTHER"))
    script = (found[1] or found[2]).title() if found else "Other"
    return _RENAMED.get(script, script)


def _is_letter(character: str) -> bool:
    return unicodedata.category(character).startswith("L")


def _is_emoji(character: str) -> bool:
    code = ord(character)
    is_pictorial = 0x1F000 <= code <= 0x1FAFF or 0x2600 <= code <= 0x27BF
    return is_pictorial and unicodedata.category(character) == "So"
