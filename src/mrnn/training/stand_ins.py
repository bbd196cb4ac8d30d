"""Features that stand in for the pictures that sentences without pictures do not have.

A stand-in is what a linear map from the words of captions to features expects (ridge regression,
from the training captions), and what such an expectation missed in a real picture, drawn at random:
text with noise, as Nukrai et al. 2022 (arXiv:2211.00575) have it for CLIP. For every word that has
prototypes, one of them is added.

Dimension key: S sentences, V vocabulary, K words that captions have, D image feature, n sentences
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..model.arrays import unit
from ..scoring.pairs import Pairs
from ..words.text import SIGNS

_AT_ONCE = 2000  # sentences
_RIDGE = 30.0  # added to the diagonal, in sentences
_VARIATION = 0.3  # share by which the strength of a prototype varies, up and down


class StandIns:
    """Draws a feature (D,) for each of some sentences, of the length `norm` that models expect."""

    def __init__(
        self,
        train: Pairs,
        vocabulary: int,
        norm: float,
        prototypes: Mapping[int, Sequence[int]],
        vectors: np.ndarray,
        strength: float,
    ) -> None:
        """`prototypes` are rows of `vectors` (N, D), by the words' indices.

        `strength` is the length of a prototype beside features of the length `norm`.
        """
        self._train, self._norm, self._strength = train, norm, strength
        self._prototypes, self._vectors = prototypes, vectors
        self._mean, self._of_words = self._regression(vocabulary)

    def draw(self, words: Sequence[Sequence[int]], generator: np.random.Generator) -> np.ndarray:
        """Features (n, D) float32 for sentences by their words, the signs left out."""
        drawn = generator.integers(len(self._train.corpus), size=len(words))
        found = self._expected(words) + self._missed(drawn)
        for i, sentence in enumerate(words):
            named = [w for w in dict.fromkeys(sentence) if w in self._prototypes]
            if named:
                several = [self._prototypes[w] for w in named]
                rows = [rows[int(generator.integers(len(rows)))] for rows in several]
                varied = generator.uniform(1 - _VARIATION, 1 + _VARIATION)
                share = self._strength * varied / np.sqrt(len(named))
                found[i] += np.float32(share) * self._vectors[rows].sum(0)
        return found

    def _missed(self, captions: np.ndarray) -> np.ndarray:
        """What the expectation from each of these captions (n,) misses in its picture, (n, D)."""
        return self._real(captions) - self._expected(self._train.corpus.sentences(captions))

    def _real(self, captions: np.ndarray) -> np.ndarray:
        """The features of the captions' pictures, (n, D), scaled to the norm."""
        rows = self._train.features[self._train.images[captions]]
        return unit(np.asarray(rows, dtype=np.float32)) * np.float32(self._norm)

    def _expected(self, words: Sequence[Sequence[int]]) -> np.ndarray:
        """What the words let expect, (n, D)."""
        found = np.tile(self._mean, (len(words), 1))
        for i, sentence in enumerate(words):
            found[i] += self._of_words[list(sentence)].sum(0)
        return found

    def _regression(self, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
        """What is expected without a word, (D,), and what each word adds to it, (V, D)."""
        corpus = self._train.corpus
        counts = np.zeros(vocabulary, dtype=np.float64)
        mean = np.zeros(self._vectors.shape[1], dtype=np.float64)
        for chosen in _parts(len(corpus)):
            counts += _bags(corpus.sentences(chosen), vocabulary).sum(0)
            mean += self._real(chosen).sum(0, dtype=np.float64)
        counts /= len(corpus)
        mean /= len(corpus)
        counts[: len(SIGNS)] = 0
        known = np.flatnonzero(counts)  # (K,)
        gram = np.zeros((len(known), len(known)), dtype=np.float64)
        moments = np.zeros((len(known), len(mean)), dtype=np.float64)
        for chosen in _parts(len(corpus)):
            bags = _bags(corpus.sentences(chosen), vocabulary)[:, known]
            bags -= counts[known].astype(np.float32)
            gram += bags.T @ bags
            moments += bags.T @ (self._real(chosen) - mean.astype(np.float32))
        gram[np.diag_indices_from(gram)] += _RIDGE
        of_words = np.zeros((vocabulary, len(mean)), dtype=np.float32)
        of_words[known] = np.linalg.solve(gram, moments)
        return (mean - counts @ of_words).astype(np.float32), of_words


def _parts(count: int) -> Iterable[np.ndarray]:
    return np.split(np.arange(count), range(_AT_ONCE, count, _AT_ONCE))


def _bags(sentences: Sequence[Sequence[int]], vocabulary: int) -> np.ndarray:
    """How often each sentence has each word, (n, V) float32."""
    rows = np.repeat(np.arange(len(sentences)), [len(s) for s in sentences])
    words = np.fromiter((w for s in sentences for w in s), dtype=np.int64, count=len(rows))
    at = rows * vocabulary + words
    counts = np.bincount(at, minlength=len(sentences) * vocabulary)
    return counts.reshape(len(sentences), vocabulary).astype(np.float32)
