"""Which picture is meant by an id, a name without its suffix, or an exporter's path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from ..images.finding import SUFFIXES
from .entries import Listing, is_file, leads_outside, with_suffix

# Label Studio's paths: what it was given as a file, and what it was told of on a disk.
_UPLOADED = re.compile(r"/?(?:data/)?upload/\d+/([0-9a-f]{8}-(.+))", re.DOTALL)
_LOCAL = re.compile(r"/?data/local-files/\?d=(.+)", re.DOTALL)
# A picture of Hugging Face's datasets in CSV.
_WRITTEN_OUT = re.compile(r"\{'bytes': None, 'path': '([^']+)'\}")
_COCO_ID = re.compile(r"(?:COCO_\w+_)?(\d+)")  # the name of a picture of COCO, without suffix


class Names:
    """The pictures in some folders by what data sets call them; a folder is listed when needed."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._by_stem: dict[str, str] | None = None
        self._by_number: dict[int, str] = {}
        self._last: tuple[object, ...] = ()  # spellings that were asked for, and their name
        self._meant = ""

    def meant(self, *spellings: object) -> str:
        """The name of the picture that is there, by the first spelling that leads to one.

        A spelling is a name, with folders or without, or an id. Where none leads to a picture it is
        the name by the first.
        """
        if spellings != self._last:  # captions of a picture lie together
            self._last, self._meant = spellings, self._found(spellings)
        return self._meant

    def _found(self, spellings: Sequence[object]) -> str:
        names = [name for spelling in spellings for name in _readings(spelling)]
        if len(names) == 1 and is_picture(names[0]):
            return names[0]
        for name in names:
            if not leads_outside(name) and any(is_file(f / name) for f in self.folders):
                return name
        first = names[0] if leads_outside(names[0]) else with_suffix(names[0])
        return next(filter(None, map(self._by_id, names)), first)

    def _by_id(self, name: str) -> str | None:
        if self._by_stem is None:
            self._by_stem = {}
            for folder in reversed(self.folders):  # the first that has one counts
                self._take(Listing.of(folder).files, self._by_stem)
        found = self._by_stem.get(name)
        if found is None and name.isdecimal() and len(name) < 19:
            found = self._by_number.get(int(name))
        return found

    def _take(self, files: Sequence[str], by_stem: dict[str, str]) -> None:
        for name in filter(is_picture, files):
            stem = name.rpartition(".")[0]
            # Several pictures that could be meant are left for whoever finds them to name.
            by_stem[stem] = name if by_stem.get(stem, name) == name else stem
            if match := _COCO_ID.fullmatch(stem):
                number = int(match[1])
                known = self._by_number.setdefault(number, name)
                self._by_number[number] = name if known == name else str(number)


def is_picture(cell: object) -> bool:
    """Whether something reads as the name of a picture, not as an address."""
    if not isinstance(cell, str) or "://" in cell:
        return False
    return f".{cell.rpartition('.')[2].strip().lower()}" in SUFFIXES


def _readings(spelling: object) -> Sequence[str]:
    """Names that a cell can mean."""
    text = str(spelling).strip()
    if "upload/" in text and (match := _UPLOADED.fullmatch(text)):
        return unquote(match[1]), unquote(match[2])  # as it lies on the server, and as it was
    if "?d=" in text and (match := _LOCAL.fullmatch(text)):
        return (unquote(match[1]),)
    if text.startswith("{") and (match := _WRITTEN_OUT.fullmatch(text)):
        return (match[1],)
    return (text,)
