"""Files beside a picture that have its name but for the suffix, and would share a sidecar."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..images.finding import SUFFIXES
from ..images.kinds import HEAD, READABLE, kind_of

# Of files that programs give a photo.xmp to, beside pictures that can be read.
_RAW = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef"}
    | {".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
_OTHERS = frozenset({".psd", ".jp2", ".mov", ".mp4", ".m4v", ".avi"})
WITH_XMP = SUFFIXES | _RAW | _OTHERS

Namesakes = Callable[[Path], list[str]]


def namesakes(suffixes: frozenset[str]) -> Namesakes:
    """A function that lists the other files with the same stem as a picture.

    Those of these kinds, and pictures whatever their suffix. What a folder holds is read once.
    """

    @lru_cache(maxsize=16)
    def by_stem(folder: Path) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        with suppress(OSError):
            for path in sorted(folder.iterdir()):
                found[path.stem].append(path.name)
        return found

    def is_kin(path: Path) -> bool:
        return path.suffix.lower() in suffixes or _is_picture(path)

    def others(image: Path) -> list[str]:
        names = by_stem(image.parent).get(image.stem, ())
        return [name for name in names if name != image.name and is_kin(image.with_name(name))]

    return others


def _is_picture(path: Path) -> bool:
    """Whether a file begins as one, and is no text that begins so: BMX, P2."""
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(HEAD)
            return b"\0" in head and kind_of(head) in READABLE
    return False
