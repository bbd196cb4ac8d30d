"""The Flickr8K and Flickr30K releases: `name.jpg#0<TAB>caption` lines and lists of names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..images.finding import printable
from .entries import (
    Entry,
    Format,
    Found,
    Listing,
    known_split,
    one_a_split,
    picture_folders,
    shown,
    with_suffix,
)
from .examples import SPLITS, Problem
from .lines import numbered_lines, read_lines

_LIST = re.compile(r"(?:.*[._])?(train|dev|val|test)(?:Images)?\.txt")


def _find(listing: Listing, by_content: bool) -> list[Path]:
    """The caption file, whose name is enough; lemmatised captions are passed over."""
    found = listing.ending(".token.txt", ".token")
    return [path for path in found if by_content and ".lemma." not in path.name]


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    """Pictures in the order of the lists, then captions; without any list, all captions."""
    folders = picture_folders(files[0].parent, images)
    listed: dict[str, str] = {}
    for path, split in _lists(files[0].parent):
        for number, line in enumerate(read_lines(path), 1):
            if not (entry := line.strip()):
                continue
            name, place = with_suffix(entry), f"{printable(path)}:{number}"
            if name in listed:
                what = f"{shown(name)} is already in the {listed[name]} split; skipped"
                yield Problem(place, what, split)
            else:
                listed[name] = split
                yield Entry(place, name, folders, split=split)
    for captions, split_of_file in one_a_split(files):
        for number, line in numbered_lines(captions):
            place = f"{printable(captions)}:{number}"
            key, tab, caption = line.partition("\t")
            name = key.rpartition("#")[0]
            if not tab or not name or "/" in name:
                yield Problem(place, "expected `name.jpg#0<TAB>caption`; line skipped")
            elif name in listed or not listed:
                yield Entry(place, name, folders, (caption,), listed.get(name, split_of_file))


def _lists(folder: Path) -> list[tuple[Path, str]]:
    """Lists of names with their splits, train first."""
    found = [
        (path, split)
        for path in Listing.of(folder).ending(".txt")
        if (match := _LIST.fullmatch(path.name)) and (split := known_split(match[1]))
    ]
    return sorted(found, key=lambda item: SPLITS.index(item[1]))


FLICKR = Format("Flickr8K/30K release", "a *.token.txt or *.token file", _find, _read)
