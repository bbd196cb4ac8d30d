"""Logistic functions, and their fit: chances from figures that tell right from wrong."""

from __future__ import annotations

import math

import numpy as np

_STEPS = 50  # of Newton's method; it ends long before
_L2 = 1e-3  # so that separable data has an end, too
_FARTHEST = 60.0  # log odds beyond which a chance is the same in any float


def logistic(x: float) -> float:
    """The chance, 0 to 1, whose log odds are x."""
    return 1 / (1 + math.exp(-max(-_FARTHEST, min(_FARTHEST, x))))


def fit_logistic(x: np.ndarray, is_right: np.ndarray) -> np.ndarray | None:
    """The weights (k + 1,), the intercept first, by maximum likelihood from figures (n, k).

    None where all (n,) are right, or none.
    """
    if not 0 < is_right.sum() < len(is_right):
        return None
    x = np.column_stack([np.ones(len(x)), x]).astype(np.float64)
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -_FARTHEST, _FARTHEST)))
        gradient = x.T @ (is_right - p) - _L2 * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + _L2 * np.eye(len(weights))
        step: np.ndarray = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights
