"""Which sentences fit an image, which images a sentence: coarse scores choose, exact ones order.

The paper's rankings (sec. 6): images for a sentence by P(s | I), for one sentence the order of
perplexity; sentences for an image by P(s | I) / P(s).

Dimension key: S sentences, I images, M multimodal layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .devices import has_int8
from .first_order import (
    anchors,
    estimated_log_prior,
    first_order_likelihoods,
    first_order_log_prior,
)
from .likelihoods import MEMORY, OnProgress, log_likelihoods, log_prior, pair_likelihoods
from .model import MRNN
from .normaliser import int8_normaliser
from .packing import Corpus

RESCORED = 50  # best items of a query that are scored again precisely after 8-bit scoring
IMAGE_CANDIDATES = 50  # images of a sentence that the first stage of two hands on
SENTENCE_CANDIDATES = 200  # sentences of an image
_CANDIDATES = (IMAGE_CANDIDATES, SENTENCE_CANDIDATES)
_RESERVES = 10  # sentences more than asked for whose P(s) is computed exactly

Stage = Callable[[str], AbstractContextManager[OnProgress]]  # shows a named piece of work


@dataclass(frozen=True)
class Rankings:
    """Scores of all pairs of S sentences and I images, (S, I) each.

    `images` and `sentences` are to be compared within a query only: candidates come first.
    """

    images: Tensor  # orders the images of a sentence, by log P(s | I)
    sentences: Tensor  # orders the sentences of an image, by log P(s | I) - log P(s)
    likelihoods: Tensor  # log P(s | I), nats; first-order where no more was needed
    first_images: Tensor  # as the first-order scores order the images of a sentence
    first_sentences: Tensor  # and the sentences of an image


def rank_all(
    model: MRNN,
    corpus: Corpus,
    terms: Tensor,
    prior_terms: Tensor,
    exact: bool,
    memory: float,
    stage: Stage,
) -> Rankings:
    """Rank the images of each sentence, and the sentences of each image.

    With `exact` every pair is scored: at once in full precision, or, where the processor has 8-bit
    products, with these, and then the best of each query in full precision. Without, first-order
    scores choose the candidates. `terms` are of the I images, `prior_terms` of training images.
    """
    first_order, of_prior = _first_order(model, corpus, terms, prior_terms, memory, stage)
    with stage("log P(s)") as on_progress:
        prior = estimated_log_prior(model, corpus, prior_terms, of_prior, memory, on_progress)
    rough = first_order_log_prior(of_prior)
    reduced = exact and has_int8(terms.device)
    coarse, ratios, counts = first_order, first_order - rough[:, None], _CANDIDATES
    if exact:
        normaliser = int8_normaliser(model) if reduced else None
        with stage("scoring") as on_progress:
            coarse = log_likelihoods(model, corpus, terms, memory, normaliser, on_progress)
        ratios, counts = coarse - prior[:, None], (RESCORED, RESCORED)
    if exact and not reduced:
        return Rankings(coarse, ratios, coarse, first_order, first_order - rough[:, None])
    of_sentence = best_mask(coarse, counts[0])
    of_image = best_mask(ratios.T, counts[1]).T
    with stage("candidates") as on_progress:
        sentence, image = (of_sentence | of_image).nonzero(as_tuple=True)
        pairs = sentence.cpu().numpy(), image.cpu().numpy()
        found = pair_likelihoods(
            model, corpus, terms, *pairs, memory=memory, on_progress=on_progress
        )
    likelihoods = coarse.index_put((sentence, image), found)
    return Rankings(
        candidates_first(coarse, likelihoods, of_sentence),
        candidates_first(ratios.T, (likelihoods - prior[:, None]).T, of_image.T).T,
        likelihoods,
        first_order,
        first_order - rough[:, None],
    )


def sentences_for(
    model: MRNN, corpus: Corpus, terms: Tensor, prior_terms: Tensor, k: int | None
) -> tuple[list[int], list[float], list[float]]:
    """The k best (or all) of S sentences for the one image of `terms` (1, M), by P(s|I)/P(s).

    Returns their positions, best first, with their log P(s | I) and log P(s), all exact. Who gets
    that far is decided by first-order scores and then by estimated log P(s).
    """
    chosen = np.arange(len(corpus))
    last = len(corpus) if k is None else k + _RESERVES
    if len(chosen) > last:
        scores, of_prior = _first_order(model, corpus, terms, prior_terms, MEMORY, _silent)
        ratios = scores[:, 0] - first_order_log_prior(of_prior)
        chosen = _best(ratios, max(last, SENTENCE_CANDIDATES))
        part = Corpus(corpus.sentences(chosen))
        prior = estimated_log_prior(model, part, prior_terms, of_prior[chosen])
        ratios = log_likelihoods(model, part, terms)[:, 0] - prior
        chosen = chosen[_best(ratios, last)]
    part = Corpus(corpus.sentences(chosen))
    likelihoods = log_likelihoods(model, part, terms)[:, 0]
    prior = log_prior(model, part, prior_terms)
    order = (likelihoods - prior).argsort(descending=True, stable=True)[:k]
    positions = chosen[order.cpu().numpy()].tolist()
    return positions, likelihoods[order].tolist(), prior[order].tolist()


def best_mask(scores: Tensor, count: int) -> Tensor:
    """Which items are among the `count` best of their row, (Q, N) to (Q, N) bool."""
    best = scores.topk(min(count, scores.shape[1]), dim=1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)


def candidates_first(coarse: Tensor, exact: Tensor, chosen: Tensor) -> Tensor:
    """Scores (Q, N) that put each row's `chosen` items by `exact` before the others by `coarse`."""
    lowest = exact.masked_fill(~chosen, torch.inf).amin(1, keepdim=True)
    highest = coarse.masked_fill(chosen, -torch.inf).amax(1, keepdim=True)
    down = (highest - lowest + 1).clamp_min(0)
    return torch.where(chosen, exact, coarse - down)


def _first_order(
    model: MRNN, corpus: Corpus, terms: Tensor, prior_terms: Tensor, memory: float, stage: Stage
) -> tuple[Tensor, Tensor]:
    """First-order scores of the images, (S, I), and of the training images, (S, I')."""
    with stage("first order") as on_progress:
        both = torch.cat([terms, prior_terms])
        centres = anchors(prior_terms)
        scores = first_order_likelihoods(model, corpus, both, centres, memory, on_progress)
    return scores[:, : len(terms)], scores[:, len(terms) :]


def _best(scores: Tensor, count: int) -> np.ndarray:
    """Positions of the best scores (N,), in their given order; of equals the first."""
    found = scores.argsort(descending=True, stable=True)[:count].sort().values
    return found.cpu().numpy()


@contextmanager
def _silent(name: str) -> Iterator[OnProgress]:
    yield lambda done, total: None
