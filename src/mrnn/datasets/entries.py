"""What all readers share: what they find, where pictures lie, which split a name tells."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..images.finding import SUFFIXES, is_hidden, printable
from .examples import ALIASES, SPLITS, Problem

HINT = "name the folder of the pictures with --images"
_PICTURES = re.compile(r"image|img|photo|picture|flickr?8k_dataset|flicker8k_dataset")
IMAGE_NAMES = (  # of a column of a table, or of a key in JSON
    *("image", "image_path", "image_name", "file_name", "filename", "file", "path"),
    *("image_file_name", "file_names", "image_file_names"),  # of imagefolder
    *("img", "photo", "picture"),
)
FOLDER_NAMES = ("filepath", "folder", "dir", "subfolder")  # of a picture, beside its name
CAPTION_NAMES = (
    *("caption", "captions", "text", "texts", "sentence", "sentences"),
    *("description", "comment", "raw"),
)
SPLIT_NAMES = ("split", "set")
# Those that mean other things as well: where they say the word of a split.
MAYBE_SPLIT_NAMES = ("data_split", "subset", "partition", "phase", "fold", "dataset")
ANNOTATIONS = "annotations"  # a folder of COCO's release, beside the pictures
TOO_LONG = 19  # digits, for the number of a picture
_SHOWN = 200  # characters of a name in a message
_LEADS_OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|.*(://|\0)|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)
_SPLITS = {
    **{split: split for split in SPLITS},
    **ALIASES,
    **dict.fromkeys(("restval", "training", "trn"), "train"),
    **dict.fromkeys(("validate", "validating", "devel", "development"), "dev"),
    **dict.fromkeys(("testing", "tst"), "test"),
}
_LONGEST_SPLIT = 40  # characters of a word that may be one
_SPLIT_FOLDER = re.compile(
    rf"({'|'.join(_SPLITS)})(?:[-_ ]?(?:19|20)\d\d|[-_ ]?(?:images?|set|data))?"
)
_SPLIT_WORD = re.compile(
    rf"(?<![a-z])({'|'.join(_SPLITS)})(?:images?|imgs?|names?|ids?|list|set|split|data)?(?![a-z])"
)
_PART = re.compile(  # of several; the hub's had a hash behind the numbers for some years
    r"(?<![0-9])[0-9]{5,}(-of-[0-9]{5,}(-[0-9a-f]{16})?)?(?![0-9])|^[0-9]+(?=\.)"
)


class Entry(NamedTuple):
    """A picture with none, some or all of its captions, as one place of the data has it."""

    place: str  # file, and after a colon the line where there is one
    name: str  # of the picture, as it is written there
    folders: tuple[Path, ...]  # where it may lie; or its shard
    captions: Sequence[str] = ()
    split: str | None = None  # one of SPLITS
    span: tuple[int, int] | None = None  # offset and size of its bytes in the shard
    identity: int | str | None = None  # of the picture in its file; no two are one picture

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
                found = sorted((e.name, e.is_dir()) for e in entries if not is_hidden(e.name))
        except FileNotFoundError:
            raise DataError(f"{printable(data)}: no such folder or file") from None
        except OSError as error:
            raise DataError(f"{printable(data)}: cannot be read ({error.strerror})") from None
        files = tuple(name for name, is_folder in found if not is_folder)
        return Listing(data, files, tuple(name for name, is_folder in found if is_folder))

    def of_splits(self) -> list[Listing]:
        """The folders in it that are named after splits."""
        return [Listing.of(self.folder / name) for name in self.folders if known_split(name)]

    def of_annotations(self) -> list[Path]:
        """The JSON files in its folder of annotations, if it has one."""
        if ANNOTATIONS not in self.folders:
            return []
        return Listing.of(self.folder / ANNOTATIONS).ending(".json")

    def ending(self, *suffixes: str) -> list[Path]:
        """Files whose names end so, in lower or upper case."""
        names = zip(self.files, self._lowered, strict=True)
        return [self.folder / name for name, lowered in names if lowered.endswith(suffixes)]

    @cached_property
    def _lowered(self) -> tuple[str, ...]:
        return tuple(map(str.lower, self.files))


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


def home_of(path: Path) -> Path:
    """The folder of a file; of one in a folder of annotations, that which this lies in."""
    return path.parent.parent if path.parent.name == ANNOTATIONS else path.parent


def picture_folders(beside: Path, images: Path | None) -> tuple[Path, ...]:
    """The folders to look in for pictures that a file in the folder `beside` names.

    They are the usual ones in it, then itself: folders of pictures by their names (`images/`) and
    of splits (`train2017/`), also inside of the former. With `images` they are sought there; raises
    DataError when it is not there.
    """
    if images is not None and not images.is_dir():
        raise DataError(f"{printable(images)}: no such folder; " + HINT)
    home = beside if images is None else images
    folders = []
    for name in Listing.of(home).folders:
        if _PICTURES.search(name.lower()):
            folders.append(home / name)
            with suppress(DataError):  # what may not be entered has no picture either
                inside = Listing.of(home / name).folders
                folders += [home / name / one for one in inside if split_of_name(one)]
        elif split_of_file(home / name):
            folders.append(home / name)
    return (*folders, home)


def leads_outside(name: str) -> bool:
    """Whether a name in a data set could mean something that is not in it."""
    return not name or bool(_LEADS_OUTSIDE.match(name))


def shown(text: str) -> str:
    """Text from a file as it can be printed, cut short."""
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def with_suffix(name: str) -> str:
    """A picture's name from a list that may leave out `.jpg`."""
    return name if Path(name).suffix.lower() in SUFFIXES else f"{name}.jpg"


def in_folder(folder: object, name: str) -> str:
    """A picture's name with the folder that stands beside it, unless one of them has both."""
    if not isinstance(folder, str) or not (folder := folder.strip()):
        return name
    if f"/{folder}".endswith(f"/{name}"):
        return folder
    return name if name.startswith(f"{folder.rstrip('/')}/") else posixpath.join(folder, name)


def plain_name(name: str) -> str:
    """A column's name, however it is written."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def column_kind(name: str) -> str:
    """Such a name without its number, as of caption_2 and pandas' caption.1."""
    return re.sub(r"[_.]?\d+$", "", plain_name(name))


def known_split(value: object) -> str | None:
    """The split that a value of some data means, if it does; restval is more training data."""
    word = str(value)  # of captions, too, which can be long
    return _SPLITS.get(word.strip().lower()) if len(word) <= _LONGEST_SPLIT else None


def split_of_file(path: Path) -> str | None:
    """The split that the name of a file tells, as in `captions_val2014.json`."""
    return split_of_name(path.name)


def split_of_name(name: str) -> str | None:
    """The same of a name alone."""
    words = {known_split(word) for word in _SPLIT_WORD.findall(name.lower())}
    return words.pop() if len(words) == 1 else None


def split_of_folders(parts: Sequence[str]) -> str | None:
    """The split that the first of some folders tells that tells any, as in `images/train2014`."""
    return next(filter(None, map(_split_of_folder, parts)), None)


def _split_of_folder(name: str) -> str | None:
    match = _SPLIT_FOLDER.fullmatch(name.lower())
    return match and known_split(match[1])


def identity(value: object) -> int | str | None:
    """An id of some data, the same as text and as number, also a float's; None for what is none."""
    if type(value) is int:  # nearly always
        return value
    if isinstance(value, float) and value.is_integer():  # as tables of numbers write them
        value = int(value)
    if isinstance(value, str):
        digits = value.removesuffix(".0")
        if digits.isascii() and digits.isdecimal() and len(digits) < TOO_LONG:
            return int(digits)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def one_a_split(files: Sequence[Path]) -> list[tuple[Path, str | None]]:
    """Caption files with their splits, train first; numbered parts of one count as one.

    Raises DataError for two of the same split.
    """
    found: dict[str | None, list[Path]] = {}
    for path in files:
        split = split_of_file(path)
        others = found.setdefault(split, [])
        if others and _unnumbered(path) != _unnumbered(others[0]):
            raise DataError(
                f"{printable(path)}: {printable(others[0].name)} lies beside it; name the one to "
                "be read, or move the other"
            )
        others.append(path)
    return [(path, split) for split in (*SPLITS, None) for path in found.get(split, ())]


def _unnumbered(path: Path) -> str:
    """A name without the number of a part, as in `train-00000-of-00002.parquet`."""
    return _PART.sub("", path.name)
