"""What lies under the folders of a library now, with size and time of each file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..datasets.examples import Problem
from ..datasets.shards import shard_pictures
from ..errors import ImageError
from ..images.finding import find_images, printable
from .catalogue import File

SHARD = ".tar"  # ends the name of a file that holds pictures; it is read when it is named itself
_BITS = (1 << 63) - 1  # of a time that the catalogue can hold: a file may be of the year 3000


@dataclass(frozen=True)
class Scan:
    """The pictures under some paths, and what could not be looked into."""

    files: tuple[File, ...]  # in the order in which they are to be read
    unseen: tuple[tuple[Path, ImageError], ...]  # what is missing or cannot be looked at
    problems: tuple[Problem, ...]  # members of tar files that are left out
    others: Mapping[str, int]  # how many files have which suffix, of no pictures


def scan(roots: Sequence[Path]) -> Scan:
    """List what lies under absolute paths: folders, pictures, and tar files that are named.

    What lies under several of them counts once.
    """
    shards = [root for root in roots if _is_shard(root)]
    found = find_images([root for root in roots if root not in shards])
    files: dict[bytes, File] = {}
    unseen = list(found.errors)
    problems: list[Problem] = []
    for path in found.images:
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            unseen.append((path, _unseen(path, error)))
        else:
            file = File(path, status.st_size, status.st_mtime_ns & _BITS)
            files[file.key] = file
    for shard in shards:
        try:
            mtime_ns = shard.stat().st_mtime_ns & _BITS
            for member in shard_pictures(shard):
                if isinstance(member, Problem):
                    problems.append(member)
                else:
                    file = File(member, member.size, mtime_ns)
                    files[file.key] = file
        except (OSError, ValueError) as error:
            unseen.append((shard, _unseen(shard, error)))
    return Scan(tuple(files.values()), tuple(unseen), tuple(problems), found.others)


def _is_shard(root: Path) -> bool:
    return root.suffix.lower() == SHARD and not os.path.isdir(root)  # noqa: PTH112 - never raises


def _unseen(path: Path, error: OSError | ValueError) -> ImageError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ImageError("missing", f"{printable(path)}: no such file or folder")
    reason = getattr(error, "strerror", None) or error
    return ImageError("unreadable", f"{printable(path)}: cannot be read ({reason})")
