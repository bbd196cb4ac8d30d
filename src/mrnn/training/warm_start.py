"""A trained model as the beginning of another: the words it knows keep their weights."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..model.mrnn import MRNN
from ..words.text import UNKNOWN

_APART = 0.01  # standard deviation of the noise that sets new words apart


@torch.no_grad()
def grown(model: MRNN, vocabulary: int, generator: torch.Generator) -> MRNN:
    """The model with rows for more words; a new word begins as what it was: the unknown word.

    The first V words are the model's own. Each new one gets the unknown word's embedding and
    output weights, a little noise, and an equal share of its probability.
    """
    larger = MRNN(replace(model.config, vocabulary=vocabulary))
    old = model.config.vocabulary
    for name, weights in larger.named_parameters():
        known = getattr(model, name)
        if name in ("embedding", "wo", "wo_bias"):
            weights[:old] = known
            weights[old:] = known[UNKNOWN]
            if name != "wo_bias":
                shape = weights[old:].shape
                weights[old:] += torch.randn(shape, generator=generator) * _APART
        else:
            weights.copy_(known)
    if vocabulary > old:
        larger.wo_bias[old:] -= torch.tensor(vocabulary - old).float().log()
    return larger
