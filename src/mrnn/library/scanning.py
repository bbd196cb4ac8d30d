"""What lies under the folders of a library now, and what each file is known again by."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..datasets.examples import Problem
from ..datasets.shards import shard_pictures
from ..errors import DataError, ImageError, UsageError
from ..images.finding import Picture, Sieve, anchored, find_images, printable
from .contents import File

SHARD = ".tar"  # ends the name of a file that holds pictures; it is read when it is named itself
_BITS = (1 << 63) - 1  # of a number that the catalogue can hold: a file may be of the year 3000


@dataclass(frozen=True)
class Scan:
    """The pictures under some paths, and what could not be looked into."""

    files: tuple[File, ...]  # in the order in which they are to be read
    unseen: tuple[tuple[Path, ImageError], ...]  # what is missing or cannot be looked at
    problems: tuple[Problem, ...]  # members of tar files that cannot be used
    others: Mapping[str, int]  # how many files have which suffix, of no pictures
    left_out: Mapping[str, int]  # entries by a program's name for them, or a pattern of `exclude`


def absolute(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[Path]:
    """Paths, or a single one, as absolute; links stay. Raises UsageError for what is no path."""
    one = str, os.PathLike, bytes, Mapping
    is_one = isinstance(paths, one) or hasattr(paths, "read") or not isinstance(paths, Iterable)
    found = []
    for path in [paths] if is_one else cast(Iterable[Any], paths):
        if not isinstance(path, str | os.PathLike):
            raise UsageError(
                f"a library takes paths, and {type(path).__name__} is none: what lies in memory "
                "cannot be read again, for another model or a page; save it first, and add the file"
            )
        found.append(Path(os.path.abspath(path)))  # noqa: PTH100
    return found


def patterns(exclude: object) -> list[str]:
    """Patterns, or a single one. Raises UsageError for what is none."""
    is_one = isinstance(exclude, str) or not isinstance(exclude, Iterable)
    found = [exclude] if is_one else list(cast(Iterable[object], exclude))
    for pattern in found:
        if not isinstance(pattern, str):
            kind = type(pattern).__name__
            raise UsageError(f"a pattern is text, and {kind} is none: exclude='*.png', say")
    return cast(list[str], found)


def scan(roots: Sequence[Path], exclude: Sequence[str] = ()) -> Scan:
    """List what lies under absolute paths: folders, pictures, and tar files that are named.

    What lies under several of them counts once. A file that cannot be looked at has a fault and no
    size; a path that was given is in `unseen` then.
    """
    given = set(roots)  # there may be very many
    shards = list(filter(_is_shard, roots))
    found = find_images([root for root in roots if not _is_shard(root)], exclude)
    sieve = Sieve(tuple(anchored(exclude, roots)), Counter(found.left_out))
    files: dict[bytes, File] = {}
    unseen = list(found.errors)
    problems: list[Problem] = []
    for path in found.images:
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            is_link = os.path.islink(path)  # noqa: PTH114 - never raises
            if path in given or (isinstance(error, FileNotFoundError) and not is_link):
                unseen.append((path, _unseen(path, error)))  # the latter was there a moment ago
                continue
            fault = _unseen(path, error)
            message = str(fault).removeprefix(f"{printable(path)}: ")
            file = File(path, None, None, fault=(fault.code, message))
        else:
            file = _file(path, status.st_size, status)
        files[file.key] = file
    for shard in shards:
        try:
            status = shard.stat()
            for member in shard_pictures(shard, sieve.at(shard)):
                if isinstance(member, Problem):
                    problems.append(member)
                else:
                    file = _file(member, member.size, status)
                    files[file.key] = file
        except (OSError, ValueError) as error:
            unseen.append((shard, _unseen(shard, error)))
    seen = tuple(files.values())
    return Scan(seen, tuple(unseen), tuple(problems), found.others, sieve.counts)


def require_seen(roots: Sequence[Path]) -> None:
    """Raise DataError where all paths are missing or cannot be looked at: names that are wrong."""
    faults = []
    for root in roots:
        try:
            root.stat()
        except (OSError, ValueError) as error:
            faults.append(str(_unseen(root, error)))
        else:
            return
    raise DataError("; ".join(faults))


def _file(picture: Picture, size: int, status: os.stat_result) -> File:
    times = status.st_mtime_ns & _BITS, None, None, status.st_ctime_ns & _BITS
    return File(picture, size, *times, status.st_ino & _BITS)


def _is_shard(root: Path) -> bool:
    return root.suffix.lower() == SHARD and not os.path.isdir(root)  # noqa: PTH112 - never raises


def _unseen(path: Path, error: OSError | ValueError) -> ImageError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ImageError("missing", f"{printable(path)}: no such file or folder")
    reason = getattr(error, "strerror", None) or error
    return ImageError("unreadable", f"{printable(path)}: cannot be read ({reason})")
