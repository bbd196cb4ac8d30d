"""What lies under the folders of a library now, with size and time of each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .catalogue import File
from .datasets.examples import Problem
from .datasets.shards import shard_pictures
from .errors import ImageError
from .images import find_images, printable

SHARD = ".tar"  # ends the name of a file that holds pictures; it is read when it is named itself


@dataclass(frozen=True)
class Scan:
    """The pictures under some paths, and what could not be looked into."""

    files: tuple[File, ...]  # in the order in which they are to be read
    unseen: tuple[tuple[Path, ImageError], ...]  # folders and tar files that cannot be read
    problems: tuple[Problem, ...]  # members of tar files that are left out
    others: int  # files that are no pictures by their suffix


def scan(roots: Sequence[Path]) -> Scan:
    """List what lies under absolute paths: folders, pictures, and tar files that are named.

    What lies under several of them counts once.
    """
    shards = [root for root in roots if root.suffix.lower() == SHARD and not root.is_dir()]
    found = find_images([root for root in roots if root not in shards])
    files = {file.key: file for file in map(_file, found.images)}
    unseen = list(found.errors)
    problems: list[Problem] = []
    for shard in shards:
        try:
            mtime_ns = shard.stat().st_mtime_ns
            for member in shard_pictures(shard):
                if isinstance(member, Problem):
                    problems.append(member)
                else:
                    file = File(member, member.size, mtime_ns)
                    files[file.key] = file
        except OSError as error:
            reason = f"{printable(shard)}: cannot be read ({error.strerror})"
            unseen.append((shard, ImageError("unreadable", reason)))
    return Scan(tuple(files.values()), tuple(unseen), tuple(problems), found.others)


def _file(path: Path) -> File:
    try:
        status = path.stat()
    except (OSError, ValueError):  # reading it will tell why
        return File(path, None, None)
    return File(path, status.st_size, status.st_mtime_ns)
