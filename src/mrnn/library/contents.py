"""Pictures, and the files that hold them, as a library knows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..images.finding import Member, Picture

Fault = tuple[str, str]  # the code of an ImageError, and its message without the path


def key_of(picture: Picture) -> bytes:
    """What the file of a picture is found by in the catalogue."""
    if isinstance(picture, Path):
        return os.fsencode(picture)
    return os.fsencode(picture.shard) + b"\0" + os.fsencode(picture.name)


class State(NamedTuple):
    """What tells whether a file has changed, and what became of it then."""

    size: int | None
    mtime_ns: int | None
    ctime_ns: int | None  # of the last change to the file or what is known of it; None: not known
    inode: int | None  # which file of the disk it is; None: not known
    offset: int | None  # of a member in its tar file
    digest: bytes | None = None
    fault: str | None = None  # its code, where the file could not be opened

    def is_that_of(self, file: File) -> bool:
        """Whether a file, as it is now, looks as it did when it was last read."""
        if self.digest is None:
            return False
        was, now = self[:5], file.marks
        return was == now or all(old in (None, new) for old, new in zip(was, now, strict=True))


@dataclass(frozen=True)
class Content:
    """What is known of a picture."""

    digest: bytes  # SHA-256
    row: int | None = None  # of its vector; None where there is a fault
    size: tuple[int, int] | None = None  # width and height, pixels
    caption: tuple[str, float] | None = None  # and its perplexity
    fault: Fault | None = None
    taken: str | None = None  # local time, ISO 8601; "": it does not say; None: nobody looked


@dataclass(frozen=True)
class File:
    """A file as it was when it was last looked at."""

    picture: Picture
    size: int | None  # bytes
    mtime_ns: int | None
    digest: bytes | None = None  # of its content; None: to be read, or with a fault
    fault: Fault | None = None  # of the file, not of its content
    ctime_ns: int | None = None
    inode: int | None = None

    @property
    def key(self) -> bytes:
        """What it is found by."""
        return key_of(self.picture)

    @property
    def marks(self) -> tuple[int | None, int | None, int | None, int | None, int | None]:
        """What it is known again by."""
        offset = self.picture.offset if isinstance(self.picture, Member) else None
        return self.size, self.mtime_ns, self.ctime_ns, self.inode, offset
