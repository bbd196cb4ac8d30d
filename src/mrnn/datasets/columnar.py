"""Rows of Parquet files and of Arrow streams, whose pictures are bytes in a column, or files.

pyarrow, the extra `parquet`, is imported when the first row is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError, DependencyError
from ..images.finding import printable
from ..images.parquet_pictures import LARGEST_GROUP, bytes_of, picture_column, pieces
from .entries import CAPTION_NAMES, IMAGE_NAMES, column_kind, plain_name

COLUMNAR = (".parquet", ".arrow")
_FEW, _MANY = 64, 4096  # rows that are read together, with pictures and without


class Stored(NamedTuple):
    """A picture whose bytes are in the file itself."""

    name: str  # its row from 1, as a folder, and what it is called
    # Its row, from 0, in a Parquet file, where nothing can be sought; its offset in an Arrow
    # stream. And its size in bytes.
    span: tuple[int, int]


class _Part(NamedTuple):
    """Some rows of a file."""

    table: Any  # a RecordBatch of the columns that are no pictures
    pictures: Any  # an array of bytes, or None
    paths: Any  # what the pictures were called, or None
    base: int | None  # where the file begins in memory; None where rows count


def columnar_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """All rows with their numbers from 1, cells by column; pictures as `Stored`, under "image".

    The same picture in several rows is the same `Stored`. Raises DataError where the file cannot be
    read, and DependencyError without pyarrow.
    """
    pyarrow = require_pyarrow(path)
    try:
        yield from _rows(_parquet(path) if path.suffix.lower() == ".parquet" else _arrow(path))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        what = str(error).partition("\n")[0][:200]
        raise DataError(f"{printable(path)}: cannot be read ({printable(what)})") from None


def require_pyarrow(path: Path) -> Any:
    """The module; raises DependencyError, naming the file that needs it."""
    try:
        import pyarrow
    except ImportError:
        raise DependencyError(
            f"{printable(path)}: {path.suffix} files need the package pyarrow; type: "
            "pip install 'mrnn[parquet]'"
        ) from None
    return pyarrow


def _rows(parts: Iterator[_Part]) -> Iterator[tuple[int, dict[str, object]]]:
    number = 0
    known: dict[bytes, Stored] = {}  # pictures by what they are
    for part in parts:
        columns = {name: _values(part.table.column(name)) for name in part.table.schema.names}
        rows = range(part.table.num_rows)
        if part.pictures is not None:
            columns["image"] = _pictures(part, columns, number, known)
        for i in rows:
            yield number + i + 1, {name: values[i] for name, values in columns.items()}
        number += len(rows)


def _values(column: Any) -> list[Any]:
    """The cells of a column; bytes that are not UTF-8 become lone surrogates, as in text files."""
    import pyarrow

    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pyarrow.binary()).to_pylist()
        return [value and value.decode("utf-8", "surrogateescape") for value in values]


def _pictures(
    part: _Part, columns: dict[str, list[Any]], number: int, known: dict[bytes, Stored]
) -> list[Stored | str | None]:
    """The pictures of some rows; of a row without bytes, the name of a file, if it has one.

    Columns of names are taken out: they name what is there.
    """
    named = [columns.pop(name) for name in list(columns) if plain_name(name) in IMAGE_NAMES]
    named += [part.paths.to_pylist()] if part.paths is not None else []
    names = [next(filter(None, row), "") for row in zip(*named, strict=True)] or [""] * len(
        part.table
    )
    keys = columns.get("key", names)  # of img2dataset
    starts, data = pieces(part.pictures)
    pictures: list[Stored | str | None] = []
    for i, is_there in enumerate(part.pictures.is_valid().to_pylist()):
        if not is_there:
            pictures.append(names[i] or None)
            continue
        start, size = starts[i], starts[i + 1] - starts[i]
        content = data[start : start + size]
        at = number + i if part.base is None else data.address + start - part.base
        picture = _stored(names[i] or keys[i], number + i, (at, size))
        pictures.append(known.setdefault(blake2b(content, digest_size=16).digest(), picture))
    return pictures


def _stored(name: object, row: int, span: tuple[int, int]) -> Stored:
    called = str(name or "").replace("\\", "/").rpartition("/")[2]
    return Stored(f"{row + 1}/{called}" if called else f"{row + 1}", span)


def _parquet(path: Path) -> Iterator[_Part]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, memory_map=True) as file:
        column = picture_column(file.schema_arrow)
        if column is not None:
            _refuse_large_groups(path, file.metadata, ".".join(column))
        names = _plain_columns(file.schema_arrow)
        chosen = [*names, *([column[0]] if column else [])]
        for batch in file.iter_batches(_FEW if column else _MANY, columns=chosen):
            yield _part(batch, names, column, None)


def _arrow(path: Path) -> Iterator[_Part]:
    import pyarrow

    with pyarrow.memory_map(str(path)) as file:
        content = file.read_buffer()
        is_file = content[:6].to_pybytes() == b"ARROW1"
        reader = (pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream)(content)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
        column, names = picture_column(reader.schema), _plain_columns(reader.schema)
        for batch in batches:
            batch.validate(full=True)  # it is taken as it lies there
            part = _part(batch, names, column, content.address)
            if not _lies_in(part.pictures, content):
                raise DataError(
                    f"{printable(path)}: its pictures are compressed, so that none can be sought; "
                    "write it without compression"
                )
            yield part


def _part(
    batch: Any, names: Sequence[str], column: tuple[str, ...] | None, base: int | None
) -> _Part:
    table = batch.select(names)
    if column is None:
        return _Part(table, None, None, base)
    array = batch.column(column[0])
    index = array.type.get_field_index("path") if len(column) > 1 else -1
    paths = array.field(index) if index >= 0 else None
    return _Part(table, bytes_of(array, column), paths, base)


def _plain_columns(schema: Any) -> list[str]:
    """Columns of texts, whole numbers, and lists of texts; captions may be of any kind."""
    from pyarrow import types

    def is_text(kind: Any) -> bool:
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    def is_plain(kind: Any) -> bool:
        if types.is_list(kind) or types.is_large_list(kind):
            return is_text(kind.value_type)
        if types.is_dictionary(kind):
            return is_text(kind.value_type)
        return is_text(kind) or types.is_integer(kind)

    return [
        field.name
        for field in schema
        if is_plain(field.type)
        or (column_kind(field.name) in CAPTION_NAMES and not types.is_binary(field.type))
    ]


def _refuse_large_groups(path: Path, metadata: Any, column: str) -> None:
    """A group is decoded as a whole when one of its pictures is wanted."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            chunk = group.column(index)
            if chunk.path_in_schema == column and chunk.total_uncompressed_size > LARGEST_GROUP:
                raise DataError(
                    f"{printable(path)}: its groups of rows are too large to read one picture "
                    f"({chunk.total_uncompressed_size:,} bytes); write it anew with "
                    "row_group_size=100"
                )


def _lies_in(pictures: Any, content: Any) -> bool:
    """Whether an array's bytes are in the file itself, not where they were decompressed."""
    data = pictures.buffers()[2] if pictures is not None else None
    if data is None or not data.size:
        return True
    return bool(content.address <= data.address < content.address + content.size)
