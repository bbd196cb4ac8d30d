"""A picture's bytes as upright RGB in sRGB: whole, and as its file says that it is meant.

formats.open_image            what it is, by content; of a TIFF, which of its pictures
wholeness                     nothing of it is missing
metadata.read_metadata        colours, black and white, crop, upright
samples, colour               8 bits a channel, in sRGB
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, Any, cast

from PIL import Image, ImageFile

from .colour import AS_THEY_ARE, Colours, to_srgb
from .formats import TooLarge, open_image
from .kinds import Unsupported
from .metadata import SIDEWAYS, Metadata, read_metadata
from .progressive import without_details
from .samples import (
    deep_picture,
    grey_picture,
    is_deep_grey,
    raw_mode,
    require_certain,
    scaled_from,
)
from .wholeness import (
    one_scan,
    order_of_rows,
    require_last_rows,
    require_used_up,
    require_whole,
)

GAP = 2  # means of whole pixels leave so many times the pixels wanted for the filter that follows
# Means of their pixels are colours; with a transparent colour, of which `info` tells, they are not.
_REDUCIBLE = ("L", "LA", "RGB", "RGBA")
_ANIMATIONS = ("PNG", "WEBP", "AVIF")
_EVEN = 8  # levels that a channel spans in a picture of which something is seen
_COLOUR_MAP = 320  # a tag
_FRAMES = 60  # that are looked at for one that shows something
_DECODED = 400_000_000  # pixels, for the same


def decode(
    file: IO[bytes], at_least: int | None, most_pixels: int
) -> tuple[Image.Image, tuple[int, int]]:
    """The picture, and its full width and height; reduced to no less than `at_least` pixels a side.

    Raises Unsupported, NotAnImage, TooLarge, or whatever a reader raises on damaged files.
    """
    image, directory = open_image(file, most_pixels)
    with image:
        raw, scaled = raw_mode(image), scaled_from(image)
        size = image.size
        _load(image, file, at_least)
        if image.mode == "P" and directory is not None:
            _mend_palette(image)
        said = read_metadata(image, file, directory, scaled)
        upright = image
        if said.crop is not None:
            upright = image.crop(said.crop)
            size = upright.size
        colours = said.colours
        if is_deep_grey(upright):
            upright, colours = grey_picture(upright, said.told, colours), AS_THEY_ARE
        elif ";16" in raw and upright.mode in ("RGB", "RGBA"):
            upright, is_done = deep_picture(
                upright, raw, said.told, colours, lambda: open_image(file, most_pixels)[0]
            )
            colours = AS_THEY_ARE if is_done else colours
        elif scaled is not None:
            require_certain(upright, said.told)
        is_sideways = said.turn in SIDEWAYS
        small = _reduced(upright, at_least)
        rgb = _upright(small, colours, said.turn, image.format == "BMP")
        return rgb, size[::-1] if is_sideways else size


@dataclass(frozen=True)
class Decoded:
    """A picture that Pillow has decoded for somebody else, with what it still knows of its file."""

    image: Image.Image
    said: Metadata
    size: tuple[int, int]  # of the whole picture, which may be reduced
    alpha_is_spare: bool


def decoded(image: Image.Image, at_least: int | None) -> Decoded:
    """A copy of a picture, decoded now if need be; raises whatever Pillow does."""
    image.load()
    said = read_metadata(image, None, None, None)
    small = _reduced(image, at_least)
    copy = image.copy() if small is image else small
    return Decoded(copy, said, image.size, image.format == "BMP")


def finish(picture: Decoded, at_least: int | None, most_pixels: int) -> Image.Image:
    """The same of such a picture as `decode` of a file; raises Unsupported and TooLarge."""
    image, said = picture.image, picture.said
    if picture.size[0] * picture.size[1] > most_pixels:
        raise TooLarge(picture.size)
    colours = said.colours
    if is_deep_grey(image):
        image = _reduced(grey_picture(image, said.told, colours), at_least)
        colours = AS_THEY_ARE
    return _upright(image, colours, said.turn, picture.alpha_is_spare)


def _upright(
    image: Image.Image, colours: Colours, turn: Image.Transpose | None, alpha_is_spare: bool
) -> Image.Image:
    """Opaque, in sRGB, and turned as it is meant."""
    rgb = _opaque(image, colours, alpha_is_spare)
    return rgb if turn is None else rgb.transpose(turn)


def _load(image: Image.Image, file: IO[bytes], at_least: int | None) -> None:
    """Decode a picture, or of an animation a frame that shows something."""
    match image.format:
        case "JPEG" | "MPO":
            _load_jpeg(image, file, at_least)
            return
        case "WEBP" | "AVIF" | "HEIF" as kind:
            file.seek(0)
            require_whole(file.read(), kind, image.size)
    order = order_of_rows(image)
    image.load()
    if order:
        require_last_rows(image, order)
    # To know whether a GIF moves, it has to be read on.
    may_move = image.format == "GIF" or (
        image.format in _ANIMATIONS and bool(getattr(image, "is_animated", False))
    )
    if may_move and _is_empty(image) and getattr(image, "is_animated", False):
        _go_on(image)


def _load_jpeg(image: Image.Image, file: IO[bytes], at_least: int | None) -> None:
    assert isinstance(image, ImageFile.ImageFile)  # noqa: S101 - all pictures of files are
    file.seek(0)
    content = file.read()
    small = at_least is not None and min(image.size) >= 8 * at_least
    if at_least is not None:
        image.draft("RGB", (at_least, at_least))
    if image.info.get("progressive"):
        require_whole(content, "JPEG", image.size)
        if small:
            image.fp = io.BytesIO(without_details(content))
        image.load()
        return
    scan = one_scan(content)
    if scan is not None:
        image.fp = scan  # type: ignore[assignment]
    image.load()
    if scan is not None:
        require_used_up(scan)


def _mend_palette(image: Image.Image) -> None:
    """Take the palette of a TIFF for one of 8 bits where it is: all of it would be black."""
    values = cast(tuple[int, ...], cast(Any, image).tag_v2.get(_COLOUR_MAP, ()))
    if 0 < max(values, default=0) < 256:
        count = len(values) // 3
        image.putpalette(bytes(values[band * count + i] for i in range(count) for band in range(3)))


def _go_on(image: Image.Image) -> None:
    """Seek the frame shown longest of those that show something; the first, if none does."""
    best, longest = 0, -1.0
    most = min(_FRAMES, _DECODED // (image.width * image.height))
    for frame in range(1, max(2, most)):
        try:
            image.seek(frame)
            image.load()
        except EOFError:
            break
        duration = float(image.info.get("duration") or 0)
        if duration > longest and not _is_empty(image):
            best, longest = frame, duration
    image.seek(best)
    image.load()


def _is_empty(image: Image.Image) -> bool:
    """Whether a picture is of one colour, or nearly so, or wholly transparent."""
    if image.mode == "P" and _has_contrast(image):
        return False
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema()[1] == 0:
        return True
    white = Image.new("RGBA", layer.size, "white")
    seen = Image.alpha_composite(white, layer).convert("RGB")
    spans = cast(tuple[tuple[int, int], ...], seen.getextrema())
    return all(most - least < _EVEN for least, most in spans)


def _has_contrast(image: Image.Image) -> bool:
    """Whether the colours of a palette that are used, and not transparent, are far apart."""
    if isinstance(clear := image.info.get("transparency"), bytes):
        return False
    palette = image.getpalette() or []
    found = cast(list[tuple[int, int]], image.getcolors() or [])
    used = [index for _, index in found if index != clear]
    return any(
        max(levels, default=0) - min(levels, default=0) >= _EVEN
        for levels in zip(*(palette[3 * i : 3 * i + 3] for i in used), strict=False)
    )


def _reduced(image: Image.Image, at_least: int | None) -> Image.Image:
    """A picture of many times the pixels wanted, as means of squares: all that follows is quicker.

    As many are left as `preprocess` leaves for its filter. The sides of most cameras' pictures can
    be divided by 8; what is left over makes a last row of narrower squares, as in a JPEG.
    """
    if not at_least or image.mode not in _REDUCIBLE or "transparency" in image.info:
        return image
    factor = next((n for n in (8, 4, 2) if min(image.size) >= n * GAP * at_least), 1)
    return image.reduce(factor) if factor > 1 else image


def _opaque(image: Image.Image, colours: Colours, alpha_is_spare: bool) -> Image.Image:
    """RGB in sRGB, on white where it is transparent; raises Unsupported where all of it is."""
    if not image.has_transparency_data:
        return to_srgb(image, colours)
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    layer = image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
    alpha = layer.getchannel("A")
    grey = layer.getchannel("L") if layer.mode == "LA" else None
    rgb = to_srgb(layer.convert("RGB") if grey is None else grey, colours)
    if alpha.getextrema()[1] == 0:
        if alpha_is_spare:  # many programs leave the fourth byte of a BMP as it was
            return rgb
        raise Unsupported(
            "all of it is transparent, so that nothing is seen; save it without alpha"
        )
    rgb.putalpha(alpha)
    white = Image.new("RGBA", rgb.size, "white")
    return Image.alpha_composite(white, rgb).convert("RGB")
