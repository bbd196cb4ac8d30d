"""The words of sentences, each scored given its own image: log P in nats, and perplexity.

Dimension key: L words of a sentence, N packed words, V vocabulary, K alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..model.arrays import highest, log_softmax, logsumexp
from ..model.language_model import LanguageModel
from ..results import Word
from ..words.packing import Packed
from ..words.text import END, SIGNS, Vocabulary
from .pairs import Pairs

_BATCH = 128  # sentences


@dataclass(frozen=True)
class WordScores:
    """The scores of one sentence's L words, END included."""

    logprobs: np.ndarray  # (L,)
    alternatives: np.ndarray  # (L, K) the most probable words, best first
    alternative_logprobs: np.ndarray  # (L, K)


def score_words(model: LanguageModel, pairs: Pairs, alternatives: int = 0) -> list[WordScores]:
    """Score every word of every sentence given its image, in the given order."""
    results: list[WordScores | None] = [None] * len(pairs.corpus)
    for chosen, packed, logits in _batches(model, pairs):
        logp = log_softmax(logits)
        said = np.take_along_axis(logp, packed.targets[:, None], 1)[:, 0]
        best = highest(logp, min(alternatives, logp.shape[1]))
        parts = (said, best, np.take_along_axis(logp, best, 1))
        cut = (packed.by_sentence(part) for part in parts)
        for i, *scores in zip(chosen.tolist(), *cut, strict=True):
            results[i] = WordScores(*scores)
    return [result for result in results if result is not None]


def sentence_words(vocabulary: Vocabulary, sentence: str, scored: WordScores) -> tuple[Word, ...]:
    """The L words of a caller's sentence that was scored, END the last."""
    texts = [*vocabulary.tokenise(sentence), SIGNS[END]]
    words = zip(texts, scored.logprobs.tolist(), strict=True)
    return tuple(Word(w, p, captions=vocabulary.captions_with(w)) for w, p in words)


def perplexity(model: LanguageModel, pairs: Pairs) -> float:
    """2 to the mean of -log2 P over all words, END and unknown words counted (eq. 5)."""
    total, words = 0.0, 0
    for _, packed, logits in _batches(model, pairs):
        right = np.take_along_axis(logits, packed.targets[:, None], 1)[:, 0]
        total += float((right - logsumexp(logits)).sum(dtype=np.float64))
        words += len(packed.targets)
    return to_perplexity(total, words)


def to_perplexity(logprob: float, words: int) -> float:
    """Perplexity of words that have this log P together, nats; infinite past a float's range."""
    mean = -logprob / words
    return math.exp(mean) if not mean > 700 else math.inf


def _batches(model: LanguageModel, pairs: Pairs) -> Iterator[tuple[np.ndarray, Packed, np.ndarray]]:
    """Positions, packed words and logits (N, V) of batches of sentences of similar length."""
    order = np.argsort(pairs.corpus.lengths, kind="stable")
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        packed = pairs.corpus.pack(chosen)
        terms = model.image_terms(pairs.features_of(chosen, packed))
        yield chosen, packed, model.sentence_logits(packed, terms)
