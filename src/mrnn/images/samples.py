"""What the values of samples mean, from 10 bits to 32 and floats: which is black, which is white.

Integers go from 0 to all ones, unless a file says otherwise. Where it does not, and no sample comes
near to white, nobody can tell a dark picture from one of fewer bits: that is an error. Pillow keeps
the upper 8 of 16 bits of colours; where the others count, a file is decoded once more for them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from PIL import Image, ImageFile

from .colour import Colours, in_bands, levels_of
from .kinds import Unsupported

_16_BITS = 65535.0
_SHARE = 4  # white is at most so many times the largest sample, where nothing says what it is
Decoder = Callable[[], Image.Image]  # opens the picture once more, not loaded


@dataclass(frozen=True)
class Told:
    """What a file says of its samples."""

    least: float | None = None  # black
    most: float | None = None  # white
    full: float = _16_BITS  # all ones, of integers
    white_is_zero: bool = False
    is_certain: bool = False  # that all ones are white


UNTOLD = Told()


def raw_mode(image: Image.Image) -> str:
    """How the samples of a picture that is not loaded yet lie in its file, as Pillow names it."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    arguments = tiles[0].args if tiles else ""
    return str(arguments if isinstance(arguments, str) or not arguments else arguments[0])


def scaled_from(image: Image.Image) -> int | None:
    """White of a Netpbm picture of more than 8 bits; Pillow makes it 65535 when it is loaded."""
    if image.format != "PPM" or not isinstance(image, ImageFile.ImageFile):
        return None
    codec, arguments = image.tile[0].codec_name, image.tile[0].args
    if not codec.startswith("ppm"):
        return 65535 if image.mode == "I" else None
    white = arguments[1] if isinstance(arguments, tuple) else 0
    return white if white > 255 else None


def is_deep_grey(image: Image.Image) -> bool:
    """Whether it is of one channel with more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def grey_picture(image: Image.Image, told: Told, colours: Colours) -> Image.Image:
    """Grey of 16 or 32 bits, or of floats, as L or RGB of 8 bits; raises Unsupported.

    Where the file has a level for what is transparent, it is LA or RGBA.
    """
    values = np.asarray(image)
    found = _grey_of(values, image, told, colours)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        found.putalpha(Image.fromarray(np.where(values == transparent, np.uint8(0), np.uint8(255))))
    return found


def _grey_of(values: np.ndarray, image: Image.Image, told: Told, colours: Colours) -> Image.Image:
    if image.mode == "F":
        black, white = _range_of_floats(values, told)
        values = (values - np.float32(black)) / np.float32(white - black)
        white = 1.0
    else:
        if told.full > _16_BITS:
            values = values.view(np.uint32)
        white = _white(float(values.max(initial=0)), told)
        if white == _16_BITS and colours.leave("L"):
            levels = (np.clip(values, 0, 65535) >> 8).astype(np.uint8)
            return Image.fromarray(255 - levels if told.white_is_zero else levels)

    def convert(rows: slice) -> np.ndarray:
        shares = (values[rows] / np.float64(white)).astype(np.float32)
        return levels_of(1 - shares if told.white_is_zero else shares, colours)

    return in_bands(image.size, convert)


def deep_picture(
    image: Image.Image, raw: str, told: Told, colours: Colours, again: Decoder
) -> tuple[Image.Image, bool]:
    """Colours of 16 bits, of which Pillow has kept the upper 8, by all bits where these count.

    Returns whether they did: such a picture is in sRGB. Raises Unsupported.
    """
    grey = raw.startswith("LA")
    most = max(_largest(image)[: 1 if grey else 3])
    is_dark = most * 256 * _SHARE < _16_BITS and not told.is_certain
    if not is_dark and colours.leave("L" if grey else "RGB"):
        return image, False
    both = _all_bytes(image, raw, again)
    if both is None:
        if is_dark and most:
            raise _unknown_white(most * 256.0, _16_BITS)
        return image, False
    high, low = both

    def values(rows: slice, channels: slice) -> np.ndarray:
        found = high[rows, :, channels].astype(np.uint16) << 8 | low[rows, :, channels]
        return found[..., 0] if found.shape[-1] == 1 else found

    alpha = slice(1, None) if grey else slice(3, None)
    rest = slice(0, alpha.start)
    bands = (slice(row, row + 256) for row in range(0, image.height, 256))
    white = np.float32(_white(max(float(values(rows, rest).max()) for rows in bands), told))
    whole = in_bands(image.size, lambda rows: levels_of(values(rows, rest) / white, colours))
    if high.shape[-1] > alpha.start:
        plain = Colours()
        whole = whole.convert("RGB")
        whole.putalpha(
            in_bands(image.size, lambda rows: levels_of(values(rows, alpha) / white, plain))
        )
    return whole, True


def require_certain(image: Image.Image, told: Told) -> None:
    """Raise Unsupported for colours of which Pillow has kept 8 bits, if all are dark."""
    most = max(_largest(image))
    if 0 < most * _SHARE < 256 and not told.is_certain:
        raise _unknown_white(most * 256.0, _16_BITS)


def _largest(image: Image.Image) -> list[int]:
    """The largest sample of each channel of 8 bits."""
    found = image.getextrema()
    channels = found if isinstance(found[0], tuple) else (found,)
    return [int(cast(tuple[float, float], channel)[1]) for channel in channels]


def _all_bytes(
    image: Image.Image, raw: str, again: Decoder
) -> tuple[np.ndarray, np.ndarray] | None:
    """Upper and lower bytes (H, W, C) of 16 bits; None: Pillow has no name for the lower ones."""
    kind, _, order = raw.partition(";16")
    lower = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}.get(order)
    if kind == "LA" and order == "B":  # what four channels of 8 bits would look like
        found = _decoded_as(again(), "RGBA")
        return found[..., ::2], found[..., 1::2]
    if lower is None or kind not in ("RGB", "RGBX", "RGBA"):
        return None
    return np.asarray(image), _decoded_as(again(), f"{kind};16{lower}")


def _decoded_as(image: Image.Image, raw: str) -> np.ndarray:
    """A picture that is not loaded yet, as if its samples lay so in the file."""
    assert isinstance(image, ImageFile.ImageFile)  # noqa: S101 - all pictures of files are
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
        for tile in image.tile
    ]
    image.load()
    return np.asarray(image)


def _white(most: float, told: Told) -> float:
    """The white of integers of which `most` is the largest; raises Unsupported."""
    if told.most is not None and most <= told.most < told.full and _is_all_ones(told.most):
        return told.most
    if 0 < most * _SHARE < told.full and not told.is_certain:
        raise _unknown_white(most, told.full)
    return told.full


def _unknown_white(most: float, full: float) -> Unsupported:
    bits = round(np.log2(full + 1))
    return Unsupported(
        f"no sample of its {bits} bits is above {most:,.0f} of {full:,.0f}, and nothing says which "
        "is white: it is very dark, or of fewer bits; save it with 8 bits a channel"
    )


def _is_all_ones(value: float) -> bool:
    """Whether it is the largest of some bits, as white is; else it is what occurs at most."""
    return value == int(value) and int(value) & (int(value) + 1) == 0


def _range_of_floats(values: np.ndarray, told: Told) -> tuple[float, float]:
    """Black and white of floats: what is said, or 0 and 1; raises Unsupported."""
    if not np.isfinite(values).all():
        raise Unsupported(
            "some of its samples are not numbers; fill them in, and save it with 8 bits a channel"
        )
    least, most = float(values.min(initial=0)), float(values.max(initial=0))
    smallest, largest = told.least, told.most
    if smallest is not None and largest is not None and smallest < largest:
        if smallest <= float(values.min()) and most <= largest:
            return smallest, largest
    elif least >= 0 and most <= 1:
        return 0.0, 1.0
    raise Unsupported(
        f"its samples are floats from {values.min():g} to {values.max():g}, and nothing says which "
        "are black and white; save it with 8 bits a channel"
    )
