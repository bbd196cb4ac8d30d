"""The logistic function and its fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.model.logistic import fit_logistic, logistic


@given(st.floats(allow_nan=False))
def test_chances_lie_between_0_and_1_and_mirror(x):
    assert 0 <= logistic(x) <= 1
    assert logistic(x) + logistic(-x) == pytest.approx(1)


def test_log_odds_by_hand():
    assert logistic(0) == 0.5
    assert logistic(math.log(3)) == pytest.approx(0.75)


def test_the_fit_finds_the_weights_that_the_answers_were_drawn_with():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(20_000, 2))
    true = np.array([-0.5, 1.5, -2.0])
    chances = 1 / (1 + np.exp(-(true[0] + x @ true[1:])))
    found = fit_logistic(x, generator.random(len(x)) < chances)
    np.testing.assert_allclose(found, true, atol=0.1)


def test_the_mean_chance_is_the_share_that_is_right():
    """What maximum likelihood means where there is an intercept."""
    generator = np.random.default_rng(1)
    x, is_right = generator.normal(size=(500, 3)), generator.random(500) < 0.2
    weights = fit_logistic(x, is_right)
    chances = [logistic(z) for z in weights[0] + x @ weights[1:]]
    assert np.mean(chances) == pytest.approx(np.mean(is_right), abs=1e-4)


@pytest.mark.parametrize("is_right", [True, False])
def test_all_alike_teaches_nothing(is_right):
    assert fit_logistic(np.zeros((4, 1)), np.full(4, is_right)) is None


def test_what_can_be_told_apart_wholly_ends():
    found = fit_logistic(np.array([[-1.0], [-2.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]) > 0)
    assert np.isfinite(found).all()
    assert found[1] > 1
