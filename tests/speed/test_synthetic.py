"""Synthetic galleries against the pictures they imitate."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mrnn.speed import synthetic
from mrnn.speed.synthetic import synthetic_gallery


def pictures(count=300, dimension=24, seed=1):
    """Features about a few directions, of any length, as float16."""
    draw = np.random.default_rng(seed)
    shared = 0.3 + draw.standard_normal((count, 4)) @ draw.standard_normal((4, dimension))
    return (5 * shared + 3 * draw.standard_normal((count, dimension))).astype(np.float16)


def unit(features):
    features = features.astype(np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def neighbour_distance(features):
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.median(distances.min(1))


@pytest.mark.parametrize("count", [0, 1, 299, 300, 301, 302, 700])
def test_the_real_ones_come_first_and_all_have_length_1(count):
    real = pictures()
    found = synthetic_gallery(real, count)
    assert found.shape == (count, 24)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:300], unit(real)[:count], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("sample", [7, 64, 1000])
def test_a_gallery_is_made_in_parts_of_any_size(monkeypatch, sample):
    """Each part takes its own mixtures: all have length 1, none is left out, none is twice."""
    monkeypatch.setattr(synthetic, "_SAMPLE", sample)
    scale_of, scales = synthetic._noise_scale, []
    monkeypatch.setattr(
        synthetic, "_noise_scale", lambda *given: scales.append(scale_of(*given)) or scales[-1]
    )
    real = pictures()
    found = synthetic_gallery(real, 450)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[:300], unit(real), atol=1e-6)
    assert len(np.unique(found, axis=0)) == 450
    assert len(scales) == 1  # the first part sets the noise of all
    cosines = (found[300:] @ unit(real).T).max(1)
    assert cosines.min() > 0.4


def test_mixtures_that_lie_further_apart_than_real_pictures_get_no_noise():
    """Real pictures that come in near twins: no noise could bring mixtures as near."""
    some = pictures(8)
    found = synthetic_gallery(np.concatenate([some, some + np.float16(1e-2)]), 40)
    planes = [np.linalg.qr(unit(some)[list(pair)].T)[0] for pair in combinations(range(8), 2)]
    for mixture in found[16:]:  # a f_i + (1 - a) f_j lies in the plane of two real ones
        apart = min(np.linalg.norm(mixture - q @ (q.T @ mixture)) for q in planes)
        assert apart < 1e-2


def test_seeds_decide():
    real = pictures()
    found = synthetic_gallery(real, 400, seed=1)
    assert np.array_equal(found, synthetic_gallery(real, 400, seed=1))
    assert not np.array_equal(found[300:], synthetic_gallery(real, 400, seed=2)[300:])


@pytest.mark.parametrize("count", [1, 2, 30])
def test_one_real_picture(count):
    found = synthetic_gallery(pictures(1), count)
    assert found.shape == (count, 24)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_neighbours_are_as_far_as_those_of_real_pictures():
    real = pictures()
    wanted = neighbour_distance(unit(real))
    found = synthetic_gallery(real, 1500)
    assert neighbour_distance(found[300:600]) == pytest.approx(wanted, rel=0.01)
    assert neighbour_distance(found[900:1200]) == pytest.approx(wanted, rel=0.1)


def test_mixtures_lie_where_real_pictures_are():
    """Each near some real picture, far nearer than a random direction is, and none a copy."""
    real = pictures()
    found = synthetic_gallery(real, 600)
    cosines = (found[300:] @ unit(real).T).max(1)
    noise = unit(np.random.default_rng(0).standard_normal((300, 24)))
    assert np.median(cosines) > np.median((noise @ unit(real).T).max(1)) + 0.2
    assert cosines.max() < 1 - 1e-4


def test_a_feature_of_length_0_is_no_division_by_zero():
    real = pictures(5)
    real[2] = 0
    assert np.isfinite(synthetic_gallery(real, 20)).all()
