"""The vectors of a photo library: rows of M fp16 numbers in files that only grow.

A shard is a plain file of rows, without a header: `00000.f16`, `00001.f16`, ... Rows count once the
catalogue says so; what a killed writer or a full disk left behind them is written over by the next.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..images.finding import printable

SHARD_ROWS = 1 << 17
_NUMBER = 2  # bytes


class Vectors:
    """N rows of M numbers, left in their memory-mapped shards until they are asked for."""

    def __init__(self, shards: Sequence[np.ndarray], dimension: int, shard_rows: int) -> None:
        self._shards = shards  # (shard_rows, M) fp16 each, the last one may be shorter
        self._shard_rows = shard_rows
        self.dimension = dimension

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The rows at these positions (n,), in their order: (n, M) fp16."""
        found = np.empty((len(rows), self.dimension), dtype=np.float16)
        shard, within = np.divmod(rows, self._shard_rows)
        for number in np.unique(shard).tolist():
            here = shard == number
            found[here] = self._shards[number][within[here]]
        return found


class VectorStore:
    """The folder of the shards: opened for reading, or appended to by one writer at a time."""

    def __init__(self, folder: Path, dimension: int, shard_rows: int = SHARD_ROWS) -> None:
        self._folder = folder
        self._dimension = dimension
        self._shard_rows = shard_rows
        self._row = _NUMBER * dimension  # bytes

    def open(self, rows: int) -> Vectors:
        """The first `rows` rows; raises DataError naming the shard that lacks some of them."""
        shards = []
        for number, count in self._expected(rows):
            path = self._path(number)
            try:
                if path.stat().st_size < count * self._row:
                    raise DataError(_damaged(path, "cut short"))
                shape = (count, self._dimension)
                shards.append(np.memmap(path, dtype=np.float16, mode="r", shape=shape))
            except FileNotFoundError:
                raise DataError(_damaged(path, "missing")) from None
            except OSError as error:
                raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
        return Vectors(shards, self._dimension, self._shard_rows)

    def lost(self, rows: int) -> list[range]:
        """Which of the first `rows` rows are not there: in missing or shortened shards."""
        found = []
        for number, count in self._expected(rows):
            path = self._path(number)
            there = path.stat().st_size // self._row if path.exists() else 0
            first = number * self._shard_rows
            if there < count:
                found.append(range(first + there, first + count))
        return found

    def fill(self, lost: Iterable[range]) -> None:
        """Put zeros where rows are lost, once nobody needs them; raises OSError."""
        for rows in lost:
            self.write(rows.start, np.zeros((len(rows), self._dimension), dtype=np.float16))

    def write(self, first: int, values: np.ndarray) -> None:
        """Put rows (n, M) at `first`, and force them to the disk.

        What lies there is written over. Raises OSError.
        """
        self._folder.mkdir(exist_ok=True)
        values = values.astype(np.float16, copy=False)
        while len(values):
            number, within = divmod(first, self._shard_rows)
            part, values = np.split(values, [self._shard_rows - within])
            path = self._path(number)
            path.touch()
            with path.open("r+b") as file:
                file.seek(within * self._row)
                file.write(part.tobytes())
                file.flush()
                os.fsync(file.fileno())
            first += len(part)

    def _expected(self, rows: int) -> Iterator[tuple[int, int]]:
        """Number of each shard with how many rows it must hold."""
        for first in range(0, rows, self._shard_rows):
            yield first // self._shard_rows, min(self._shard_rows, rows - first)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05}.f16"


def _damaged(path: Path, what: str) -> str:
    return f"{printable(path)}: {what}; run mrnn index again: it computes anew what is lost"
