"""Which sentences fit an image, which images a sentence: coarse scores choose, exact ones order.

The paper's rankings (sec. 6): images for a sentence by P(s | I), for one sentence the order of
perplexity; sentences for an image by P(s | I) / P(s).

Dimension key: S sentences, I images, P training images for P(s), M multimodal layer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from ..errors import UsageError
from ..model.mrnn import MRNN
from ..model.normaliser import fast_normaliser, is_bounded
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
RESCORED = 20  # best items of a query that are scored again precisely after integer products
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


def require_places(k: object) -> None:
    """Raise UsageError for a number of best ones that cannot be; None is all."""
    if k is not None and not (isinstance(k, Integral) and int(k) >= 1):
        raise UsageError(f"k must be a whole number, 1 or more, not {k!r}")


def require_memory(sentences: int, images: int, memory: float) -> None:
    """Raise UsageError when `rank_all` of so many cannot do with so many bytes."""
    needed = _MATRICES * 4 * sentences * images
    if needed > memory:
        raise UsageError(
            f"ranking {sentences:,} sentences and {images:,} images takes {needed / 1e9:.1f} GB of "
            "memory; allow it with --memory, or take fewer images"
        )


def rank_all(
    model: MRNN,
    corpus: Corpus,
    terms: np.ndarray,
    prior_terms: np.ndarray,
    exact: bool,
    memory: float,
    stage: Stage,
) -> Rankings:
    """Rank the images of each sentence, and the sentences of each image.

    With `exact` every pair is scored, with integer products, and then the best of each query in
    fp32. Without, first-order scores choose the candidates. P(s) is estimated from some of the
    training images. `terms` are of the I images, `prior_terms` of training images. Takes about
    `memory` bytes; raises UsageError when they are too few.
    """
    require_memory(len(corpus), len(terms), memory)
    scored = EXACT_PRIOR_SCORED if exact else PRIOR_SCORED
    corpus, said = corpus.distinct()  # equal sentences shall tie, and equal pictures
    distinct, shown = np.unique(terms, axis=0, return_inverse=True)
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

    def spread(scores: np.ndarray) -> np.ndarray:
        return scores[np.ix_(said, shown)]

    return Rankings(
        spread(images),
        spread(sentences),
        None if likelihoods is None else spread(likelihoods),
        spread(first),
        spread(first_ratios),
    )


def sentences_for(
    model: MRNN, corpus: Corpus, terms: np.ndarray, prior_terms: np.ndarray, k: int | None
) -> tuple[list[int], list[float], list[float]]:
    """The k best (or all) of S sentences for the one image of `terms` (1, M), by P(s|I)/P(s).

    Returns their positions, best first, with their log P(s | I) and log P(s), all exact. Who gets
    that far is decided by first-order scores and then by estimated log P(s).
    """
    corpus, said = corpus.distinct()  # equal sentences shall tie
    chosen = np.arange(len(corpus))
    last = len(corpus) if k is None else k + _RESERVES
    if len(chosen) > last:
        centres = anchors(prior_terms)
        both = np.concatenate([terms, prior_terms])
        ratios = np.empty(len(corpus), dtype=np.float32)
        for group, _, linearised in linearised_groups(model, corpus, centres, len(both), MEMORY):
            scores = linearised.scores(both)
            ratios[group] = scores[:, 0] - first_order_log_prior(scores[:, 1:])
        chosen = _best(ratios, max(last, SENTENCE_CANDIDATES))
        part = Corpus(corpus.sentences(chosen))
        of_prior = linearise(model, part, centres).scores(prior_terms)
        ratios = log_likelihoods(model, part, terms)[:, 0]
        ratios -= estimated_log_prior(model, part, prior_terms, of_prior)
        chosen = chosen[_best(ratios, last)]
    part = Corpus(corpus.sentences(chosen))
    likelihoods = log_likelihoods(model, part, terms)[:, 0]
    prior = log_prior(model, part, prior_terms)
    positions = np.flatnonzero(np.isin(said, chosen))
    places = np.searchsorted(chosen, said[positions])
    best = np.argsort((prior - likelihoods)[places], kind="stable")[:k]
    found = places[best]
    return positions[best].tolist(), likelihoods[found].tolist(), prior[found].tolist()


def rescored(
    model: MRNN,
    corpus: Corpus,
    terms: np.ndarray,
    coarse: np.ndarray,
    chosen: np.ndarray,
    memory: float = MEMORY,
    on_progress: OnProgress = lambda done, total: None,
) -> np.ndarray:
    """`coarse` log P (S, I) with the exact one where `chosen` (S, I) says so."""
    sentences, images = np.nonzero(chosen)
    scores = coarse.copy()
    scores[sentences, images] = pair_likelihoods(
        model, corpus, terms, sentences, images, memory, on_progress=on_progress
    )
    return scores


def best_mask(scores: np.ndarray, count: int) -> np.ndarray:
    """Which items are among the `count` best of their row, with all that tie with the last.

    (Q, N) to (Q, N) bool.
    """
    if count >= scores.shape[1]:
        return np.ones_like(scores, dtype=bool)
    last = scores.shape[1] - count
    return scores >= np.partition(scores, last, axis=1)[:, last, None]


def candidates_first(coarse: np.ndarray, exact: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Scores (Q, N) that put each row's `chosen` items by `exact` before the others by `coarse`."""
    lowest = exact.min(axis=1, keepdims=True, where=chosen, initial=np.inf)
    highest = coarse.max(axis=1, keepdims=True, where=~chosen, initial=-np.inf)
    down = np.maximum(highest - lowest + 1, 0)
    return np.where(chosen, exact, coarse - down)


def _first_stage(
    model: MRNN,
    corpus: Corpus,
    terms: np.ndarray,
    prior_terms: np.ndarray,
    scored: int,
    memory: float,
    stage: Stage,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First-order log P(s | I) (S, I) and log P(s) (S,), and the estimate of the latter (S,)."""
    centres = anchors(prior_terms)
    first = np.empty((len(corpus), len(terms)), dtype=np.float32)
    rough, prior = np.empty((2, len(corpus)), dtype=np.float32)
    both = np.concatenate([terms, prior_terms])
    done = 0
    with stage("first order, P(s)", "sentences") as on_progress:
        for group, part, linearised in linearised_groups(model, corpus, centres, len(both), memory):
            scores, of_prior = np.split(linearised.scores(both), [len(terms)], axis=1)
            first[group], rough[group] = scores, first_order_log_prior(of_prior)
            prior[group] = estimated_log_prior(
                model, part, prior_terms, of_prior, memory / 2, scored
            )
            done += len(group)
            on_progress(done, len(corpus))
    return first, rough, prior


def _score_all(
    model: MRNN, corpus: Corpus, terms: np.ndarray, prior: np.ndarray, memory: float, stage: Stage
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores by log P(s | I), by log P(s | I) - log P(s), and log P(s | I): (S, I) each."""
    with stage("scoring", "words") as on_progress:
        likelihoods = log_likelihoods(
            model, corpus, terms, memory, fast_normaliser(model), on_progress
        )
    ratios = likelihoods - prior[:, None]
    if not is_bounded(model):  # so that the first pass was precise
        return likelihoods, ratios, likelihoods
    counts = RESCORED, RESCORED
    images, sentences = _order(
        model, corpus, terms, likelihoods, ratios, prior, counts, memory, stage
    )
    return images, sentences, likelihoods


def _order(
    model: MRNN,
    corpus: Corpus,
    terms: np.ndarray,
    coarse: np.ndarray,
    ratios: np.ndarray,
    prior: np.ndarray,
    counts: tuple[int, int],
    memory: float,
    stage: Stage,
) -> tuple[np.ndarray, np.ndarray]:
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


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions of the best scores (N,), in their given order; of equals the first."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])
