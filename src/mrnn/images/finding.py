"""Pictures as files: which there are, whether they can be opened, how to print where they are.

Nothing is decoded here, and neither NumPy nor Pillow is imported: the command line tells what is
missing before it loads anything.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ImageError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif"}
)
SIDECAR = ".caption.txt"  # ends the name of a caption's file beside its image


@dataclass(frozen=True)
class Member:
    """A picture inside another file: a tar file, an Arrow stream, a Parquet file."""

    shard: Path
    name: str  # of the member
    offset: int  # of its bytes in the shard; in a Parquet file, where none can be sought, its row
    size: int  # in bytes

    def __str__(self) -> str:
        return f"{self.shard}:{self.name}"


Picture = Path | Member


@dataclass(frozen=True)
class FoundImages:
    """What lies under some paths."""

    images: tuple[Path, ...]
    errors: tuple[tuple[Path, ImageError], ...]  # folders that cannot be read
    others: int  # files in folders that are not images by their suffix


def find_images(paths: Sequence[str | os.PathLike[str]]) -> FoundImages:
    """List the images under `paths` in order.

    A folder is walked recursively in sorted order; hidden entries are skipped; links to files
    are followed, links to folders once. A file named explicitly is always listed.
    """
    images: list[Path] = []
    errors: list[tuple[Path, ImageError]] = []
    others = 0
    for given in map(Path, paths):
        if not _is_folder(given):
            images.append(given)
            continue
        for path in _walk(given, errors):
            if path.suffix.lower() in SUFFIXES:
                images.append(path)
            elif not path.name.endswith(SIDECAR):
                others += 1
    return FoundImages(tuple(images), tuple(errors), others)


def printable(path: str | os.PathLike[str] | Member) -> str:
    """A path as text that is safe to print: undecodable bytes and control characters escaped."""
    text = str(path) if isinstance(path, Member) else os.fspath(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # Python keeps an undecodable byte as a lone surrogate
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode()


def _is_folder(path: Path | os.DirEntry[str]) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, or inside a folder that may not be entered
        return False


def _walk(top: Path, errors: list[tuple[Path, ImageError]]) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    waiting = [(top, True)]  # the next one last; no recursion, folders may be nested deeply
    while waiting:
        path, is_folder = waiting.pop()
        if not is_folder:
            yield path
            continue
        try:
            waiting += reversed(_entries(path, seen))
        except OSError as error:
            message = f"{printable(path)}: the folder cannot be read ({error.strerror})"
            errors.append((path, ImageError("unreadable", message)))


def _entries(folder: Path, seen: set[tuple[int, int]]) -> list[tuple[Path, bool]]:
    """What a folder holds, in order, and whether each is a folder; nothing of a folder seen."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return []
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    return [(folder / e.name, _is_folder(e)) for e in entries if not e.name.startswith(".")]


def check_file(picture: Picture) -> None:
    """Raise ImageError unless there is a regular file with something in it."""
    name = printable(picture)
    path = picture.shard if isinstance(picture, Member) else picture
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ImageError("missing", f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise ImageError("unreadable", f"{name}: cannot be opened ({error})") from None
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not-a-file", f"{name}: not a regular file")
    if status.st_size == 0 or (isinstance(picture, Member) and picture.size == 0):
        raise ImageError("empty", f"{name}: the file is empty")
    if not os.access(path, os.R_OK):
        raise ImageError("unreadable", f"{name}: permission denied")
