"""Exact log P(sentence | image), in nats.

Dimension key: S sentences, N packed words, I images, V vocabulary, D image feature, K alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .model import MRNN
from .packing import Corpus, Packed
from .pairs import Pairs, to_tensor

_BATCH = 256  # sentences
_BLOCK_BYTES = 256_000_000  # memory for the logits of one block of words and images


@dataclass(frozen=True)
class WordScores:
    """The scores of one sentence's L words, END included."""

    logprobs: Tensor  # (L,)
    alternatives: Tensor  # (L, K) the most probable words, best first
    alternative_logprobs: Tensor  # (L, K)


@torch.inference_mode()
def score_words(model: MRNN, pairs: Pairs, alternatives: int = 0) -> list[WordScores]:
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
def perplexity(model: MRNN, pairs: Pairs) -> float:
    """2 to the mean of -log2 P over all words, END and unknown words counted (eq. 5)."""
    return tempered_perplexities(model, pairs, (1.0,))[0]


@torch.inference_mode()
def tempered_perplexities(
    model: MRNN, pairs: Pairs, temperatures: Sequence[float]
) -> tuple[float, ...]:
    """Perplexity with all logits divided by each temperature, in one pass over the sentences."""
    totals, words = [0.0] * len(temperatures), 0
    for _, packed, logits in _batches(model, pairs):
        for i, temperature in enumerate(temperatures):
            loss = F.cross_entropy(logits / temperature, packed.targets, reduction="sum")
            totals[i] += loss.item()
        words += len(packed.targets)
    return tuple(to_perplexity(-total, words) for total in totals)


def to_perplexity(logprob: float, words: int) -> float:
    """Perplexity of words that have this log P together, nats; infinite past a float's range."""
    mean = -logprob / words
    return math.exp(mean) if not mean > 700 else math.inf


@torch.inference_mode()
def log_likelihoods(model: MRNN, corpus: Corpus, features: np.ndarray) -> Tensor:
    """Log P of every sentence given every image, (S, I).

    VI I is computed once an image and the rest of eq. 3 once a word; only g2 and the softmax are
    done for each pair, in blocks of bounded memory.
    """
    device = model.wo.device
    packed = corpus.pack().to(device)
    image_terms = model.image_terms(to_tensor(features, device))  # (I, M)
    sentence_terms = model.sentence_terms(packed)  # (N, M)
    totals = image_terms.new_zeros(len(corpus), len(image_terms))
    row_bytes = 4 * len(image_terms) * model.config.vocabulary
    block = max(1, _BLOCK_BYTES // max(row_bytes, 1))  # words at once
    for start in range(0, len(sentence_terms), block):
        part = slice(start, start + block)
        logits = model.logits(sentence_terms[part, None] + image_terms)  # (block, I, V)
        targets = packed.targets[part, None, None].expand(-1, len(image_terms), 1)
        logp = logits.gather(2, targets)[:, :, 0] - logits.logsumexp(2)
        totals.index_add_(0, packed.order[packed.rows[part]], logp)
    return totals


def log_prior(model: MRNN, corpus: Corpus, prior: np.ndarray) -> Tensor:
    """Log P(s), (S,): P(s | I') averaged over sampled training images I' (paper sec. 6)."""
    scores = log_likelihoods(model, corpus, prior)
    return scores.logsumexp(1) - math.log(scores.shape[1])


def _batches(model: MRNN, pairs: Pairs) -> Iterator[tuple[np.ndarray, Packed, Tensor]]:
    """Positions, packed words and logits (N, V) of batches of sentences of similar length."""
    device = model.wo.device
    order = np.argsort(pairs.corpus.lengths, kind="stable")
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        packed = pairs.corpus.pack(chosen)
        terms = model.image_terms(pairs.features_of(chosen, packed, device))
        packed = packed.to(device)
        yield chosen, packed, model(packed, terms)
