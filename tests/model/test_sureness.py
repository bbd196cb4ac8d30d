"""How sure a caption is: the fit, and what is read back."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.model.sureness import Sureness, fit_sureness, main_word

TRUE = Sureness(0.5, 0.8, 0.6)


def test_the_main_word_gains_most():
    assert main_word([0.1, 2.0, -1.0, 2.0]) == 1


def test_a_fit_finds_the_chances_again():
    rng = np.random.default_rng(0)
    logprobs, gains = -rng.exponential(2, 20_000), rng.normal(1, 2, 20_000)
    chances = np.array([TRUE.chance(p, g) for p, g in zip(logprobs, gains, strict=True)])
    found = fit_sureness(logprobs, gains, rng.random(20_000) < chances)
    assert found is not None
    for name, value in TRUE.to_json().items():
        assert getattr(found, name) == pytest.approx(value, abs=0.1)
    again = np.array([found.chance(p, g) for p, g in zip(logprobs, gains, strict=True)])
    assert abs(again - chances).max() < 0.03


def test_nothing_is_fitted_where_all_are_right_or_none():
    numbers = np.zeros(5)
    assert fit_sureness(numbers, numbers, np.ones(5, dtype=bool)) is None
    assert fit_sureness(numbers, numbers, np.zeros(5, dtype=bool)) is None


def test_separable_data_has_a_finite_fit():
    x = np.array([-3.0, -2, -1, 1, 2, 3])
    found = fit_sureness(x, x, x > 0)
    assert found is not None
    assert found.chance(-3, -3) < 0.05
    assert found.chance(3, 3) > 0.95


def test_no_chance_overflows():
    assert Sureness(0, 1, 1).chance(-1e30, -1e30) < 1e-20
    assert Sureness(0, 1, 1).chance(1e30, 1e30) == pytest.approx(1)


def test_round_trip():
    assert Sureness.from_json(TRUE.to_json()) == TRUE


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"intercept": 0.0, "logprob": 1.0},
        {"intercept": 0.0, "logprob": 1.0, "gain": 1.0, "more": 1},
        {"intercept": "0", "logprob": 1.0, "gain": 1.0},
        {"intercept": float("nan"), "logprob": 1.0, "gain": 1.0},
        {"intercept": True, "logprob": 1.0, "gain": 1.0},
        {"intercept": 1e9, "logprob": 1.0, "gain": 1.0},
    ],
)
def test_what_is_no_sureness(found):
    with pytest.raises(ValueError, match=r"'sureness\."):
        Sureness.from_json(found)
