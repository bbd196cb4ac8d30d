"""Random views of pictures, so that a network that learns from few of them sees more."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

_LEAST_AREA = 0.5  # of the picture
_STRETCH = 0.15  # log of the width over the height, at most
_CONTRAST = 0.3  # log of it, at most
_TINT = 0.15  # of the range of values, that a channel becomes lighter or darker, at most


def random_view(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A part of a picture, at its full size, as likely as not mirrored: (3, S, S) to the same."""
    side = pixels.shape[-1]
    area = generator.uniform(_LEAST_AREA, 1)
    stretch = math.exp(generator.uniform(-_STRETCH, _STRETCH))
    width = min(side, round(side * math.sqrt(area * stretch)))
    height = min(side, round(side * math.sqrt(area / stretch)))
    left = generator.integers(side - width + 1)
    top = generator.integers(side - height + 1)
    part = pixels[:, top : top + height, left : left + width]
    if generator.random() < 0.5:
        part = part[:, :, ::-1]
    sized = F.interpolate(torch.from_numpy(part.copy())[None], (side, side), mode="bilinear")
    return sized[0].numpy()


def random_light(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A picture (3, S, S), from -1 to 1, with more or less contrast, and in another light."""
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    contrast = math.exp(generator.uniform(-_CONTRAST, _CONTRAST))
    light = (
        generator.uniform(-_TINT, _TINT, (1, 1, 1))
        + generator.uniform(-_TINT, _TINT, (3, 1, 1)) / 2
    )
    lit = (pixels - mean) * contrast + mean + light
    return lit.clip(pixels.min(), pixels.max()).astype(np.float32)
