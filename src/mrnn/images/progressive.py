"""Progressive JPEGs without the parts that do not show at an eighth of the size.

At that size libjpeg makes one pixel of 8 x 8: of a block, only the mean counts. A progressive JPEG
holds means and details in different scans, and the details are most of its bytes, and of the time.
Details of a component of which others have fewer samples (brightness) never show; those of
the others do, since their blocks make 2 x 2 pixels.
"""

from __future__ import annotations

from .jpeg import END, PROGRESSIVE, SCAN, segments

_ONE = 6  # bytes in the header of a scan of one component, as all details have


def without_details(content: bytes) -> bytes:
    """A JPEG of which libjpeg makes the same pixels at an eighth of the size.

    It is `content` itself where that is not progressive, cut short, or not understood.
    """
    full: set[int] = set()  # components of which none has more samples
    begun: set[int] = set()  # those of them whose first details were met
    kept: list[bytes] = []
    at, is_left_out = 0, False  # what is not in `kept` yet begins here
    for marker, start, end in segments(content):
        if is_left_out:
            at, is_left_out = start, False
        body = content[start + 4 : end]
        if marker == END:
            return b"".join([*kept, content[at:]])
        if marker == PROGRESSIVE:
            full = _full(body)
        elif marker == SCAN and len(body) == _ONE and body[1] in full and body[3] > 0:
            if body[1] in begun:
                kept.append(content[at:start])
                is_left_out = True
            begun.add(body[1])  # without any, libjpeg would make the means smoother
    return content


def _full(frame: bytes) -> set[int]:
    """Components with the most samples both ways, by the header of a frame."""
    samples = {frame[i]: divmod(frame[i + 1], 16) for i in range(6, len(frame) - 2, 3)}
    most = tuple(max(found) for found in zip(*samples.values(), strict=True))
    return {name for name, found in samples.items() if found == most}
