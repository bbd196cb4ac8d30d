"""Functions of arrays that networks and scores are made of."""

from __future__ import annotations

import numpy as np


def relu(x: np.ndarray) -> np.ndarray:
    """The positive part."""
    return np.maximum(x, 0)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (N, D) scaled to Euclidean length 1; a row of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log P, (N, V), nats."""
    below = logits - logits.max(axis=1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=1, keepdims=True))


def logsumexp(x: np.ndarray, axis: int = 1, keepdims: bool = False) -> np.ndarray:
    """Log of the sum of exponentials; -inf where all are -inf."""
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        found = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return found if keepdims else np.squeeze(found, axis)


def highest(scores: np.ndarray, count: int) -> np.ndarray:
    """Places of the highest scores of each row, (B, count), best first, of equals the first."""
    if count < scores.shape[1]:
        some = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        least = np.take_along_axis(scores, some, 1).min(axis=1, keepdims=True, initial=np.inf)
        tied = (scores >= least).sum(axis=1) > count  # with some that were passed over
        some[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :count]
        some.sort(axis=1)
    else:
        some = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)
