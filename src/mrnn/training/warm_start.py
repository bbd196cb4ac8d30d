"""What learning begins with: weights at random, or a trained model whose words keep theirs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from ..config import ModelConfig
from ..model.mrnn import MRNN
from ..words.text import UNKNOWN
from .network import TrainableMRNN

_APART = 0.01  # standard deviation of the noise that sets new words apart


def first_model(start: MRNN | None, sizes: ModelConfig, seed: int) -> MRNN:
    """A model of these sizes, drawn at random, or grown out of a trained one, whose sizes stay."""
    generator = torch.Generator().manual_seed(seed)
    if start:
        return grown(start, sizes.vocabulary, generator)
    return TrainableMRNN(sizes).initialise(generator).trained()


def grown(model: MRNN, vocabulary: int, generator: torch.Generator) -> MRNN:
    """The model with rows for more words; a new word begins as what it was: the unknown word.

    The first V words are the model's own. Each new one gets the unknown word's embedding and
    output weights, a little noise, and an equal share of its probability.
    """
    new = vocabulary - model.config.vocabulary

    def noise(size: int) -> np.ndarray:
        return torch.randn(new, size, generator=generator).numpy() * np.float32(_APART)

    def longer(weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([weight, weight[UNKNOWN] + rows])

    return replace(
        model,
        config=replace(model.config, vocabulary=vocabulary),
        embedding=longer(model.embedding, noise(model.config.embedding)),
        wo=longer(model.wo, noise(model.config.multimodal)),
        wo_bias=longer(model.wo_bias, np.full(new, -math.log(max(new, 1)), dtype=np.float32)),
    )
