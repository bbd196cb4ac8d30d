"""Random choices of scoring: what PyTorch 2.13 draws from the same seeds, written down."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.scoring.draws import permutation, uniform

PERMUTATION = [5, 6, 1, 2, 0, 8, 9, 3, 7, 4]
LONGER = [615, 284, 599, 580, 347]
NUMBERS = [[0.7576316, 0.2793109, 0.4030693], [0.7346845, 0.0292816, 0.7998586]]


def test_a_permutation_is_that_of_pytorch():
    assert permutation(10, 1).tolist() == PERMUTATION
    assert permutation(1000, 7)[:5].tolist() == LONGER


def test_numbers_are_those_of_pytorch():
    np.testing.assert_allclose(uniform((2, 3), 1), NUMBERS, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_a_permutation_holds_every_number_once(count):
    assert sorted(permutation(count, 3).tolist()) == list(range(count))


def test_numbers_are_even_and_differ_by_seed():
    drawn = uniform((100, 100), 1)
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() <= drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.02
    assert not np.array_equal(drawn, uniform((100, 100), 2))
    assert np.array_equal(drawn, uniform((100, 100), 1))
