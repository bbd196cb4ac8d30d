"""Small models, sentences and image terms that tests of scoring share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conftest import tiny_model
from mrnn.model.mrnn import MRNN
from mrnn.scoring.likelihoods import image_terms
from mrnn.words.packing import Corpus
from mrnn.words.text import UNKNOWN

SENTENCES = [[5, 6], [7, 8, 9, 5], [], [UNKNOWN] * 3, [4] + [5, 6] * 100, [11, 4], [7, 8, 9, 10]]
CORPUS = Corpus(SENTENCES)


def wild_model(feature: int = 6) -> MRNN:
    """A model far from uniform."""
    model = tiny_model(feature=feature)
    model.wo[:] *= 5
    return _biased(model)


def mild_model() -> MRNN:
    """A model whose images change log P by a few nats, as those of trained models do."""
    model = tiny_model()
    model.wo[:] *= 2
    model.vi[:] *= 0.04
    return _biased(model)


def _biased(model: MRNN) -> MRNN:
    """With biases, which an untrained model has not."""
    draw = np.random.default_rng(5)
    for bias in (model.we_bias, model.vw_bias, model.wo_bias):
        bias[:] = draw.normal(0, 0.3, bias.shape)
    return model


def precise(model: MRNN) -> MRNN:
    """The same model in float64, for what takes it one step at a time."""
    return replace(model, **{name: w.astype(np.float64) for name, w in model.weights.items()})


def some_features(images: int = 3, size: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((images, size)).astype(np.float16)


def some_terms(model: MRNN, images: int = 3, seed: int = 1) -> np.ndarray:
    return image_terms(model, some_features(images, model.config.feature, seed))
