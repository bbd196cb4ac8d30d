"""Which sentences fit an image, which images a sentence: coarse scores choose, exact ones order.

The paper's rankings (sec. 6): images for a sentence by P(s | I), for one sentence the order of
perplexity; sentences for an image by P(s | I) / P(s).

Dimension key: S sentences, I images, P training images for P(s), M multimodal layer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..devices import has_int8
from ..errors import UsageError
from ..model.mrnn import MRNN
from ..model.normaliser import fast_normaliser
from ..words.packing import Corpus
from .first_order import (
    PRIOR_SCORED,
    anchors,
    estimated_log_prior,
    first_order_log_prior,
    linearise,
    linearised_groups,
)
from .likelihoods import MEMORY, OnProgress, log_likelihoods, log_prior, pair_likelihoods

EXACT_PRIOR_SCORED = 128  # training images scored for P(s) when all pairs are scored
RESCORED = 50  # best items of a query that are scored again precisely after 8-bit scoring
IMAGE_CANDIDATES = 50  # images of a sentence that the first stage of two hands on
SENTENCE_CANDIDATES = 200  # sentences of an image
_RESERVES = 10  # sentences more than asked for whose P(s) is computed exactly
_MATRICES = 12  # (S, I) that are held at once

Stage = Callable[
    [str, str], AbstractContextManager[OnProgress]
]  # shows a piece of work: name, unit


@dataclass(frozen=True)
class Rankings:
    """Scores of all pairs of S sentences and I images, (S, I) each.

    All but `likelihoods` are to be compared within a query only: candidates come first.
    """

    images: np.ndarray  # orders the images of a sentence, by log P(s | I)
    sentences: np.ndarray  # orders the sentences of an image, by log P(s | I) - log P(s)
    likelihoods: np.ndarray | None  # log P(s | I), nats, as the first pass over all pairs has it
    first_images: np.ndarray  # as first-order scores order the images of a sentence
    first_sentences: np.ndarray  # and the sentences of an image


def require_memory(sentences: int, images: int, memory: float) -> None:
    """Raise UsageError when `rank_all` of so many cannot do with so many bytes."""
    needed = _MATRICES * 4 * sentences * images
    if needed > memory:
        raise UsageError(
            f"ranking {sentences:,} sentences and {images:,} images takes {needed / 1e9:.1f} GB of "
            "memory; allow it with --memory, or take fewer images"
        )


@torch.inference_mode()
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
    scores choose the candidates. P(s) is estimated from some of the training images. `terms` are of
    the I images, `prior_terms` of training images. Takes about `memory` bytes; raises UsageError
    when they are too few.
    """
    require_memory(len(corpus), len(terms), memory)
    scored = EXACT_PRIOR_SCORED if exact else PRIOR_SCORED
    distinct, which = terms.unique(dim=0, return_inverse=True)  # equal pictures shall tie
    first, rough, prior = _first_stage(model, corpus, distinct, prior_terms, scored, memory, stage)
    first_ratios = first - rough[:, None]
    likelihoods = None
    if exact:
        images, sentences, likelihoods = _score_all(model, corpus, distinct, prior, memory, stage)
    else:
        counts = IMAGE_CANDIDATES, SENTENCE_CANDIDATES
        images, sentences = _order(
            model, corpus, distinct, first, first_ratios, prior, counts, memory, stage
        )

    def spread(scores: Tensor) -> np.ndarray:
        return scores[:, which].cpu().numpy()

    return Rankings(
        spread(images),
        spread(sentences),
        None if likelihoods is None else spread(likelihoods),
        spread(first),
        spread(first_ratios),
    )


@torch.inference_mode()
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
        centres = anchors(prior_terms)
        both = torch.cat([terms, prior_terms])
        ratios = terms.new_empty(len(corpus))
        for group, _, linearised in linearised_groups(model, corpus, centres, len(both), MEMORY):
            scores = linearised.scores(both)
            ratios[torch.from_numpy(group)] = scores[:, 0] - first_order_log_prior(scores[:, 1:])
        chosen = _best(ratios, max(last, SENTENCE_CANDIDATES))
        part = Corpus(corpus.sentences(chosen))
        of_prior = linearise(model, part, centres).scores(prior_terms)
        ratios = log_likelihoods(model, part, terms)[:, 0]
        ratios -= estimated_log_prior(model, part, prior_terms, of_prior)
        chosen = chosen[_best(ratios, last)]
    part = Corpus(corpus.sentences(chosen))
    likelihoods = log_likelihoods(model, part, terms)[:, 0]
    prior = log_prior(model, part, prior_terms)
    order = (likelihoods - prior).argsort(descending=True, stable=True)[:k]
    positions = chosen[order.cpu().numpy()].tolist()
    return positions, likelihoods[order].tolist(), prior[order].tolist()


@torch.inference_mode()
def rescored(
    model: MRNN,
    corpus: Corpus,
    terms: Tensor,
    coarse: Tensor,
    chosen: Tensor,
    memory: float = MEMORY,
    on_progress: OnProgress = lambda done, total: None,
) -> Tensor:
    """`coarse` log P (S, I) with the exact one where `chosen` (S, I) says so."""
    sentence, image = chosen.nonzero(as_tuple=True)
    pairs = sentence.cpu().numpy(), image.cpu().numpy()
    found = pair_likelihoods(model, corpus, terms, *pairs, memory=memory, on_progress=on_progress)
    return coarse.index_put((sentence, image), found)


def best_mask(scores: Tensor, count: int) -> Tensor:
    """Which items are among the `count` best of their row, with all that tie with the last.

    (Q, N) to (Q, N) bool.
    """
    if count >= scores.shape[1]:
        return torch.ones_like(scores, dtype=torch.bool)
    return scores >= scores.topk(count, dim=1).values[:, -1:]


def candidates_first(coarse: Tensor, exact: Tensor, chosen: Tensor) -> Tensor:
    """Scores (Q, N) that put each row's `chosen` items by `exact` before the others by `coarse`."""
    lowest = exact.masked_fill(~chosen, torch.inf).amin(1, keepdim=True)
    highest = coarse.masked_fill(chosen, -torch.inf).amax(1, keepdim=True)
    down = (highest - lowest + 1).clamp_min(0)
    return torch.where(chosen, exact, coarse - down)


def _first_stage(
    model: MRNN,
    corpus: Corpus,
    terms: Tensor,
    prior_terms: Tensor,
    scored: int,
    memory: float,
    stage: Stage,
) -> tuple[Tensor, Tensor, Tensor]:
    """First-order log P(s | I) (S, I) and log P(s) (S,), and the estimate of the latter (S,)."""
    centres = anchors(prior_terms)
    first = terms.new_empty(len(corpus), len(terms))
    rough, prior = terms.new_empty(len(corpus)), terms.new_empty(len(corpus))
    both = torch.cat([terms, prior_terms])
    done = 0
    with stage("first order, P(s)", "sentences") as on_progress:
        for group, part, linearised in linearised_groups(model, corpus, centres, len(both), memory):
            at = torch.from_numpy(group).to(terms.device)
            scores, of_prior = linearised.scores(both).split([len(terms), len(prior_terms)], 1)
            first[at], rough[at] = scores, first_order_log_prior(of_prior)
            prior[at] = estimated_log_prior(model, part, prior_terms, of_prior, memory / 2, scored)
            done += len(group)
            on_progress(done, len(corpus))
    return first, rough, prior


def _score_all(
    model: MRNN, corpus: Corpus, terms: Tensor, prior: Tensor, memory: float, stage: Stage
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores by log P(s | I), by log P(s | I) - log P(s), and log P(s | I): (S, I) each."""
    with stage("scoring", "words") as on_progress:
        likelihoods = log_likelihoods(
            model, corpus, terms, memory, fast_normaliser(model), on_progress
        )
    ratios = likelihoods - prior[:, None]
    if not has_int8(terms.device):
        return likelihoods, ratios, likelihoods
    counts = RESCORED, RESCORED
    images, sentences = _order(
        model, corpus, terms, likelihoods, ratios, prior, counts, memory, stage
    )
    return images, sentences, likelihoods


def _order(
    model: MRNN,
    corpus: Corpus,
    terms: Tensor,
    coarse: Tensor,
    ratios: Tensor,
    prior: Tensor,
    counts: tuple[int, int],
    memory: float,
    stage: Stage,
) -> tuple[Tensor, Tensor]:
    """Scores (S, I) for the images of a sentence and the sentences of an image.

    The best by `coarse` log P(s | I) and by `ratios` are candidates, `counts` of them a query.
    """
    of_sentence = best_mask(coarse, counts[0])
    of_image = best_mask(ratios.T, counts[1]).T
    with stage("candidates", "pairs") as on_progress:
        exact = rescored(model, corpus, terms, coarse, of_sentence | of_image, memory, on_progress)
    images = candidates_first(coarse, exact, of_sentence)
    sentences = candidates_first(ratios.T, (exact - prior[:, None]).T, of_image.T).T
    return images, sentences


def _best(scores: Tensor, count: int) -> np.ndarray:
    """Positions of the best scores (N,), in their given order; of equals the first."""
    order = scores.argsort(descending=True, stable=True)[:count]
    return order.sort().values.cpu().numpy()
