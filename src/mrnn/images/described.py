"""What a picture's own file says that it shows, in whatever place programs write it.

In XMP, which TIFF, GIF, AVIF, HEIC and JPEG XL have as plain bytes (the last may pack it,
which is not seen); as IPTC had it before, in a JPEG; in a PNG's text. Exif's ImageDescription does
not count: cameras put their names there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import ImageError
from .embedding import WRITABLE, jpeg_segments, png_chunks, read_xmp
from .finding import printable
from .kinds import HEAD, kind_of
from .reading import open_picture
from .xmp import LARGEST, Description, read_description

_APP13 = 0xED
_IPTC = re.compile(rb"8BIM\x04\x04\0\0(.{4})", re.DOTALL)  # with its size
_IPTC_CAPTION = re.compile(rb"\x1c\x02\x78(.{2})", re.DOTALL)  # the same
_START, _END = b"<rdf:RDF", b"</rdf:RDF>"
_PNG_KEYWORD = b"Description\0"


def description_inside(image: Path) -> Description | None:
    """The description in a picture's own file, one of the user's before one of ours.

    Raises ImageError where that cannot be told: XMP or a file that is damaged.
    """
    name = printable(image)
    with open_picture(image) as file:
        kind = kind_of(file.read(HEAD))
        found = [read_description(document, name) for document in _documents(kind, file, name)]
        told = sorted(filter(None, found), key=lambda description: description.is_ours)
        if not told and any(_beside_xmp(kind, file)):
            told.append(Description("", is_ours=False))
    return told[0] if told else None


def _documents(kind: str | None, file: IO[bytes], name: str) -> Iterator[bytes]:
    """The XMP documents of an open picture."""
    if kind in WRITABLE:
        document = read_xmp(file, name)
        if document is not None:
            yield document
        return
    file.seek(0)
    content = file.read()
    start = content.find(_START)
    while start >= 0:
        end = content.find(_END, start, start + LARGEST)
        if end < 0:
            raise ImageError("xmp", f"{name}: its XMP is cut short or very large; left as it is")
        yield content[start : end + len(_END)]
        start = content.find(_START, end)


def _beside_xmp(kind: str | None, file: IO[bytes]) -> Iterator[bool]:
    """Whether there is a text in each of the other places."""
    if kind == "JPEG":
        for marker, start, end in jpeg_segments(file):
            if marker == _APP13:
                file.seek(start + 4)
                yield _has_iptc_caption(file.read(end - start - 4))
    if kind == "PNG":
        for form, start, end in png_chunks(file):
            if form in (b"tEXt", b"zTXt", b"iTXt"):
                file.seek(start + 8)
                yield _is_description(form, file.read(end - start - 12))


def _has_iptc_caption(body: bytes) -> bool:
    """Data set 2:120 of the IIM, in a Photoshop resource; Picasa writes no others."""
    for resource in _IPTC.finditer(body):
        first = resource.end()
        data = body[first : first + int.from_bytes(resource[1], "big")]
        for caption in _IPTC_CAPTION.finditer(data):
            at = caption.end()
            if data[at : at + int.from_bytes(caption[1], "big")].strip(b" \0\r\n\t"):
                return True
    return False


def _is_description(form: bytes, body: bytes) -> bool:
    """Whether a text chunk is a description with something in it."""
    if not body.startswith(_PNG_KEYWORD):
        return False
    text, is_packed = body[len(_PNG_KEYWORD) :], form == b"zTXt"
    if form == b"iTXt":
        is_packed, text = text[:1] == b"\1", b"".join(text[2:].split(b"\0", 2)[2:])
    elif is_packed:
        text = text[1:]
    if is_packed:
        try:
            text = zlib.decompressobj().decompress(text, LARGEST)
        except zlib.error:
            return False
    return bool(text.strip())
