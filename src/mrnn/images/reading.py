"""Open, validate, decode and preprocess images: the only home of pixel constants."""

from __future__ import annotations

import io
import math
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from ..errors import ImageError
from .decoding import GAP, decode, finish
from .finding import Member, Picture, check_file, printable
from .formats import NotAnImage, TooLarge, open_image
from .given import InMemory
from .kinds import Unsupported
from .metadata import date_taken
from .parquet_pictures import stored_picture

MAX_PIXELS = 100_000_000

Channels = float | tuple[float, float, float]  # one number for all channels, or one for each


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded image to encoder input; stored in the bundle and reused as it is.

    Without `crop` the whole picture is squashed to a square: no part of it is lost, and
    Flickr8K as we have it was made that way.
    """

    size: int  # side of the square input, pixels
    mean: Channels = 127.0  # subtracted from values 0..255
    scale: Channels = 128.0  # divides what is left
    crop: float | None = None  # keep a centred square: its side as a share of the shorter side
    interpolation: str = "bicubic"  # or bilinear
    colours: str = "rgb"  # order of the channels, of mean and scale too; or bgr
    output: str | None = None  # of a network with several outputs, the one that is the feature
    pooling: str | None = None  # of an output with tokens: "class", the first one, or their "mean"

    @property
    def least_side(self) -> int:
        """The shorter side, in pixels, that a picture needs so that nothing is enlarged."""
        return math.ceil(self.size / (self.crop or 1))

    def to_json(self) -> dict[str, Any]:
        """Size, mean, scale, and those of the other fields that are not as usual."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        usual = {f.name: f.default for f in fields(self) if f.name not in _REQUIRED}
        return {k: v for k, v in values.items() if k not in usual or v != usual[k]}

    @staticmethod
    def from_json(values: object, place: str = "") -> Preprocessing:
        """What `to_json` gave; raises ValueError naming the key, which `place` goes before."""
        if not isinstance(values, dict):
            raise ValueError(f"{place.rstrip('.') or 'the content'!r} is not an object")
        for key in sorted(values.keys() - _KINDS.keys()):
            raise ValueError(f"unknown key {place + key!r}")
        for key in sorted(_REQUIRED - values.keys()):
            raise ValueError(f"missing key {place + key!r}")
        given: dict[str, Any] = {}
        for key, value in values.items():
            kind, is_right = _KINDS[key]
            if not is_right(value):
                found = repr(value)[:80]
                raise ValueError(f"{place + key!r} is {found}, out of range (not {kind})")
            given[key] = tuple(value) if isinstance(value, list) else value
        how = Preprocessing(**given)
        if not 0 < how.size <= _LARGEST_SIDE or np.min(how.scale) < 1:
            raise ValueError(
                f"impossible preprocessing: size {how.size}, scale {how.scale} "
                "(mean and scale are for values 0..255)"
            )
        return how


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and 0 <= cast(float, value) < 1e6


def _is_channels(value: object) -> bool:
    return _is_number(value) or (
        isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))
    )


def _is_share(value: object) -> bool:
    return _is_number(value) and 0.1 <= cast(float, value) <= 1


_LARGEST_SIDE = 4096
_REQUIRED = {"size", "mean", "scale"}
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "size": ("a whole number of pixels", lambda v: type(v) is int),
    "mean": ("a number from 0 or three", _is_channels),
    "scale": ("a number from 0 or three", _is_channels),
    "crop": ("a share from .1 to 1, or null", lambda v: v is None or _is_share(v)),
    "interpolation": ('"bicubic" or "bilinear"', lambda v: v in ("bicubic", "bilinear")),
    "colours": ('"rgb" or "bgr"', lambda v: v in ("rgb", "bgr")),
    "output": ("a name or null", lambda v: v is None or (type(v) is str and v != "")),
    "pooling": ('"class", "mean" or null', lambda v: v in ("class", "mean", None)),
}


def preprocess(image: Image.Image, how: Preprocessing) -> np.ndarray:
    """Turn an RGB image into encoder input, (3, size, size) float32."""
    square = image.resize(
        (how.size, how.size),
        Image.Resampling[how.interpolation.upper()],
        box=None if how.crop is None else _centre(image.size, how.crop),
        reducing_gap=GAP,
    )
    values = np.asarray(square).transpose(2, 0, 1)  # (3, S, S), 0..255
    if how.colours == "bgr":
        values = values[::-1]
    mean, scale = (
        np.asarray(channels, dtype=np.float32).reshape(-1, 1, 1)
        for channels in (how.mean, how.scale)
    )
    pixels = np.empty(values.shape, dtype=np.float32)
    np.subtract(values, mean, out=pixels)
    pixels /= scale
    return pixels


def seen_area(size: tuple[int, int], how: Preprocessing) -> tuple[float, float, float, float]:
    """What of a picture the encoder sees: left, top, right and bottom as shares of its sides."""
    if how.crop is None:
        return 0.0, 0.0, 1.0, 1.0
    left, top, right, bottom = _centre(size, how.crop)
    return left / size[0], top / size[1], right / size[0], bottom / size[1]


def _centre(size: tuple[int, int], share: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the square in the middle."""
    side = min(size) * share
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    return left, top, left + side, top + side


PictureFile = io.BufferedReader | io.BytesIO


def read_image(
    path: str | os.PathLike[str] | Member | InMemory, at_least: int | None = None
) -> Image.Image:
    """Read an image as upright RGB, in sRGB; of an animation, a frame that shows something.

    `at_least` lets a large picture be reduced to not less than that many pixels a side: a JPEG
    while it is decoded, others before anything else is done with them. Transparency is composited
    on white; colours, range of samples, crop and orientation are what the file says. Raises
    ImageError with code missing, unreadable, not-a-file, empty, not-an-image, too-large, damaged or
    unsupported: a sound file of which nobody can tell what it shows, or that nothing here reads.
    """
    if isinstance(path, InMemory):
        name = printable(path.name)
        if isinstance(path.content, bytes):
            if not path.content:
                raise ImageError("empty", f"{name}: there are no bytes")
            return decode_image(io.BytesIO(path.content), name, at_least)[0]
        with _reported(name, MAX_PIXELS):
            return finish(path.content, at_least, MAX_PIXELS)
    picture = path if isinstance(path, Member) else Path(path)
    with open_picture(picture) as file:
        return decode_image(file, printable(picture), at_least)[0]


def decode_image(
    file: PictureFile, name: str, at_least: int | None = None, most_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, tuple[int, int]]:
    """What `read_image` gives, of an open file, with the picture's full width and height."""
    with _reported(name, most_pixels):
        return decode(file, at_least, most_pixels)


@contextmanager
def _reported(name: str, most_pixels: int) -> Iterator[None]:
    """What goes wrong inside becomes an ImageError."""
    try:
        with _without_warnings():
            yield
    except Unsupported as error:
        raise ImageError("unsupported", f"{name}: {error}") from None
    except NotAnImage as error:
        raise ImageError("not-an-image", f"{name}: {error}") from None
    except TooLarge as error:
        raise ImageError("too-large", _too_large(name, most_pixels, *error.args[0])) from None
    except Image.DecompressionBombError:
        raise ImageError("too-large", _too_large(name, most_pixels)) from None
    except MemoryError:  # of now: it may fit another time
        raise ImageError("unreadable", f"{name}: there is not enough memory to open it") from None
    except Exception as error:  # Pillow's readers raise nearly anything on mutated files
        raise ImageError(
            "damaged", f"{name}: the image is damaged or cut short ({error}); get a fresh copy"
        ) from None


def date_of(file: PictureFile) -> str:
    """When a picture was taken, by its Exif, as `date_taken` has it; "" where nobody can tell.

    Only its header is read (but for JPEG XL, whose reader knows no other way).
    """
    try:
        with _without_warnings(), open_image(file, MAX_PIXELS)[0] as image:
            return date_taken(image)
    except Exception:  # as `decode_image`; whether it is damaged is told there
        return ""


@contextmanager
def open_picture(picture: Picture) -> Iterator[PictureFile]:
    """A picture's bytes as a file; raises ImageError as `check_file`, and damaged."""
    check_file(picture)
    path = picture.shard if isinstance(picture, Member) else picture
    try:
        file = path.open("rb")
    except FileNotFoundError:  # it was there a moment ago
        raise ImageError("missing", f"{printable(picture)}: no such file") from None
    except OSError as error:
        raise _unreadable(picture, error) from None
    with file:
        yield file if isinstance(picture, Path) else _member_file(picture, file)


def _member_file(member: Member, file: io.BufferedReader) -> io.BytesIO:
    try:
        if member.shard.suffix.lower() == ".parquet":
            content = stored_picture(member.shard, member.offset)
        else:
            file.seek(member.offset)
            content = file.read(member.size)
    except OSError as error:
        raise _unreadable(member, error) from None
    except ValueError:  # of a Parquet file
        content = b""
    if len(content) != member.size:
        message = f"{printable(member)}: the shard is cut short; get a fresh copy"
        raise ImageError("damaged", message)
    return io.BytesIO(content)


def _unreadable(picture: Picture, error: OSError) -> ImageError:
    reason = f"{printable(picture)}: cannot be read ({error.strerror})"
    return ImageError("unreadable", reason)


_FILTERS = threading.Lock()
_PILLOW = re.compile(r"PIL\.")
_readers = 0  # threads that are reading an image


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Ignore what Pillow warns of (metadata it skips, sizes below our cap) while anyone reads.

    warnings.catch_warnings is not for threads: one would restore the filters over another's.
    """
    global _readers  # noqa: PLW0603 - guarded by the lock
    with _FILTERS:
        _readers += 1
        if _readers == 1:
            warnings.filterwarnings("ignore", module=_PILLOW.pattern)
    try:
        yield
    finally:
        with _FILTERS:
            _readers -= 1
            if not _readers:
                with suppress(ValueError):
                    cast(list[Any], warnings.filters).remove(("ignore", None, Warning, _PILLOW, 0))


def _too_large(name: str, most_pixels: int, width: int = 0, height: int = 0) -> str:
    size = f"{width} x {height} pixels is " if width else ""
    limit = f"{most_pixels / 1_000_000:g}"
    return f"{name}: {size}more than {limit} megapixels; make a smaller copy"
