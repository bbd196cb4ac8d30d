"""A caption as it stands in a file: what it says, and why it cannot be used."""

from __future__ import annotations

import html
import re
from html.entities import html5

from ..words.text import tokenise

MOST_WORDS, MOST_CHARACTERS = 1_000, 20_000  # of a caption
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TIMES = 3  # that entities may have been written as entities: &amp;amp;quot;
_TAG = re.compile(
    r"</?(?:a|b|big|blockquote|br|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|small|span|strong"
    r"|sub|sup|table|tbody|td|th|tr|tt|u|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
# COCO_val2014:sentid:123, 12345.jpg#0, 100234, a digest, an address: no sentence, but where one is.
_REFERENCE = re.compile(
    r"\w+://\S+|\d{5,}|(?=\S*\d)(?:[0-9a-f]{16,}|[\w.-]{2,}[:#/][\w.:#/-]+)"
    r"|\S+\.(?:jpe?g|png|gif|bmp|tiff?|webp)",
    re.IGNORECASE | re.ASCII,
)
_SHORTEST = 5  # characters of a reference
_ABSENT = ("nan", "none", "null", "<na>", "n/a", "#n/a")  # what programs write for an empty cell
_ABSENT_IN_CAPITALS = "NA"  # what R writes


def is_absent(text: str) -> bool:
    """Whether a text is what programs write for an empty cell."""
    return text == _ABSENT_IN_CAPITALS or text.lower() in _ABSENT


def plain(caption: str) -> str:
    """A caption without HTML: entities are what they stand for, tags are spaces."""
    if "&" not in caption and "<" not in caption:  # nearly always
        return caption.strip()
    for _ in range(_TIMES):
        before = caption
        if "&" in caption:
            caption = _ENTITY.sub(_character, caption)
        if "<" in caption:
            caption = _TAG.sub(" ", caption)
        if caption == before:
            break
    return caption.strip()


def _character(entity: re.Match[str]) -> str:
    text = entity[0]
    return html.unescape(text) if text[1] == "#" else html5.get(text[1:], text)


def fault(caption: str) -> str | None:
    """Why a caption cannot be used, if so."""
    if not caption.isascii() and (surrogate := _SURROGATE.search(caption)):
        byte = ord(surrogate[0]) - 0xDC00  # see numbered_lines
        return f"not UTF-8 (byte 0x{byte:02x})" if 0x80 <= byte <= 0xFF else "not Unicode"
    if "\0" in caption:
        return "the caption holds a NUL character"
    if len(caption) > MOST_CHARACTERS or len(words := tokenise(caption)) > MOST_WORDS:
        return f"the caption is longer than {MOST_WORDS:,} words"
    if not words:
        return "the caption has no words"
    return None if " " in caption else _not_a_sentence(caption)


def _not_a_sentence(caption: str) -> str | None:
    """What one word is that nobody said of a picture."""
    if is_absent(caption):
        return f"'{caption}' stands for no caption"
    if len(caption) >= _SHORTEST and _REFERENCE.fullmatch(caption):
        return f"'{caption[:80]}' is a reference to something elsewhere, not a sentence"
    return None
