"""Rows that are computed once and then read again from a temporary file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from weakref import finalize

import numpy as np

from .errors import DataError
from .images import printable


class ComputedRows:
    """Arrays of one shape and type by number; the file has no name and ends with the process.

    Raises DataError when it cannot be written.
    """

    def __init__(self, compute: Callable[[int], np.ndarray], folder: Path) -> None:
        self._compute, self._folder = compute, folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - as long as this
        except OSError as error:
            raise self._failed(error) from None
        finalize(self, self._file.close)
        self._places: dict[int, int] = {}  # of the rows that are there, in bytes

    def of(self, rows: Sequence[int]) -> np.ndarray:
        """The rows (n, ...), computing those that are not there yet."""
        return np.stack([self._row(row) for row in rows])

    def _row(self, row: int) -> np.ndarray:
        if row not in self._places:
            return self._computed(row)
        content = os.pread(self._file.fileno(), self._size, self._places[row])
        return np.frombuffer(content, self._type).reshape(self._shape)

    def _computed(self, row: int) -> np.ndarray:
        values = self._compute(row)
        self._shape, self._type, self._size = values.shape, values.dtype, values.nbytes
        place = len(self._places) * values.nbytes
        try:
            written = os.pwrite(self._file.fileno(), values.tobytes(), place)
        except OSError as error:
            raise self._failed(error) from None
        if written == values.nbytes:  # else the disk has become full; the next one will say so
            self._places[row] = place
        return values

    def _failed(self, error: OSError) -> DataError:
        return DataError(
            f"{printable(self._folder)}: a temporary file cannot be made ({error.strerror}); set "
            "XDG_CACHE_HOME to a disk with room"
        )
