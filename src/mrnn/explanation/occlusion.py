"""Occlusion: grey parts of a picture, and see what a word's log P loses by it.

Parts are hidden a random quarter at a time, for what one of many hides the others often show, and a
linear model of the parts is fitted to the losses (as in LIME, arXiv:1602.04938).

Dimension key: S input side, H parts a side, C masks, N packed words, M multimodal layer.
"""

from __future__ import annotations

import math

import numpy as np

from ..images.encoders import Encoder
from ..images.reading import Preprocessing
from ..model.arrays import log_softmax
from ..model.mrnn import MRNN
from ..scoring.likelihoods import image_terms
from ..words.packing import Packed

GREY = 127.0  # of 0..255, what a part is filled with
SIDE = 7  # parts a side
QUARTERS = 64  # that are tried of each picture
_SHARE = 0.25  # of the parts are hidden at once
_REACH = 1.2  # parts nearer than about so many sides are thought alike
_NOISE = 0.2  # variance that is no part's, as a share of all
_BATCH = 16  # filled pictures in memory at once


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


def occlusion_heat(
    model: MRNN, encoder: Encoder, packed: Packed, pixels: np.ndarray, feature: np.ndarray
) -> np.ndarray:
    """How much of each word's log P hangs on each part of a picture, (N, H * H), nats.

    `packed` is one sentence; `feature` (D,) is that of the picture (3, S, S).
    """
    size = encoder.preprocessing.size
    side = min(SIDE, size)
    hidden = random_quarters(side)
    masks = (hidden.astype(np.float32) @ cells(size, side).reshape(side * side, -1)) > 0
    lost = losses(model, encoder, packed, pixels, feature, masks.reshape(-1, size, size))
    return lost @ fit(hidden, side).T


def random_quarters(side: int, count: int = QUARTERS, seed: int = 1) -> np.ndarray:
    """Which of H * H parts are hidden, (C, H * H) booleans; always the same ones.

    Parts in a random order are cut into quarters, so that all are hidden equally often.
    """
    parts = side * side
    each = max(1, round(_SHARE * parts))
    at_once = parts // each  # quarters of one order
    generator = np.random.default_rng(seed)
    order = generator.random((math.ceil(count / at_once), parts)).argsort(axis=1)
    hidden = order[:, None] // each == np.arange(at_once)[:, None]
    return hidden.reshape(-1, parts)[:count]


def fit(hidden: np.ndarray, side: int) -> np.ndarray:
    """The matrix (H * H, C) that makes the parts' losses of the losses under C masks.

    It is their expectation where the parts' losses are normal variables of mean 0, half of whose
    variance is shared with neighbours.
    """
    place = np.stack(np.divmod(np.arange(side * side), side), 1)
    distance = np.square(place[:, None] - place).sum(2)
    prior = np.eye(side * side) + np.exp(-distance / (2 * _REACH**2))
    x = hidden.astype(float)
    variance = x @ prior @ x.T  # of the losses under the masks
    noise = _NOISE * np.trace(variance) / len(x) * np.eye(len(x))
    return np.linalg.solve(variance + noise, x @ prior).T.astype(np.float32)


def losses(
    model: MRNN,
    encoder: Encoder,
    packed: Packed,
    pixels: np.ndarray,
    feature: np.ndarray,
    masks: np.ndarray,
) -> np.ndarray:
    """What log P of each word of one sentence loses when a picture is grey under each mask.

    `feature` (D,) is that of the picture (3, S, S) itself; returns (N, C), nats.
    """
    features = [feature[None]]
    for start in range(0, len(masks), _BATCH):
        some = masks[start : start + _BATCH]
        features.append(encoder.encode(filled(pixels, some, encoder.preprocessing)))
    found = word_likelihoods(model, packed, image_terms(model, np.concatenate(features)))
    return found[:, :1] - found[:, 1:]


def word_likelihoods(model: MRNN, packed: Packed, terms: np.ndarray) -> np.ndarray:
    """Log P of each word of one sentence given each of C image terms (C, M): (N, C), nats."""
    words = model.sentence_terms(packed)
    every = [log_softmax(model.logits(words + term)) for term in terms]
    return np.concatenate([np.take_along_axis(p, packed.targets[:, None], 1) for p in every], 1)
