"""The XMP document inside a picture's file: found, and put there beside all other bytes.

    JPEG   an APP1 segment, after JFIF and Exif       (ISO 16684-3)
    PNG    an iTXt chunk, before the samples
    WebP   an XMP chunk, at the end; a plain file becomes an extended one

Samples and other metadata are not touched. What points to places in the file goes on doing so.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from ..errors import ImageError
from .kinds import HEAD, kind_of
from .xmp import LARGEST

_PARTS = 100_000  # of a file, at most

_JPEG_START = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_MORE = b"http://ns.adobe.com/xmp/extension/\0"
_JPEG_MOST = 0xFFFF - 2 - len(_JPEG_START)  # bytes
_APP0, _APP1, _APP2, _SCAN, _JPEG_END = 0xE0, 0xE1, 0xE2, 0xDA, 0xD9
_PNG_KEYWORD = b"XML:com.adobe.xmp\0"
_WEBP_XMP_FLAG, _WEBP_ALPHA_FLAG = 0x04, 0x10


class _BadLayoutError(Exception):
    """What is wrong with a file, after its name."""


class _TooLongError(Exception):
    """The same of a document for which there is no room."""


def read_xmp(file: IO[bytes], name: str) -> bytes | None:
    """The XMP document of an open picture, None if it has none; samples are not read.

    Raises ImageError: unsupported for kinds of files that we cannot put one into, damaged.
    """
    return _place(file, name)[1].document


def with_xmp(content: bytes, document: bytes, name: str) -> bytes:
    """A picture's bytes with this XMP document (in UTF-8) in the place of its own.

    Raises ImageError as `read_xmp`, and too-large.
    """
    kind, place = _place(io.BytesIO(content), name)
    try:
        return _KINDS[kind].write(content, place, document)
    except _TooLongError as error:
        raise ImageError("too-large", f"{name}: {error}; write a sidecar with --xmp") from None
    except _BadLayoutError as error:
        raise _damaged(name, error) from None


@dataclass(frozen=True)
class _Place:
    """Where in a file its XMP is, or is to be."""

    start: int
    end: int
    document: bytes | None


@dataclass(frozen=True)
class _Kind:
    find: Callable[[IO[bytes]], _Place]
    write: Callable[[bytes, _Place, bytes], bytes]


def _place(file: IO[bytes], name: str) -> tuple[str, _Place]:
    file.seek(0)
    kind = kind_of(file.read(HEAD))
    if kind is None or kind not in _KINDS:
        known = ", ".join(_KINDS)
        raise ImageError(
            "unsupported",
            f"{name}: nothing can be written into a file of this kind ({kind or 'unknown'}), only "
            f"into {known}; write a sidecar with --xmp",
        )
    try:
        return kind, _KINDS[kind].find(file)
    except _BadLayoutError as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: _BadLayoutError) -> ImageError:
    return ImageError("damaged", f"{name}: {error}; left as it is")


def _only(places: list[_Place], otherwise: int) -> _Place:
    if len(places) > 1:
        raise _BadLayoutError("it has two XMP documents")
    return places[0] if places else _Place(otherwise, otherwise, None)


def _find_in_jpeg(file: IO[bytes]) -> _Place:
    found: list[_Place] = []
    after = 2
    for marker, start, end in jpeg_segments(file):
        body = _bytes(file, start + 4, end)
        if marker == _APP0 or (marker == _APP1 and body.startswith(b"Exif\0")):
            after = end
        elif marker == _APP1 and body.startswith(_JPEG_START):
            found.append(_Place(start, end, body[len(_JPEG_START) :]))
        elif marker == _APP1 and body.startswith(_JPEG_MORE) and b"description" in body:
            raise _BadLayoutError("its description is in more than 64 KB of XMP")
    return _only(found, after)


def jpeg_segments(file: IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the segments of a JPEG before the first scan."""
    at = 2
    for _ in range(_PARTS):
        head = _bytes(file, at, at + 4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        if head[1] == 0xFF:  # a byte that fills
            at += 1
            continue
        if head[1] in (_SCAN, _JPEG_END):
            return
        size = int.from_bytes(head[2:], "big")
        if size < 2:
            break
        yield head[1], at, at + 2 + size
        at += 2 + size
    raise _BadLayoutError("its segments are not in order")


def _write_in_jpeg(content: bytes, place: _Place, document: bytes) -> bytes:
    if len(document) > _JPEG_MOST:
        document = _without_padding(document)
    if len(document) > _JPEG_MOST:
        raise _TooLongError(f"its XMP would be larger than {_JPEG_MOST:,} bytes")
    size = 2 + len(_JPEG_START) + len(document)
    segment = struct.pack(">BBH", 0xFF, _APP1, size) + _JPEG_START + document
    grown = len(segment) - (place.end - place.start)
    content = _with_pictures_behind(content, place.end, grown)
    return content[: place.start] + segment + content[place.end :]


def _without_padding(document: bytes) -> bytes:
    """Without the blanks at the end that are there to be written over."""
    before, wrapper, after = document.rpartition(b"<?xpacket")
    return before.rstrip() + b"\n" + wrapper + after


def _with_pictures_behind(content: bytes, at: int, grown: int) -> bytes:
    """Let the directory of pictures behind the first one (CIPA DC-007) know that it has grown.

    It has the size of the first one, and places of the others from the directory itself on.
    """
    for marker, start, end in jpeg_segments(io.BytesIO(content)):
        if marker != _APP2 or content[start + 4 : start + 8] != b"MPF\0":
            continue
        base = start + 8
        body = bytearray(content[base:end])
        order = "<" if body[:2] == b"II" else ">"
        try:
            for entry in _pictures(body, order):
                _, size, offset = struct.unpack_from(f"{order}III", body, entry)
                if offset == 0:
                    struct.pack_into(f"{order}I", body, entry + 4, size + grown)
                elif at > base:
                    struct.pack_into(f"{order}I", body, entry + 8, offset + grown)
        except struct.error:
            raise _BadLayoutError("its directory of more pictures is damaged") from None
        content = content[:base] + bytes(body) + content[end:]
    return content


def _pictures(body: bytearray, order: str) -> Iterator[int]:
    """Where in such a directory its entries are."""
    (directory,) = struct.unpack_from(f"{order}I", body, 4)
    (count,) = struct.unpack_from(f"{order}H", body, directory)
    for number in range(count):
        tag, _, size, at = struct.unpack_from(f"{order}HHII", body, directory + 2 + 12 * number)
        if tag == 0xB002:
            yield from range(at, at + size, 16)


def _find_in_png(file: IO[bytes]) -> _Place:
    found: list[_Place] = []
    after = 8
    for kind, at, end in png_chunks(file):
        if kind == b"IHDR":
            after = end
        elif kind == b"iTXt" and _bytes(file, at + 8, at + 26) == _PNG_KEYWORD:
            body = _bytes(file, at + 8 + len(_PNG_KEYWORD), end - 4)
            found.append(_Place(at, end, _png_text(body)))
    return _only(found, after)


def png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the chunks of a PNG before its last one."""
    at = 8
    for _ in range(_PARTS):
        head = _bytes(file, at, at + 8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or not kind.isalpha():
            break
        if kind == b"IEND":
            return
        yield kind, at, at + 12 + size
        at += 12 + size
    raise _BadLayoutError("its chunks are not in order")


def _png_text(body: bytes) -> bytes:
    """The text of an iTXt chunk, from behind its keyword on."""
    parts = body[2:].split(b"\0", 2)
    if len(parts) < 3:
        raise _BadLayoutError("its XMP is cut short")
    if not body[0]:
        return parts[2]
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(parts[2], LARGEST)
    except zlib.error:
        raise _BadLayoutError("its XMP is damaged") from None
    if not reader.eof:
        raise _BadLayoutError("its XMP is damaged or very large")
    return text


def _write_in_png(content: bytes, place: _Place, document: bytes) -> bytes:
    body = b"iTXt" + _PNG_KEYWORD + bytes(4) + document  # not compressed, of no language
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[: place.start] + chunk + content[place.end :]


def _find_in_webp(file: IO[bytes]) -> _Place:
    found: list[_Place] = []
    end = 8 + int.from_bytes(_bytes(file, 4, 8), "little")
    at = 12
    for _ in range(_PARTS):
        if at >= end:
            break
        head = _bytes(file, at, at + 8)
        size = int.from_bytes(head[4:], "little")
        following = at + 8 + size + size % 2
        if len(head) < 8 or following > end:
            break
        if head[:3] == b"XMP":
            found.append(_Place(at, following, _bytes(file, at + 8, at + 8 + size)))
        at = following
    first = _bytes(file, 12, 42)
    if at != end or len(first) < 13 or file.seek(0, io.SEEK_END) < end:
        raise _BadLayoutError("its chunks are not in order")
    if first[:4] != b"VP8X":
        _webp_header(first)
    return _only(found, end)


def _write_in_webp(content: bytes, place: _Place, document: bytes) -> bytes:
    chunk = b"XMP " + struct.pack("<I", len(document)) + document + bytes(len(document) % 2)
    chunks = content[12 : place.start] + chunk
    end = 8 + int.from_bytes(content[4:8], "little")
    rest, behind = content[place.end : end], content[end:]
    if chunks[:4] != b"VP8X":
        chunks = _webp_header(chunks) + chunks
    flags = bytes([chunks[8] | _WEBP_XMP_FLAG])
    body = b"WEBP" + chunks[:8] + flags + chunks[9:] + rest
    return b"RIFF" + struct.pack("<I", len(body)) + body + behind


def _webp_header(chunks: bytes) -> bytes:
    """The header of an extended file, of the only chunk of a plain one."""
    data = chunks[8:]
    if chunks[:4] == b"VP8L" and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = _WEBP_ALPHA_FLAG if bits >> 28 & 1 else 0
    elif chunks[:4] == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        flags = 0
    else:
        width = height = flags = 0
    if not width or not height:
        raise _BadLayoutError("its first chunk is no picture")
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    return b"VP8X" + struct.pack("<II", 10, flags) + sides


def _bytes(file: IO[bytes], start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


_KINDS: Mapping[str, _Kind] = {
    "JPEG": _Kind(_find_in_jpeg, _write_in_jpeg),
    "PNG": _Kind(_find_in_png, _write_in_png),
    "WebP": _Kind(_find_in_webp, _write_in_webp),
}
WRITABLE = frozenset(_KINDS)
