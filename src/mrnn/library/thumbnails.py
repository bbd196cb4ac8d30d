"""Small copies of a library's pictures, made when they are first looked at, kept in its folder.

    DIR/thumbnails/3f/3fa2….jpg      by the SHA-256 of the picture's file

They go when the library has their picture no more.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..files import write_whole
from .catalogue import Catalogue

SIDE = 512  # pixels of the longer side
_FOLDER = "thumbnails"


class Thumbnails:
    """The small copies of one library; without a right to write to its folder there are none."""

    def __init__(self, library: Path) -> None:
        self._folder = library / _FOLDER

    def get(self, digest: bytes) -> bytes | None:
        """The JPEG of a picture, if it was kept."""
        try:
            return self._place(digest).read_bytes()
        except OSError:
            return None

    def put(self, digest: bytes, jpeg: bytes) -> None:
        """Keep the JPEG of a picture, where that is possible."""
        place = self._place(digest)
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, jpeg)

    def keep_only(self, catalogue: Catalogue) -> None:
        """Remove those of pictures that lie nowhere any more."""
        if self._folder.is_dir():
            known = {digest.hex() for _, digest, *_ in catalogue.dated()}
            for place in self._folder.glob("*/*"):
                if place.stem not in known:
                    with suppress(OSError):
                        place.unlink()

    def _place(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / f"{name}.jpg"
