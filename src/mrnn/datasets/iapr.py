"""IAPR TC-12: a small SGML-like file for every picture, and lists of the paper's splits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..images.finding import printable
from .captions import plain
from .entries import (
    Entry,
    Format,
    Found,
    Listing,
    one_a_split,
    picture_folders,
    shown,
    split_of_file,
)
from .examples import Problem
from .lines import read_lines

_ANNOTATIONS = "annotations_complete_eng"
_ENTRY = re.compile(r"(?:(?:.*/)?([^/]+)/)?([^/.]+)(?:\.\w+)?")  # NN/ID or ID
_LARGEST = 1 << 20  # bytes of a file


def _find(listing: Listing, by_content: bool) -> list[Path]:
    if not by_content or not listing.folders:
        return []
    if _ANNOTATIONS in listing.folders:
        return [listing.folder / _ANNOTATIONS]
    return [listing.folder] if listing.folder.name == _ANNOTATIONS else []


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    [annotations] = files
    folders = picture_folders(annotations.parent, images)
    lists = _Lists()
    for path, split in one_a_split(_split_lists(files)):
        yield from lists.read(path, split or "")
    for number in Listing.of(annotations).folders:
        for path in Listing.of(annotations / number).ending(".eng"):
            split = lists.take(number, path.stem)
            if split or not lists.found:
                yield _entry(path, folders, split)
    for place, split in lists.left():
        yield Problem(place, "no annotation of that name; skipped", split)


def _split_lists(files: Sequence[Path]) -> list[Path]:
    """`iaprtc12_train_list.txt` and the like, beside the annotations or in their folder."""
    [annotations] = files
    found = Listing.of(annotations.parent).ending("_list.txt")
    found += Listing.of(annotations).ending("_list.txt")
    return [path for path in found if split_of_file(path)]


class _Lists:
    """The listed pictures, by folder and number or by number alone."""

    def __init__(self) -> None:
        self.found = False
        self._listed: dict[tuple[str | None, str], tuple[str, str]] = {}  # place and split
        self._taken: set[tuple[str | None, str]] = set()

    def read(self, path: Path, split: str) -> Iterator[Problem]:
        """Take in `iaprtc12_train_list.txt` or the like."""
        self.found = True
        for number, line in enumerate(read_lines(path), 1):
            entry = line.strip()
            place = f"{printable(path)}:{number}"
            if not entry:
                continue
            match = _ENTRY.fullmatch(entry)
            if match is None:
                yield Problem(place, "expected NN/ID or ID; skipped", split)
            elif (key := (match[1], match[2])) in self._listed:
                other = self._listed[key][1]
                what = f"{shown(entry)} is already in the {other} split; skipped"
                yield Problem(place, what, split)
            else:
                self._listed[key] = place, split

    def take(self, folder: str, number: str) -> str | None:
        """The split of a picture, if it is listed."""
        for key in ((folder, number), (None, number)):
            if key in self._listed:
                self._taken.add(key)
                return self._listed[key][1]
        return None

    def left(self) -> Iterator[tuple[str, str]]:
        """Places and splits of what was never taken."""
        return (listed for key, listed in self._listed.items() if key not in self._taken)


def _entry(path: Path, folders: tuple[Path, ...], split: str | None) -> Found:
    place = printable(path)
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST).decode("iso-8859-1")
    except OSError as error:
        return Problem(place, f"cannot be read ({error.strerror}); skipped", split)
    image, description = (_element(tag, text) for tag in ("IMAGE", "DESCRIPTION"))
    if description is None:
        return Problem(place, "no <DESCRIPTION>; skipped", split)
    captions = [" ".join(part.split()) for part in plain(description).split(";")]
    name = (image or "").strip() or f"{path.parent.name}/{path.stem}.jpg"
    return Entry(place, name.removeprefix("images/"), folders, [*filter(None, captions)], split)


def _element(tag: str, text: str) -> str | None:
    """What stands between a tag and the next one, whatever that is."""
    match = re.search(rf"<\s*{tag}\s*>([^<]*)", text, re.IGNORECASE)
    return match and match[1]


IAPR = Format("IAPR TC-12", f"{_ANNOTATIONS}/ (IAPR TC-12)", _find, _read, _split_lists)
