"""The catalogue of a photo library: a SQLite file that says what each picture is, and where.

A content is a picture by the SHA-256 of its file, wherever it lies: it is decoded once. A file is a
place where a content was found. Its key is its path as bytes, since names need not be text; for a
member of a tar file the path of the tar file, a zero byte and the member's name.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DataError
from .images import Member, Picture, printable

FORMAT = "1"
_WAIT = 60.0  # seconds for another process to end its transaction
_AT_ONCE = 500  # values in a statement
_SCHEMA = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE roots (path BLOB PRIMARY KEY) WITHOUT ROWID",
    # Width and height are of the upright picture, in pixels. Without a row in the vectors, it is
    # one that cannot be read.
    "CREATE TABLE contents (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, "
    "row INTEGER UNIQUE, width INTEGER, height INTEGER, caption TEXT, perplexity REAL, "
    "error_code TEXT, error TEXT)",
    # The offset is of a member in its tar file. Without a content, the file could not be opened.
    "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, offset INTEGER, "
    "content INTEGER REFERENCES contents (id), error_code TEXT, error TEXT) WITHOUT ROWID",
    "CREATE INDEX files_by_content ON files (content)",
)
_FILES = (
    "SELECT path, size, mtime_ns, offset, files.error_code, files.error, digest, row, width, "
    "height, caption, perplexity, contents.error_code, contents.error "
    "FROM files LEFT JOIN contents ON content = id"
)
_LIES_SOMEWHERE = "EXISTS (SELECT 1 FROM files WHERE content = contents.id)"

Fault = tuple[str, str]  # the code of an ImageError, and its message without the path


@dataclass(frozen=True)
class Content:
    """What is known of a picture."""

    digest: bytes  # SHA-256
    row: int | None = None  # of its vector; None where there is a fault
    size: tuple[int, int] | None = None  # width and height, pixels
    caption: tuple[str, float] | None = None  # and its perplexity
    fault: Fault | None = None


@dataclass(frozen=True)
class File:
    """A file as it was when it was last looked at."""

    picture: Picture
    size: int | None  # bytes
    mtime_ns: int | None
    digest: bytes | None = None  # of its content; None: to be read, or with a fault
    fault: Fault | None = None  # of the file, not of its content

    @property
    def key(self) -> bytes:
        """What it is found by."""
        if isinstance(self.picture, Path):
            return os.fsencode(self.picture)
        return os.fsencode(self.picture.shard) + b"\0" + os.fsencode(self.picture.name)


class Catalogue:
    """An open catalogue; one process may write while others read. Its errors are DataErrors."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def version(self) -> int:
        """A number that changes when another process has written."""
        return self._number("PRAGMA data_version")

    def check(self) -> None:
        """Raise DataError unless the file is sound from beginning to end."""
        if self._all("PRAGMA quick_check(1)") != [("ok",)]:
            raise _damaged(self._path)

    def facts(self) -> dict[str, str]:
        """What the library is: its format, its model."""
        return dict(self._all("SELECT name, value FROM facts"))

    def roots(self) -> list[Path]:
        """What was indexed so far: folders, files, tar files."""
        return [Path(os.fsdecode(path)) for (path,) in self._all("SELECT path FROM roots")]

    def files(
        self, root: Path | None = None, unreadable: bool = False
    ) -> Iterator[tuple[File, Content | None]]:
        """All files, or those at or below a path, with their contents, by path.

        With `unreadable`, only those that are no picture.
        """
        chosen = f"{_FILES} WHERE {'row IS NULL' if unreadable else 1}"
        if root is None:
            yield from map(_file, self._all(f"{chosen} ORDER BY path"))
            return
        path = os.fsencode(root)
        below = path.rstrip(b"/")
        for first, end in ((path, path + b"\1"), (below + b"/", below + b"0")):
            statement = f"{chosen} AND path >= ? AND path < ? ORDER BY path"
            yield from map(_file, self._all(statement, (first, end)))

    def knows(self, digest: bytes) -> bool:
        """Whether this content was looked at before."""
        return bool(self._all("SELECT 1 FROM contents WHERE digest = ?", (digest,)))

    def rows(self) -> list[int]:
        """Rows in the vectors of the pictures that lie somewhere, rising."""
        statement = f"SELECT row FROM contents WHERE row NOT NULL AND {_LIES_SOMEWHERE}"  # noqa: S608
        return [row for (row,) in self._all(statement + " ORDER BY row")]

    def pictures(self, rows: Sequence[int]) -> dict[int, tuple[Content, list[Picture]]]:
        """The contents at rows of the vectors, each with the places where it lies, by path."""
        found: dict[int, tuple[Content, list[Picture]]] = {}
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            statement = f"{_FILES} WHERE row IN ({','.join('?' * len(part))}) ORDER BY path"
            for file, content in map(_file, self._all(statement, part)):
                if content is not None and content.row is not None:
                    found.setdefault(content.row, (content, []))[1].append(file.picture)
        return found

    def next_row(self) -> int:
        """How many rows the vectors have; none is used again for another picture."""
        return int(self.facts()["rows"])

    def counts(self) -> dict[str, int]:
        """Files; distinct pictures among them; files that cannot be read."""
        joined = "FROM files LEFT JOIN contents ON content = id WHERE row"
        return {
            "files": self._number("SELECT count(*) FROM files"),
            "pictures": self._number(f"SELECT count(DISTINCT content) {joined} NOT NULL"),
            "unreadable": self._number(f"SELECT count(*) {joined} IS NULL"),
        }

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside counts as a whole, or not at all."""
        with self._reported():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def add_roots(self, roots: Iterable[Path]) -> None:
        """Remember what is indexed."""
        self._write("INSERT OR IGNORE INTO roots VALUES (?)", [(os.fsencode(r),) for r in roots])

    def drop_roots(self, keys: Iterable[bytes]) -> None:
        """Forget that these files were asked for."""
        self._write("DELETE FROM roots WHERE path = ?", [(key,) for key in keys])

    def add_contents(self, contents: Iterable[Content], rows: int) -> None:
        """Enter new contents, and how many rows the vectors have with them."""
        nothing = (None, None)
        self._write(
            "INSERT INTO contents (digest, row, width, height, caption, perplexity, "
            "error_code, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (c.digest, c.row, *(c.size or nothing), *(c.caption or nothing))
                + (c.fault or nothing)
                for c in contents
            ],
        )
        self._write("UPDATE facts SET value = ? WHERE name = 'rows'", [(rows,)])

    def put_files(self, files: Iterable[File]) -> None:
        """Enter files, in the place of what was known of them."""
        self._write(
            "INSERT OR REPLACE INTO files VALUES "
            "(?, ?, ?, ?, (SELECT id FROM contents WHERE digest = ?), ?, ?)",
            [
                (f.key, f.size, f.mtime_ns, _offset(f.picture), f.digest, *(f.fault or (None,) * 2))
                for f in files
            ],
        )

    def drop_files(self, keys: Iterable[bytes]) -> None:
        """Take files out; their contents stay known, should they turn up elsewhere."""
        self._write("DELETE FROM files WHERE path = ?", [(key,) for key in keys])

    def without_caption(self) -> list[int]:
        """Rows of the pictures that lie somewhere and have no caption, rising."""
        lacking = f"row NOT NULL AND caption IS NULL AND {_LIES_SOMEWHERE}"
        statement = f"SELECT row FROM contents WHERE {lacking} ORDER BY row"  # noqa: S608
        return [row for (row,) in self._all(statement)]

    def set_captions(self, captions: Mapping[int, tuple[str, float]]) -> None:
        """Enter captions, with their perplexities, by row of the vectors."""
        self._write(
            "UPDATE contents SET caption = ?, perplexity = ? WHERE row = ?",
            [(*caption, row) for row, caption in captions.items()],
        )

    def forget_unused(self) -> None:
        """Forget the contents that lie nowhere any more."""
        self._write(f"DELETE FROM contents WHERE NOT {_LIES_SOMEWHERE}")  # noqa: S608

    def forget_rows(self, lost: Iterable[range]) -> None:
        """Forget contents by rows of the vectors: their files are to be read anew."""
        spans = [(rows.start, rows.stop) for rows in lost]
        which = "FROM contents WHERE row >= ? AND row < ?"
        these = f"(SELECT id {which})"
        self._write(f"UPDATE files SET content = NULL WHERE content IN {these}", spans)  # noqa: S608
        self._write(f"DELETE {which}", spans)

    def begin_anew(self, facts: Mapping[str, str]) -> None:
        """Be the library of another model: all files are to be read anew."""
        self._write("UPDATE files SET content = NULL")
        self._write("DELETE FROM contents")
        new = {"format": FORMAT, "rows": "0", **facts}
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(new.items()))

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._reported(), closing(self._connection.execute(statement, values)) as found:
            return found.fetchall()

    def _number(self, statement: str) -> int:
        return int(self._all(statement)[0][0])

    def _write(self, statement: str, rows: Iterable[Sequence[Any]] = ((),)) -> None:
        with self._reported():
            self._connection.executemany(statement, rows)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explained(self._path, error) from None


def open_catalogue(path: Path, new: Mapping[str, str] | None = None) -> Catalogue:
    """Open a catalogue to read it, or, given the facts of a new one, to write and maybe make it.

    Raises DataError when there is none to read, or it is damaged or somebody else's.
    """
    if new is None and not path.exists():
        folder = printable(path.parent)
        raise DataError(
            f"{folder}: no library there; make one: mrnn index PATH... --library {folder}"
        )
    mode = "ro" if new is None else "rwc"
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_WAIT,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise _explained(path, error) from None
    catalogue = Catalogue(path, connection)
    try:
        _prepare(catalogue, path, new)
    except BaseException:
        catalogue.close()
        raise
    return catalogue


def _prepare(catalogue: Catalogue, path: Path, new: Mapping[str, str] | None) -> None:
    tables = {name for (name,) in catalogue._all("SELECT name FROM sqlite_master")}
    if not tables and new is not None:
        with catalogue.transaction():
            for statement in _SCHEMA:
                catalogue._write(statement)
            catalogue.begin_anew(new)
    elif not {"facts", "contents", "files", "roots"} <= tables:
        raise DataError(f"{printable(path)}: not a library of mrnn; name another directory")
    elif catalogue.facts().get("format") != FORMAT:
        raise DataError(
            f"{printable(path)}: made by another version of mrnn; remove "
            f"{printable(path.parent)} and index again"
        )


def _explained(path: Path, error: sqlite3.Error) -> DataError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the extended part says more than needed
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            what = "another process is writing; try again when it has ended"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            what = f"cannot be written ({error}); make room and go on: what was done so far is kept"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            what = f"cannot be opened or written here ({error}); see who may write to the folder"
        case _:
            return _damaged(path)
    return DataError(f"{printable(path)}: {what}")


def _damaged(path: Path) -> DataError:
    return DataError(
        f"{printable(path)}: the catalogue is damaged; get it from a backup, or remove "
        f"{printable(path.parent)} and index again (no photo is touched)"
    )


def _file(row: tuple[Any, ...]) -> tuple[File, Content | None]:
    key, size, mtime_ns, offset, code, message, *rest = row
    digest, at, width, height, caption, perplexity, content_code, content_message = rest
    path, _, name = key.partition(b"\0")
    shard = Path(os.fsdecode(path))
    picture = Member(shard, os.fsdecode(name), offset, size) if name else shard
    file = File(picture, size, mtime_ns, digest, (code, message) if code else None)
    if digest is None:
        return file, None
    dimensions = None if width is None else (width, height)
    captioned = None if caption is None else (caption, perplexity)
    fault = (content_code, content_message) if content_code else None
    return file, Content(digest, at, dimensions, captioned, fault)


def _offset(picture: Picture) -> int | None:
    return picture.offset if isinstance(picture, Member) else None
