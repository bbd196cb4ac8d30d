"""What an AVIF says of its picture beside the samples: its crop and its colours (ISO/IEC 23008-12).

Pillow's decoder gives all samples that were coded, and tells neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_FULL = 4  # bytes of version and flags at the start of some boxes
_CODINGS = (b"av01", b"hvc1")
_BOXES = 4096  # that are looked at in a row


@dataclass(frozen=True)
class Properties:
    """Of the primary picture; None: not said."""

    crop: tuple[int, int, int, int] | None = None  # left, top, right, bottom, before it is turned
    colours: tuple[int, int] | None = None  # primaries and transfer, by the numbers of H.273
    bits: int = 8  # a sample


def read_properties(content: bytes, size: tuple[int, int]) -> Properties:
    """The properties of the primary picture of a file, whose samples are (width, height).

    Raises OSError for a crop that leaves nothing.
    """
    meta = _first(content, b"meta", 0, len(content))
    if meta is None:
        return Properties()
    start, end = meta[0] + _FULL, meta[1]
    primary = _primary(content, start, end)
    properties = _first(content, b"iprp", start, end)
    if primary is None or properties is None:
        return Properties()
    container = _first(content, b"ipco", *properties)
    kept = list(_boxes(content, *container)) if container else []
    crop = colours = None
    bits = 8
    for number in _associated(content, properties, primary):
        if not 0 < number <= len(kept):
            continue
        kind, first, last = kept[number - 1]
        body = content[first:last]
        if kind == b"clap" and len(body) >= 32:
            crop = _crop(body, size)
        elif kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            colours = (int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:8], "big"))
        elif kind == b"pixi" and len(body) > _FULL + 1:
            bits = body[_FULL + 1]
    return Properties(crop, colours, bits)


def _crop(body: bytes, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A clean aperture as a box: its sides, and how far its middle is from the picture's."""
    numbers = [
        int.from_bytes(body[at : at + 4], "big", signed=at in (16, 24)) for at in range(0, 32, 4)
    ]
    if 0 in numbers[1::2]:
        raise OSError("its clean aperture is divided by zero")
    width, height, right, down = (numbers[i] / numbers[i + 1] for i in (0, 2, 4, 6))
    left = round((size[0] - width) / 2 + right)
    top = round((size[1] - height) / 2 + down)
    box = left, top, left + round(width), top + round(height)
    if not (0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]):
        raise OSError("its clean aperture is not inside the picture")
    return box


def _primary(content: bytes, start: int, end: int) -> int | None:
    box = _first(content, b"pitm", start, end)
    if box is None:
        return None
    size = 2 if content[box[0]] == 0 else 4
    return int.from_bytes(content[box[0] + _FULL : box[0] + _FULL + size], "big")


def _associated(content: bytes, properties: tuple[int, int], item: int) -> Iterator[int]:
    """The numbers of an item's properties, from 1."""
    for kind, start, end in _boxes(content, *properties):
        if kind != b"ipma" or end - start < 8:
            continue
        wide, large = content[start + 3] & 1, content[start] > 0
        at = start + 8
        for _ in range(int.from_bytes(content[start + 4 : at], "big")):
            size = 4 if large else 2
            name, at = int.from_bytes(content[at : at + size], "big"), at + size
            if at >= end:
                return
            count, at = content[at], at + 1
            step = 2 if wide else 1
            if name == item:
                for place in range(at, min(at + count * step, end), step):
                    value = int.from_bytes(content[place : place + step], "big")
                    yield value & (0x7FFF if wide else 0x7F)  # the first bit: it must be understood
            at += count * step


def _first(content: bytes, kind: bytes, start: int, end: int) -> tuple[int, int] | None:
    found = ((first, last) for name, first, last in _boxes(content, start, end) if name == kind)
    return next(found, None)


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the body of each box of a row."""
    for _ in range(_BOXES):
        size = int.from_bytes(content[start : start + 4], "big")
        header = 8
        if size == 1:
            size, header = int.from_bytes(content[start + 8 : start + 16], "big"), 16
        elif size == 0:  # to the end
            size = end - start
        if size < header or start + size > end:
            return
        yield content[start + 4 : start + 8], start + header, start + size
        start += size


def coded_parts(content: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the pieces of a file that are coded samples, not metadata."""
    meta = _first(content, b"meta", 0, len(content))
    if meta is None:
        return
    inside = meta[0] + _FULL, meta[1]
    names, places = _first(content, b"iinf", *inside), _first(content, b"iloc", *inside)
    if names is None or places is None:
        return
    coded: set[int] = set()
    start = names[0] + _FULL + (2 if content[names[0]] == 0 else 4)
    for kind, at, end in _boxes(content, start, names[1]):
        if kind == b"infe" and content[at] >= 2 and end - at >= 12:
            size = 2 if content[at] == 2 else 4
            item = int.from_bytes(content[at + 4 : at + 4 + size], "big")
            if content[at + size + 6 : at + size + 10] in _CODINGS:
                coded.add(item)
    yield from _places(content, places, coded)


def _places(content: bytes, box: tuple[int, int], items: set[int]) -> Iterator[tuple[int, int]]:
    """Where in the file the pieces of some items lie."""
    at, end = box
    version = content[at]
    sizes = [content[at + 4] >> 4, content[at + 4] & 15, content[at + 5] >> 4]
    of_index = content[at + 5] & 15 if version else 0
    at += 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(content[at - size : at], "big")

    wide = 4 if version == 2 else 2
    for _ in range(number(wide)):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(sizes[2])
        for _ in range(number(2)):
            number(of_index)
            start = base + number(sizes[0])
            length = number(sizes[1])
            if item in items and method == 0:
                yield start, start + length
            if at >= end:
                return
