"""Write a file as a whole or not at all; hold a folder against other processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"  # the file in a folder that keeps other processes out


def write_whole(path: Path, content: str | bytes, keep: bool = False) -> None:
    """Write under another name, then rename; raises OSError and leaves nothing.

    Text is written as UTF-8. Bytes are on the disk before they get the name: those are the files
    that take long to make again. To `keep` is to give the file the mode, the dates, the owner and
    the extended attributes that it had. Who writes into the same folder waits.
    """
    fresh = path.with_name(f".{path.name}.new")
    with turn_in(path.parent):
        try:
            fresh.unlink(missing_ok=True)  # of a run that was killed
            with fresh.open("xb") as file:  # never through a link
                file.write(content.encode() if isinstance(content, str) else content)
                if isinstance(content, bytes):
                    file.flush()
                    os.fsync(file.fileno())
            if keep:
                _copy_status(path, fresh)
            fresh.replace(path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise


@contextmanager
def turn_in(folder: Path) -> Iterator[None]:
    """Let others wait who write into a folder; nobody waits where disk or system have no locks.

    Two that write the same file would take each other's half of it away, or for their own.
    """
    try:
        import fcntl  # not on Windows

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):  # closed alone it would stay with a process that was forked
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _copy_status(source: Path, target: Path) -> None:
    status = source.stat()
    with suppress(OSError, AttributeError):  # only root gives files away; Windows has no owners
        os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)


@contextmanager
def held(folder: Path, wait: bool = False) -> Iterator[bool]:
    """Keep other processes out of a folder until the block ends; yields whether that worked.

    With `wait` it works as soon as nobody else is in. The lock is of a file in the folder, which
    stays; a process that ends, in whatever way, lets go of it. Raises OSError where the folder
    cannot be written.
    """
    from filelock import FileLock, Timeout  # which few commands need

    # On a disk without locks it fails: what would stand in for one outlives a killed process.
    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        is_held = False
    else:
        is_held = True
    try:
        yield is_held
    finally:
        if is_held:
            lock.release()
