"""Pictures in Parquet files, which keep rows in groups: a group is decoded whole, and kept a while.

pyarrow, the extra `parquet`, is imported when a picture is read.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

LARGEST_GROUP = 512 << 20  # bytes of the pictures of a group of rows, two of which are kept
_NAMES = ("image", "img", "photo", "picture")  # of the column, where there are several
_LOCK = threading.Lock()  # a group is decoded once, not by every thread that wants a picture of it


def picture_column(schema: Any) -> tuple[str, ...] | None:
    """The path of the column that holds pictures as bytes; None where none, or no single one, does.

    It is a column of bytes (img2dataset), or of structures with `bytes` and `path` (Hugging Face).
    """
    found = {field.name: path for field in schema if (path := _path(field))}
    named = {name: path for name, path in found.items() if name.lower() in _NAMES}
    chosen = [*(named if len(found) > 1 else found).values()]
    return chosen[0] if len(chosen) == 1 else None


def _path(field: Any) -> tuple[str, ...] | None:
    from pyarrow import types

    def is_bytes(kind: Any) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    if is_bytes(field.type):
        return (field.name,)
    if types.is_struct(field.type):
        index = field.type.get_field_index("bytes")
        if index >= 0 and is_bytes(field.type.field(index).type):
            return field.name, "bytes"
    return None


def stored_picture(path: Path, row: int) -> bytes:
    """The bytes of the picture in a row, counted from 0.

    Raises OSError, or ValueError where the file is no longer what it was.
    """
    with _LOCK:
        first, pictures = _group(path, path.stat().st_mtime_ns, row)
    starts, data = pieces(pictures)
    return bytes(data[starts[row - first] : starts[row - first + 1]])


def _group(path: Path, modified: int, row: int) -> tuple[int, Any]:
    firsts = _firsts(path, modified)
    for number, (first, after) in enumerate(pairwise(firsts)):
        if first <= row < after:
            return first, _pictures(path, modified, number)
    raise ValueError("no such row")


@lru_cache(maxsize=100)
def _firsts(path: Path, modified: int) -> list[int]:
    """The first row of each group, and the number of rows."""
    from pyarrow.parquet import read_metadata

    metadata = read_metadata(path)
    firsts = [0]
    for group in range(metadata.num_row_groups):
        firsts.append(firsts[-1] + metadata.row_group(group).num_rows)
    return firsts


@lru_cache(maxsize=2)
def _pictures(path: Path, modified: int, group: int) -> Any:
    """The pictures of a group of rows as an array of bytes."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, memory_map=True) as file:
        column = picture_column(file.schema_arrow)
        if column is None:
            raise ValueError("no column of pictures")
        table = file.read_row_group(group, columns=[".".join(column)])
    return bytes_of(table.column(0).combine_chunks(), column)


def bytes_of(array: Any, column: tuple[str, ...]) -> Any:
    """The array of bytes in a column that was read."""
    return array if len(column) == 1 else array.field(column[1])


def pieces(array: Any) -> tuple[list[int], Any]:
    """Where the N values of an array of bytes begin, and where the last ends (N + 1); the bytes."""
    from pyarrow import py_buffer, types

    _, starts, data = array.buffers()
    if not len(array):
        return [0], py_buffer(b"")
    kind = np.int64 if types.is_large_binary(array.type) else np.int32
    found = np.frombuffer(starts, dtype=kind)[array.offset : array.offset + len(array) + 1]
    return found.tolist(), data if data is not None else py_buffer(b"")
