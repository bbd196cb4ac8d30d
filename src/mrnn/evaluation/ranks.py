"""Retrieval metrics: pure functions on scores, with the pairing as an argument. No torch here.

Scores are (S, I), S sentences by I images, higher is better; `images` (S,) holds the image that
each sentence belongs to, any number of sentences an image. Ranks count from 1. Ties count against
us: a wrong item that scores as much as the right one stands before it. Wrong shapes, indices out
of range and scores that are not a number raise ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

RANK_KEYS = ("r1", "r5", "r10", "med_r")  # of `recall_table`
_CELLS = 1 << 22  # scores compared at once: what a temporary may hold


@dataclass(frozen=True)
class Ranked:
    """What a retrieval found for each query."""

    ranks: np.ndarray  # the rank of the right item, from 1: of each query that has one
    best: np.ndarray  # (Q, k) the k best items of each query, best first


def image_ranks(scores: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The rank (S,) of each sentence's own image among all images."""
    own = _own_scores(scores, images)
    ranks = np.empty(len(scores), dtype=np.int64)
    for rows in _chunks(scores):
        # The image itself is one of those that score at least as much: that is the 1 of the rank.
        ranks[rows] = (scores[rows] >= own[rows, None]).sum(1)
    return ranks


def sentence_ranks(scores: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The rank of the first right sentence of each image: 1 + the wrong ones at least as good.

    Images without sentences have no rank and are left out: (images with sentences,), in order.
    """
    own = _own_scores(scores, images)
    best = _best_own(own, images, scores.shape[1])
    ahead = np.zeros(scores.shape[1], dtype=np.int64)
    for rows in _chunks(scores):
        ahead += (scores[rows] >= best).sum(0)
    right = np.bincount(images[own >= best[images]], minlength=len(ahead))
    return (1 + ahead - right)[_captioned(images, len(ahead))]


def own_sentence_ranks(scores: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The rank (S,) of each sentence among all sentences for its own image.

    Sentences of one image that score alike follow each other in their order.
    """
    own = _own_scores(scores, images)
    ranks = np.empty(len(scores), dtype=np.int64)
    for image in np.unique(images):
        mine = np.flatnonzero(images == image)
        others = np.sort(scores[images != image, image])
        ahead = len(others) - np.searchsorted(others, own[mine], side="left")
        order = np.argsort(-own[mine], kind="stable")
        ranks[mine[order]] = ahead[order] + np.arange(1, len(mine) + 1)
    return ranks


def shortlist_ranks(
    scores: np.ndarray, images: np.ndarray, features: np.ndarray, size: int = 100
) -> np.ndarray:
    """`sentence_ranks` when only the sentences of the `size` nearest images compete.

    Nearest by Euclidean distance of `features` (I, D) scaled to length 1; the query itself is
    one of them; of equally near ones the first are taken. The paper's protocol for IAPR TC-12.
    """
    count = scores.shape[1]
    if len(features) != count:
        raise ValueError(f"{len(features)} features for {count} images")
    best = _best_own(_own_scores(scores, images), images, count)
    queries = np.flatnonzero(_captioned(images, count))
    unit = _unit(features)
    norm = np.square(unit).sum(1)  # 1, but 0 for a feature of length 0
    ranks = np.empty(len(queries), dtype=np.int64)
    for row, query in enumerate(queries):
        order = np.argsort(norm - 2 * (unit @ unit[query]), kind="stable")  # by squared distance
        near = np.zeros(count, dtype=bool)
        near[order[order != query][: size - 1]] = True
        rivals = np.flatnonzero(near[images])
        ranks[row] = 1 + np.count_nonzero(scores[rivals, query] >= best[query])
    return ranks


def recall_at(ranks: np.ndarray, k: int) -> float:
    """The share of queries whose right item is among the first k, in percent (R@k)."""
    return 100 * float(np.mean(_some(ranks) <= k))


def median_rank(ranks: np.ndarray) -> float:
    """The median of the ranks (Med r); of an even number the mean of the middle two."""
    return float(np.median(_some(ranks)))


def recall_table(ranks: np.ndarray) -> dict[str, float | None]:
    """R@1, R@5, R@10 in percent and the median rank, by their keys in JSON; None without ranks."""
    if not len(ranks):
        return dict.fromkeys(RANK_KEYS)
    return {
        "r1": recall_at(ranks, 1),
        "r5": recall_at(ranks, 5),
        "r10": recall_at(ranks, 10),
        "med_r": median_rank(ranks),
    }


def chance_recall(right: np.ndarray, candidates: int, k: int) -> float:
    """R@k in percent of a random order, where `right` (Q,) of the candidates suit each query."""
    missed = np.ones(len(right))
    for place in range(min(k, candidates)):
        missed *= np.maximum(candidates - right - place, 0) / (candidates - place)
    return 100 * float(np.mean(1 - _some(missed)))


def recall_curve(ranks: np.ndarray, candidates: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall against the share retrieved, both in percent, at 1, 2, ... `candidates` items.

    Both are (candidates,). The paper's Fig. 3.
    """
    if len(ranks) and not 1 <= ranks.min() <= ranks.max() <= candidates:
        raise ValueError(f"ranks must lie between 1 and {candidates}")
    found = np.bincount(_some(ranks), minlength=candidates + 1)[1:]
    return 100 * np.arange(1, candidates + 1) / candidates, 100 * found.cumsum() / len(ranks)


def matches_curve(ranks: np.ndarray, queries: int, candidates: int) -> list[float]:
    """The mean number of right items a query among the first 1%, 2%, ... 100% of candidates.

    `ranks` are those of all right items of all queries. The y axis of the paper's Fig. 3.
    """
    last = np.ceil(candidates * np.arange(1, 101) / 100)
    return [float(np.count_nonzero(_some(ranks) <= end)) / queries for end in last]


def best_items(scores: np.ndarray, k: int) -> np.ndarray:
    """The columns (rows, k) of the k best scores of each row, best first, equals in order.

    All columns where there are fewer than k. For the other direction pass the transpose.
    """
    _refuse_nan(scores)
    best = np.empty((len(scores), min(k, scores.shape[1])), dtype=np.int64)
    for rows in _chunks(scores):
        best[rows] = np.argsort(-scores[rows], axis=1, kind="stable")[:, :k]
    return best


def kept(
    coarse: np.ndarray, exact: np.ndarray, top: int, candidates: Sequence[int]
) -> tuple[float, ...]:
    """How many of the exact best a coarse first stage keeps, in percent, by number of candidates.

    Rows are queries. For each number: the share of the `top` best items by `exact` that are among
    that many best by `coarse`, in the mean over queries. For the other direction pass transposes.
    """
    if coarse.shape != exact.shape:
        raise ValueError(f"coarse scores {coarse.shape} against exact scores {exact.shape}")
    _refuse_nan(coarse)
    wanted = best_items(exact, top)
    ranks = np.empty(wanted.shape, dtype=np.int64)  # of the exact best in the coarse order
    for rows in _chunks(coarse):
        values = np.take_along_axis(coarse[rows], wanted[rows], axis=1)
        for column in range(wanted.shape[1]):
            ranks[rows, column] = (coarse[rows] >= values[:, column, None]).sum(1)
    return tuple(recall_at(ranks, count) for count in candidates)


def _own_scores(scores: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The score (S,) of each sentence with its own image."""
    if scores.ndim != 2 or images.shape != scores.shape[:1]:
        raise ValueError(f"scores {scores.shape} with the images of {images.shape} sentences")
    if len(images) and not 0 <= images.min() <= images.max() < scores.shape[1]:
        raise ValueError(f"a sentence of an image that is not among the {scores.shape[1]}")
    _refuse_nan(scores)
    return scores[np.arange(len(images)), images]


def _best_own(own: np.ndarray, images: np.ndarray, count: int) -> np.ndarray:
    """The best score (I,) of each image with one of its own sentences, -inf without."""
    best = np.full(count, -np.inf, dtype=np.result_type(own, np.float16))
    np.maximum.at(best, images, own)
    return best


def _captioned(images: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(images, minlength=count) > 0


def _unit(features: np.ndarray) -> np.ndarray:
    """Features (I, D) scaled to length 1; those of length 0 stay."""
    features = features.astype(np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def _refuse_nan(scores: np.ndarray) -> None:
    if scores.size and np.isnan(scores.min()):  # the least of some numbers and a NaN is the NaN
        raise ValueError("a score is not a number")


def _some(ranks: np.ndarray) -> np.ndarray:
    if not ranks.size:
        raise ValueError("no ranks")
    return ranks


def _chunks(scores: np.ndarray) -> Iterator[slice]:
    step = max(1, _CELLS // max(1, scores.shape[1]))
    for start in range(0, len(scores), step):
        yield slice(start, start + step)
