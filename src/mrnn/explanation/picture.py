"""An explained sentence as a PNG: the photo, and a tile a word with its heat map and its parts."""

from __future__ import annotations

import io
import math
from dataclasses import astuple
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..images.finding import printable
from ..images.reading import read_image
from ..pages.heat_map import COLD, PARTS, WARM, bar_length, label, overlay, scales
from ..results import Evidence, Explanation, Word

_TILE = 240  # pixels a side that a tile's photo fits into
_PHOTO = 640  # pixels a side that the photo itself fits into
_GAP = 20
_COLUMNS = 4
_LINE = 20  # pixels
_PAGE, _TEXT, _DIM, _LINES = "#ffffff", "#1c1c1e", "#63636a", "#dedbd4"
_CAPTION, _WORD, _SMALL = 24, 18, 13  # sizes of letters


def explanation_picture(image: Path, explanation: Explanation) -> bytes:
    """The PNG file's content; raises ImageError if the image cannot be read."""
    photo = read_image(image, at_least=_PHOTO)
    photo.thumbnail((_PHOTO, _PHOTO))
    small = photo.copy()
    small.thumbnail((_TILE, _TILE))
    caption = explanation.caption
    tiles = [
        _tile(small, explanation, word, evidence, scale)
        for word, evidence, scale in zip(
            caption.words, explanation.evidence, scales(explanation.evidence), strict=True
        )
    ]
    width = _COLUMNS * (_TILE + _GAP) + _GAP
    rows = math.ceil(len(tiles) / _COLUMNS)
    text = _wrapped(caption.text or "(no words)", _CAPTION, width - 2 * _GAP)
    top = _GAP + photo.height + _GAP + len(text) * 32 + 2 * _LINE + _GAP
    sheet = Image.new("RGB", (width, top + rows * (tiles[0].height + _GAP)), _PAGE)
    sheet.paste(photo, ((width - photo.width) // 2, _GAP))
    draw = ImageDraw.Draw(sheet)
    y = 2 * _GAP + photo.height
    for line in text:
        draw.text((_GAP, y), line, _TEXT, _font(_CAPTION))
        y += 32
    about = (
        f"{printable(image.name)}: log P {caption.logprob:.2f}, perplexity {caption.perplexity:.2f}"
    )
    draw.text((_GAP, y), _fitted(about, _SMALL, width - 2 * _GAP), _DIM, _font(_SMALL))
    draw.text((_GAP, y + _LINE), _LEGEND, _DIM, _font(_SMALL))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(tile, (_GAP + column * (_TILE + _GAP), top + row * (tile.height + _GAP)))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


_LEGEND = (
    "Probability of each word, and what its log P gained (nats) from the last word, the sentence "
    "so far, and the image; orange parts spoke for it, blue against."
)


def _tile(
    photo: Image.Image, explanation: Explanation, word: Word, evidence: Evidence, scale: float
) -> Image.Image:
    tile = Image.new("RGB", (_TILE, photo.height + 3 * _LINE + len(PARTS) * _LINE), _PAGE)
    shown = overlay(photo, evidence.heat, scale, explanation.area) if evidence.heat else photo
    tile.paste(shown, ((_TILE - photo.width) // 2, 0))
    draw = ImageDraw.Draw(tile)
    y = photo.height + _LINE // 2
    draw.text((0, y), _fitted(label(word.text), _WORD, _TILE - 60), _TEXT, _font(_WORD))
    probability = f"{math.exp(word.logprob):.0%}"
    draw.text((_TILE, y + 3), probability, _DIM, _font(_SMALL + 2), anchor="ra")
    y += 2 * _LINE - 6
    for name, nats in zip(PARTS, astuple(evidence.contributions), strict=True):
        _bar(draw, y, name, nats)
        y += _LINE
    return tile


def _bar(draw: ImageDraw.ImageDraw, y: int, name: str, nats: float) -> None:
    """A line with a bar to the right for what spoke for the word, to the left for against."""
    middle, half = 128, 60  # pixels
    length = round(half * bar_length(nats))
    draw.text((0, y), name, _DIM, _font(_SMALL))
    draw.line((middle, y, middle, y + 14), _LINES)
    if nats > 0:
        draw.rectangle((middle, y + 3, middle + length, y + 12), WARM)
    else:
        draw.rectangle((middle - length, y + 3, middle, y + 12), COLD)
    draw.text((_TILE, y), f"{nats:+.2f}", _TEXT, _font(_SMALL), anchor="ra")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(text: str, size: int, width: int) -> str:
    """Text that is cut so that it is not longer than some pixels."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Lines of words that are not longer than some pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font(size).getlength(longer) > width:
            lines.append(_fitted(word, size, width))
        else:
            lines[-1] = _fitted(longer, size, width)
    return lines
