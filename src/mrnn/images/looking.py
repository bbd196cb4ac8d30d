"""What callers give, as the encoder takes it: one picture with all that is told of it, or many.

Dimension key: S input side, D feature.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import ImageError
from .encoders import Encoder
from .features import encode_images
from .given import InMemory, PictureLike, each_given, given, require_one
from .reading import Preprocessing, preprocess, read_image, seen_area

_SMALL = 240  # pixels of the longer side


@dataclass(frozen=True)
class Seen:
    """A picture as the encoder takes it."""

    name: str
    pixels: np.ndarray  # (3, S, S)
    area: tuple[float, float, float, float]  # what of the picture that is, shares of its sides
    small: Image.Image | None  # the picture, where it was in memory: a file can be read again


@dataclass(frozen=True)
class Encoded:
    """A picture's feature, or the error that it met."""

    name: str
    in_memory: bool  # a file may have its name, and show something else
    found: np.ndarray | ImageError  # (D,)


def look(picture: PictureLike, how: Preprocessing, instead: str) -> Seen:
    """One picture, read; raises ImageError, and UsageError for several, which `instead` takes."""
    require_one(picture, instead)
    one = given(picture, how.least_side)
    try:
        if isinstance(one.picture, ImageError):
            raise one.picture
        image = read_image(one.picture, how.least_side)
    except ImageError as error:
        error.image = one.name
        raise
    pixels, area = preprocess(image, how), seen_area(image.size, how)
    image.thumbnail((_SMALL, _SMALL))
    return Seen(one.name, pixels, area, image if isinstance(one.picture, InMemory) else None)


def small(picture: PictureLike) -> Image.Image | None:
    """A picture in memory, small; None for a file, and for what cannot be read any more."""
    found = given(picture, _SMALL).picture
    if not isinstance(found, InMemory):
        return None
    try:
        image = read_image(found, _SMALL)
    except ImageError:
        return None
    image.thumbnail((_SMALL, _SMALL))
    return image


def encode_given(pictures: Iterable[PictureLike], encoder: Encoder) -> Iterator[Encoded]:
    """The feature of each picture, or the error that it met, in order."""
    known: deque[tuple[str, bool]] = deque()  # and not the pictures, which may be large

    def taken() -> Iterator[Path | InMemory | ImageError]:
        for one in each_given(pictures, encoder.preprocessing.least_side):
            known.append((one.name, isinstance(one.picture, InMemory)))
            yield one.picture

    for found in encode_images(taken(), encoder):
        one = Encoded(*known.popleft(), found)
        if isinstance(found, ImageError):
            found.image = one.name
        yield one
