"""From what a reader finds to a data set: captions by picture, pictures that are there, splits."""

from __future__ import annotations

import posixpath
import re
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..images.finding import printable
from ..words.text import tokenise
from .entries import HINT, Entry, Found, is_file, leads_outside, shown
from .examples import SPLITS, Columns, DataSet, Examples, Problem, Texts
from .splits import NO_SPLIT, complete_splits

_MOST_WORDS, _MOST_CHARACTERS = 1_000, 20_000  # of a caption
_NO_SPAN = (-1, -1)  # of a picture in a file of its own
_SURROGATE = re.compile("[\ud800-\udfff]")


def assemble(found: Iterable[Found], name: str, format_name: str, split_seed: int) -> DataSet:
    """Read all that a reader finds; what cannot be used becomes a Problem.

    Raises DataError when nothing is left.
    """
    problems: list[Problem] = []
    gathered = _Gathered()
    for item in found:
        problems += [item] if isinstance(item, Problem) else gathered.add(item)
    return gathered.dataset(name, format_name, problems, split_seed)


class _Gathered:
    """Pictures in order of their first entry, and captions in order."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Path, ...], dict[str, int]] = {}  # by folders and name
        self._folders: list[tuple[Path, ...]] = []  # of each picture, a reference
        self._names = Texts()
        self._places = Texts()  # of each picture's first entry
        self._splits = array("b")
        self._spans = array("q")  # two numbers a picture
        self._blamed = bytearray()  # 1 where a caption was reported
        self._captions = Texts()
        self._owners = array("q")  # row of each caption's picture

    def add(self, entry: Entry) -> Iterator[Problem]:
        """Take an entry, yielding what cannot be used of it."""
        rows = self._rows.setdefault(entry.folders, {})
        row = rows.get(entry.name)
        if row is None:
            if leads_outside(entry.name):
                message = f"'{shown(entry.name)}' leads outside the data folder; skipped"
                yield Problem(entry.place, message, entry.split)
                return
            row = rows[entry.name] = self._row(rows, entry)
        if entry.span not in (None, self._span(row)):
            message = f"{shown(entry.name)} stands twice in the shard; skipped"
            yield Problem(entry.place, message, entry.split)
            return
        given = NO_SPLIT if entry.split is None else SPLITS.index(entry.split)
        if self._splits[row] == NO_SPLIT:
            self._splits[row] = given
        elif given not in (NO_SPLIT, self._splits[row]):
            other = SPLITS[self._splits[row]]
            message = f"{shown(entry.name)} is already in the {other} split; skipped"
            yield Problem(entry.place, message, entry.split)
            return
        for caption in entry.captions:
            if fault := _fault(caption):
                self._blamed[row] = 1
                yield Problem(entry.place, f"{fault}; skipped", entry.split)
            else:
                self._captions.append(caption.strip())
                self._owners.append(row)

    def dataset(
        self, name: str, format_name: str, problems: list[Problem], split_seed: int
    ) -> DataSet:
        """What has a picture and a caption; raises DataError when that is nothing."""
        owners = np.asarray(self._owners, dtype=np.int64)
        counts = np.bincount(owners, minlength=len(self._names))
        homes, home = self._homes(counts, problems)
        splits = np.array(self._splits, dtype=np.int8)
        rows = self._with_split(np.flatnonzero(home >= 0), splits, problems)
        if not len(rows):
            raise DataError(_nothing(name, problems))
        names = (self._names[row] for row in rows.tolist())
        splits[rows], origin = complete_splits(splits[rows], names, split_seed)
        columns = Columns(
            homes=homes,
            home=home,
            names=self._names,
            spans=np.asarray(self._spans, dtype=np.int64).reshape(-1, 2),
            splits=splits,
            captions=self._captions,
            order=np.argsort(owners, kind="stable"),
            starts=np.concatenate([[0], counts.cumsum()]),
        )
        return DataSet(name, format_name, Examples(columns, rows), tuple(problems), origin)

    def _row(self, rows: dict[str, int], entry: Entry) -> int:
        """A new row, or that of another spelling of the name (`a.jpg`, `./a.jpg`)."""
        name = posixpath.normpath(entry.name)
        row = rows.get(name)
        if row is None:
            row = rows[name] = len(self._names)
            self._folders.append(entry.folders)
            self._names.append(name)
            self._places.append(entry.place)
            self._splits.append(NO_SPLIT)
            self._spans.extend(entry.span or _NO_SPAN)
            self._blamed.append(0)
        return row

    def _homes(
        self, counts: np.ndarray, problems: list[Problem]
    ) -> tuple[tuple[Path, ...], np.ndarray]:
        """Folders and shards, and for each picture (N,) which has it; -1 for none."""
        homes: dict[Path, int] = {}
        home = np.full(len(self._names), -1)
        for row, count in enumerate(counts.tolist()):
            folder = self._home(row) if count else None
            if folder is not None:
                home[row] = homes.setdefault(folder, len(homes))
            elif count or not self._blamed[row]:
                problems.append(self._problem(row, self._missing(row, bool(count))))
        return tuple(homes), home

    def _with_split(
        self, rows: np.ndarray, splits: np.ndarray, problems: list[Problem]
    ) -> np.ndarray:
        """Rows that have a split, if any has one."""
        without = splits[rows] == NO_SPLIT
        if without.all():
            return rows
        what = "no split, while other pictures have one; skipped"
        problems += [self._problem(row, what) for row in rows[without].tolist()]
        return rows[~without]

    def _home(self, row: int) -> Path | None:
        """The folder or shard that has a picture; a link is followed, as its owner made it."""
        name, folders = self._names[row], self._folders[row]
        if self._span(row) != _NO_SPAN:
            return folders[0]
        return next((folder for folder in folders if is_file(folder / name)), None)

    def _span(self, row: int) -> tuple[int, int]:
        return self._spans[2 * row], self._spans[2 * row + 1]

    def _missing(self, row: int, has_caption: bool) -> str:
        name = self._names[row]
        if not has_caption:
            return f"{shown(name)} has no caption; skipped"
        folders = self._folders[row]
        folder = next((f for f in folders if (f / name).parent.is_dir()), folders[0])
        path, reason = f"{printable(folder)}/{shown(name)}", ""
        try:
            (folder / name).stat()
        except PermissionError as error:
            reason = f" ({error.strerror})"
        except (OSError, ValueError):  # ValueError: a lone surrogate
            pass
        return f"no picture {path}{reason}; its captions are skipped"

    def _problem(self, row: int, message: str) -> Problem:
        split = self._splits[row]
        return Problem(self._places[row], message, None if split == NO_SPLIT else SPLITS[split])


def _fault(caption: str) -> str | None:
    """Why a caption cannot be used, if so."""
    if not caption.isascii() and (surrogate := _SURROGATE.search(caption)):
        byte = ord(surrogate[0]) - 0xDC00  # see numbered_lines
        return f"not UTF-8 (byte 0x{byte:02x})" if 0x80 <= byte <= 0xFF else "not Unicode"
    if "\0" in caption:
        return "the caption holds a NUL character"
    if len(caption) > _MOST_CHARACTERS or len(words := tokenise(caption)) > _MOST_WORDS:
        return f"the caption is longer than {_MOST_WORDS:,} words"
    return None if words else "the caption has no words"


def _nothing(name: str, problems: list[Problem]) -> str:
    missing = next((p for p in problems if p.message.startswith("no picture ")), None)
    if missing is not None:
        return f"{name}: none of the captions has a picture ({missing}); {HINT}"
    return f"{name}: no picture has a caption that can be used" + (
        f"; the first problem: {problems[0]}" if problems else ""
    )
