"""Pictures made byte by byte, of kinds that Pillow itself does not write."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrnn.errors import ImageError
from mrnn.images.reading import read_image

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
    if tags.get(284) == 2 and samples > 1:
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


def photo(width: int = 48, height: int = 36) -> np.ndarray:
    """Levels (H, W, 3) that go through all of 0 to 255, and are hard to mistake for others."""
    coarse = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    coarse[0, 0], coarse[1, 1] = 0, 255
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """Samples (H, W) or (H, W, C) of 8 or 16 bits, with these chunks before them."""
    height, width, channels = (*samples.shape, 1)[:3]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, kind, 0, 0, 0)
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def avif(image: Image.Image, clap: Sequence[int] = (), nclx: tuple[int, int] = (1, 13)) -> bytes:
    """An AVIF whose colours are said by two numbers, or that has a clean aperture (8 numbers)."""
    if clap:  # a profile of this length lies in a box as long as that of a clean aperture
        content = encoded(image, "AVIF", quality=95, icc_profile=bytes(28))
        box = struct.pack(">I", 40) + b"colrprof" + bytes(28)
        assert content.count(box) == 1
        content = content.replace(box, struct.pack(">I4s8i", 40, b"clap", *clap))
        # Whoever does not understand a crop must not show the picture: the first bit says so.
        start = content.index(b"ipma") + 4 + 8 + 2
        count = content[start]
        marks = content[start + 1 : start + 1 + count]
        at = content.index(b"ipco") + 4
        number = 1
        while content[at + 4 : at + 8] != b"clap":
            at += int.from_bytes(content[at : at + 4], "big")
            number += 1
        marks = bytes(mark | 0x80 if mark == number else mark for mark in marks)
        return content[: start + 1] + marks + content[start + 1 + count :]
    content = bytearray(encoded(image, "AVIF", quality=95))
    at = content.index(b"nclx") + 4
    struct.pack_into(">HH", content, at, *nclx)
    return bytes(content)


def seen(folder: Path, content: bytes, at_least: int | None = None) -> np.ndarray:
    """The levels (H, W, 3) that are read of a file."""
    (folder / "a").write_bytes(content)
    return np.asarray(read_image(folder / "a", at_least), dtype=int)


def refused(folder: Path, content: bytes, code: str = "unsupported") -> str:
    """The message with which a file is refused."""
    with pytest.raises(ImageError) as caught:
        seen(folder, content)
    assert caught.value.code == code
    message = str(caught.value)
    assert message.startswith(f"{folder / 'a'}: ")
    assert message.isprintable()
    return message
