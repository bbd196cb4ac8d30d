"""The parts of a JPEG: its header's segments, and its scans (ITU-T T.81)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .kinds import Unsupported

END, SCAN, PROGRESSIVE = 0xD9, 0xDA, 0xC2  # markers; the last is of the frame of such a picture
_INTERVAL = 0xDD
_FRAMES = (0xC0, 0xC1, PROGRESSIVE)  # coded by Huffman: in one go, the same, progressive
_ARITHMETIC = (0xC9, 0xCA)
_OTHER_FRAMES = frozenset({*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC, *_ARITHMETIC})
# Within a scan these are zeros after a byte of ones, restarts, and bytes that fill.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START = 2  # bytes of the mark that a picture begins with
_SEGMENTS = 10_000  # more are not looked at


@dataclass(frozen=True)
class Frame:
    """What the header says of a picture."""

    is_progressive: bool
    components: tuple[int, ...]
    units: int  # the least blocks of all components that are coded together


@dataclass(frozen=True)
class Scan:
    """One pass over a picture: samples of some components, from coarse to fine if progressive."""

    frame: Frame
    components: tuple[int, ...]
    start: int  # of its coded bytes
    end: int | None  # None: the file ends before it
    first_detail: int  # 0: means of blocks
    is_refinement: bool  # of bits that came before
    bits_left: int  # that later scans are to bring
    restarts: np.ndarray | None = None  # numbers of the marks within, if it is of all
    interval: int = 0  # units between two restarts; 0: there are none

    @property
    def is_all(self) -> bool:
        """Whether it is of all components at once, so that no other is needed."""
        return not self.frame.is_progressive and len(self.components) == len(self.frame.components)


def segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment, whose body begins 4 bytes behind its start.

    What a scan's header is followed by is skipped.
    """
    at = _START
    for _ in range(_SEGMENTS):
        found = _MARKER.search(content, at)
        if found is None:
            return
        start, at = found.span()
        marker = content[at - 1]
        if marker != END:
            at += int.from_bytes(content[at : at + 2], "big")
        yield marker, start, at


def scans(content: bytes) -> Iterator[Scan]:
    """The scans of a picture that is coded by Huffman; none of other ones, or what is no JPEG."""
    interval = 0
    frame: Frame | None = None
    for marker, start, end in segments(content):
        if marker == END or marker in _OTHER_FRAMES or marker in _ARITHMETIC:
            return
        body = content[start + 4 : end]
        if marker in _FRAMES:
            frame = _frame(marker, body)
        elif marker == _INTERVAL:
            interval = int.from_bytes(body[:2], "big")
        elif marker == SCAN:
            if frame is None or len(body) < 4 or len(body) != 4 + 2 * body[0]:
                return
            scan = _scan(frame, body, content, end, interval)
            yield scan
            if scan.is_all:
                return


def require_usual(content: bytes) -> None:
    """Raise Unsupported for a JPEG without loss, in layers, or of more than 8 bits a sample."""
    for marker, start, _ in segments(content):
        if marker in (END, SCAN):
            return
        bits = content[start + 4 : start + 5]
        if marker in _OTHER_FRAMES or (marker in _FRAMES and bits in (b"\x0c", b"\x10")):
            deep = f" with {bits[0]} bits a sample" if bits > b"\x08" else ""
            raise Unsupported(
                f"this kind of JPEG (process {marker - 0xC0} of ITU-T T.81{deep}) is not "
                "supported; save it as an ordinary JPEG or PNG"
            )


def _frame(marker: int, body: bytes) -> Frame | None:
    if len(body) < 9 or len(body) != 6 + 3 * body[5]:
        return None
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    samples = [divmod(body[at + 1], 16) for at in range(6, len(body), 3)]
    across, down = (8 * max(found) for found in zip(*samples, strict=True))
    if not across or not down:
        return None
    if len(samples) == 1:
        across = down = 8
    units = -(-width // across) * -(-height // down)
    return Frame(marker == PROGRESSIVE, tuple(body[6::3]), units)


def _scan(frame: Frame, body: bytes, content: bytes, start: int, interval: int) -> Scan:
    components = tuple(body[1 : 1 + 2 * body[0] : 2])
    first, _, bits = body[-3:]
    if not frame.is_progressive and len(components) == len(frame.components):
        end, restarts = _marks(content, start)
    else:
        found = _MARKER.search(content, start)
        end, restarts = None if found is None else found.start(), None
    is_refinement, bits_left = bits >> 4 > 0, bits & 15
    return Scan(frame, components, start, end, first, is_refinement, bits_left, restarts, interval)


def _marks(content: bytes, start: int) -> tuple[int | None, np.ndarray]:
    """Where the end of a picture is marked, and the numbers of the restarts until then."""
    values = np.frombuffer(content, np.uint8)[start:]
    following = values[1:]
    is_mark = values[:-1] == 0xFF
    is_mark &= following >= 0xD0
    is_mark &= following <= END
    places = np.flatnonzero(is_mark)
    marks = following[places]
    ends = np.flatnonzero(marks == END)
    end = None if not len(ends) else start + int(places[ends[0]])
    if end is not None and content[end - 1] == 0xFF:  # bytes that fill
        end = start + len(content[start:end].rstrip(b"\xff"))
    before = marks if end is None else marks[: ends[0]]
    return end, before[before <= 0xD7] - np.uint8(0xD0)
