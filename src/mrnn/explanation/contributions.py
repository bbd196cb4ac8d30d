"""Where a word's log P comes from: the last word, the sentence so far, each part of the image.

Log P of a word is a function of the sum x inside eq. 3. Integrated gradients follow it along the
straight line from a baseline, where neither words nor this image have a say, to what x is: the
averaged gradient times each term of x is that term's contribution, and the contributions sum to
the difference of log P. As VI I is a mean over positions, too, so does the image's part in turn.

Dimension key: B sentences, N packed words, P positions, D image feature, M multimodal layer,
V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.arrays import log_softmax
from ..model.mrnn import MRNN, g2, g2_slope
from ..model.normaliser import expectation
from ..words.packing import Packed

NODES = 16  # of Gauss-Legendre quadrature, enough for trained models
_MOST_NODES = 256
_TOLERANCE = 5e-4  # nats that the parts of a word may be wrong by; else nodes are doubled
_ROWS = 1024  # words whose softmax is in memory at once


@dataclass(frozen=True)
class Parts:
    """Log P of N words at the baseline, and what each term of eq. 3 adds to it, nats."""

    baseline: np.ndarray  # (N,)
    last_word: np.ndarray  # (N,) through Vw w(t)
    sentence: np.ndarray  # (N,) through Vr r(t)
    image: np.ndarray  # (N,) through VI I
    gradients: np.ndarray  # (N, M) of log P by x, averaged along the line


def explain(model: MRNN, packed: Packed, image_terms: np.ndarray, usual: np.ndarray) -> Parts:
    """The contributions to log P of all packed words (integrated gradients, arXiv:1703.01365).

    `image_terms` (B, M) are in the order of the sorted batch; `usual` (M,) is the image term at the
    baseline, the mean over training images.
    """
    w = model.word_representation(packed.inputs)
    last_word = w @ model.vw.T  # (N, M)
    sentence = model.recurrence(w, packed) @ model.vr.T
    image = image_terms[packed.rows] - usual
    start, line = model.vw_bias + usual, last_word + sentence + image
    before = log_softmax(model.logits(start[None]))[0, packed.targets]  # the same for all words
    gained = _log_p(model, start + line, packed.targets) - before
    nodes = NODES
    while True:
        gradients = _averaged(model, start, line, packed.targets, nodes)
        error = np.abs((gradients * line).sum(1) - gained).max()
        if error < _TOLERANCE or nodes >= _MOST_NODES:
            break
        nodes *= 2
    return Parts(
        before,
        (gradients * last_word).sum(1),
        (gradients * sentence).sum(1),
        (gradients * image).sum(1),
        gradients,
    )


def position_terms(model: MRNN, positions: np.ndarray) -> np.ndarray:
    """The image term as a sum over positions: (P, D) with the feature as mean -> (P, M).

    The picture's own normalisation is held fixed, so that the sum is exactly VI I.
    """
    length = max(float(np.linalg.norm(positions.mean(axis=0))), 1e-12)  # as `image_terms` has it
    return positions * (model.config.feature_norm / length / len(positions)) @ model.vi.T


def _averaged(
    model: MRNN, start: np.ndarray, line: np.ndarray, targets: np.ndarray, nodes: int
) -> np.ndarray:
    """Gradients averaged from `start` (M,) along each `line` (N, M): Gauss-Legendre quadrature."""
    places, weights = np.polynomial.legendre.leggauss(nodes)  # over -1..1
    gradients = np.zeros_like(line)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        gradients += float(weight) * _gradients(model, start + float(place) * line, targets)
    return gradients


def _log_p(model: MRNN, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Log P of each word, (N,), from the sums inside eq. 3, (N, M)."""
    found = [
        np.take_along_axis(log_softmax(model.logits(x[part])), targets[part, None], 1)[:, 0]
        for part in _parts(len(x))
    ]
    return np.concatenate(found)


def _gradients(model: MRNN, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The gradient of each word's log P by the sum inside eq. 3, at x: (N, M).

    It is g2'(x) times (Wo of the word - the expectation of Wo).
    """
    m = g2(x)
    expected = [expectation(model)(m[part])[1] for part in _parts(len(x))]
    return g2_slope(m) * (model.wo[targets] - np.concatenate(expected))


def _parts(length: int) -> list[slice]:
    return [slice(start, start + _ROWS) for start in range(0, length, _ROWS)]
