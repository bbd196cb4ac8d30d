"""What chunks of a PNG say of its samples, of those that Pillow passes over."""

from __future__ import annotations

from typing import IO

_SIGNATURE = 8  # bytes
_CHUNKS = 1000  # that are looked at
_WANTED = (b"sBIT", b"cICP")
_LONGEST = 16  # bytes of any of these


def read_chunks(file: IO[bytes]) -> dict[bytes, bytes]:
    """SBIT and cICP, where there are such before the samples."""
    found: dict[bytes, bytes] = {}
    file.seek(_SIGNATURE)
    for _ in range(_CHUNKS):
        header = file.read(8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        if len(header) < 8 or kind in (b"IDAT", b"IEND"):
            break
        if kind in _WANTED and size <= _LONGEST:
            found[kind] = file.read(size)
            file.seek(4, 1)  # its checksum
        else:
            file.seek(size + 4, 1)
    return found
