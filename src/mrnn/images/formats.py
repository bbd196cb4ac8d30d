"""Pictures opened by what they are, whatever their suffix: by Pillow, or an extra's package.

HEIC is read by pillow-heif and JPEG XL by pillow-jxl-plugin, where they are installed; without them
the error holds the line to type.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import metadata
from typing import IO, cast

from PIL import Image, UnidentifiedImageError

from . import tiff
from .jpeg import require_usual
from .kinds import BMP, HEAD, HEIC, JPEG_XL, RAW, READABLE, Unsupported, kind_of, why_not

# Everything else Pillow can open (EPS starts Ghostscript, PDF, FPX, ...) is refused.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")
_READERS = ("mrnn", "pillow", "pillow-heif", "pillow-jxl-plugin")
_READS = 200_000  # of a file's pieces; a large photograph is decoded from a few hundred


class NotAnImage(Exception):  # noqa: N818 - as Unsupported
    """A file of another kind; the message goes on after its name."""


class TooLarge(Exception):  # noqa: N818 - as Unsupported
    """More pixels than are allowed; (width, height)."""


def readers() -> str:
    """What pictures are read by, with the versions: with others, others may be read."""
    found = []
    for name in _READERS:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def open_image(file: IO[bytes], most_pixels: int) -> tuple[Image.Image, tiff.Directory | None]:
    """A picture that is not decoded yet, with its directory if it is a TIFF.

    Raises Unsupported, NotAnImage, TooLarge, or whatever a reader raises on damaged files.
    """
    file.seek(0)
    kind = kind_of(file.read(HEAD))
    file.seek(0)
    if kind == RAW:
        raise Unsupported(why_not(kind))
    if kind is not None and kind not in READABLE:
        raise NotAnImage(why_not(kind))
    directory = None
    match kind:
        case "HEIC":
            image = _open_heic(file)
        case "JPEG XL":
            image = _open_jpeg_xl(file, most_pixels)
        case "TIFF":
            image, directory = _open_tiff(file)
        case _:
            image = _open(file, kind)
    if image.width * image.height > most_pixels:
        raise TooLarge(image.size)
    return image, directory


def _open(file: IO[bytes], kind: str | None) -> Image.Image:
    try:
        return Image.open(cast(IO[bytes], _Counted(file)), formats=_FORMATS)
    except UnidentifiedImageError:
        if kind == "JPEG":
            file.seek(0)
            require_usual(file.read())
        raise NotAnImage("not an image in a known format (JPEG, PNG, WebP, ...)") from None
    except OSError as error:
        # How Pillow says of a header that it is not damaged.
        _, found, what = str(error).partition("Unsupported BMP ")
        if kind == BMP and found:
            raise Unsupported(
                f"this kind of BMP is not supported ({what}); save it as PNG"
            ) from None
        raise


def _open_tiff(file: IO[bytes]) -> tuple[Image.Image, tiff.Directory]:
    directory = tiff.find_picture(file)
    tiff.require_readable(directory)
    begun = file if tiff.is_first(file, directory) else tiff.begun_at(file, directory)
    begun.seek(0)
    try:
        return Image.open(cast(IO[bytes], _Counted(begun)), formats=("TIFF",)), directory
    except UnidentifiedImageError:
        raise tiff.refusal(directory) from None


def _open_heic(file: IO[bytes]) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise _wanting(HEIC, "heif") from None
    try:
        return cast(Image.Image, HeifImageFile(file))
    except SyntaxError as error:
        raise OSError(f"HEIC: {error}") from None


def _open_jpeg_xl(file: IO[bytes], most_pixels: int) -> Image.Image:
    try:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile
    except ImportError:
        raise _wanting(JPEG_XL, "jxl") from None
    size = _size_of_jpeg_xl(file.read())  # it decodes when it is opened
    if size[0] * size[1] > most_pixels:
        raise TooLarge(size)
    file.seek(0)
    try:
        return cast(Image.Image, JXLImageFile(file))
    except RuntimeError as error:  # advice for whoever builds libjxl follows
        raise OSError(f"JPEG XL: {str(error).partition('. ')[0]}") from None


def _wanting(kind: str, extra: str) -> Unsupported:
    return Unsupported(
        f"a {kind} picture, for which a reader has to be installed: pip install 'mrnn[{extra}]'; "
        "or save it as JPEG"
    )


def _size_of_jpeg_xl(content: bytes) -> tuple[int, int]:
    """Width and height by the header of the codestream (ISO/IEC 18181-1); raises OSError."""
    at = 0
    if not content.startswith(b"\xff\x0a"):  # in boxes
        while content[at + 4 : at + 8] not in (b"jxlc", b"jxlp"):
            size = int.from_bytes(content[at : at + 4], "big")
            if size < 8:
                raise OSError("its codestream is missing")
            at += size
        wide = 8 if content[at : at + 4] == b"\0\0\0\1" else 0
        at += 8 + wide + (4 if content[at + 4 : at + 8] == b"jxlp" else 0)
    bits = int.from_bytes(content[at + 2 : at + 18], "little")

    def take(number: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << number) - 1), bits >> number
        return value

    def side(small: bool) -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    is_small = bool(take(1))
    height = side(is_small)
    ratio = take(3)
    if not ratio:
        return side(is_small), height
    across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * across // down, height


class _Counted:
    """A file that is not read for ever: some of Pillow's readers look on byte by byte."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _READS
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise OSError("it is made of too many pieces")
        return self._file.read(size)
