"""Distances from what was learned, against the formula."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.model.familiarity import _SHRUNK, quantiles, strangeness, surroundings

PRIOR = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32) @ np.diag(
    [5, 3, 1, 1, 0.5, 0.1]
).astype(np.float32)
TERMS = np.random.default_rng(1).normal(size=(21, 6)).astype(np.float32)


def test_distances_are_mahalanobis():
    found = surroundings(PRIOR).distances(TERMS)
    covariance = np.cov(PRIOR.astype(float), rowvar=False, bias=True)
    covariance += np.trace(covariance) / 6 * _SHRUNK * np.eye(6)
    apart = TERMS - PRIOR.mean(0)
    expected = np.sqrt(np.einsum("bi,ij,bj->b", apart, np.linalg.inv(covariance), apart))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_picture_alone_is_as_far_as_among_others():
    around = surroundings(PRIOR)
    together = around.distances(TERMS)
    alone = [around.distances(TERMS[i : i + 1])[0] for i in range(len(TERMS))]
    assert np.array_equal(together, alone)


def test_strangeness_is_the_share_of_dev_pictures_that_are_nearer():
    of_dev = quantiles(np.arange(1, 1002, dtype=np.float32))
    found = strangeness(np.array([0, 1, 251, 501, 1001, 5000], dtype=np.float32), of_dev)
    np.testing.assert_allclose(found, [0, 0, 0.25, 0.5, 1, 1], atol=1e-6)


@pytest.mark.parametrize("prior", [PRIOR[:1], np.zeros((3, 6), np.float32), PRIOR[:3]])
def test_few_training_images_still_give_finite_distances(prior):
    assert np.isfinite(surroundings(prior).distances(TERMS)).all()
