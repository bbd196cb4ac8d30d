"""How unlike the pictures that a model learned from a picture is.

The distance is Mahalanobis', of image terms from those of the bundle's training images: Lee et al.
2018 (arXiv:1807.03888) tell strange inputs by it. Its covariance is drawn towards a multiple of the
identity, since there are hardly more images than dimensions. Strangeness is the share of dev
pictures that are nearer: 0 for a picture as usual as any, .5 for an ordinary one, 1 for one
farther away than all of them.

Dimension key: P training images, B images, M multimodal layer, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .blocks import NUMPYS_ROWS, in_blocks, one_thread

_SHRUNK = 0.1  # of the mean variance, added to each
_QUANTILES = 101  # from the nearest to the farthest
_DIGITS = 4  # that are stored


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Where the image terms of training images lie; made by `surroundings`."""

    centre: np.ndarray  # (M,)
    whitening: np.ndarray  # (M, M), lower triangular

    def distances(self, terms: np.ndarray) -> np.ndarray:
        """Of image terms (B, M): (B,), about the root of M for one of the training images."""

        def of_rows(rows: np.ndarray) -> tuple[np.ndarray]:
            return (np.linalg.norm((rows - self.centre) @ self.whitening, axis=1),)

        [found] = in_blocks(of_rows, terms, size=NUMPYS_ROWS)
        return found


def surroundings(prior_terms: np.ndarray) -> Surroundings:
    """Of the image terms (P, M) of some training images."""
    centre = prior_terms.mean(0)
    apart = (prior_terms - centre).astype(np.float64)
    with one_thread():
        covariance = apart.T @ apart / max(1, len(apart))
        floor = max(float(np.trace(covariance)) / len(centre) * _SHRUNK, 1e-12)
        covariance[np.diag_indices_from(covariance)] += floor
        whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return Surroundings(centre, whitening.astype(np.float32))


def quantiles(distances: np.ndarray) -> tuple[float, ...]:
    """What a bundle keeps of the distances (B,) of dev pictures, (Q,) from least to most."""
    found = np.quantile(distances.astype(np.float64), np.linspace(0, 1, _QUANTILES))
    return tuple(np.round(found, _DIGITS).tolist())


def strangeness(distances: np.ndarray, of_dev: tuple[float, ...]) -> np.ndarray:
    """The share of dev pictures that are nearer than each of some distances (B,)."""
    return np.interp(distances, of_dev, np.linspace(0, 1, len(of_dev))).astype(np.float32)
