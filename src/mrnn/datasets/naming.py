"""Which picture is meant by an id, by an exporter's path, or by several spellings of its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from ..images.finding import SUFFIXES
from .entries import TOO_LONG, Entry, Listing, leads_outside
from .locating import is_file

# Label Studio's paths: what it was given as a file, and what it was told of on a disk.
_UPLOADED = re.compile(r"/?(?:data/)?upload/\d+/([0-9a-f]{8}-(.+))", re.DOTALL)
_LOCAL = re.compile(r"/?data/local-files/\?d=(.+)", re.DOTALL)
# A picture of Hugging Face's datasets in CSV.
_WRITTEN_OUT = re.compile(r"\{'bytes': None, 'path': '([^']+)'\}")
_COCO = re.compile(r"(?:COCO_\w+_)?(\d+)")  # the name of a picture of COCO, without suffix


class Names:
    """The pictures in some folders by what exporters call them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._by_number: dict[int, str] | None = None  # "" for several
        self._last: tuple[object, ...] = ()  # spellings that were asked for, and their name
        self._meant = ""
        self._upload: str | None = None

    def entry(
        self,
        place: str,
        spellings: Sequence[object],
        captions: Sequence[str],
        split: str | None,
        identity: int | str | None = None,
    ) -> Entry:
        """An entry of the picture by the first spelling that leads to one, or by the first of all.

        A spelling is a name, with folders or without, or the number of a picture of COCO. Uploads
        of two pictures can end in one name: what the server calls them tells them apart.
        """
        if (asked := tuple(spellings)) != self._last:  # captions of a picture lie together
            self._last, self._meant = asked, self._found(asked)
            self._upload = next(filter(None, map(_uploaded, asked)), None)
        own = self._upload if identity is None else identity
        return Entry(place, self._meant, self.folders, captions, split, identity=own)

    def _found(self, spellings: Sequence[object]) -> str:
        names = [name for spelling in spellings for name in _readings(spelling)]
        if len(names) > 1:
            exact = (name if is_picture(name) else f"{name}.jpg" for name in names)
            if found := next(filter(self._has, exact), None):
                return found
        numbers = (name for name in names if name.isdecimal() and len(name) < TOO_LONG)
        return next(filter(None, map(self._numbered, numbers)), names[0])

    def _has(self, name: str) -> bool:
        return not leads_outside(name) and any(is_file(f, name) for f in self.folders)

    def _numbered(self, number: str) -> str | None:
        """The only picture of a number, unless one is called by just these digits."""
        if self._by_number is None:
            self._by_number = {}
            for name in (name for f in self.folders for name in Listing.of(f).files):
                if is_picture(name) and (match := _COCO.fullmatch(name.rpartition(".")[0])):
                    value = int(match[1])
                    is_other = self._by_number.setdefault(value, name) != name
                    self._by_number[value] = "" if is_other else name
        return self._by_number.get(int(number))


def is_picture(cell: object) -> bool:
    """Whether something reads as the name of a picture, not as an address."""
    if not isinstance(cell, str) or "://" in cell:
        return False
    return f".{cell.rpartition('.')[2].strip().lower()}" in SUFFIXES


def _uploaded(spelling: object) -> str | None:
    """What Label Studio's server calls a picture, if it was uploaded there."""
    if isinstance(spelling, str) and "upload/" in spelling:
        match = _UPLOADED.fullmatch(spelling.strip())
        return match and unquote(match[1])
    return None


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
