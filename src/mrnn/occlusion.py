"""Occlusion: grey a part of a picture, and see what a word's log P loses by it.

Dimension key: S input side, H parts a side, C masks, N packed words, M multimodal layer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .encoders import Encoder
from .images import Preprocessing
from .likelihoods import image_terms
from .model import MRNN
from .packing import Packed

GREY = 127.0  # of 0..255, what a part is filled with
_BATCH = 32  # filled pictures in memory at once


def cells(size: int, side: int) -> np.ndarray:
    """Masks of the H x H parts of a square, row by row, (H * H, S, S) booleans."""
    row = np.arange(size) * side // size  # which of H bands a line of pixels lies in
    part = row[:, None] * side + row
    return part == np.arange(side * side)[:, None, None]


def filled(pixels: np.ndarray, masks: np.ndarray, how: Preprocessing) -> np.ndarray:
    """Preprocessed pixels (3, S, S), grey under each mask (C, S, S): (C, 3, S, S)."""
    mean, scale = (np.broadcast_to(values, 3) for values in (how.mean, how.scale))
    grey = ((GREY - mean) / scale).astype(np.float32)[:, None, None]
    return np.where(masks[:, None], grey, pixels)


def losses(
    model: MRNN,
    encoder: Encoder,
    packed: Packed,
    pixels: np.ndarray,
    feature: np.ndarray,
    masks: np.ndarray,
) -> Tensor:
    """What log P of each word of one sentence loses when a picture is grey under each mask.

    `feature` (D,) is that of the picture (3, S, S) itself; returns (N, C), nats.
    """
    features = [feature[None]]
    for start in range(0, len(masks), _BATCH):
        some = masks[start : start + _BATCH]
        features.append(encoder.encode(filled(pixels, some, encoder.preprocessing)))
    found = log_likelihoods(model, packed, image_terms(model, np.concatenate(features)))
    return found[:, :1] - found[:, 1:]


@torch.inference_mode()
def log_likelihoods(model: MRNN, packed: Packed, terms: Tensor) -> Tensor:
    """Log P of each word of one sentence given each of C image terms (C, M): (N, C), nats."""
    words = model.sentence_terms(packed)
    every = [model.logits(words + term).log_softmax(1) for term in terms]
    return torch.cat([logp.gather(1, packed.targets[:, None]) for logp in every], 1)
