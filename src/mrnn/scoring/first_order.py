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
import torch
from torch import Tensor

from ..model.mrnn import G2_BOUND, MRNN, g2
from ..model.normaliser import fast_normaliser
from ..words.packing import Corpus
from ..words.prefixes import PrefixTree, prefix_tree
from .likelihoods import MEMORY, pair_likelihoods, prefix_bytes, sentence_groups

ANCHORS = 4
PRIOR_SCORED = 64  # training images scored for the estimate of a sentence's P(s)
_ROUNDS = 20  # of k-means
_PREFIXES = 1024  # at once
_PREFIX_VECTORS = 5  # of M numbers that a prefix needs at an anchor
_SCORES = 4  # numbers for each score of a group: itself, copies, random ones


@dataclass(frozen=True)
class Linearised:
    """log P(s | z) and its gradient at each anchor."""

    centres: Tensor  # (A, M)
    values: Tensor  # (A, S)
    gradients: Tensor  # (A, S, M)

    def scores(self, terms: Tensor) -> Tensor:
        """The first-order score of every sentence for image terms (I, M): (S, I), nats."""
        cells = nearest(terms, self.centres)
        scores = terms.new_empty(self.values.shape[1], len(terms))
        for cell in cells.unique().tolist():
            inside = cells == cell
            steps = terms[inside] - self.centres[cell]
            scores[:, inside] = torch.addmm(
                self.values[cell, :, None], self.gradients[cell], steps.T
            )
        return scores


def anchors(terms: Tensor, count: int = ANCHORS, seed: int = 1) -> Tensor:
    """Centres of at most `count` cells of image terms (I, M) by k-means: (A, M)."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(terms), generator=generator)[:count].to(terms.device)
    centres = terms[chosen]
    for _ in range(_ROUNDS):
        cells = nearest(terms, centres)
        sums = torch.zeros_like(centres).index_add_(0, cells, terms)
        counts = torch.bincount(cells, minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
    return centres


def nearest(terms: Tensor, centres: Tensor) -> Tensor:
    """The nearest of the centres (A, M) to each image term (I, M): (I,)."""
    return (centres.square().sum(1) - 2 * terms @ centres.T).argmin(1)


@torch.inference_mode()
def linearise(model: MRNN, corpus: Corpus, centres: Tensor) -> Linearised:
    """Values and gradients of log P(s | z) of all sentences at the centres (A, M)."""
    tree = prefix_tree(corpus.pack()).to(centres.device)
    prefix_terms = model.prefix_terms(tree)
    together = max(1, _PREFIXES // len(prefix_terms))  # anchors, when sentences are few
    found = [
        _linearise_at(model, tree, prefix_terms, some, len(corpus))
        for some in centres.split(together)
    ]
    values, gradients = zip(*found, strict=True)
    return Linearised(centres, torch.cat(values), torch.cat(gradients))


def linearised_groups(
    model: MRNN, corpus: Corpus, centres: Tensor, images: int, memory: float
) -> Iterator[tuple[np.ndarray, Corpus, Linearised]]:
    """Linearise sentences in groups that take about `memory` bytes, `images` scores each included.

    Yields their positions, themselves, and what `linearise` makes of them.
    """
    a_word = prefix_bytes(model) + _PREFIX_VECTORS * 4 * centres.shape[1]
    costs = corpus.lengths * a_word + 4 * centres.numel() + _SCORES * 4 * images
    for group in sentence_groups(corpus, np.arange(len(corpus)), costs, memory / 2):
        part = Corpus(corpus.sentences(group))
        yield group, part, linearise(model, part, centres)


@torch.inference_mode()
def first_order_likelihoods(
    model: MRNN, corpus: Corpus, terms: Tensor, centres: Tensor, memory: float = MEMORY
) -> Tensor:
    """First-order scores of all pairs, (S, I), for image terms (I, M) and centres (A, M).

    Takes at most about `memory` bytes beside the result.
    """
    scores = terms.new_empty(len(corpus), len(terms))
    for group, _, linearised in linearised_groups(model, corpus, centres, len(terms), memory):
        scores[torch.from_numpy(group).to(terms.device)] = linearised.scores(terms)
    return scores


@torch.inference_mode()
def estimated_log_prior(
    model: MRNN,
    corpus: Corpus,
    prior_terms: Tensor,
    scores: Tensor,
    memory: float = MEMORY,
    scored: int = PRIOR_SCORED,
    seed: int = 1,
) -> Tensor:
    """An estimate of `log_prior`, (S,), from first-order scores (S, I') of the training images.

    For each sentence `scored` images are scored exactly, half of them its best and half drawn from
    the others; the line through these, exact against first-order, corrects all that were not,
    but to no more than the best half has as a rule.
    """
    chosen = _best_and_some(scores, min(scored, scores.shape[1]), seed)  # (S, C)
    sentences = np.repeat(np.arange(len(corpus)), chosen.shape[1])
    images = chosen.flatten().cpu().numpy()
    exact = pair_likelihoods(
        model, corpus, prior_terms, sentences, images, memory, fast_normaliser(model)
    ).view(chosen.shape)
    x, y = scores.gather(1, chosen), exact
    x0, y0 = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    slope = ((x - x0) * (y - y0)).sum(1, keepdim=True)
    slope /= (x - x0).square().sum(1, keepdim=True).clamp_min(1e-9)
    variance = (y - y0 - slope * (x - x0)).square().mean(1, keepdim=True)
    # The mean of exp of a normal variable lies half its variance above exp of its mean.
    others = y0 + slope * (scores - x0) + variance / 2
    half = max(1, chosen.shape[1] // 2)  # the best are first
    usual = exact[:, :half].median(1, keepdim=True).values
    corrected = others.minimum(usual).scatter(1, chosen, exact)
    return corrected.logsumexp(1) - math.log(scores.shape[1])


def first_order_log_prior(scores: Tensor) -> Tensor:
    """Log P(s), (S,), as first-order scores (S, I') have it: too high, as they are themselves."""
    return scores.logsumexp(1) - math.log(scores.shape[1])


def _best_and_some(scores: Tensor, count: int, seed: int) -> Tensor:
    """Columns (S, count): the best half of each row, then others at random, none twice."""
    best = scores.topk(count // 2, dim=1).indices
    generator = torch.Generator().manual_seed(seed)
    lots = torch.rand(scores.shape, generator=generator).to(scores.device)
    others = lots.scatter(1, best, -1).topk(count - best.shape[1], dim=1).indices
    return torch.cat((best, others), 1)


def _linearise_at(
    model: MRNN, tree: PrefixTree, prefix_terms: Tensor, centres: Tensor, sentences: int
) -> tuple[Tensor, Tensor]:
    """Values (A, S) and gradients (A, S, M) at some centres (A, M).

    The gradient of a word's log P is g2'(x) times (Wo of the word - the expectation of Wo), x
    being the sum inside eq. 3.
    """
    x = prefix_terms + centres[:, None]  # (A, P, M)
    m = g2(x)
    normalisers, expected = [], []
    for part in m.flatten(0, 1).split(_PREFIXES):
        logits = torch.addmm(model.wo_bias, part, model.wo.T)
        normaliser = logits.logsumexp(1, keepdim=True)
        normalisers.append(normaliser[:, 0])
        expected.append(logits.sub_(normaliser).exp_() @ model.wo)
    normaliser, mean = torch.cat(normalisers).view(m.shape[:2]), torch.cat(expected).view_as(m)
    slope = (2 / 3) * (G2_BOUND - m.square() / G2_BOUND)  # g2'(x)
    values = x.new_zeros(len(centres), sentences)
    gradients = x.new_zeros(len(centres), sentences, x.shape[2])
    words = max(1, _PREFIXES // len(centres))
    for at, target, sentence in zip(
        tree.prefixes.split(words),
        tree.targets.split(words),
        tree.sentences.split(words),
        strict=True,
    ):
        rows = model.wo[target]  # (n, M)
        logits = (m[:, at] * rows).sum(2) + model.wo_bias[target]
        values.index_add_(1, sentence, logits - normaliser[:, at])
        gradients.index_add_(1, sentence, slope[:, at] * (rows - mean[:, at]))
    return values, gradients
