"""A cell that may hold several captions: a list, or a list that was written as text.

JSON, Python and NumPy write lists differently: `["a", "b"]`, `['a', 'b']`, `['a' 'b']` over several
lines. Label Studio's cells are objects: `{"text": ["a", "b"]}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress

from .entries import CAPTION_NAMES

BEGINNINGS = ("[", "(", "{", "array(")  # of a list that was written as text
_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_ITEM = rf"(?:np\.str_\()?({_TEXT}|None|nan|NaN|null)\)?"
_ITEMS = re.compile(_ITEM, re.DOTALL)
_LIST = re.compile(
    rf"(?:array\()?[\[({{]\s*{_ITEM}(?:[\s,]+{_ITEM})*[\s,]*[\])}}](?:,\s*dtype=.*\))?", re.DOTALL
)
_OBJECT = re.compile(rf"\{{\s*(?:'(\w+)'|\"(\w+)\")\s*:\s*(\[.*\]|{_TEXT})\s*\}}", re.DOTALL)
_BEGINS = re.compile(r"""(?:array\()?\[\s*(?:np\.str_\()?['"{]|\{\s*["']""")
_ESCAPED = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}


def captions_in(cell: object) -> Sequence[str] | str:
    """The captions that a cell holds, or what is wrong with it."""
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
        inside = captions_in(item) if isinstance(item, dict) else "a caption that is not text"
        if isinstance(inside, str):
            return inside
        captions += inside
    return captions


def _parsed(cell: str) -> object:
    """The list or object that a text stands for; None if for neither."""
    if cell[0] in "[{":
        with suppress(ValueError, RecursionError):
            found = json.loads(cell)
            return found if isinstance(found, list | dict) else None
    if inside := _OBJECT.fullmatch(cell):
        value = inside[3]
        return {inside[1] or inside[2]: _parsed(value) if value[0] == "[" else _literal(value)}
    if _LIST.fullmatch(cell):
        return [_literal(found[1]) for found in _ITEMS.finditer(cell)]
    return None


def _literal(text: str) -> str | None:
    """What Python's notation of a string says; None for what is none."""
    return _ESCAPED.sub(_character, text[1:-1]) if text[0] in "'\"" else None


def _character(found: re.Match[str]) -> str:
    escape = found[1]
    if len(escape) > 1:
        code = int(escape[1:], 16)
        return chr(code) if code < 0x110000 else found[0]
    return _ESCAPES.get(escape, escape)
