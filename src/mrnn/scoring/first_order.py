"""The first-order score: log P(sentence | image) as an inner product with the image's term.

Around an anchor z0, log P(s | z) is about log P(s | z0) + g . (z - z0), z = VI I being all that an
image does in the model and g one gradient a sentence. With several anchors, cells of training
images, each image is compared with the centre of its own cell. What comes out is good at finding
candidates, which `likelihoods` then scores exactly, and to estimate P(s).

Dimension key: S sentences, I images, A anchors, P distinct prefixes, M multimodal layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..model.arrays import highest, logsumexp
from ..model.mrnn import MRNN, g2, g2_slope
from ..model.normaliser import expectation, fast_normaliser
from ..words.packing import Corpus
from ..words.prefixes import PrefixTree, prefix_tree
from .draws import permutation, uniform
from .likelihoods import MEMORY, add_rows, pair_likelihoods, prefix_bytes, sentence_groups

ANCHORS = 4
PRIOR_SCORED = 64  # training images scored for the estimate of a sentence's P(s)
_ROUNDS = 20  # of k-means
_PREFIXES = 1024  # at once
_PREFIX_VECTORS = 5  # of M numbers that a prefix needs at an anchor
_SCORES = 4  # numbers for each score of a group: itself, copies, random ones


@dataclass(frozen=True)
class Linearised:
    """log P(s | z) and its gradient at each anchor."""

    centres: np.ndarray  # (A, M)
    values: np.ndarray  # (A, S)
    gradients: np.ndarray  # (A, S, M)

    def scores(self, terms: np.ndarray) -> np.ndarray:
        """The first-order score of every sentence for image terms (I, M): (S, I), nats."""
        cells = nearest(terms, self.centres)
        scores = np.empty((self.values.shape[1], len(terms)), dtype=np.float32)
        for cell in np.unique(cells).tolist():
            inside = np.flatnonzero(cells == cell)
            steps = terms[inside] - self.centres[cell]
            scores[:, inside] = self.values[cell, :, None] + self.gradients[cell] @ steps.T
        return scores


@dataclass(frozen=True)
class Softmaxes:
    """What the softmax is like after each prefix at each anchor."""

    m: np.ndarray  # (A, P, M), what it sees
    normaliser: np.ndarray  # (A, P), its log denominator
    expected: np.ndarray  # (A, P, M), the output weights that are expected of the next word


def anchors(terms: np.ndarray, count: int = ANCHORS, seed: int = 1) -> np.ndarray:
    """Centres of at most `count` cells of image terms (I, M) by k-means: (A, M)."""
    centres = terms[permutation(len(terms), seed)[:count]]
    for _ in range(_ROUNDS):
        cells = nearest(terms, centres)
        members = cells == np.arange(len(centres))[:, None]  # (A, I)
        counts = members.sum(axis=1, keepdims=True, dtype=np.float32)
        means = members.astype(np.float32) @ terms / np.maximum(counts, 1)
        centres = np.where(counts > 0, means, centres)
    return centres


def nearest(terms: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest of the centres (A, M) to each image term (I, M): (I,)."""
    return (np.square(centres).sum(axis=1) - 2 * terms @ centres.T).argmin(axis=1)


def linearise(model: MRNN, corpus: Corpus, centres: np.ndarray) -> Linearised:
    """Values and gradients of log P(s | z) of all sentences at the centres (A, M)."""
    tree = prefix_tree(corpus.pack())
    prefix_terms = model.prefix_terms(tree)
    together = max(1, _PREFIXES // len(prefix_terms))  # anchors, when sentences are few
    found = [
        linearise_tree(model, tree, len(corpus), softmaxes(model, prefix_terms, some))
        for some in np.split(centres, range(together, len(centres), together))
    ]
    values, gradients = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Linearised(centres, values, gradients)


def linearised_groups(
    model: MRNN, corpus: Corpus, centres: np.ndarray, images: int, memory: float
) -> Iterator[tuple[np.ndarray, Corpus, Linearised]]:
    """Linearise sentences in groups that take about `memory` bytes, `images` scores each included.

    Yields their positions, themselves, and what `linearise` makes of them.
    """
    a_word = prefix_bytes(model) + _PREFIX_VECTORS * 4 * centres.shape[1]
    costs = corpus.lengths * a_word + 4 * centres.size + _SCORES * 4 * images
    for group in sentence_groups(corpus, np.arange(len(corpus)), costs, memory / 2):
        part = Corpus(corpus.sentences(group))
        yield group, part, linearise(model, part, centres)


def first_order_likelihoods(
    model: MRNN, corpus: Corpus, terms: np.ndarray, centres: np.ndarray, memory: float = MEMORY
) -> np.ndarray:
    """First-order scores of all pairs, (S, I), for image terms (I, M) and centres (A, M).

    Takes at most about `memory` bytes beside the result.
    """
    scores = np.empty((len(corpus), len(terms)), dtype=np.float32)
    for group, _, linearised in linearised_groups(model, corpus, centres, len(terms), memory):
        scores[group] = linearised.scores(terms)
    return scores


def estimated_log_prior(
    model: MRNN,
    corpus: Corpus,
    prior_terms: np.ndarray,
    scores: np.ndarray,
    memory: float = MEMORY,
    scored: int = PRIOR_SCORED,
    seed: int = 1,
) -> np.ndarray:
    """An estimate of `log_prior`, (S,), from first-order scores (S, I') of the training images.

    For each sentence `scored` images are scored exactly, half of them its best and half drawn from
    the others; the line through these, exact against first-order, corrects all that were not,
    but to no more than the best half has as a rule.
    """
    chosen = _best_and_some(scores, min(scored, scores.shape[1]), seed)  # (S, C)
    sentences = np.repeat(np.arange(len(corpus)), chosen.shape[1])
    images = chosen.ravel()
    exact = pair_likelihoods(
        model, corpus, prior_terms, sentences, images, memory, fast_normaliser(model)
    ).reshape(chosen.shape)
    x, y = np.take_along_axis(scores, chosen, 1), exact
    x0, y0 = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    slope = ((x - x0) * (y - y0)).sum(axis=1, keepdims=True)
    slope /= np.maximum(np.square(x - x0).sum(axis=1, keepdims=True), 1e-9)
    variance = np.square(y - y0 - slope * (x - x0)).mean(axis=1, keepdims=True)
    # The mean of exp of a normal variable lies half its variance above exp of its mean.
    others = y0 + slope * (scores - x0) + variance / 2
    half = max(1, chosen.shape[1] // 2)  # the best are first
    usual = np.sort(exact[:, :half], axis=1)[:, (half - 1) // 2, None]  # the lower median
    corrected = np.minimum(others, usual)
    np.put_along_axis(corrected, chosen, exact, 1)
    return logsumexp(corrected) - math.log(scores.shape[1])


def first_order_log_prior(scores: np.ndarray) -> np.ndarray:
    """Log P(s), (S,), as first-order scores (S, I') have it: too high, as they are themselves."""
    return logsumexp(scores) - math.log(scores.shape[1])


def _best_and_some(scores: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Columns (S, count): the best half of each row, then others at random, none twice."""
    best = highest(scores, count // 2)
    lots = uniform(scores.shape, seed)
    np.put_along_axis(lots, best, np.float32(-1), 1)
    return np.concatenate((best, highest(lots, count - best.shape[1])), 1)


def softmaxes(model: MRNN, prefix_terms: np.ndarray, centres: np.ndarray) -> Softmaxes:
    """The softmax after each prefix (P, M) at each anchor (A, M)."""
    m = g2(prefix_terms + centres[:, None])  # (A, P, M)
    flat = m.reshape(-1, m.shape[2])
    parts = [flat[start : start + _PREFIXES] for start in range(0, len(flat), _PREFIXES)]
    normalisers, expected = zip(*map(expectation(model), parts), strict=True)
    normaliser = np.concatenate(normalisers).reshape(m.shape[:2])
    return Softmaxes(m, normaliser, np.concatenate(expected).reshape(m.shape))


def linearise_tree(
    model: MRNN, tree: PrefixTree, sentences: int, found: Softmaxes
) -> tuple[np.ndarray, np.ndarray]:
    """Values (A, S) and gradients (A, S, M) of the tree's sentences.

    The gradient of a word's log P is g2'(x) times (Wo of the word - the expectation of Wo), x
    being the sum inside eq. 3.
    """
    slope = g2_slope(found.m)
    count = len(found.m)
    values = np.zeros((sentences, count), dtype=np.float32)
    gradients = np.zeros((sentences, count, found.m.shape[2]), dtype=np.float32)
    words = max(1, _PREFIXES // count)
    for start in range(0, len(tree.targets), words):
        part = slice(start, start + words)
        at, target, sentence = tree.prefixes[part], tree.targets[part], tree.sentences[part]
        rows = model.wo[target]  # (n, M)
        logits = (found.m[:, at] * rows).sum(axis=2) + model.wo_bias[target]  # (A, n)
        steps = slope[:, at] * (rows - found.expected[:, at])
        add_rows(values, sentence, (logits - found.normaliser[:, at]).T)
        add_rows(gradients, sentence, steps.swapaxes(0, 1))
    return values.T.copy(), gradients.swapaxes(0, 1).copy()
