"""Lines of a picture's name and a caption with a tab between, without a header, as in ROCO."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from ..errors import DataError
from ..images.finding import printable
from .entries import Format, Found, Listing, one_a_split, picture_folders
from .examples import Problem
from .lines import numbered_lines
from .naming import Names, is_picture
from .tables import has_columns

_NAMES = ("captions.txt", ".tsv")  # how the files are called in a folder with others
_FLICKR = ".token.txt"  # of the release, which has lists of splits beside it
_GLANCE = 20  # lines
_NUMBER = re.compile(r"#\d+$")  # of a caption, after the name, as in Flickr8K
_NAME = re.compile(r"[^\s,;|]*\d[^\s,;|]*")  # without a suffix


def _find(listing: Listing, by_content: bool) -> list[Path]:
    if not by_content:
        return []
    is_alone = len(listing.files) == 1 and not listing.folders
    found = listing.ending(*(".txt", ".tsv") if is_alone else _NAMES)
    found = [path for path in found if not path.name.endswith(_FLICKR)]
    return [path for path in found if _holds_pairs(path) and not has_columns(path)]


def _holds_pairs(path: Path) -> bool:
    """Whether nearly all of the first lines are a name and a text with words in it."""
    try:
        lines = [line for _, line in islice(numbered_lines(path), _GLANCE)]
    except DataError:
        return False
    return 10 * sum(map(_is_pair, lines)) >= 9 * len(lines)


def _is_pair(line: str) -> bool:
    name, tab, caption = line.strip().partition("\t")
    name = _NUMBER.sub("", name.strip())
    is_name = is_picture(name) or bool(_NAME.fullmatch(name))
    return bool(tab) and is_name and "\t" not in caption and " " in caption.strip()


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    for path, split in one_a_split(files):
        names = Names(picture_folders(path.parent, images))
        for number, line in numbered_lines(path):
            place = f"{printable(path)}:{number}"
            name, tab, caption = line.partition("\t")
            name = _NUMBER.sub("", name.strip())
            if not tab or not name:
                what = "expected a picture's name, a tab and a caption; line skipped"
                yield Problem(place, what, split)
            else:
                yield names.entry(place, (name,), (caption,), split)


PAIRS = Format(
    "lines of name and caption", "captions.txt of `name<TAB>caption` (ROCO)", _find, _read
)
