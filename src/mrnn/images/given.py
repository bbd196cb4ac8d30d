"""Pictures as callers give them: files by their paths, and pictures in memory.

Bytes and file objects are read as the files that they are. What Pillow has decoded is taken with
what it still knows of its file; an array is its pixels. All is taken at once, and nothing of the
caller's is kept: buffers may be used again, and files closed, while others read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
from PIL import Image

from ..errors import ImageError, UsageError
from .decoding import Decoded, decoded
from .finding import printable

PictureLike = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray
)

_KINDS = "a path, bytes, a binary file object, a Pillow image or a uint8 array (H, W, 3)"
_CHANNELS = (1, 3, 4)  # grey, RGB, RGBA


@dataclass(frozen=True)
class InMemory:
    """A picture that is no file, or no longer."""

    name: str  # what answers and errors call it
    content: bytes | Decoded  # of a file, or what was decoded


@dataclass(frozen=True)
class Given:
    """A picture, or why it is none."""

    name: str  # the path, as it was given; or one for a picture in memory
    picture: Path | InMemory | ImageError


def given(picture: PictureLike, at_least: int | None = None, name: str = "<image>") -> Given:
    """What a caller gave for one picture; `name` is for one in memory that has no own.

    What is decoded may be reduced to no less than `at_least` pixels a side.
    """
    if is_path(picture):
        path = os.fsdecode(cast(str, picture))
        return Given(path, _no_file(path) or Path(path))
    name = _own_name(picture) or name
    try:
        return Given(name, InMemory(name, _content(picture, at_least, name)))
    except ImageError as error:
        return Given(name, error)


def each_given(pictures: Iterable[PictureLike], at_least: int | None = None) -> Iterator[Given]:
    """The same for many; those in memory are called `<images[0]>`, by their place."""
    return (given(picture, at_least, f"<images[{i}]>") for i, picture in enumerate(pictures))


def is_path(picture: object) -> bool:
    """Whether a picture is named, and not in memory."""
    return isinstance(picture, str | os.PathLike)


def require_one(picture: object, instead: str) -> None:
    """Raise UsageError for several pictures where one is meant; `instead` takes those."""
    is_none = isinstance(picture, Mapping) or hasattr(picture, "__array__")  # a tensor, say
    is_stack = isinstance(picture, np.ndarray) and picture.ndim == 4
    if is_stack or (isinstance(picture, Iterable) and not is_none and not _is_one(picture)):
        kind = type(picture).__name__
        raise UsageError(f"one image is meant, not a {kind}: {instead}")


def require_several(things: object, what: str) -> None:
    """Raise UsageError for a single one, whose letters or rows would be taken for several.

    Also for what holds nothing at all, as None.
    """
    kind = type(things).__name__
    if _is_one(things):
        short = isinstance(things, str | os.PathLike) or (
            isinstance(things, bytes) and len(things) < 100
        )
        shown = f"give [{things!r}]" if short else "put it into a list"
        raise UsageError(f"{what} are one {kind}, not several: {shown}")
    if not isinstance(things, Iterable):
        raise UsageError(f"{what} are meant, not a {kind}: give a list")


def _is_one(thing: object) -> bool:
    if isinstance(thing, np.ndarray):
        return thing.ndim in (2, 3) and thing.dtype.kind != "O"
    kinds = (str, bytes, bytearray, memoryview, os.PathLike, Image.Image)
    return isinstance(thing, kinds) or hasattr(thing, "read")


def _no_file(path: str) -> ImageError | None:
    """Why a name is none of a file, where `Path` would make another one of it."""
    if not path:
        return ImageError("missing", "'': an empty name is no file")
    if path.startswith(("http://", "https://")):
        return ImageError("missing", f"{printable(path)}: not fetched; save it, and give the file")
    return None


def _own_name(picture: object) -> str:
    """The name of the file that an object was opened from, where it knows one."""
    own = getattr(picture, "filename" if isinstance(picture, Image.Image) else "name", None)
    return own if isinstance(own, str) else ""


def _content(picture: object, at_least: int | None, name: str) -> bytes | Decoded:
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, Image.Image):
        return _of_pillow(picture, at_least, name)
    if isinstance(picture, np.ndarray):
        return _of_array(picture, at_least, name)
    if hasattr(picture, "read"):
        return _of_file(cast(IO[Any], picture), name)
    kind = type(picture).__name__
    raise ImageError("not-an-image", f"{printable(name)}: {kind} is no picture; give {_KINDS}")


def _of_file(file: IO[Any], name: str) -> bytes:
    """All that is in a file object, from its beginning where it can be rewound."""
    try:
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        content: object = file.read()
    except Exception as error:  # of archives and networks, too
        message = f"{printable(name)}: cannot be read ({error})"
        raise ImageError("unreadable", message) from None
    if isinstance(content, bytes | bytearray):
        return bytes(content)
    remedy = "opened as text; open it as binary, mode 'rb'"
    if not isinstance(content, str):
        remedy = f"read() gave {type(content).__name__}, not bytes; give the bytes themselves"
    raise ImageError("not-an-image", f"{printable(name)}: {remedy}")


def _of_pillow(image: Image.Image, at_least: int | None, name: str) -> Decoded:
    if 0 in image.size:
        raise ImageError("empty", f"{printable(name)}: the image has no pixels")
    try:
        return decoded(image, at_least)
    except Exception as error:  # Pillow decodes only now, and raises nearly anything
        why = str(error) or "perhaps it was closed before it was decoded"
        raise ImageError(
            "damaged", f"{printable(name)}: the image cannot be decoded ({why}); get a fresh copy"
        ) from None


def _of_array(array: np.ndarray, at_least: int | None, name: str) -> Decoded:
    """Grey, RGB or RGBA of 8 bits; of all else nobody can tell what it shows."""
    told = f"{printable(name)}: an array of {array.dtype} and shape {array.shape}"
    if array.dtype != np.uint8:
        raise ImageError("unsupported", f"{told}: {_remedy(array)}")
    if array.ndim == 3 and array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:
        raise ImageError(
            "unsupported", f"{told} has its channels first: give array.transpose(1, 2, 0)"
        )
    if array.ndim == 1:
        raise ImageError(
            "unsupported", f"{told} is no picture; the bytes of a file are array.tobytes()"
        )
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)):
        raise ImageError(
            "unsupported", f"{told} is no picture: it must be (H, W, 3), (H, W) or (H, W, 4)"
        )
    if array.size == 0:
        raise ImageError("empty", f"{told} has no pixels")
    pixels = array[..., 0] if array.shape[2:] == (1,) else array
    return decoded(Image.fromarray(pixels), at_least)


def _remedy(array: np.ndarray) -> str:
    if array.dtype.kind not in "fiu" or not array.size:
        return "give uint8, 0 black and 255 white"
    span = f"from {array.min():g} to {array.max():g}"
    unknown = f"nothing says which of its values ({span}) is white; give uint8, 255 white"
    if array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
        return f"{unknown}: if 1 is, (255 * array).round().astype('uint8')"
    return unknown
