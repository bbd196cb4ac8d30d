"""Is the best picture of a search a match? How good the best wrong picture of N is as a rule.

A search always finds a best picture. Whether it shows what was asked for is told by its log-ratio,
log P(s | I) - log P(s): a threshold t(N) is fitted to the best log-ratios of dev sentences in
random galleries that do not hold their own picture. The more pictures, the better the best wrong
one.

Dimension key: S sentences, I pictures, N pictures of a gallery, G sizes of galleries, P training
images for P(s), M multimodal layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.mrnn import MRNN
from ..model.normaliser import fast_normaliser
from ..model.threshold import MatchThreshold
from ..scoring.first_order import anchors, estimated_log_prior, linearised_groups
from ..scoring.likelihoods import OnProgress, image_terms, pair_likelihoods
from ..scoring.pairs import Pairs
from ..scoring.ranking import best_mask
from ..words.packing import Corpus

PERCENTILE = 95  # of the sentences whose picture is not there get no match
SENTENCES = 1000  # that a threshold is fitted on, at most
LEAST = 20  # pictures and sentences; with fewer there is no threshold
CANDIDATES = 10  # pictures of a gallery that are scored exactly
_COMMON = 0.1  # a sentence of more than this share of the pictures tells none from the others
_DIGITS = 4  # of what is stored, nats
_MEMORY = 2e8  # bytes for sentences that are scored together


@dataclass(frozen=True)
class Queries:
    """S distinct sentences, and which pictures each of them describes."""

    corpus: Corpus
    own: Sequence[np.ndarray]  # positions of pictures


@dataclass(frozen=True)
class Ratios:
    """log P(s | I) - log P(s) in nats."""

    own: np.ndarray  # (S,) of a picture that the sentence describes
    others: np.ndarray  # (S, G) of the best of a gallery without these; -inf for an empty one


def fit_match(
    model: MRNN,
    dev: Pairs,
    prior_terms: np.ndarray,
    seed: int = 1,
    on_progress: OnProgress = lambda done, total: None,
) -> MatchThreshold | None:
    """The line of the 95th percentile of the best wrong log-ratio against log N, from dev pairs.

    None where there is too little to go by: fewer than 20 distinct pictures or sentences. To a
    model that sees no pictures all of them are one. `prior_terms` (P, M) are of training images.
    Progress counts sentences.
    """
    # The same picture under two names is one, or it would be its own best wrong picture.
    terms, which = np.unique(image_terms(model, dev.features), axis=0, return_inverse=True)
    queries = draw_queries(dev.corpus, which[dev.images], len(terms), seed=seed)
    if min(len(terms), len(queries.own)) < LEAST:
        return None
    sizes = gallery_sizes(len(terms) - 1)
    found = best_ratios(model, queries, terms, prior_terms, sizes, seed, on_progress)
    levels = np.percentile(found.others, PERCENTILE, axis=0)
    slope, intercept = np.polyfit(np.log(sizes), levels, 1)
    return MatchThreshold(
        round(float(intercept), _DIGITS),
        round(float(slope), _DIGITS),
        PERCENTILE,
        "dev",
        len(terms),
        len(queries.own),
        sizes,
    )


def gallery_sizes(most: int) -> tuple[int, ...]:
    """10, 30, 100, 300, ... and `most`."""
    sizes = [n * 10**power for power in range(1, len(str(most))) for n in (1, 3)]
    return (*(size for size in sizes if size < most), most)


def draw_queries(
    corpus: Corpus, images: np.ndarray, count: int, most: int = SENTENCES, seed: int = 1
) -> Queries:
    """At most `most` of the distinct sentences, drawn at random.

    `images` (S,) is the picture of each of the S sentences, one of `count`. To the model, sentences
    are the same when all their words are, unknown words being one word. Empty sentences and those
    of more than a tenth of the pictures are left out.
    """
    described: dict[tuple[int, ...], set[int]] = {}
    for words, image in zip(corpus.sentences(np.arange(len(corpus))), images, strict=True):
        described.setdefault(tuple(words), set()).add(int(image))
    usable = [
        (words, np.array(sorted(own)))
        for words, own in described.items()
        if words and len(own) <= max(1, _COMMON * count)
    ]
    drawn = np.sort(np.random.default_rng(seed).permutation(len(usable))[:most])
    return Queries(Corpus([usable[i][0] for i in drawn]), [usable[i][1] for i in drawn])


def best_ratios(
    model: MRNN,
    queries: Queries,
    terms: np.ndarray,
    prior_terms: np.ndarray,
    sizes: Sequence[int],
    seed: int = 1,
    on_progress: OnProgress = lambda done, total: None,
    candidates: int = CANDIDATES,
) -> Ratios:
    """The best log-ratio of each sentence in a random gallery of each size (G,), rising.

    Galleries are drawn from image terms (I, M), for every sentence others, without the pictures
    that it describes. A larger gallery holds the smaller ones; one of a size beyond what there is
    holds all. First-order scores choose the candidates of each gallery; log P(s) is an estimate.
    """
    centres, both = anchors(prior_terms), np.concatenate([terms, prior_terms])
    own, others = np.empty(len(queries.own)), np.empty((len(queries.own), len(sizes)))
    done = 0
    groups = linearised_groups(model, queries.corpus, centres, len(both), _MEMORY)
    for group, part, linearised in groups:
        first, of_prior = np.split(linearised.scores(both), [len(terms)], axis=1)
        drawn = [_gallery(len(terms), queries.own[s], sizes[-1], (seed, int(s))) for s in group]
        exact = _scored(model, part, terms, first, np.stack(drawn), sizes, candidates)
        exact -= estimated_log_prior(model, part, prior_terms, of_prior, _MEMORY)[:, None]
        own[group] = exact[:, 0]
        others[group] = np.maximum.accumulate(exact[:, 1:], axis=1)[:, np.array(sizes) - 1]
        done += len(group)
        on_progress(done, len(queries.own))
    return Ratios(own, others)


def _gallery(images: int, own: np.ndarray, most: int, seed: tuple[int, int]) -> np.ndarray:
    """One of its own pictures, then at most `most` others in random order, then -1: (1 + most,)."""
    order = np.random.default_rng(seed).permutation(images)
    others = order[np.isin(order, own, invert=True)][:most]
    return np.concatenate([own[:1], others, np.full(most - len(others), -1)])


def _scored(
    model: MRNN,
    part: Corpus,
    terms: np.ndarray,
    first: np.ndarray,
    drawn: np.ndarray,
    sizes: Sequence[int],
    candidates: int,
) -> np.ndarray:
    """Log P(s | I) of its own picture and of the candidates of each gallery, others -inf.

    `first` are first-order scores (S, I), `drawn` pictures (S, 1 + N), -1 for none: (S, 1 + N).
    """
    coarse = np.take_along_axis(first, np.maximum(drawn, 0), 1)
    coarse[drawn < 0] = -np.inf
    chosen = np.zeros_like(drawn, dtype=bool)
    chosen[:, 0] = True
    for size in sizes:
        chosen[:, 1 : 1 + size] |= best_mask(coarse[:, 1 : 1 + size], candidates)
    chosen &= drawn >= 0
    found = np.full_like(coarse, -np.inf)
    sentences, images = np.nonzero(chosen)[0], drawn[chosen]
    found[chosen] = pair_likelihoods(
        model, part, terms, sentences, images, _MEMORY, fast_normaliser(model)
    )
    return found
