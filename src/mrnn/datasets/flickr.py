"""The Flickr8K and Flickr30K releases: `name.jpg#0<TAB>caption` lines and lists of names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError
from ..images.finding import printable
from .entries import (
    Entry,
    Format,
    Found,
    Listing,
    one_a_split,
    picture_folders,
    shown,
    split_of_file,
    with_suffix,
)
from .examples import SPLITS, Problem
from .lines import numbered_lines, read_lines

_NUMBER = re.compile(r"#\d+[\"']?$")  # of a caption, after the name
_LISTS = (".txt", ".lst", ".list")


def _find(listing: Listing, by_content: bool) -> list[Path]:
    """The caption file, whose name is enough; lemmatised captions are passed over."""
    found = listing.ending(".token.txt", ".token")
    return [path for path in found if by_content and ".lemma." not in path.name]


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    """Pictures in the order of the lists, then captions; without any list, all captions."""
    folders = picture_folders(files[0].parent, images)
    listed: dict[str, str] = {}  # splits by name
    yield from _listed(files, folders, listed)
    alike: dict[str, str | None] = {}  # names in lists by their keys; None for several
    for name in listed:
        alike[_key(name)] = None if _key(name) in alike else name
    for captions, of_file in one_a_split(files):
        for number, line in numbered_lines(captions):
            place = f"{printable(captions)}:{number}"
            key, tab, caption = line.partition("\t")
            name = key.rpartition("#")[0]
            if not tab or not name or "/" in name:
                yield Problem(place, "expected `name.jpg#0<TAB>caption`; line skipped")
                continue
            if name not in listed:
                name = alike.get(_key(name)) or name
            if name in listed or not listed:
                yield Entry(place, name, folders, (caption,), listed.get(name, of_file))


def _listed(
    files: Sequence[Path], folders: tuple[Path, ...], listed: dict[str, str]
) -> Iterator[Found]:
    """The pictures in the lists, whose splits are filled in."""
    for path, split in _lists(files):
        for number, line in enumerate(read_lines(path), 1):
            if not (entry := line.strip()):
                continue
            name, place = _listed_name(entry), f"{printable(path)}:{number}"
            if name not in listed:
                listed[name] = split
                yield Entry(place, name, folders, split=split)
            elif listed[name] != split or not _NUMBER.search(entry):  # else a line a caption
                what = f"{shown(name)} is already in the {listed[name]} split; skipped"
                yield Problem(place, what, split)


def _listed_name(entry: str) -> str:
    """A picture's name, which may have a folder before, quotes around and `#0` behind it."""
    name = entry.strip("\"'").replace("\\", "/").rpartition("/")[2]
    return with_suffix(_NUMBER.sub("", name))


def _key(name: str) -> str:
    """A name without what two programs write differently: case and form of characters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _lists(files: Sequence[Path]) -> list[tuple[Path, str]]:
    """Lists of names with their splits, train first."""
    found = [
        (path, split)
        for path in Listing.of(files[0].parent).ending(*_LISTS)
        if path not in files and (split := split_of_file(path)) and _holds_names(path)
    ]
    return sorted(found, key=lambda item: SPLITS.index(item[1]))


def _holds_names(path: Path) -> bool:
    """Whether the first line could be a picture's name; what cannot be read is left to `_read`."""
    try:
        first = next(line.strip() for line in read_lines(path) if line.strip())
    except DataError:
        return True
    return len(first.split()) == 1


FLICKR = Format(
    "Flickr8K/30K release",
    "a *.token.txt or *.token file",
    _find,
    _read,
    lambda files: [path for path, _ in _lists(files)],
)
