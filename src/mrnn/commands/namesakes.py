"""Files beside a picture that have its name but for the suffix, and would share a sidecar."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..images.finding import SUFFIXES

# Of files that programs give a photo.xmp to, beside pictures that can be read.
_RAW = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef"}
    | {".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
_OTHERS = frozenset({".psd", ".jp2", ".mov", ".mp4", ".m4v", ".avi"})
WITH_XMP = SUFFIXES | _RAW | _OTHERS

Namesakes = Callable[[Path], list[str]]


def namesakes(suffixes: frozenset[str]) -> Namesakes:
    """A function that lists the other files of these kinds with the same stem as a picture.

    What a folder holds is read once.
    """

    @lru_cache(maxsize=16)
    def by_stem(folder: Path) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        with suppress(OSError):
            for path in sorted(folder.iterdir()):
                if path.suffix.lower() in suffixes:
                    found[path.stem].append(path.name)
        return found

    def others(image: Path) -> list[str]:
        return [name for name in by_stem(image.parent).get(image.stem, ()) if name != image.name]

    return others
