"""The catalogue of a photo library: a SQLite file that says what each picture is, and where.

A content is a picture by the SHA-256 of its file, wherever it lies: it is decoded once. A file is a
place where a content was found. Its key is its path as bytes, since names need not be text; for a
member of a tar file the path of the tar file, a zero byte and the member's name.

Catalogues of older formats (schema) are searched as they are, and brought up to date by whoever
writes.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import UnionType
from typing import Any

from ..errors import DataError, ImageError
from ..images.finding import Member, Picture, printable
from .contents import Content, File, State
from .schema import FORMAT, SCHEMA, SINCE

CATALOGUE = "catalogue.sqlite"  # in the folder of a library
VECTORS = "vectors"  # begins the name of the folder of the vectors; every rebuilding has its own
_WAIT = 60.0  # seconds for another process to end its transaction
_AT_ONCE = 500  # values in a statement
_COLUMNS = (
    "SELECT path, size, mtime_ns, offset, files.error_code, files.error, digest, row, width, "
    "height, caption, perplexity, contents.error_code, contents.error "
)
_NUMBER, _BYTES, _TEXT = int | None, bytes | None, str | None
_STATE_KINDS = (bytes, *(_NUMBER,) * 5, _BYTES, _TEXT)
_KINDS = (
    *(bytes, _NUMBER, _NUMBER, _NUMBER, _TEXT, _TEXT, _BYTES, _NUMBER, _NUMBER),
    *(_NUMBER, _TEXT, float | None, _TEXT, _TEXT),
)
_FILES = f"{_COLUMNS} FROM files LEFT JOIN contents ON content = id"
_LIES_SOMEWHERE = "EXISTS (SELECT 1 FROM files WHERE content = contents.id)"

_SPAN = "path >= ? AND path < ?"


class Catalogue:
    """An open catalogue; one process may write while others read. Its errors are DataErrors."""

    def __init__(self, path: Path, connection: sqlite3.Connection, opened: os.stat_result) -> None:
        self._path = path
        self._opened = opened  # which file of the disk it is
        self._connection = connection
        self.is_upgraded = False  # whether it was of an older format when it was opened
        self._lock = threading.RLock()  # SQLite's own could wait for Python's, and Python's for it

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def is_there(self) -> bool:
        """Whether its file is still where it was opened, and not another one."""
        try:
            return os.path.samestat(self._path.stat(), self._opened)
        except OSError:
            return False

    def version(self) -> int:
        """A number that changes when another process has written."""
        return self._number("PRAGMA data_version")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside is of one moment; writers wait meanwhile."""
        with self._reported():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def check(self) -> None:
        """Raise DataError unless the file is sound from beginning to end."""
        if self._all("PRAGMA quick_check(1)") != [("ok",)]:
            raise _damaged(self._path)

    def facts(self) -> dict[str, str]:
        """What the library is: its format, its model."""
        found = self._all("SELECT name, value FROM facts", (), (str, str | bytes))
        return {name: os.fsdecode(value) for name, value in found}

    def roots(self) -> list[Path]:
        """What was indexed so far: folders, files, tar files."""
        found = self._all("SELECT path FROM roots", (), (bytes,))
        return [Path(os.fsdecode(path)) for (path,) in found]

    def files(self, root: Path | None = None) -> Iterator[tuple[File, Content | None]]:
        """All files, or those at or below a path, with their contents, by path."""
        return self._files(root, "1")

    def unreadable(self, root: Path | None = None) -> Iterator[tuple[File, ImageError]]:
        """Of the same files those that could not be read, each with what was wrong."""
        for file, content in self._files(root, "row IS NULL"):
            if fault := content.fault if content else file.fault:
                message = f"{printable(file.picture)}: {printable(fault[1])}"
                yield file, ImageError(fault[0], message)

    def _files(self, root: Path | None, which: str) -> Iterator[tuple[File, Content | None]]:
        chosen = f"{_FILES} WHERE {which}"
        if root is None:
            yield from map(_file, self._all(f"{chosen} ORDER BY path", (), _KINDS))
            return
        for span in _at_or_below(root):
            yield from map(_file, self._all(f"{chosen} AND {_SPAN} ORDER BY path", span, _KINDS))

    def states(self, root: Path) -> dict[bytes, State]:
        """What tells whether a file has changed, of those at or below a path, by key."""
        columns = "SELECT path, size, mtime_ns, ctime_ns, inode, offset, digest, files.error_code "
        statement = columns + f"FROM files LEFT JOIN contents ON content = id WHERE {_SPAN}"
        return {
            key: State._make(state)
            for span in _at_or_below(root)
            for key, *state in self._all(statement, span, _STATE_KINDS)
        }

    def knows(self, digest: bytes) -> bool:
        """Whether this content is a picture that was read before."""
        known = "SELECT 1 FROM contents WHERE digest = ? AND row NOT NULL"
        return bool(self._all(known, (digest,)))

    def has_unread(self) -> bool:
        """Whether there are files to be read anew."""
        unread = "SELECT 1 FROM files WHERE content IS NULL AND error_code IS NULL"
        return bool(self._number(f"SELECT EXISTS ({unread})"))

    def rows(self) -> list[int]:
        """Rows in the vectors of the pictures that lie somewhere, rising."""
        statement = f"SELECT row FROM contents WHERE row NOT NULL AND {_LIES_SOMEWHERE}"  # noqa: S608
        return self._numbers_of_rows(statement + " ORDER BY row")

    def pictures(self, rows: Sequence[int]) -> dict[int, tuple[Content, list[Picture]]]:
        """The contents at rows of the vectors, each with the places where it lies, by path."""
        found: dict[int, tuple[Content, list[Picture]]] = {}
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            these = f"row IN ({','.join('?' * len(part))})"
            statement = f"{_COLUMNS} FROM contents JOIN files ON content = id WHERE {these}"
            for file, content in map(_file, self._all(f"{statement} ORDER BY path", part, _KINDS)):
                if content is not None and content.row is not None:
                    found.setdefault(content.row, (content, []))[1].append(file.picture)
        return found

    def places(self, digest: bytes) -> list[Picture]:
        """Where the picture with a SHA-256 lies, by path; nowhere if it is not known."""
        statement = f"{_COLUMNS} FROM contents JOIN files ON content = id WHERE digest = ?"
        rows = self._all(f"{statement} ORDER BY path", (digest,), _KINDS)
        return [_file(row)[0].picture for row in rows]

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

    def tells_dates(self) -> bool:
        """Whether it keeps when pictures were taken; older formats do not."""
        return self.facts()["format"] == FORMAT

    def dated(self) -> list[tuple[int, bytes, str | None, bytes, int | None]]:
        """The pictures that lie somewhere: row, SHA-256, when taken, path, mtime; by path.

        One that lies in several places comes several times.
        """
        taken = "taken" if self.tells_dates() else "NULL"
        return self._all(
            f"SELECT row, digest, {taken}, path, mtime_ns FROM files "  # noqa: S608
            "JOIN contents ON content = id WHERE row NOT NULL ORDER BY path",
            (),
            (int, bytes, _TEXT, bytes, _NUMBER),
        )

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

    def exclude(self) -> list[str]:
        """The patterns of what is left out."""
        try:
            found = json.loads(self.facts().get("exclude", "[]"))
        except (ValueError, RecursionError):
            raise _damaged(self._path) from None
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise _damaged(self._path)
        return found

    def put_exclude(self, patterns: Iterable[str]) -> None:
        """Remember other patterns; empty ones are none."""
        self.put_facts({"exclude": json.dumps([pattern for pattern in patterns if pattern])})

    def add_roots(self, roots: Iterable[Path]) -> None:
        """Remember what is indexed."""
        self._write("INSERT OR IGNORE INTO roots VALUES (?)", [(os.fsencode(r),) for r in roots])

    def drop_roots(self, keys: Iterable[bytes]) -> None:
        """Forget that these files were asked for."""
        self._write("DELETE FROM roots WHERE path = ?", [(key,) for key in keys])

    def add_contents(self, contents: Iterable[Content], rows: int) -> None:
        """Enter new contents, and how many rows the vectors have with them.

        A content that could not be read before is told anew.
        """
        nothing = (None, None)
        self._write(
            "INSERT INTO contents (digest, row, width, height, caption, perplexity, error_code, "
            "error, taken) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET "
            "row = excluded.row, width = excluded.width, height = excluded.height, "
            "caption = excluded.caption, perplexity = excluded.perplexity, "
            "error_code = excluded.error_code, error = excluded.error, taken = excluded.taken",
            [
                (
                    *(c.digest, c.row, *(c.size or nothing), *(c.caption or nothing)),
                    *(*(c.fault or nothing), c.taken),
                )
                for c in contents
            ],
        )
        self._write("UPDATE facts SET value = ? WHERE name = 'rows'", [(rows,)])

    def put_files(self, files: Iterable[File]) -> None:
        """Enter files, in the place of what was known of them."""
        self._write(
            "INSERT OR REPLACE INTO files (path, error_code, error, size, mtime_ns, ctime_ns, "
            "inode, offset, content) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT id FROM contents WHERE digest = ?))",
            [(f.key, *(f.fault or (None, None)), *f.marks, f.digest) for f in files],
        )

    def put_marks(self, files: Iterable[File]) -> None:
        """Enter times of change and inodes of files that are known otherwise."""
        self._write(
            "UPDATE files SET ctime_ns = ?, inode = ? WHERE path = ?",
            [(f.ctime_ns, f.inode, f.key) for f in files],
        )

    def drop_files(self, keys: Iterable[bytes]) -> None:
        """Take files out; their contents stay known, should they turn up elsewhere."""
        self._write("DELETE FROM files WHERE path = ?", [(key,) for key in keys])

    def without_caption(self) -> list[int]:
        """Rows of the pictures that lie somewhere and have no caption, rising."""
        lacking = f"row NOT NULL AND caption IS NULL AND {_LIES_SOMEWHERE}"
        statement = f"SELECT row FROM contents WHERE {lacking} ORDER BY row"  # noqa: S608
        return self._numbers_of_rows(statement)

    def set_captions(self, captions: Mapping[int, tuple[str, float]]) -> None:
        """Enter captions, with their perplexities, by row of the vectors."""
        self._write(
            "UPDATE contents SET caption = ?, perplexity = ? WHERE row = ?",
            [(*caption, row) for row, caption in captions.items()],
        )

    def without_date(self) -> list[int]:
        """Rows of the pictures that lie somewhere and were not asked when they were taken."""
        lacking = f"row NOT NULL AND taken IS NULL AND {_LIES_SOMEWHERE}"
        statement = f"SELECT row FROM contents WHERE {lacking} ORDER BY row"  # noqa: S608
        return self._numbers_of_rows(statement)

    def set_dates(self, dates: Mapping[int, str]) -> None:
        """Enter when pictures were taken, by row of the vectors."""
        pairs = [(taken, row) for row, taken in dates.items()]
        self._write("UPDATE contents SET taken = ? WHERE row = ?", pairs)

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

    def forget_refused(self) -> None:
        """Have files read anew that nothing could read, or that were too large."""
        these = "(SELECT id FROM contents WHERE error_code IN ('unsupported', 'too-large'))"
        self._write(f"UPDATE files SET content = NULL WHERE content IN {these}")  # noqa: S608

    def bring_up_to_date(self) -> None:
        """Give a catalogue of an older format what this one keeps: whoever writes does so first."""
        if lacking := SINCE.get(self.facts()["format"]):
            with self.transaction():
                for statement in lacking:
                    self._write(statement)
                self.put_facts({"format": FORMAT})
            self.is_upgraded = True

    def begin_anew(self, facts: Mapping[str, str]) -> None:
        """Forget all contents: all files are to be read anew, maybe for another model."""
        self._write("UPDATE files SET content = NULL, error_code = NULL, error = NULL")
        self._write("DELETE FROM contents")
        self.put_facts({"format": FORMAT, "rows": "0", "vectors": VECTORS, **facts})

    def put_facts(self, facts: Mapping[str, str]) -> None:
        """Say what the library is."""
        values = [(name, os.fsencode(value)) for name, value in facts.items()]  # maybe of a path
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", values)

    def _all(
        self, statement: str, values: Sequence[Any] = (), kinds: Sequence[type | UnionType] = ()
    ) -> list[tuple[Any, ...]]:
        """What a statement finds; raises DataError for columns of other kinds: SQLite takes any."""
        with self._reported(), closing(self._connection.execute(statement, values)) as cursor:
            found = cursor.fetchall()
        for kind, column in zip(kinds, zip(*found, strict=True), strict=False):
            if not all(isinstance(value, kind) for value in column):
                raise _damaged(self._path)
        return found

    def _numbers_of_rows(self, statement: str) -> list[int]:
        """Rows of the vectors, which must be among those that there are."""
        rows = [row for (row,) in self._all(statement, (), (int,))]
        if rows and not 0 <= min(rows) <= max(rows) < self.next_row():
            raise _damaged(self._path)
        return rows

    def _number(self, statement: str) -> int:
        return int(self._all(statement)[0][0])

    def _write(self, statement: str, rows: Iterable[Sequence[Any]] = ((),)) -> None:
        with self._reported():
            self._connection.executemany(statement, rows)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """One thread at a time uses the connection; its errors become DataErrors."""
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise _explained(self._path, error) from None
        except UnicodeDecodeError:  # a message of SQLite that cites what it found
            raise _damaged(self._path) from None


def open_catalogue(path: Path, new: Mapping[str, str] | None = None) -> Catalogue:
    """Open a catalogue; given the facts of a new one, make it where there is none.

    Raises DataError when there is none to read, or it is damaged or somebody else's.
    """
    if not path.exists():
        if new is None:
            folder = printable(path.parent)
            raise DataError(
                f"{folder}: no library there; make one: mrnn index PATH... --library {folder}"
            )
        try:
            _make(path, new)
        except OSError as error:
            raise DataError(f"{printable(path)}: cannot be made ({error.strerror})") from None
    catalogue = _open(path)
    try:
        _require_ours(catalogue, path)
    except BaseException:
        catalogue.close()
        raise
    return catalogue


def _make(path: Path, facts: Mapping[str, str]) -> None:
    """Make a new catalogue under another name, then rename it."""
    fresh = path.with_name(f".{path.name}.new")
    for left in (fresh, fresh.with_name(f"{fresh.name}-journal")):
        left.unlink(missing_ok=True)  # of a run that was killed
    fresh.touch()
    with closing(_open(fresh)) as catalogue, catalogue.transaction():
        for statement in SCHEMA:
            catalogue._write(statement)
        catalogue.begin_anew(facts)
    fresh.replace(path)


def _open(path: Path) -> Catalogue:
    """For readers as for writers: who comes after a killed writer takes back what it left half."""
    try:
        opened = path.stat()
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_WAIT,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise _explained(path, error) from None
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be opened ({error.strerror})") from None
    return Catalogue(path, connection, opened)


def _require_ours(catalogue: Catalogue, path: Path) -> None:
    tables = {name for (name,) in catalogue._all("SELECT name FROM sqlite_master")}
    if not {"facts", "contents", "files", "roots"} <= tables:
        raise DataError(f"{printable(path)}: not a library of mrnn; name another directory")
    facts = catalogue.facts()
    if facts.get("format") not in (*SINCE, FORMAT):
        raise DataError(
            f"{printable(path)}: made by another version of mrnn; remove "
            f"{printable(path.parent)} and index again"
        )
    vectors = re.fullmatch(rf"{VECTORS}(-\d+)?", facts.get("vectors", ""))
    if not {"model", "identity"} <= facts.keys() or not facts.get("rows", "").isdecimal():
        raise _damaged(path)
    if facts.get("precision", "32") not in ("8", "32"):  # older libraries do not say
        raise _damaged(path)
    if vectors is None:
        raise _damaged(path)


def _explained(path: Path, error: sqlite3.Error) -> DataError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the extended part says more than needed
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            what = "another process is writing; try again when it has ended"
        case sqlite3.SQLITE_FULL:
            what = f"cannot be written ({error}); make room and go on: what was done so far is kept"
        case sqlite3.SQLITE_IOERR:
            what = f"cannot be read or written ({error}); see whether the disk is full, or failing"
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
    picture = Member(shard, os.fsdecode(name), offset or 0, size or 0) if name else shard
    file = File(picture, size, mtime_ns, digest, (code, message) if code else None)
    if digest is None:
        return file, None
    dimensions = None if width is None else (width, height)
    captioned = None if caption is None or perplexity is None else (caption, perplexity)
    fault = (content_code, content_message) if content_code else None
    return file, Content(digest, at, dimensions, captioned, fault)


def _at_or_below(root: Path) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """Spans of keys: a path itself with the members of a tar file, and what lies in a folder."""
    path = os.fsencode(root)
    below = path.rstrip(b"/")
    return (path, path + b"\1"), (below + b"/", below + b"0")
