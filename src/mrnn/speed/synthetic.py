"""Synthetic galleries: more pictures than there are, as features that lie like real ones."""

from __future__ import annotations

import numpy as np

from ..model.arrays import unit

_HALVINGS = 12  # of the noise scale's interval
_SAMPLE = 2000  # features that are made at once; the first set the noise


def synthetic_gallery(real: np.ndarray, count: int, seed: int = 1) -> np.ndarray:
    """`count` features (count, D) of length 1: the real ones (R, D) first, then mixtures.

    A mixture is a f_i + (1 - a) f_j of two real pictures, a uniform in .5 to 1, and Gaussian noise
    of such a scale that, among equally many, the median distance to the nearest neighbour is that
    of real pictures; where mixtures lie further apart already, there is no noise.
    """
    draw = np.random.default_rng(seed)
    real = unit(real.astype(np.float32))
    missing = max(0, count - len(real))
    i, j = draw.integers(0, len(real), (2, missing))
    a = draw.uniform(0.5, 1, (missing, 1)).astype(np.float32)
    gallery = np.empty((count, real.shape[1]), dtype=np.float32)
    gallery[: len(real)] = real[:count]
    scale = None
    for start in range(0, missing, _SAMPLE):
        part = slice(start, start + _SAMPLE)
        mixed = unit(a[part] * real[i[part]] + (1 - a[part]) * real[j[part]])
        noise = draw.standard_normal(mixed.shape, dtype=np.float32) / real.shape[1] ** 0.5
        if scale is None:
            size = min(len(mixed), len(real))
            scale = _noise_scale(mixed[:size], noise[:size], _neighbour_distance(real[:size]))
        gallery[len(real) :][part] = unit(mixed + np.float32(scale) * noise)
    return gallery


def _noise_scale(mixed: np.ndarray, noise: np.ndarray, wanted: float) -> float:
    low, high = 0.0, 2.0
    for _ in range(_HALVINGS if len(mixed) > 1 else 0):
        middle = (low + high) / 2
        if _neighbour_distance(unit(mixed + np.float32(middle) * noise)) < wanted:
            low = middle
        else:
            high = middle
    return low


def _neighbour_distance(unit: np.ndarray) -> float:
    """Median Euclidean distance of unit vectors (N, D) to their nearest neighbour."""
    if len(unit) < 2:
        return 0.0
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    return float(np.median(np.sqrt(np.maximum(2 - 2 * cosines.max(1), 0))))
