"""Progressive JPEGs without the parts that do not show at an eighth of the size.

At that size libjpeg makes one pixel of 8 x 8: of a block, only the mean counts. A progressive JPEG
holds means and details in different scans, and the details are most of its bytes, and of the time.
Details of a component of which others have fewer samples (brightness) never show; those of
the others do, since their blocks make 2 x 2 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_START, _END = b"\xff\xd8", 0xD9
_FRAME, _SCAN = 0xC2, 0xDA  # of a progressive JPEG
_ONE = 6  # bytes in the header of a scan of one component, as all details have
# Within a scan these are zeros after a byte of ones, restarts, and bytes that fill.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def without_details(content: bytes) -> bytes:
    """A JPEG of which libjpeg makes the same pixels at an eighth of the size.

    It is `content` itself where that is not progressive, cut short, or not understood.
    """
    full: set[int] = set()  # components of which none has more samples
    begun: set[int] = set()  # those of them whose first details were met
    kept: list[bytes] = []
    at, is_left_out = 0, False  # what is not in `kept` yet begins here
    for marker, start, body in _segments(content):
        if is_left_out:
            at, is_left_out = start, False
        if marker == _END:
            return b"".join([*kept, content[at:]])
        if marker == _FRAME:
            full = _full(body)
        elif marker == _SCAN and len(body) == _ONE and body[1] in full and body[3] > 0:
            if body[1] in begun:
                kept.append(content[at:start])
                is_left_out = True
            begun.add(body[1])  # without any, libjpeg would make the means smoother
    return content


def _segments(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Marker, start and body of each segment; what a scan's header is followed by is skipped."""
    at = len(_START)
    while (found := _MARKER.search(content, at)) is not None:
        start, at = found.span()
        marker = content[at - 1]
        size = 0 if marker == _END else int.from_bytes(content[at : at + 2], "big")
        yield marker, start, content[at + 2 : at + size]
        at += size


def _full(frame: bytes) -> set[int]:
    """Components with the most samples both ways, by the header of a frame."""
    samples = {frame[i]: divmod(frame[i + 1], 16) for i in range(6, len(frame) - 2, 3)}
    most = tuple(max(found) for found in zip(*samples.values(), strict=True))
    return {name for name, found in samples.items() if found == most}
