"""TIFF's directories: which of a file's pictures is meant, and what its samples are (TIFF 6.0).

Pillow takes the first directory, and believes that integers are 0 for black and all bits for white.
Here the tags are looked at before: previews give way to what they are previews of, and layouts that
Pillow would read as something else are refused by name.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from .kinds import RAW, Unsupported, why_not

_Number = int | float
# Code and count of bytes of the types that numbers come in.
_TYPES: Mapping[int, str] = {
    1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 18: "Q",
}  # fmt: skip
_VALUES = 64  # of a tag; none that is looked at has more
_DIRECTORIES = 64  # that are looked through for a picture
_SMALL = 1024  # pixels that a preview is wide at most, where only its shape tells that it is one
_AFTER = 8  # pages that are looked at for what it is a preview of
_ALIKE = 0.02  # how far the shapes of both may differ
_ENTRIES = 4096  # of a directory

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT = 254, 255, 256, 257
_BITS, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_FILL_ORDER, _SAMPLES, _LEAST, _MOST, _PLANAR, _SUBIFDS, _EXTRA = 266, 277, 280, 281, 284, 330, 338
_FORMAT, _SMIN, _SMAX, _SUBSAMPLING, _DNG = 339, 340, 341, 530, 50706
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 4, 5, 6, 8
_PHOTOMETRICS = {
    _WHITE_IS_ZERO: "grey, 0 is white",
    _GREY: "grey",
    _RGB: "RGB",
    _PALETTE: "palette",
    _MASK: "mask",
    _CMYK: "inks",
    _YCBCR: "YCbCr",
    _LAB: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32844: "LogL",
    32845: "LogLuv",
}
_SENSORS = (32803, 34892)  # colour filters, and linear raw
_UNCOMPRESSED, _LZW, _OLD_JPEG, _JPEG = 1, 5, 6, 7
_COMPRESSIONS = {
    _UNCOMPRESSED: "none",
    2: "CCITT",
    3: "CCITT",
    4: "CCITT",
    _LZW: "LZW",
    _OLD_JPEG: "JPEG of TIFF 6",
    _JPEG: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_DECODED = (_UNCOMPRESSED, 2, 3, 4, _LZW, _OLD_JPEG, _JPEG, 8, 32773, 32946, 34925, 50000)


@dataclass(frozen=True)
class Directory:
    """One picture of a file: its tags, as far as they are numbers; `order` is < or >."""

    at: int
    order: str
    big: bool  # BigTIFF
    numbers: Mapping[int, tuple[_Number, ...]]
    next: int = field(compare=False)  # where the next directory is; 0: nowhere

    def one(self, tag: int, otherwise: int) -> int:
        """A tag's first value."""
        return int(self.numbers.get(tag, (otherwise,))[0])

    @property
    def is_whole(self) -> bool:
        """Whether it is a picture in its own right: no preview or mask of another one."""
        if _SUBFILE in self.numbers:
            return not self.one(_SUBFILE, 0) & 5
        return self.one(_OLD_SUBFILE, 1) != 2

    @property
    def bits(self) -> int:
        """Bits a sample, at least one."""
        return max(1, self.one(_BITS, 1))

    @property
    def white_is_zero(self) -> bool:
        """Whether grey goes from white to black."""
        return self.one(_PHOTOMETRIC, _GREY) == _WHITE_IS_ZERO

    @property
    def most(self) -> float | None:
        """The largest sample that there can be, if it is said."""
        values = self.numbers.get(_SMAX) or self.numbers.get(_MOST)
        return max(values) if values else None

    @property
    def least(self) -> float | None:
        """The smallest sample that there can be, if it is said."""
        values = self.numbers.get(_SMIN) or self.numbers.get(_LEAST)
        return min(values) if values else None

    def layout(self) -> str:
        """What it is, in words."""
        photometric = self.one(_PHOTOMETRIC, _GREY)
        compression = self.one(_COMPRESSION, _UNCOMPRESSED)
        samples = self.one(_SAMPLES, 1)
        kind = {_SIGNED: "signed ", _FLOAT: "float "}.get(self.one(_FORMAT, _UNSIGNED), "")
        parts = [
            _PHOTOMETRICS.get(photometric, f"photometric {photometric}"),
            f"{samples} {kind}sample{'s' * (samples != 1)} of {self.bits} bits",
            f"compression {_COMPRESSIONS.get(compression, compression)}",
        ]
        if self.one(_PLANAR, 1) == 2 and samples > 1:
            parts.append("planes apart")
        if self.big:
            parts.append("BigTIFF")
        parts.append("most significant byte first" if self.order == ">" else "")
        return ", ".join(filter(None, parts))


def find_picture(file: IO[bytes]) -> Directory:
    """The directory of the picture that a TIFF is of: the first that is no preview of another one.

    A small one that does not say what it is counts as a preview where a later one of its shape is
    far larger. Raises Unsupported, or OSError for what is cut short.
    """
    file.seek(0)
    header = file.read(16)
    order = "<" if header[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", header, 2)[0] == 43
    try:
        start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", header, 8 if big else 4)[0]
    except struct.error:
        raise OSError("its directory is missing") from None
    first: Directory | None = None
    pages: list[Directory] = []
    for directory in _directories(file, start, order, big):
        first = first or directory
        if directory.one(_DNG, 0) or _is_sensor(directory):
            raise Unsupported(why_not(RAW))
        if directory.is_whole:
            pages.append(directory)
            if _SUBFILE in pages[0].numbers or pages[0].one(_WIDTH, 0) > _SMALL:
                return directory
        if len(pages) > _AFTER:
            break
    if first is None:
        raise OSError("its directory is missing")
    larger = [page for page in pages[1:] if _is_preview(pages[0], page)]
    return max([*pages[:1], *larger], key=lambda page: page.one(_WIDTH, 0), default=first)


def _is_preview(small: Directory, large: Directory) -> bool:
    """Whether they have the same shape, and one at least four times the sides of the other."""
    (width, height), (across, down) = (
        (max(1, page.one(_WIDTH, 1)), max(1, page.one(_HEIGHT, 1))) for page in (small, large)
    )
    is_far = across >= 4 * width and down >= 4 * height
    return is_far and abs(width * down / (height * across) - 1) <= _ALIKE


def begun_at(file: IO[bytes], directory: Directory) -> io.BytesIO:
    """The file as it would be if this directory were its first."""
    file.seek(0)
    content = bytearray(file.read())
    at, code = (8, "Q") if directory.big else (4, "I")
    struct.pack_into(f"{directory.order}{code}", content, at, directory.at)
    return io.BytesIO(content)


def is_first(file: IO[bytes], directory: Directory) -> bool:
    """Whether it is the one that Pillow would read."""
    file.seek(8 if directory.big else 4)
    code, size = ("Q", 8) if directory.big else ("I", 4)
    return struct.unpack(f"{directory.order}{code}", file.read(size))[0] == directory.at


def require_readable(picture: Directory) -> None:
    """Raise Unsupported for a layout that Pillow does not read, or reads as something else."""
    photometric = picture.one(_PHOTOMETRIC, _GREY)
    compression = picture.one(_COMPRESSION, _UNCOMPRESSED)
    samples, bits = picture.one(_SAMPLES, 1), picture.bits
    formats = set(picture.numbers.get(_FORMAT, (_UNSIGNED,)))
    apart = picture.one(_PLANAR, 1) == 2
    sampling = picture.numbers.get(_SUBSAMPLING, (2, 2))
    if formats != {_UNSIGNED} and (formats != {_FLOAT} or bits != 32 or samples != 1):
        why = "which is black and which is white is not known" if _SIGNED in formats else ""
        raise _refused(picture, why)
    if (
        compression not in _DECODED
        or len(set(picture.numbers.get(_BITS, (1,)))) > 1
        # Of uncompressed planes Pillow takes one letter of its name for their layout each.
        or (
            apart
            and compression == _UNCOMPRESSED
            and (
                bits != 8
                or photometric not in (_GREY, _RGB, _CMYK)
                or picture.one(_EXTRA, 0) == 1
                or picture.one(_FILL_ORDER, 1) != 1
            )
        )
        or (apart and samples > 1 and photometric in (_WHITE_IS_ZERO, _GREY))
        # What libtiff has put in the machine's order is turned once more.
        or (bits == 32 and picture.order == ">" and compression != _UNCOMPRESSED)
        or (photometric == _YCBCR and compression != _JPEG and tuple(sampling) != (1, 1))
    ):
        raise _refused(picture)


def refusal(picture: Directory) -> Unsupported:
    """What to say when Pillow does not know the layout of a file that is otherwise sound."""
    return _refused(picture)


def _refused(picture: Directory, why: str = "") -> Unsupported:
    reason = f"; {why}" if why else ""
    return Unsupported(
        f"this kind of TIFF is not supported ({picture.layout()}){reason}; "
        "save it as PNG, or as TIFF with 8 bits a sample"
    )


def _is_sensor(directory: Directory) -> bool:
    return directory.one(_PHOTOMETRIC, _GREY) in _SENSORS


def _directories(file: IO[bytes], start: int, order: str, big: bool) -> Iterator[Directory]:
    """The first directory, what lies below it, the next, ...; none twice."""
    waiting, seen = [start], {0}
    while waiting and len(seen) <= _DIRECTORIES:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        directory = _read(file, at, order, big)
        if directory is None:
            continue
        yield directory
        below = [int(offset) for offset in directory.numbers.get(_SUBIFDS, ())]
        waiting += [directory.next, *reversed(below)]


def _read(file: IO[bytes], at: int, order: str, big: bool) -> Directory | None:
    """The directory at a place; None: there is none, or it is cut short."""
    offset, count = ("Q", "Q") if big else ("I", "H")
    room = struct.calcsize(offset)  # of a value, or of the place where it is
    entry = struct.Struct(f"{order}HH{offset}{room}s")
    try:
        file.seek(at)
        number = struct.unpack(order + count, file.read(struct.calcsize(count)))[0]
        if not 0 < number <= _ENTRIES:
            return None
        entries = file.read(number * entry.size)
        link = file.read(room)
        following = struct.unpack(order + offset, link)[0] if len(link) == room else 0
        numbers = {
            tag: values
            for tag, kind, length, place in entry.iter_unpack(entries)
            if _SUBFILE <= tag <= _SUBSAMPLING or tag == _DNG
            if (values := _values(file, order, kind, length, place)) is not None
        }
    except (struct.error, OSError, OverflowError, ValueError):
        return None
    return Directory(at, order, big, numbers, following) if _WIDTH in numbers else None


def _values(
    file: IO[bytes], order: str, kind: int, count: int, place: bytes
) -> tuple[_Number, ...] | None:
    """The numbers of a tag; None: it has none, or too many to be of interest."""
    code = _TYPES.get(kind)
    if code is None or not 0 < count <= _VALUES:
        return None
    values = struct.Struct(f"{order}{count}{code}")
    if values.size > len(place):
        file.seek(struct.unpack(order + ("Q" if len(place) == 8 else "I"), place)[0], os.SEEK_SET)
        place = file.read(values.size)
    return values.unpack_from(place)
