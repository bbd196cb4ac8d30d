"""A cell that may hold several captions: a list, or a list that was written as text.

JSON, Python and NumPy write lists differently: `["a", "b"]`, `['a', 'b']`, `['a' 'b']` over several
lines, `[list(['a', 'b'])]`, `[u'a', b'b']`. Label Studio's cells are objects:
`{"text": ["a", "b"]}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress

from .entries import CAPTION_NAMES

BEGINNINGS = (  # of a list, or of a string as Python shows it, that was written as text
    *("[", "(", "{", "array(", "list(", "Index(", "deque("),
    *("b'", 'b"', "u'", 'u"', '"[', "'[", '"(', "'("),
)
_MOST_DEPTH = 8  # of lists in lists
_TEXT = r"""[uUbB]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_CALL = r"(?:np\.)?(?:array|list|Index|deque|str_|bytes_)\("
_TOKEN = re.compile(
    rf"(?P<text>{_TEXT})|(?P<about>,\s*\w+=(?:'[^']*'|[\w.<>|]+))|(?P<space>[\s,]+)"
    rf"|(?P<open>{_CALL}|[\[({{])|(?P<close>[\])}}])|(?P<nothing>None|nan|NaN|null|<NA>)",
    re.DOTALL,
)
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_OBJECT = re.compile(rf"\{{\s*(?:'(\w+)'|\"(\w+)\")\s*:\s*(\[.*\]|{_TEXT})\s*\}}", re.DOTALL)
_BEGINS = re.compile(
    rf"""["']?(?:{_CALL})?\[\s*(?:{_CALL}\[?|[\[(])?[uUbB]?['"{{]|["']?\{{\s*[uUbB]?["']"""
)
_ESCAPED = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}


def captions_in(cell: object, depth: int = 0) -> Sequence[str] | str:
    """The captions that a cell holds, also in lists in lists, or what is wrong with it."""
    if isinstance(cell, str):
        if not cell.startswith(BEGINNINGS):  # nearly always
            return (cell,)
        found = _parsed(cell.rstrip())
        if found is None:
            return "a list of captions that cannot be read" if _BEGINS.match(cell) else (cell,)
        cell = found
    if isinstance(cell, dict):
        known = [cell[name] for name in CAPTION_NAMES if name in cell]
        cell = known[0] if len(known) == 1 else None
    if not isinstance(cell, list | str):
        return "a caption that is not text"
    captions: list[str] = []
    for item in cell if isinstance(cell, list) else [cell]:
        if isinstance(item, str):
            captions.append(item)
            continue
        is_more = depth < _MOST_DEPTH and isinstance(item, dict | list)
        inside = captions_in(item, depth + 1) if is_more else "a caption that is not text"
        if isinstance(inside, str):
            return inside
        captions += inside
    return captions


def _parsed(cell: str) -> object:
    """The list or object that a text stands for; None if for neither."""
    if cell[0] in "'\"":  # all of it is quoted once more
        own = cell[1:-1].strip() if cell[-1] == cell[0] else ""
        found = (_parsed(text) for text in (own, own.replace('""', '"')) if text[:1] in ("[", "("))
        return next((one for one in found if one is not None), None)
    if cell[0] in "[{":
        with suppress(ValueError, RecursionError):
            found = json.loads(cell)
            return found if isinstance(found, list | dict) else None
    if inside := _OBJECT.fullmatch(cell):
        value = inside[3]
        return {inside[1] or inside[2]: _parsed(value) if value[0] == "[" else _literal(value)}
    return _items(cell)


def _items(cell: str) -> list[str | None] | None:
    """The strings in a list, in lists in it as well, or one string alone; None for what is none.

    Something between them has to keep two strings apart.
    """
    items: list[str | None] = []
    closing: list[str] = []
    start, before = 0, ""
    while start < len(cell):
        token = _TOKEN.match(cell, start)
        if token is None or (start and not closing):
            return None
        kind, start = str(token.lastgroup), token.end()
        if kind == "open":
            closing.append(_CLOSING[token[0][-1]])
        elif kind == "close" and (not closing or closing.pop() != token[0]):
            return None
        elif kind in ("text", "nothing"):
            if before == kind:
                return None
            items.append(_literal(token[0]) if kind == "text" else None)
        before = kind
    return items if items and not closing else None


def _literal(text: str) -> str:
    """What Python's notation of a string says, or of bytes."""
    prefix, inside = text[0], text[1:-1]
    if prefix in "'\"":
        return _ESCAPED.sub(_character, inside)
    said = _ESCAPED.sub(_character, inside[1:])
    with suppress(UnicodeError):
        return said.encode("latin-1").decode() if prefix in "bB" else said
    return said


def _character(found: re.Match[str]) -> str:
    escape = found[1]
    if len(escape) > 1:
        code = int(escape[1:], 16)
        return chr(code) if code < 0x110000 else found[0]
    return _ESCAPES.get(escape, escape)
