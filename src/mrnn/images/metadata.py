"""What a file says of its picture beside the samples: colours, black and white, crop, upright."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from PIL import ExifTags, Image

from .boxes import read_properties
from .colour import (
    ADOBE_RGB,
    AS_THEY_ARE,
    SRGB,
    Colours,
    Primaries,
    Space,
    coded_by,
    coded_by_gamma,
)
from .kinds import Unsupported
from .png import read_chunks
from .samples import UNTOLD, Told
from .tiff import Directory

# What makes a picture upright, by its EXIF orientation.
_TURNS: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {_TURNS[orientation] for orientation in (5, 6, 7, 8)}  # width and height change places
_COLOUR_SPACE, _INTEROPERABILITY = 0xA001, 1  # tags
_UNCALIBRATED = (2, 0xFFFF)  # colour spaces that are not sRGB
_ADOBE = "R03"  # how cameras say that theirs is Adobe's (DCF 2.0)
_NUMBERS = re.compile(r"(\d{4})\D(\d\d?)\D(\d\d?)(?:\D(\d\d?)\D(\d\d?)(?:\D(\d\d?))?)?\b")


@dataclass(frozen=True)
class Metadata:
    """What is not in the samples."""

    told: Told = UNTOLD
    colours: Colours = AS_THEY_ARE
    crop: tuple[int, int, int, int] | None = None  # before it is turned
    turn: Image.Transpose | None = None  # what makes it upright


def read_metadata(
    image: Image.Image, file: IO[bytes] | None, directory: Directory | None, scaled: int | None
) -> Metadata:
    """Of a picture that is loaded; raises Unsupported for colours that are not known.

    `scaled` is the white of a Netpbm file. Without a file it is what Pillow tells.
    """
    profile = image.info.get("icc_profile") or None
    turn = _turn(image)
    told = UNTOLD
    match image.format:
        case "PNG":
            return _of_png(image, file, profile, turn)
        case "AVIF" if file is not None:
            file.seek(0)
            said = read_properties(file.read(), image.size)
            return Metadata(UNTOLD, _coded(profile, said.colours, said.bits), said.crop, turn)
        case "HEIF":
            # libheif has cut and turned it; what Exif says of that is of the picture before.
            nclx = image.info.get("nclx_profile") or {}
            numbers = (nclx.get("color_primaries", 2), nclx.get("transfer_characteristics", 2))
            return Metadata(UNTOLD, _coded(profile, numbers, image.info.get("bit_depth", 8)))
        case "JXL":
            # libjxl has turned it, unless it is a JPEG in other clothes.
            is_jpeg = bool(getattr(image, "jpeg", False))
            told = Told(is_certain=True)
            return Metadata(told, Colours(profile), turn=turn if is_jpeg else None)
        case "TIFF" if directory is not None:
            told = Told(
                directory.least,
                directory.most,
                2.0**directory.bits - 1,
                directory.white_is_zero,
                is_certain=directory.bits == 12,  # whoever packs 12 bits means 12
            )
        case "PPM":
            told = Told(is_certain=scaled not in (None, 65535))
    return Metadata(told, Colours(profile, _by_camera(image, profile)), turn=turn)


def date_taken(image: Image.Image) -> str:
    """When a picture was taken: Exif's DateTimeOriginal as ISO 8601, the camera's local time.

    Of a picture that need not be loaded. "" where it does not say, or says no date. When a print
    was scanned, or a file was changed, is not when it was taken, and counts for nothing.
    """
    try:
        if image.format == "PNG" and "exif" not in image.info:
            return ""  # Pillow would decode it to look behind the samples
        exif = image.getexif()
        told = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
    except Exception:  # broken metadata beside sound pixels
        return ""
    text = told.decode("ascii", "replace") if isinstance(told, bytes) else str(told or "")
    found = _NUMBERS.match(text.strip())
    if found is None:
        return ""
    try:
        # Cameras whose clock was never set say 0000:00:00, which is no date.
        year, month, day, *time = (int(number or 0) for number in found.groups())
        return datetime(year, month, day, time[0], time[1], time[2]).isoformat()
    except ValueError:
        return ""


def _coded(profile: bytes | None, numbers: tuple[int, int] | None, bits: int) -> Colours:
    """Colours by numbers of H.273, where no profile goes before them; raises Unsupported."""
    if profile is not None or numbers is None:
        return Colours(profile)
    space = coded_by(*numbers)
    if space.transfer == 1 and bits > 8:
        raise Unsupported(
            f"its samples are linear light of {bits} bits, of which 8 are read, too few where it "
            "is dark; save it as sRGB"
        )
    return Colours(None, space)


def _of_png(
    image: Image.Image, file: IO[bytes] | None, profile: bytes | None, turn: Image.Transpose | None
) -> Metadata:
    chunks = read_chunks(file) if file is not None else {}
    bits = max(chunks.get(b"sBIT", b"\0"))
    told = Told(most=2.0**bits - 1 if 0 < bits < 16 else None)
    if len(coded := chunks.get(b"cICP", b"")) == 4:  # goes before all others
        if coded[3] == 0:
            raise Unsupported(
                "its samples go from 16 to 235 and not from 0 to 255 (narrow range, as of video, "
                "says its cICP); save it as sRGB"
            )
        return Metadata(told, Colours(None, coded_by(coded[0], coded[1])), turn=turn)
    if profile or "srgb" in image.info:
        return Metadata(told, Colours(profile), turn=turn)
    space = coded_by_gamma(image.info.get("gamma", 0), _primaries(image.info.get("chromaticity")))
    return Metadata(told, Colours(None, space), turn=turn)


def _primaries(chromaticity: object) -> Primaries | None:
    """PNG's order, white first, as ours."""
    if not isinstance(chromaticity, tuple) or len(chromaticity) != 8:
        return None
    white_x, white_y, *colours = chromaticity
    return (*colours, white_x, white_y)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes a picture upright; None: it is."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # broken metadata beside sound pixels
        return None


def _by_camera(image: Image.Image, profile: bytes | None) -> Space:
    """Adobe RGB, where Exif says so and there is no profile that would know better."""
    if profile:
        return SRGB
    try:
        exif = image.getexif()
        if ExifTags.IFD.Exif not in exif:
            return SRGB
        if exif.get_ifd(ExifTags.IFD.Exif).get(_COLOUR_SPACE) not in _UNCALIBRATED:
            return SRGB
        told = exif.get_ifd(ExifTags.IFD.Interop).get(_INTEROPERABILITY)
    except Exception:  # broken metadata, as above
        return SRGB
    return ADOBE_RGB if str(told).strip("\0 ") == _ADOBE else SRGB
