"""Captions as a CSV file, a row an image, which grows as they are made.

A run that was interrupted is gone on with by the same command: rows that are there stay, and their
images are left out. A row that was cut off by a crash is taken away.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from contextlib import suppress
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
    kept = b"" if overwrite else there
    done = _paths(kept)
    size: int | None = None  # in bytes, as far as we know; None until we have written

    def look(image: Path) -> Held:
        return Held.OURS if _path(image) in done else Held.NOTHING

    def write(image: Path, caption: Caption) -> None:
        nonlocal size
        row = _row(image, caption).encode()
        try:
            if size is None:
                size = _begin(path, kept)
            if path.stat().st_size != size:
                raise _unwritable(path, "somebody else writes to it")
            with path.open("ab") as file:
                file.write(row)
        except OSError as error:
            with suppress(OSError):
                os.truncate(path, size or 0)
            raise _unwritable(path, error.strerror) from None
        size += len(row)
        done.add(_path(image))

    return Place(look, write)


def _begin(path: Path, kept: bytes) -> int:
    """Cut the file to what is kept, or write the header; returns its size in bytes."""
    if kept:
        os.truncate(path, len(kept))
        return len(kept)
    path.write_bytes(_HEADER)
    return len(_HEADER)


def _row(image: Path, caption: Caption) -> str:
    values = {
        "path": _path(image),
        "caption": caption.text,
        "sure": caption.sure,
        "main_word": caption.main_word,
        "strangeness": caption.strangeness,
        "logprob": caption.logprob,
        "perplexity": caption.perplexity,
    }
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([values[name] for name in _COLUMNS])
    return text.getvalue()


def _path(image: Path) -> str:
    """An image's path in Unicode, as no spreadsheet takes it for a formula."""
    text = os.fsencode(image).decode(errors="backslashreplace")
    return f"./{text}" if text.startswith(_FORMULA) else text


def _read(path: Path) -> bytes:
    """The whole rows of a table of ours; empty where there is none."""
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
    return {row[0] for row in rows if row}


def _unwritable(path: Path, reason: str | None) -> DataError:
    return DataError(f"{printable(path)}: cannot be written ({reason})")
