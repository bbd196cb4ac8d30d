"""The bag-of-words baseline: the words of a sentence, predicted from the image by ridge regression.

Each image's target is how many of its sentences say a word, the rare ones weighing more; how strong
the ridge is, the images left out one at a time decide. A sentence fits an image as much as the
cosine of its words with those predicted.

Dimension key: S sentences, I images, D image feature, V vocabulary.
"""

from __future__ import annotations

import numpy as np

from ...model.arrays import unit
from ...scoring.pairs import Pairs
from ...words.packing import Corpus
from ...words.text import SIGNS

_TINY = 1e-9  # stands for the eigenvalues of features that are all equal
_STRENGTHS = np.logspace(-4, 2, 13)  # of the ridge, in mean eigenvalues of the features


class BagOfWords:
    """A linear map from image features to words, fitted in closed form."""

    def __init__(self, train: Pairs, words: int) -> None:
        """From sentences with their images; `words` is V, the signs included."""
        rows, said = distinct_words(train.corpus, words)
        share = np.bincount(said, minlength=words) / len(train.corpus)
        self._rarity = np.log(1 / np.maximum(share, 1 / len(train.corpus))).astype(np.float32)
        self._rarity[: len(SIGNS)] = 0
        count = len(train.features)
        y = np.zeros((count, words), dtype=np.float32)
        np.add.at(y, (train.images[rows], said), self._rarity[said])
        y /= np.maximum(np.bincount(train.images, minlength=count), 1)[:, None]
        x = _scaled(train.features[np.arange(count)])
        self._x_mean, self._y_mean = x.mean(0), y.mean(0)
        self.weights, self.strength = ridge(x - self._x_mean, y - self._y_mean)

    def predicted(self, features: np.ndarray) -> np.ndarray:
        """How much each word is expected beyond its mean, (I, V), of features (I, D)."""
        return (_scaled(features) - self._x_mean) @ self.weights

    def scores(self, pairs: Pairs) -> np.ndarray:
        """Cosines (S, I) of all sentences with all images."""
        said = bags(pairs.corpus, len(self._rarity)) * self._rarity - self._y_mean
        expected = self.predicted(pairs.features[np.arange(len(pairs.features))])
        return unit(said) @ unit(expected).T


def bags(corpus: Corpus, words: int) -> np.ndarray:
    """Which words each sentence says, (S, V) of 0 and 1, without END."""
    found = np.zeros((len(corpus), words), dtype=np.float32)
    found[distinct_words(corpus, words)] = 1
    return found


def distinct_words(corpus: Corpus, words: int) -> tuple[np.ndarray, np.ndarray]:
    """The sentence and the index of each word that it says, each word once a sentence; no END."""
    sentences = corpus.sentences(np.arange(len(corpus)))
    rows = np.repeat(np.arange(len(corpus)), [len(sentence) for sentence in sentences])
    said = np.array([word for sentence in sentences for word in sentence], dtype=np.int64)
    pairs = np.unique(rows * words + said)
    return pairs // words, pairs % words


def ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (D, V) of a ridge regression from centred x (I, D) to y (I, V), and its strength.

    The strength, in mean eigenvalues of x'x, is the one with the least squared error of rows that
    are left out one at a time, found in closed form (Allen 1974).
    """
    values, vectors = np.linalg.eigh(x.T @ x)
    turned, targets = x @ vectors, vectors.T @ (x.T @ y)
    mean = max(float(values.mean()), _TINY)

    def error(strength: float) -> float:
        shrunk = 1 / (values.clip(0) + strength * mean)
        leverage = np.square(turned) @ shrunk + 1 / len(x)  # the mean counts, too
        left = y - turned @ (shrunk[:, None] * targets)
        return float(np.square(left / (1 - leverage)[:, None].clip(1e-6)).sum())

    best = min(_STRENGTHS, key=error)
    return vectors @ (targets / (values.clip(0) + best * mean)[:, None]), float(best)


def _scaled(features: np.ndarray) -> np.ndarray:
    return unit(features.astype(np.float32))
