"""Examples of a data set, kept as columns: captions weigh little more than their bytes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from ..errors import DataError, UsageError
from ..images.finding import Member, Picture

SPLITS = ("train", "dev", "test")
ALIASES = {"val": "dev", "valid": "dev", "validation": "dev"}


@dataclass(frozen=True)
class Example:
    """One image with its sentences."""

    image: Picture
    sentences: tuple[str, ...]
    split: str  # one of SPLITS


@dataclass(frozen=True)
class Problem:
    """Something in the data that is skipped, and why."""

    place: str  # file, and line where there is one
    message: str
    split: str | None = None  # None where it cannot be known

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class Texts:
    """Strings that only grow in number, as packed UTF-8."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, text: str) -> None:
        """Add a string; the undecodable bytes of a file name survive."""
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def __getitem__(self, index: int) -> str:
        start, end = self._ends[index], self._ends[index + 1]
        return self._bytes[start:end].decode("utf-8", "surrogatepass")


@dataclass(frozen=True, eq=False)
class Columns:
    """N pictures and C captions."""

    homes: tuple[Path, ...]  # folders and shards that hold the pictures
    home: np.ndarray  # (N,) index of each one's home
    names: Texts  # N, inside the home
    spans: np.ndarray  # (N, 2) offset and size of the bytes in a shard; -1 for a file of its own
    splits: np.ndarray  # (N,) index into SPLITS
    captions: Texts  # C, in the order of the files
    order: np.ndarray  # (C,) captions by picture
    starts: np.ndarray  # (N + 1,) where each picture's captions begin in `order`

    def example(self, row: int) -> Example:
        """The picture of a row with its captions."""
        home, name = self.homes[self.home[row]], self.names[row]
        offset, size = self.spans[row].tolist()
        picture = home / name if offset < 0 else Member(home, name, offset, size)
        own = self.order[self.starts[row] : self.starts[row + 1]].tolist()
        return Example(picture, tuple(self.captions[i] for i in own), SPLITS[self.splits[row]])


class Examples(Sequence[Example]):
    """Some rows of the columns; an Example is made when it is asked for."""

    def __init__(self, columns: Columns, rows: np.ndarray) -> None:
        self._columns = columns
        self._rows = rows  # (n,)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Examples: ...

    def __getitem__(self, index: int | slice) -> Example | Examples:
        if isinstance(index, slice):
            return Examples(self._columns, self._rows[index])
        return self._columns.example(int(self._rows[index]))

    def __iter__(self) -> Iterator[Example]:
        return (self._columns.example(row) for row in self._rows.tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        return f"<{len(self):,} examples>"

    def of_split(self, name: str) -> Examples:
        """Those of a split, in order."""
        chosen = self._columns.splits[self._rows] == SPLITS.index(name)
        return Examples(self._columns, self._rows[chosen])


@dataclass(frozen=True)
class DataSet:
    """All examples of a data set, in the order of its files."""

    name: str
    format: str  # what was recognised, for people
    examples: Examples
    problems: tuple[Problem, ...]
    split_origin: str  # who chose the splits, for people

    def split(self, name: str) -> Examples:
        """The examples of a split; val, valid and validation mean dev."""
        name = split_name(name)
        chosen = self.examples.of_split(name)
        if not chosen:
            known = ", ".join(f"{split} ({count:,})" for split, count in self.counts().items())
            raise DataError(f"{self.name}: no captioned images in the {name} split; it has {known}")
        return chosen

    def counts(self) -> dict[str, int]:
        """Images of each split that has any."""
        counts = {split: len(self.examples.of_split(split)) for split in SPLITS}
        return {split: count for split, count in counts.items() if count}


def split_name(name: str) -> str:
    """The name of a split: val, valid and validation mean dev; raises UsageError."""
    name = ALIASES.get(name, name)
    if name not in SPLITS:
        raise UsageError(f"unknown split {name!r}; known: {', '.join(SPLITS)}")
    return name
