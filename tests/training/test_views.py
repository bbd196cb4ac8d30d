"""Random views of pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.training.views import random_light, random_view

SEEDS = st.integers(0, 10_000)


def slope(side: int) -> np.ndarray:
    """Each pixel tells where it is: channel 0 its column, channel 1 its row, 2 nothing."""
    columns, rows = np.meshgrid(np.arange(side), np.arange(side))
    return np.stack([columns, rows, np.full((side, side), 7)]).astype(np.float32)


@given(SEEDS, st.integers(1, 70))
def test_a_view_is_a_large_part_in_its_place(seed, side):
    view = random_view(slope(side), np.random.default_rng(seed))
    assert (view.shape, view.dtype) == ((3, side, side), np.float32)
    assert np.allclose(view[2], 7)
    columns, rows = view[0], view[1]
    assert np.allclose(columns, columns[:1])  # no column mixes with another's rows
    assert np.allclose(rows, rows[:, :1])
    assert (np.diff(rows[:, 0]) >= -1e-4).all()  # never upside down
    assert view.min() >= -1e-4
    assert max(columns.max(), rows.max()) <= side - 1 + 1e-4
    seen = (np.ptp(columns) + 1) * (np.ptp(rows) + 1) / side**2
    assert seen <= 1 + 1e-6
    if side > 30:  # a small one is a matter of rounding
        assert seen > 0.45


def test_half_of_the_views_are_mirrored():
    views = [random_view(slope(40), np.random.default_rng(seed)) for seed in range(400)]
    mirrored = sum(view[0, 0, 0] > view[0, 0, -1] for view in views)
    assert 160 < mirrored < 240


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_views_reach_every_corner(corner):
    row, column = (39 * side for side in corner)
    views = [random_view(slope(40), np.random.default_rng(seed)) for seed in range(400)]
    assert any(np.isclose(v[0], column).any() and np.isclose(v[1], row).any() for v in views)


def test_the_picture_itself_stays_as_it_is():
    pixels = slope(9)
    before = pixels.copy()
    random_view(pixels, np.random.default_rng(1))
    assert np.array_equal(pixels, before)


@given(SEEDS)
def test_another_light_leaves_the_picture_in_its_place(seed):
    draw = np.random.default_rng(seed)
    pixels = draw.uniform(-0.9, 0.9, (3, 12, 12)).astype(np.float32)
    before = pixels.copy()
    lit = random_light(pixels, draw)
    assert (lit.shape, lit.dtype) == (pixels.shape, np.float32)
    assert np.array_equal(pixels, before)
    assert lit.min() >= pixels.min()
    assert lit.max() <= pixels.max()
    for old, new in zip(pixels, lit, strict=True):  # lighter stays lighter
        assert (np.diff(new.ravel()[np.argsort(old.ravel())]) >= -1e-6).all()


def test_light_and_contrast_differ_from_view_to_view():
    pixels = np.linspace(-0.5, 0.5, 3 * 64, dtype=np.float32).reshape(3, 8, 8)
    views = [random_light(pixels, np.random.default_rng(seed)) for seed in range(50)]
    means, spreads = [v.mean() for v in views], [v.std() for v in views]
    assert min(means) < pixels.mean() - 0.05 < pixels.mean() + 0.05 < max(means)
    assert min(spreads) < 0.9 * pixels.std() < pixels.std()
