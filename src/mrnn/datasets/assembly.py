"""From what a reader finds to a data set: captions by picture, pictures that are there, splits."""

from __future__ import annotations

import posixpath
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate, product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..images.finding import printable
from .captions import fault, plain
from .cells import BEGINNINGS, captions_in
from .entries import HINT, Entry, Found, shown, split_of_folders, split_of_name
from .examples import SPLITS, Columns, DataSet, Examples, Problem, Texts
from .gathered import GatheredCaptions
from .locating import Located, Locator, agree, innermost
from .splits import GIVEN, NO_SPLIT, complete_splits

BY_FOLDERS = "by the folders of the pictures"
_NO_SPAN = (-1, -1)  # of a picture in a file of its own


def assemble(found: Iterable[Found], name: str, format_name: str, split_seed: int) -> DataSet:
    """Read all that a reader finds; what cannot be used becomes a Problem.

    Raises DataError when nothing is left.
    """
    problems: list[Problem] = []
    gathered = _Gathered()
    for item in found:
        problems += [item] if isinstance(item, Problem) else gathered.add(item)
    return gathered.dataset(name, format_name, problems, split_seed)


class _Known(NamedTuple):
    """A picture that has a row."""

    row: int
    name: str  # by which it was found
    is_exact: bool


class _Gathered:
    """Pictures in order of their first entry, and captions in order."""

    def __init__(self) -> None:
        self._locator = Locator()
        # Rows by name as it is written, for the folders and the split that it is sought for.
        self._rows: dict[tuple[tuple[Path, ...], str | None], dict[str, int]] = {}
        # Where the last entry was sought, its split, and rows of such names.
        self._folders: tuple[Path, ...] | None = None
        self._split: str | None = None
        self._given = NO_SPLIT
        self._named: dict[str, int] = {}
        self._others: dict[tuple[int, str], _Known] = {}  # files that are named in another way
        self._homes: dict[Path, int] = {}  # folders and shards that have a picture
        self._home = array("q")  # of each picture; -1 for none
        self._reasons: dict[int, str] = {}  # why a picture has none
        self._names = Texts()
        self._places = Texts()  # of each picture's first entry
        self._splits = array("b")
        self._spans = array("q")  # two numbers a picture
        # What the first entry calls its picture, and in which file; rows of several pictures.
        self._identities: dict[int, tuple[str, int | str | None]] = {}
        self._mixed: dict[int, str] = {}  # with the reason
        self._blamed = bytearray()  # 1 where a caption was reported
        self._captions = GatheredCaptions()

    def add(self, entry: Entry) -> Iterator[Problem]:
        """Take an entry, yielding what cannot be used of it."""
        if entry.folders is not self._folders or entry.split != self._split:
            self._seek(entry)
        row = self._named.get(entry.name)
        if row is None:
            row = self._named[entry.name] = self._row(entry)
        if entry.identity is not None and (what := self._confused(entry, row)):
            yield Problem(entry.place, what, entry.split)
            return
        # Nearly always it is already known that this is the picture's split.
        is_sure = self._splits[row] == self._given and entry.span is None
        if not is_sure and (refusal := self._refusal(entry, row)):
            yield Problem(entry.place, f"{shown(entry.name)} {refusal}; skipped", entry.split)
            return
        if entry.captions:
            self._captions.come_from(entry)
        for written in map(plain, entry.captions):
            found = captions_in(written) if written.startswith(BEGINNINGS) else (written,)
            wrong = [found] if isinstance(found, str) else []
            for caption in () if wrong else found:
                if what := fault(caption):
                    wrong.append(what)
                else:
                    self._captions.append(caption.strip(), row)
            for what in wrong:
                self._blamed[row] = 1
                yield Problem(entry.place, f"{what}; skipped", entry.split)

    def _seek(self, entry: Entry) -> None:
        """Take the names of this entry, and of those that follow, as sought where it is sought."""
        self._folders, self._split = entry.folders, entry.split
        self._given = NO_SPLIT if entry.split is None else SPLITS.index(entry.split)
        self._named = self._rows.setdefault((entry.folders, entry.split), {})

    def _confused(self, entry: Entry, row: int) -> str | None:
        """What is wrong where two pictures of a file have come to one row; neither is kept."""
        file, other = self._identities.setdefault(row, (entry.file, entry.identity))
        if other == entry.identity or file != entry.file:
            return None
        what = (
            f"{shown(entry.name)} stands for several pictures ({shown(str(other))} and "
            f"{shown(str(entry.identity))}); write the folder before it, or one id a picture; "
            "skipped"
        )
        self._mixed.setdefault(row, what)
        return what

    def _refusal(self, entry: Entry, row: int) -> str | None:
        """What an entry contradicts, if so; else the picture is in its split."""
        if entry.span not in (None, self._span(row)):
            return "stands twice in the shard"
        if self._splits[row] == NO_SPLIT:
            self._splits[row] = self._given
        elif self._given not in (NO_SPLIT, self._splits[row]):
            return f"is already in the {SPLITS[self._splits[row]]} split"
        return None

    def dataset(
        self, name: str, format_name: str, problems: list[Problem], split_seed: int
    ) -> DataSet:
        """What has a picture and a caption; raises DataError when that is nothing."""
        for row, what in self._mixed.items():
            self._home[row] = -1
            self._reasons.setdefault(row, what)
        self._give_up_those_of_other_splits()
        problems += self._captions.drop_repeated()
        counts = self._captions.counts(len(self._names))
        problems += self._left_out(counts)
        home = np.where(counts > 0, np.asarray(self._home, dtype=np.int64), -1)
        splits = np.array(self._splits, dtype=np.int8)
        by_folders = self._split_by_folders(home, splits)
        drawn = bool((splits == NO_SPLIT).all())
        rows = self._with_split(np.flatnonzero(home >= 0), splits, problems)
        if not len(rows):
            raise DataError(_nothing(name, problems))
        names = (self._names[row] for row in rows.tolist())
        splits[rows], origin = complete_splits(splits[rows], names, split_seed)
        columns = Columns(
            homes=tuple(self._homes),
            home=home,
            names=self._names,
            spans=np.asarray(self._spans, dtype=np.int64).reshape(-1, 2),
            splits=splits,
            captions=self._captions.texts,
            order=self._captions.by_picture(),
            starts=np.concatenate([[0], counts.cumsum()]),
        )
        if drawn:
            problems += self._folders_of_splits(rows)
        origin = BY_FOLDERS if by_folders and origin == GIVEN else origin
        return DataSet(name, format_name, Examples(columns, rows), tuple(problems), origin)

    def _row(self, entry: Entry) -> int:
        """A new row, or that of the same file under another name (`a.jpg`, `./a.jpg`)."""
        found: Located | str = Located(entry.folders[0], posixpath.normpath(entry.name), True)
        if entry.span is None:
            found = self._locator.find(entry.name, entry.folders, entry.split)
        if isinstance(found, str):
            return self._new(entry, reason=found)
        inner = innermost(found, entry.folders)
        place = self._homes.setdefault(inner.home, len(self._homes)), inner.name
        known = self._of_file(place, entry)
        if known is None:
            return self._new(entry, found, place)
        if (found.is_exact and known.is_exact) or agree(entry.name, known.name):
            return known.row
        # Two names that mean two pictures, and one file: who names it otherwise is wrong.
        file = printable(found.home / found.name)
        if not known.is_exact:
            self._home[known.row] = -1
            self._reasons[known.row] = _shared(known.name, file, entry.name)
        if found.is_exact:
            return self._new(entry, found, place)
        return self._new(entry, reason=_shared(entry.name, file, known.name))

    def _of_file(self, place: tuple[int, str], entry: Entry) -> _Known | None:
        """The row of a file, if it has one."""
        home, name = place
        # Pictures in a shard are sought in that shard alone: a set may have hundreds of them.
        inside = product([entry.folders], (*SPLITS, None))
        keys = self._rows if entry.span is None else inside
        for rows in filter(None, map(self._rows.get, keys)):
            row = rows.get(name)
            if row is not None and self._home[row] == home and self._names[row] == name:
                return _Known(row, name, True)
        return self._others.get(place)

    def _new(
        self,
        entry: Entry,
        found: Located | None = None,
        place: tuple[int, str] = (-1, ""),
        reason: str = "",
    ) -> int:
        """A row for a picture, which is found in a place or missing for a reason."""
        row = len(self._names)
        name = found.name if found else entry.name
        home = self._homes.setdefault(found.home, len(self._homes)) if found else -1
        self._home.append(home)
        self._names.append(name)
        self._places.append(entry.place)
        self._splits.append(NO_SPLIT)
        self._spans.extend(entry.span or _NO_SPAN)
        self._blamed.append(0)
        if found is None:
            self._reasons[row] = reason
        elif place != (home, entry.name):
            self._others[place] = _Known(row, entry.name, found.is_exact)
        return row

    def _left_out(self, counts: np.ndarray) -> Iterator[Problem]:
        """Pictures without captions, and captions without a picture; `counts` (N,) of captions."""
        homes = np.asarray(self._home, dtype=np.int64)
        for row in np.flatnonzero((counts == 0) | (homes < 0)).tolist():
            if counts[row]:
                yield self._problem(row, self._reasons[row])
            elif not self._blamed[row]:
                yield self._problem(row, f"{shown(self._names[row])} has no caption; skipped")

    def _give_up_those_of_other_splits(self) -> None:
        """Pictures that were found in the folder of dev or test, and are named for another split.

        Those are others where their own folder is missing; pictures for dev and test, though, may
        be chosen from train's. A name that tells its folder, or the split of it, is believed.
        """
        given = {split for _, split in self._rows}
        tops = {folders[-1] for folders, _ in self._rows if folders}
        others: dict[int, tuple[Path | None, str | None]] = {}
        for path, number in self._homes.items():
            word = split_of_folders((path.name,))
            if path not in tops and word in given and word not in (None, "train"):
                others[number] = path, word
        for row, home in enumerate(self._home) if others else ():
            folder, told = others.get(home, (None, None))
            split = None if self._splits[row] == NO_SPLIT else SPLITS[self._splits[row]]
            if folder is None or split in (None, told):
                continue
            name = self._names[row]
            if split != split_of_folders(name.split("/")[:-1]) and told != split_of_name(name):
                self._home[row] = -1
                self._reasons[row] = (
                    f"no picture '{shown(name)}' of the {split} split: "
                    f"{shown(printable(folder / name))} is in the folder of another; write the "
                    "folder before the name, or name it with --images; its captions are skipped"
                )

    def _split_by_folders(self, home: np.ndarray, splits: np.ndarray) -> bool:
        """Fill in the splits (N,) that the pictures' folders tell, where nothing else tells any.

        That all lie in the folder of one split says nothing: it is all there is.
        """
        rows = np.flatnonzero(home >= 0)
        if not len(rows) or (splits[rows] != NO_SPLIT).any():
            return False
        homes = [folder.name for folder in self._homes]
        told: dict[tuple[int, str], int] = {}
        found = np.full(len(rows), NO_SPLIT, dtype=np.int8)
        for i, row in enumerate(rows.tolist()):
            folders = self._names[row].rpartition("/")[0]
            place = int(home[row]), folders
            if place not in told:
                split = split_of_folders((*folders.split("/"), homes[place[0]]))
                told[place] = NO_SPLIT if split is None else SPLITS.index(split)
            found[i] = told[place]
        is_told = len(set(found.tolist()) - {NO_SPLIT}) > 1
        if is_told:
            splits[rows] = found
        return is_told

    def _folders_of_splits(self, rows: np.ndarray) -> Iterator[Problem]:
        """Folders whose names hold words of several splits, but are no names of splits."""
        homes = list(self._homes)
        places = {(self._home[row], self._names[row].rpartition("/")[0]) for row in rows.tolist()}
        first: dict[str, Path] = {}  # by split
        for home, inside in sorted(places):
            parts = filter(None, inside.split("/"))
            for path in accumulate(parts, Path.joinpath, initial=homes[home]):
                is_all = len(homes) == 1 and path == homes[home]  # its name tells of no part
                if not is_all and (split := split_of_name(path.name)):
                    first.setdefault(split, path)
        if len(first) > 1:
            for split, path in first.items():
                what = f"seems to hold the {split} split, but is not read so; rename it to {split}"
                yield Problem(printable(path), what)

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

    def _span(self, row: int) -> tuple[int, int]:
        return self._spans[2 * row], self._spans[2 * row + 1]

    def _problem(self, row: int, message: str) -> Problem:
        split = self._splits[row]
        return Problem(self._places[row], message, None if split == NO_SPLIT else SPLITS[split])


def _shared(name: str, file: str, other: str) -> str:
    return (
        f"no picture '{shown(name)}': {shown(file)} is '{shown(other)}'; its captions are skipped"
    )


def _is_missing(message: str) -> bool:
    return message.startswith("no picture ") or "leads outside the data folder" in message


def _nothing(name: str, problems: list[Problem]) -> str:
    missing = next((p for p in problems if _is_missing(p.message)), None)
    if missing is not None:
        return f"{name}: none of the captions has a picture ({missing}); {HINT}"
    return f"{name}: no picture has a caption that can be used" + (
        f"; the first problem: {problems[0]}" if problems else ""
    )
