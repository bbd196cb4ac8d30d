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
    size = len(there)  # of the file in bytes, as we left it
    kept: bytes | None = b"" if overwrite else _whole_rows(there)  # until we have written
    done = _paths(kept or b"")

    def look(image: Path) -> Held:
        return Held.OURS if _path(image) in done else Held.NOTHING

    def write(image: Path, caption: Caption) -> None:
        nonlocal size, kept
        row = _row(image, caption).encode()
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
        done.add(_path(image))

    return Place(look, write)


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
    # A carriage return is quoted only where it is a part of what ends a line.
    csv.writer(text, lineterminator="\r\n").writerow([values[name] for name in _COLUMNS])
    return text.getvalue().removesuffix("\r\n") + "\n"


def _path(image: Path) -> str:
    """An image's path in Unicode, as no spreadsheet takes it for a formula."""
    text = os.fsencode(image).decode(errors="backslashreplace")
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
    return {row[0] for row in rows if row}


def _unwritable(path: Path, reason: str | None) -> DataError:
    return DataError(f"{printable(path)}: cannot be written ({reason})")
