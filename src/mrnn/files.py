"""Write a file as a whole or not at all; hold a folder against other processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write under another name, then rename; raises OSError and leaves nothing.

    Text is written as UTF-8. Bytes are on the disk before they get the name: those are the files
    that take long to make again.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # of a run that was killed
        with fresh.open("xb") as file:  # never through a link
            file.write(content.encode() if isinstance(content, str) else content)
            if isinstance(content, bytes):
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Lock a folder, or a file that is made, until the block ends; yields whether that worked.

    Between machines only a file can be locked. Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
