"""About log P(s | I) of one sentence for many images, at a thirtieth of what it takes exactly.

After a prefix most of the probability lies with few words, and mostly with the same, whatever the
image is. The likeliest at some anchors make the short list of a prefix: their logits are computed
for every image. The other words are taken together. The log of the sum of their exponentials is a
convex function of m, so that its tangents at the anchors all lie below it: the highest stands for
it. What comes out is somewhat high, alike for images that are alike; it is good at choosing whom
to score exactly.

Dimension key: I images, A anchors, P prefixes, M multimodal layer, V vocabulary, K short list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.blocks import on_threads
from ..model.mrnn import MRNN, g2
from ..model.normaliser import distribution
from ..words.prefixes import PrefixTree
from .first_order import Softmaxes

_WORDS = 64  # of a short list
_PREFIXES = 64  # at once
_ROWS = 256  # prefixes times images at once: they stay in the cache
_LEAST_SHARE = np.float32(1e-4)  # of other words; below their slope is only rounding
_NO_SHARE = np.float32(1e-7)


@dataclass(frozen=True)
class Screen:
    """The short lists of a sentence's prefixes, as the columns of a product with m.

    Columns are the K words, a tangent an anchor, and the word that follows.
    """

    prefix_terms: np.ndarray  # (P, M)
    weights: np.ndarray  # (P, M, K + A + 1)
    biases: np.ndarray  # (P, 1, K + A + 1)
    words: int  # K

    def scores(self, terms: np.ndarray) -> np.ndarray:
        """About log P of the sentence for image terms (I, M): (I,), nats."""
        found = np.empty(len(terms), dtype=np.float32)
        size = max(1, _ROWS // len(self.prefix_terms))

        def score(part: slice) -> None:
            found[part] = self._scores(terms[part])

        on_threads(score, [(slice(i, i + size),) for i in range(0, len(terms), size)])
        return found

    def _scores(self, terms: np.ndarray) -> np.ndarray:
        x = self.prefix_terms[:, None] + terms
        logits = g2(x, out=x) @ self.weights  # (P, I, K + A + 1)
        logits += self.biases
        target = logits[..., -1].copy()
        listed = logits[..., : self.words + 1]
        listed[..., -1] = logits[..., self.words : -1].max(axis=2)  # the others, as one word
        most = listed.max(axis=2)
        listed -= most[..., None]
        np.exp(listed, out=listed)
        return (target - most - np.log(listed.sum(axis=2))).sum(axis=0)


def screen(
    model: MRNN, tree: PrefixTree, prefix_terms: np.ndarray, centres: np.ndarray
) -> tuple[Screen, Softmaxes]:
    """The screen of the one sentence of a tree, and the softmaxes (A, P) that it is made of."""
    count = min(_WORDS, len(model.wo))
    starts = range(0, len(prefix_terms), _PREFIXES)
    parts = [_part(model, prefix_terms[i : i + _PREFIXES], centres, count) for i in starts]
    m, normaliser, expected, weights, biases = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    target = tree.targets[np.argsort(tree.prefixes)]
    weights = np.concatenate([weights, model.wo[target][:, None]], 1)
    biases = np.concatenate([biases, model.wo_bias[target][:, None]], 1)
    found = Softmaxes(m.swapaxes(0, 1), normaliser.T, expected.swapaxes(0, 1))
    columns = weights.swapaxes(1, 2).copy()  # laid out as OpenBLAS is quickest
    return Screen(prefix_terms, columns, biases[:, None], count), found


def _part(
    model: MRNN, prefix_terms: np.ndarray, centres: np.ndarray, count: int
) -> tuple[np.ndarray, ...]:
    """Of some prefixes: m (P, A, M), log denominator (P, A), expected weights (P, A, M).

    And the weights (P, K + A, M) and biases (P, K + A) of short lists and tangents.
    """
    m = g2(prefix_terms[:, None] + centres)
    log_z, expected, shares = distribution(model)(m.reshape(-1, m.shape[2]))
    log_z, expected, shares = (
        found.reshape(*m.shape[:2], *found.shape[1:]) for found in (log_z, expected, shares)
    )
    usual = shares.mean(axis=1)  # (P, V)
    listed = np.argpartition(-usual, count - 1, axis=1)[:, :count]  # (P, K)
    rows = model.wo[listed]  # (P, K, M)
    inside = np.take_along_axis(shares, listed[:, None], 2)  # (P, A, K)
    others = np.maximum(1 - inside.sum(axis=2), _NO_SHARE)  # (P, A)
    slopes = (expected - inside @ rows) / np.maximum(others, _LEAST_SHARE)[..., None]
    offsets = log_z + np.log(others) - (m * slopes).sum(axis=2)
    return (
        m,
        log_z,
        expected,
        np.concatenate([rows, slopes], 1),
        np.concatenate([model.wo_bias[listed], offsets], 1),
    )
