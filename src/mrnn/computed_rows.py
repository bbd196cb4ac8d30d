"""Rows that are computed once and then read again from a temporary file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from weakref import finalize

import numpy as np


class ComputedRows:
    """Arrays of one shape and type by number; the file has no name and ends with the process.

    What cannot be written, or read again, is computed again.
    """

    def __init__(
        self, compute: Callable[[Sequence[int]], Iterable[np.ndarray]], folder: Path
    ) -> None:
        self._compute = compute  # some rows, in their order
        self._file: int | None = None
        self._places: dict[int, int] = {}  # of the rows that are there, in bytes
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            file = TemporaryFile(dir=folder)  # noqa: SIM115 - as long as this
            finalize(self, file.close)
            self._file = file.fileno()

    def of(self, rows: Sequence[int]) -> np.ndarray:
        """The rows (n, ...), computing those that are not there yet."""
        found = {row: values for row in rows if (values := self._read(row)) is not None}
        missing = [row for row in dict.fromkeys(rows) if row not in found]
        for row, values in zip(missing, self._compute(missing), strict=True):
            found[row] = values
            self._write(row, values)
        return np.stack([found[row] for row in rows])

    def _read(self, row: int) -> np.ndarray | None:
        if row not in self._places or self._file is None:
            return None
        with suppress(OSError):
            content = os.pread(self._file, self._size, self._places[row])
            return np.frombuffer(content, self._type).reshape(self._shape)
        return None

    def _write(self, row: int, values: np.ndarray) -> None:
        if self._file is None:
            return
        self._shape, self._type, self._size = values.shape, values.dtype, values.nbytes
        place = self._places.get(row, len(self._places) * values.nbytes)
        with suppress(OSError):  # a full disk
            if os.pwrite(self._file, values.tobytes(), place) == values.nbytes:
                self._places[row] = place
