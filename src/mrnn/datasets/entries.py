"""What all readers share: what they find, where pictures lie, which split a name tells."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..images.finding import SUFFIXES, printable
from .examples import ALIASES, SPLITS, Problem

HINT = "name the folder of the pictures with --images"
# Where the pictures of a caption file usually lie, seen from its folder.
_USUAL = (
    *("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset"),
    *("flickr30k-images", "flickr30k_images"),
    *(f"{split}{year}" for split in ("train", "val", "test") for year in (2014, 2015, 2017)),
)
CAPTION_NAMES = (  # of a column of a table, or of a key in JSON
    *("caption", "captions", "text", "texts", "sentence", "sentences"),
    *("description", "comment", "raw"),
)
_LONG = 19  # digits
_SHOWN = 200  # characters of a name in a message
_LEADS_OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|.*(://|\0)|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)
_SPLITS = {
    **{split: split for split in SPLITS},
    **ALIASES,
    **dict.fromkeys(("restval", "training", "trn"), "train"),
    **dict.fromkeys(("validate", "validating", "devel", "development"), "dev"),
    **dict.fromkeys(("testing", "tst"), "test"),
}
_SPLIT_FOLDER = re.compile(
    rf"({'|'.join(_SPLITS)})(?:[-_ ]?(?:19|20)\d\d|[-_ ]?(?:images?|set|data))?"
)
_SPLIT_WORD = re.compile(
    rf"(?<![a-z])({'|'.join(_SPLITS)})(?:images?|imgs?|names?|ids?|list|set|split|data)?(?![a-z])"
)


class Entry(NamedTuple):
    """A picture with none, some or all of its captions, as one place of the data has it."""

    place: str  # file, and after a colon the line where there is one
    name: str  # of the picture, as it is written there
    folders: tuple[Path, ...]  # where it may lie; or its shard
    captions: Sequence[str] = ()
    split: str | None = None  # one of SPLITS
    span: tuple[int, int] | None = None  # offset and size of its bytes in the shard

    @property
    def file(self) -> str:
        """The file of the place."""
        return self.place.rpartition(":")[0] or self.place


Found = Entry | Problem


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, hidden entries left out; or one file of it."""

    folder: Path
    files: tuple[str, ...]  # in order
    folders: tuple[str, ...]

    @staticmethod
    def of(data: Path) -> Listing:
        """The content of a folder, or a file alone; raises DataError."""
        try:
            if data.is_file():
                return Listing(data.parent, (data.name,), ())
            with os.scandir(data) as entries:
                found = sorted((e.name, e.is_dir()) for e in entries if e.name[0] != ".")
        except FileNotFoundError:
            raise DataError(f"{printable(data)}: no such folder or file") from None
        except OSError as error:
            raise DataError(f"{printable(data)}: cannot be read ({error.strerror})") from None
        files = tuple(name for name, is_folder in found if not is_folder)
        return Listing(data, files, tuple(name for name, is_folder in found if is_folder))

    def ending(self, *suffixes: str) -> list[Path]:
        """Files whose names end so, in lower or upper case."""
        return [self.folder / name for name in self.files if name.lower().endswith(suffixes)]


@dataclass(frozen=True)
class Format:
    """A way to lay out a data set."""

    name: str  # for people
    signs: str  # by which people know it
    # Its files in a folder: those whose content is right, or all whose name is.
    find: Callable[[Listing, bool], list[Path]]
    read: Callable[[Sequence[Path], Path | None], Iterator[Found]]  # the files, and --images
    # What it reads beside them, such as lists of splits.
    also: Callable[[Sequence[Path]], Sequence[Path]] = lambda files: ()


def picture_folders(beside: Path, images: Path | None) -> tuple[Path, ...]:
    """The folders to look in for pictures that a file in the folder `beside` names.

    That is `images` alone where it is given; raises DataError when it is not there.
    """
    if images is None:
        return (*(beside / name for name in _USUAL if (beside / name).is_dir()), beside)
    if not images.is_dir():
        raise DataError(f"{printable(images)}: no such folder; " + HINT)
    return (images,)


def leads_outside(name: str) -> bool:
    """Whether a name in a data set could mean something that is not in it."""
    return not name or bool(_LEADS_OUTSIDE.match(name))


def shown(text: str) -> str:
    """Text from a file as it can be printed, cut short."""
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def with_suffix(name: str) -> str:
    """A picture's name from a list that may leave out `.jpg`."""
    return name if Path(name).suffix.lower() in SUFFIXES else f"{name}.jpg"


def known_split(word: str) -> str | None:
    """The split that a word of some data means, if it does; restval is more training data."""
    return _SPLITS.get(word.strip().lower())


def split_of_file(path: Path) -> str | None:
    """The split that the name of a file tells, as in `captions_val2014.json`."""
    words = {known_split(word) for word in _SPLIT_WORD.findall(path.name.lower())}
    return words.pop() if len(words) == 1 else None


def split_of_folders(parts: Sequence[str]) -> str | None:
    """The split that the first of some folders tells that tells any, as in `images/train2014`."""
    return next(filter(None, map(_split_of_folder, parts)), None)


def _split_of_folder(name: str) -> str | None:
    match = _SPLIT_FOLDER.fullmatch(name.lower())
    return match and known_split(match[1])


def identity(value: object) -> int | str | None:
    """An id of some data, the same as text and as number; None for what is no id."""
    if isinstance(value, float) and value.is_integer():  # as tables of numbers write them
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < _LONG:
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def shared_names(images: Iterable[tuple[str, int | str | None]]) -> set[str]:
    """Names of files that images of different ids have: whose picture it is, nobody knows."""
    first: dict[str, int | str] = {}
    return {name for name, own in images if own is not None and first.setdefault(name, own) != own}


def one_a_split(files: Sequence[Path]) -> list[tuple[Path, str | None]]:
    """Caption files with their splits, train first; raises DataError for two of the same split."""
    found: dict[str | None, Path] = {}
    for path in files:
        split = split_of_file(path)
        other = found.setdefault(split, path)
        if other != path:
            raise DataError(
                f"{printable(path)}: {printable(other.name)} lies beside it; name the one to be "
                "read, or move the other"
            )
    order = (*SPLITS, None)
    return [(found[split], split) for split in order if split in found]
