"""The words of sentences, each scored given its own image: log P in nats, and perplexity.

Dimension key: L words of a sentence, N packed words, V vocabulary, K alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.language_model import LanguageModel
from ..words.packing import Packed
from .pairs import Pairs

_BATCH = 256  # sentences


@dataclass(frozen=True)
class WordScores:
    """The scores of one sentence's L words, END included."""

    logprobs: Tensor  # (L,)
    alternatives: Tensor  # (L, K) the most probable words, best first
    alternative_logprobs: Tensor  # (L, K)


@torch.inference_mode()
def score_words(model: LanguageModel, pairs: Pairs, alternatives: int = 0) -> list[WordScores]:
    """Score every word of every sentence given its image, in the given order."""
    results: list[WordScores | None] = [None] * len(pairs.corpus)
    for chosen, packed, logits in _batches(model, pairs):
        logp = F.log_softmax(logits, dim=1)
        top = logp.topk(min(alternatives, logp.shape[1]), dim=1)
        parts = (logp.gather(1, packed.targets[:, None])[:, 0], top.indices, top.values)
        cut = (packed.by_sentence(part.cpu()) for part in parts)
        for i, *scores in zip(chosen.tolist(), *cut, strict=True):
            results[i] = WordScores(*scores)
    return [result for result in results if result is not None]


@torch.inference_mode()
def perplexity(model: LanguageModel, pairs: Pairs) -> float:
    """2 to the mean of -log2 P over all words, END and unknown words counted (eq. 5)."""
    return tempered_perplexities(model, pairs, (1.0,))[0]


@torch.inference_mode()
def tempered_perplexities(
    model: LanguageModel, pairs: Pairs, temperatures: Sequence[float]
) -> tuple[float, ...]:
    """Perplexity with all logits divided by each temperature, in one pass over the sentences."""
    totals, words = [0.0] * len(temperatures), 0
    for _, packed, logits in _batches(model, pairs):
        below = logits - logits.amax(1, keepdim=True)  # so that no exponential overflows
        right = below.gather(1, packed.targets[:, None]).sum()
        for i, temperature in enumerate(temperatures):
            denominators = (below / temperature).exp_().sum(1).log_()
            totals[i] += (denominators.sum() - right / temperature).item()
        words += len(packed.targets)
    return tuple(to_perplexity(-total, words) for total in totals)


def to_perplexity(logprob: float, words: int) -> float:
    """Perplexity of words that have this log P together, nats; infinite past a float's range."""
    mean = -logprob / words
    return math.exp(mean) if not mean > 700 else math.inf


def _batches(model: LanguageModel, pairs: Pairs) -> Iterator[tuple[np.ndarray, Packed, Tensor]]:
    """Positions, packed words and logits (N, V) of batches of sentences of similar length."""
    device = model.wo.device
    order = np.argsort(pairs.corpus.lengths, kind="stable")
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        packed = pairs.corpus.pack(chosen)
        terms = model.image_terms(pairs.features_of(chosen, packed, device))
        packed = packed.to(device)
        yield chosen, packed, model(packed, terms)
