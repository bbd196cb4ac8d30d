"""A list of files on stdin, in the place of a PATH that is `-`."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, UsageError
from .console import note

_STDIN = Path("-")


def named(paths: Sequence[Path], or_none: bool = False) -> list[Path]:
    """The paths, with those that stdin lists in the place of `-`.

    Raises UsageError for a second `-`; DataError where there are none at all, unless that is
    nothing to do.
    """
    if _STDIN not in paths:
        return list(paths)
    if paths.count(_STDIN) > 1:
        raise UsageError("-: given twice, but there is only one stdin")
    if sys.stdin.isatty():
        note("reading paths from the terminal, one a line; Ctrl-D ends the list")
    listed = listed_paths(sys.stdin.buffer.read())
    if not listed and len(paths) == 1:
        if not or_none:
            raise DataError("-: stdin has no paths; give one a line, or as find -print0 does")
        note("-: stdin has no paths, so there is nothing to do")
    at = paths.index(_STDIN)
    return [*paths[:at], *listed, *paths[at + 1 :]]


def listed_paths(content: bytes) -> list[Path]:
    """The paths of a list: a line each, or ended by zeros, if there are any.

    Bytes that are no text stay as they are. Lists that PowerShell writes, in UTF-16, are read, too.
    """
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if content.startswith(mark):
            text = content.removeprefix(mark).decode(encoding, errors="replace")
            content = text.encode(errors="replace")
    content = content.removeprefix(codecs.BOM_UTF8)
    if b"\0" in content:
        names = content.split(b"\0")
    else:
        names = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return [Path(os.fsdecode(name)) for name in names if name]
