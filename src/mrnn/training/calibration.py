"""How sure of itself a network may be: one divisor of all logits, chosen on dev.

Dimension key: N packed words, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..scoring.pairs import Pairs
from ..scoring.word_scores import to_perplexity
from .learner import Learner
from .network import on_device_of

# A network trained this long on so few pictures is too sure of itself; a divisor of the logits
# takes that back, and is multiplied into the weights that are saved.
TEMPERATURES = (1.0, 1.04, 1.08, 1.12, 1.16, 1.2, 1.25, 1.3, 1.4, 1.5)

_BATCH = 256  # sentences


def calibrate(model: Learner, dev: Pairs) -> tuple[float, float]:
    """The lowest perplexity on dev over TEMPERATURES, and the temperature that gives it."""
    return min(zip(tempered_perplexities(model, dev, TEMPERATURES), TEMPERATURES, strict=True))


@torch.inference_mode()
def tempered_perplexities(
    model: Learner, pairs: Pairs, temperatures: Sequence[float]
) -> tuple[float, ...]:
    """Perplexity with all logits divided by each temperature, in one pass over the sentences."""
    totals, words = [0.0] * len(temperatures), 0
    order = np.argsort(pairs.corpus.lengths, kind="stable")  # batches of sentences of like length
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        packed = pairs.corpus.pack(chosen)
        features = torch.from_numpy(pairs.features_of(chosen, packed)).to(model.wo.device)
        logits = model(packed, model.image_terms(features))  # (N, V)
        below = logits - logits.amax(1, keepdim=True)  # so that no exponential overflows
        right = below.gather(1, on_device_of(model.wo, packed.targets)[:, None]).sum()
        for i, temperature in enumerate(temperatures):
            denominators = (below / temperature).exp_().sum(1).log_()
            totals[i] += (denominators.sum() - right / temperature).item()
        words += len(packed.targets)
    return tuple(to_perplexity(-total, words) for total in totals)
