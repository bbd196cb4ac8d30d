"""What spoke for a word, warm, and what against it, blue: as heat over a photo, and as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance

from ..words.text import END, SIGNS, UNKNOWN

if TYPE_CHECKING:
    from ..results import Evidence

Heat = Sequence[Sequence[float]]  # H rows of W numbers, nats

WARM, COLD = (222, 60, 20), (30, 92, 214)  # RGB
PARTS = ("last word", "sentence", "image")  # of `Contributions`, as they are shown
_FULL = 8  # nats, of a bar
_COLOUR = 0.25  # of the photo, so that heat is seen on red and blue things, too
_OPACITY = 0.75  # of the strongest part
_LEAST = 0.25  # a word's strongest part counts as at least this share of the sentence's


def label(word: str) -> str:
    """A word as it is shown: signs in plain words."""
    return {SIGNS[END]: "(end)", SIGNS[UNKNOWN]: "(unknown word)"}.get(word, word)


def scales(evidence: Sequence[Evidence]) -> list[float]:
    """For each word what heat is drawn at full strength, nats: its own strongest part.

    Faint words stay faint: it is never below a quarter of the whole sentence's strongest part.
    """
    strongest = [float(np.abs(e.heat).max(initial=0)) for e in evidence]
    least = _LEAST * max(strongest, default=0)
    return [max(own, least) for own in strongest]


def bar_length(nats: float) -> float:
    """How long the bar of a part of log P is, from 0 to 1."""
    return min(abs(nats) / _FULL, 1)


def tint(heat: Heat, scale: float) -> Image.Image:
    """The map as a picture of a pixel a part, W x H, with transparency."""
    strength = np.clip(np.asarray(heat) / (scale or 1), -1, 1)[:, :, None]
    colours = np.where(strength > 0, WARM, COLD)
    opacity = np.rint(255 * _OPACITY * np.abs(strength))
    return Image.fromarray(np.concatenate((colours, opacity), 2).astype(np.uint8), "RGBA")


def overlay(
    photo: Image.Image, heat: Heat, scale: float, area: tuple[float, float, float, float]
) -> Image.Image:
    """The photo, paler, with the map over its area, given as shares of the photo's sides."""
    left, top, right, bottom = (
        round(share * side) for share, side in zip(area, photo.size * 2, strict=True)
    )
    smooth = tint(heat, scale).resize(
        (max(right - left, 1), max(bottom - top, 1)), Image.Resampling.BILINEAR
    )
    layer = Image.new("RGBA", photo.size)
    layer.paste(smooth, (left, top))
    pale = ImageEnhance.Color(photo).enhance(_COLOUR).convert("RGBA")
    return Image.alpha_composite(pale, layer).convert("RGB")
