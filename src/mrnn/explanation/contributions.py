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
import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.mrnn import G2_BOUND, MRNN, g2, recurrence
from ..words.packing import Packed

NODES = 16  # of Gauss-Legendre quadrature, enough for trained models
_MOST_NODES = 256
_TOLERANCE = 5e-4  # nats that the parts of a word may be wrong by; else nodes are doubled
_ROWS = 1024  # words whose softmax is in memory at once


@dataclass(frozen=True)
class Parts:
    """Log P of N words at the baseline, and what each term of eq. 3 adds to it, nats."""

    baseline: Tensor  # (N,)
    last_word: Tensor  # (N,) through Vw w(t)
    sentence: Tensor  # (N,) through Vr r(t)
    image: Tensor  # (N,) through VI I
    gradients: Tensor  # (N, M) of log P by x, averaged along the line


@torch.inference_mode()
def explain(model: MRNN, packed: Packed, image_terms: Tensor, usual: Tensor) -> Parts:
    """The contributions to log P of all packed words (integrated gradients, arXiv:1703.01365).

    `image_terms` (B, M) are in the order of the sorted batch; `usual` (M,) is the image term at the
    baseline, the mean over training images.
    """
    w = model.word_representation(packed.inputs)
    last_word = F.linear(w, model.vw)  # (N, M)
    sentence = F.linear(recurrence(w, model.ur, packed.sizes), model.vr)
    image = image_terms.index_select(0, packed.rows) - usual
    start, line = model.vw_bias + usual, last_word + sentence + image
    before = model.logits(start[None]).log_softmax(1)[0, packed.targets]  # the same for all words
    gained = _log_p(model, start + line, packed.targets) - before
    nodes = NODES
    while True:
        gradients = _averaged(model, start, line, packed.targets, nodes)
        error = ((gradients * line).sum(1) - gained).abs().max()
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


@torch.inference_mode()
def position_terms(model: MRNN, positions: Tensor) -> Tensor:
    """The image term as a sum over positions: (P, D) with the feature as mean -> (P, M).

    The picture's own normalisation is held fixed, so that the sum is exactly VI I.
    """
    length = positions.mean(0).norm().clamp_min(1e-12)  # as torch normalises
    return F.linear(positions * (model.config.feature_norm / length / len(positions)), model.vi)


def _averaged(model: MRNN, start: Tensor, line: Tensor, targets: Tensor, nodes: int) -> Tensor:
    """Gradients averaged from `start` (M,) along each `line` (N, M): Gauss-Legendre quadrature."""
    places, weights = np.polynomial.legendre.leggauss(nodes)  # over -1..1
    gradients = torch.zeros_like(line)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        gradients += float(weight) * _gradients(model, start + float(place) * line, targets)
    return gradients


def _log_p(model: MRNN, x: Tensor, targets: Tensor) -> Tensor:
    """Log P of each word, (N,), from the sums inside eq. 3, (N, M)."""
    found = [
        model.logits(some).log_softmax(1).gather(1, words[:, None])[:, 0]
        for some, words in zip(x.split(_ROWS), targets.split(_ROWS), strict=True)
    ]
    return torch.cat(found)


def _gradients(model: MRNN, x: Tensor, targets: Tensor) -> Tensor:
    """The gradient of each word's log P by the sum inside eq. 3, at x: (N, M).

    It is g2'(x) times (Wo of the word - the expectation of Wo).
    """
    m = g2(x)
    expected = [model.logits(some).softmax(1) @ model.wo for some in x.split(_ROWS)]
    slope = (2 / 3) * (G2_BOUND - m.square() / G2_BOUND)  # g2'(x)
    return slope * (model.wo[targets] - torch.cat(expected))
