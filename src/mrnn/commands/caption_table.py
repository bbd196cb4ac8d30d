"""Captions as a CSV file, a row an image, which grows as they are made.

A run that was interrupted is gone on with by the same command: rows that are there stay, and their
images are left out. A row that was cut off by a crash is taken away.

Paths go from the table's folder on, and are whole where an image lies elsewhere: from wherever a
command is given, the same image has the same row.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..errors import DataError
from ..images.finding import printable
from ..results import Caption
from .beforehand import require_output
from .places import Held, Place

_COLUMNS = ("path", "caption", "sure", "main_word", "strangeness", "logprob", "perplexity")
_HEADER = f"{','.join(_COLUMNS)}\n".encode()
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets compute begins with one of these


def caption_table(path: Path, overwrite: bool) -> Place:
    """A CSV file of captions, begun anew to `overwrite`; raises DataError if it is not ours."""
    require_output(path)
    there = _read(path)
    names = _Names(path.parent)
    size = len(there)  # of the file in bytes, as we left it
    kept: bytes | None = b"" if overwrite else _whole_rows(there)  # until we have written
    done = {names.identity(path.parent / row) for row in _paths(kept or b"")}

    def look(image: Path) -> Held:
        return Held.OURS if names.identity(image) in done else Held.NOTHING

    def write(image: Path, caption: Caption) -> None:
        nonlocal size, kept
        row = _row(names.written(image), caption).encode()
        if kept is not None and not kept:
            row = _HEADER + row
        try:
            with path.open("ab") as file:
                if file.tell() != size:
                    raise _unwritable(path, "somebody else writes to it")
                if kept is not None:
                    size, kept = file.truncate(len(kept)), None
                file.write(row)
        except OSError as error:
            with suppress(OSError):
                os.truncate(path, size)
            raise _unwritable(path, error.strerror) from None
        size += len(row)
        done.add(names.identity(image))

    return Place(look, write)


class _Names:
    """What images are called in the table of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay
        self._real = lru_cache(maxsize=1024)(os.path.realpath)

    def identity(self, path: Path) -> str:
        """One text for an image, through whatever links of folders its path leads."""
        return _text(Path(self._real(path.parent), path.name))

    def written(self, image: Path) -> str:
        """The path of an image as its row has it."""
        whole = Path(os.path.abspath(image))  # noqa: PTH100 - links stay
        real = Path(self._real(image.parent), image.name)
        if self._real(image.parent) != self._real(whole.parent):  # `..` behind a link
            whole = real
        for path, folder in ((whole, self._folder), (real, Path(self._real(self._folder)))):
            if path.is_relative_to(folder):
                return _text(path.relative_to(folder))
        return _text(real)


def _row(path: str, caption: Caption) -> str:
    values = {
        "path": path,
        "caption": caption.text,
        "sure": caption.sure,
        "main_word": caption.main_word,
        "strangeness": caption.strangeness,
        "logprob": caption.logprob,
        "perplexity": caption.perplexity,
    }
    text = io.StringIO()
    # A carriage return is quoted only where it is a part of what ends a line.
    csv.writer(text, lineterminator="\r\n").writerow([values[name] for name in _COLUMNS])
    return text.getvalue().removesuffix("\r\n") + "\n"


def _text(path: Path) -> str:
    """A path in Unicode, as no spreadsheet takes it for a formula."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return f"./{text}" if text.startswith(_FORMULA) else text


def _read(path: Path) -> bytes:
    """A table of ours; nothing where there is none."""
    if not os.path.lexists(path):
        return b""
    if not path.is_file():
        raise DataError(f"{printable(path)}: is not a file; choose another name")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    if content and not (content.startswith(_HEADER) and _is_utf8(content)):
        raise DataError(
            f"{printable(path)}: exists and is not a table of captions of ours; choose another name"
        )
    if not os.access(path, os.W_OK):
        raise _unwritable(path, "Permission denied")
    return content


def _whole_rows(content: bytes) -> bytes:
    while content and (not content.endswith(b"\n") or content.count(b'"') % 2):
        content = content[: content.rindex(b"\n", 0, -1) + 1]
    return content


def _is_utf8(content: bytes) -> bool:
    """Whether it is, but for a letter at its end that was cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return False
    return True


def _paths(content: bytes) -> set[str]:
    rows = csv.reader(io.StringIO(content.decode(), newline=""))
    return {row[0] for row in rows if row and "\0" not in row[0]} - {_COLUMNS[0]}


def _unwritable(path: Path, reason: str | None) -> DataError:
    return DataError(f"{printable(path)}: cannot be written ({reason})")
