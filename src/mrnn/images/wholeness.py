"""Files of which a part never arrived: the right size, with zeros where the rest should be.

Decoders make something of zeros, and say nothing of it to Pillow. A JPEG in one scan is given to
its decoder so that it fails when it is done too soon (all rows, though much of the file is left) or
too late (out of bytes before the last row). In other codings many zeros in a row do not occur.
Where samples are not coded at all, zeros are black: only a row that breaks off tells.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

from .boxes import coded_parts
from .jpeg import Scan, require_usual, scans

_LAST = 256  # bytes of a scan, at most, that need not be asked for: some cameras fill it up
_LEAST = 64  # the same, at least
_BEYOND = 16  # bytes that a decoder may look ahead
_ZEROS = 64  # bytes in a row that no arithmetic coder writes, nor one of details of a JPEG
_REFINED = 512  # the same of bits that only make details finer; artificial pictures have some
_ZEROS_OF_WEBP = 1024  # the same of WebP; at its end there are no more than above
_FLAT = 2048  # pixels of one colour for which a lossy WebP may have one more
_BLACK = 10  # the share of rows, as its inverse, that are black at the end of a file that is cut
_SHORT = 16  # the same of a row's rest
_DARK = 16  # bytes of a row that goes on are larger, on average
_MISSING = "a part of its samples is missing"


class OneScan:
    """A JPEG in one scan, as a file for its decoder."""

    def __init__(self, content: bytes, scan: Scan) -> None:
        self._content, self._at = content, 0
        self._end = len(content) if scan.end is None else scan.end
        length = self._end - scan.start
        self._last = self._end - min(length, _LAST, max(_LEAST, length // 4))
        # In the place of the end, at which a decoder that needs more makes something up.
        self._beyond = b"" if scan.end is None else bytes(_BEYOND)
        self.is_used_up = False  # the decoder asked for the last part

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file."""
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        """As of any file."""
        return self._at

    def close(self) -> None:
        """As of any file."""

    def read(self, size: int = -1) -> bytes:
        """As of any file, but never on from before the last part into it."""
        start, rest = self._at, b""
        end = self._last
        if start >= self._last:
            self.is_used_up = True
            end, rest = self._end, self._beyond[max(0, start - self._end) :]
        if size < 0 or start + size > end:
            found = self._content[start:end] + rest
            found = found if size < 0 else found[:size]
        else:
            found = self._content[start : start + size]
        self._at += len(found)
        return found


def one_scan(content: bytes) -> OneScan | None:
    """A JPEG for its decoder, if it has one scan of all components; raises Unsupported, OSError."""
    scan = next(scans(content), None)
    if scan is None or not scan.is_all:
        require_usual(content)
        return None
    _require_restarts(scan)
    return OneScan(content, scan)


def require_used_up(scan: OneScan) -> None:
    """Raise OSError where a decoder was done long before the end of its scan."""
    if not scan.is_used_up:
        raise OSError(_MISSING)


def require_whole(content: bytes, kind: str, size: tuple[int, int]) -> None:
    """Raise OSError where a progressive JPEG, a WebP, an AVIF or a HEIC has zeros for samples."""
    if kind == "JPEG":
        _require_scans(content)
        return
    pixels = size[0] * size[1]
    if kind == "WEBP":
        for lossless, start, end in _of_webp(content):
            # Even parts are coded with zeros: of a lossless picture, at most a few bits a pixel.
            inside = _ZEROS_OF_WEBP + pixels // (2 if lossless else _FLAT)
            last = end - (inside if lossless else _ZEROS + pixels // _FLAT)
            is_empty = last > start and not any(content[last:end])
            if is_empty or content.find(bytes(inside), start, end) >= 0:
                raise OSError(_MISSING)
        return
    for start, end in coded_parts(content):
        if content.find(bytes(_ZEROS), start, end) >= 0:
            raise OSError(_MISSING)


def order_of_rows(image: Image.Image) -> int:
    """Of samples that are not coded: 1, the first row comes first; -1, the last one. Else 0."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile or image.mode == "1":
        return 0
    codec, extents, _, arguments = image.tile[0]
    if codec not in ("raw", "ppm") or (extents and extents[2] != image.width):
        return 0
    direction = arguments[2] if isinstance(arguments, tuple) and len(arguments) > 2 else 1
    return -1 if direction == -1 else 1


def require_last_rows(image: Image.Image, order: int) -> None:
    """Raise OSError where a row of samples breaks off, and zeros are all that follows."""
    width, height = image.size
    last = height - 1 if order == 1 else 0
    if image.getpixel((width - 1, last)) not in (0, (0,) * len(image.getbands())):
        return  # of nearly all pictures
    if image.crop((0, last, width, last + 1)).getbbox(alpha_only=False) is not None:
        return
    rows = np.asarray(image)[::order].reshape(height, -1)
    filled = np.flatnonzero(rows.any(axis=1))
    if not len(filled) or not 1 <= filled[-1] < height - 1 - height // _BLACK:
        return
    row, above = (
        np.ascontiguousarray(rows[at]).view(np.uint8) for at in (filled[-1], filled[-1] - 1)
    )
    at = int(np.flatnonzero(row)[-1]) + 1
    near = slice(max(0, at - 64), at)
    is_like = row[near].mean() >= above[near].mean() / 2
    rest = above[at:]  # where it is short, it has to be bright
    least = _DARK if len(rest) > len(row) // _SHORT else 4 * _DARK
    pixels = rest[len(rest) % (len(row) // width) :].reshape(-1, len(row) // width)
    if is_like and len(pixels) and pixels.any(axis=1).mean() > 0.9 and rest.mean() >= least:
        raise OSError(_MISSING)


def _require_scans(content: bytes) -> None:
    left: dict[tuple[int, bool], int] = {}  # bits of means and of details that have not come
    first: int | None = None
    for scan in scans(content):
        if not scan.frame.is_progressive:
            return
        first = scan.frame.components[0]
        is_detail = scan.first_detail > 0
        left |= {(component, is_detail): scan.bits_left for component in scan.components}
        if is_detail:
            least = _REFINED if scan.is_refinement else _ZEROS
            if content.find(bytes(least), scan.start, scan.end or len(content)) >= 0:
                raise OSError(_MISSING)
    if first is not None and (any(left.values()) or (first, True) not in left):
        raise OSError(_MISSING)


def _require_restarts(scan: Scan) -> None:
    """Raise OSError unless the marks at which decoders begin anew are all there, in order."""
    if not scan.interval or scan.end is None or scan.restarts is None:
        return
    expected = -(-scan.frame.units // scan.interval) - 1
    if len(scan.restarts) != expected or (scan.restarts != np.arange(expected) % 8).any():
        raise OSError(_MISSING)


def _of_webp(content: bytes) -> Iterator[tuple[bool, int, int]]:
    """Whether it is lossless, start and end of each piece that is coded by VP8."""
    waiting = [(12, len(content))]
    while waiting:
        at, end = waiting.pop()
        while at + 8 <= end:
            kind, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
            start, at = at + 8, at + 8 + size + size % 2
            if kind in (b"VP8 ", b"VP8L"):
                yield kind == b"VP8L", start, min(start + size, end)
            elif kind == b"ANMF":  # a frame: 16 bytes, then chunks
                waiting.append((start + 16, min(start + size, end)))
