"""TIFF files made byte by byte, of layouts that Pillow itself does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

_TYPES = {int: (4, "I"), float: (12, "d")}  # LONG, DOUBLE
GREY, RGB, CMYK = 1, 2, 5


def directory(pixels: np.ndarray, deflate: bool = False, **more: int | Sequence[int]) -> dict:
    """The tags of a picture (H, W) or (H, W, C), and its bytes in the place of their offset.

    `more` are tags by name that are set besides, or otherwise.
    """
    height, width, samples = (*pixels.shape, 1)[:3]
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags: dict[int, object] = {
        256: width,
        257: height,
        258: (8 * pixels.itemsize,) * samples,
        259: 8 if deflate else 1,
        262: RGB if samples in (3, 4) else GREY,
        277: samples,
        278: height,
        339: (kind,) * samples,
    }
    tags |= {_NAMES[name]: value for name, value in more.items()}
    planes = [pixels]
    if tags.get(284) == 2:
        planes = [pixels[..., i] for i in range(samples)]
    return {"tags": tags, "planes": planes, "deflate": deflate}


_NAMES = {
    "subfile": 254,
    "bits": 258,
    "compression": 259,
    "photometric": 262,
    "samples": 277,
    "least": 280,
    "most": 281,
    "planar": 284,
    "subifds": 330,
    "extra": 338,
    "format": 339,
    "smin": 340,
    "smax": 341,
    "subsampling": 530,
    "reference": 532,
    "dng": 50706,
    "profile": 34675,
}


def tiff(*directories: Mapping, order: str = "<", big: bool = False, inner: int = 0) -> bytes:
    """A file of these directories in a row; the last `inner` are SubIFDs of the first."""
    content = bytearray(b"II" if order == "<" else b"MM")
    offset, count = ("Q", "Q") if big else ("I", "H")
    content += struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
    link = len(content) - struct.calcsize(
        offset
    )  # where the place of the next one is to be written
    below: list[int] = []
    outer = len(directories) - inner

    def put(data: bytes) -> int:
        content.extend(b"\0" * (len(content) % 2))
        at = len(content)
        content.extend(data)
        return at

    for number in [*range(outer, len(directories)), *range(outer)]:
        given = directories[number]
        tags = dict(given["tags"])
        strips = [
            np.ascontiguousarray(p.astype(p.dtype.newbyteorder(order))).tobytes()
            for p in given["planes"]
        ]
        strips = [zlib.compress(s) if given["deflate"] else s for s in strips]
        tags[273] = tuple(put(s) for s in strips)
        tags[279] = tuple(map(len, strips))
        if number == 0 and below:
            tags[330] = tuple(below)
        entries = b""
        for tag, value in sorted(tags.items()):
            values = value if isinstance(value, tuple) else (value,)
            if isinstance(value, bytes):
                kind, data, values = 7, value, value
            else:
                kind, code = _TYPES[type(values[0])]
                data = struct.pack(f"{order}{len(values)}{code}", *values)
            size = struct.calcsize(offset)
            if len(data) > size:
                data = struct.pack(order + offset, put(data))
            entries += struct.pack(f"{order}HH{offset}", tag, kind, len(values)) + data.ljust(
                size, b"\0"
            )
        at = put(struct.pack(order + count, len(tags)) + entries + bytes(struct.calcsize(offset)))
        if number >= outer:
            below.append(at)
        else:
            struct.pack_into(order + offset, content, link, at)
            link = len(content) - struct.calcsize(offset)
    return bytes(content)
