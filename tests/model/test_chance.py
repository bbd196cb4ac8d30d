"""The chance that a found picture is right: what it says of a search, and its JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.model.chance import MatchChance, MatchRule

FIGURES = ("intercept", "log_ratio", "pictures", "one_word", "prior", "pictures_of_a_word")
CHANCE = MatchChance(-0.5, 0.7, -0.8, 2.4, 0.25, 0.7, "dev", 1000, 2000, (10, 100))


@given(st.integers(1, 9), st.floats(-90, 0), st.integers(1, 10**7), st.floats(-30, 30))
def test_the_chance_is_the_logistic_function_of_its_figures(words, prior, pictures, ratio):
    """As the fit has them, and as the formula is written."""
    x = -0.5 + 0.7 * ratio - 0.8 * math.log(pictures)
    x += (2.4 + 0.25 * prior + 0.7 * math.log(pictures)) / words
    found = CHANCE.rule(words, prior, pictures).chance(ratio)
    assert found == pytest.approx(1 / (1 + math.exp(-x)), abs=1e-9)
    columns = (np.array([one]) for one in (ratio, prior, words, pictures))
    [figures] = CHANCE.figures(*columns)
    weights = [getattr(CHANCE, name) for name in FIGURES]
    assert weights[0] + figures @ weights[1:] == pytest.approx(x)


@given(st.integers(0, 9), st.floats(-90, 0), st.integers(0, 10**7), st.floats(-99, 99))
def test_a_match_is_what_is_more_likely_right_than_not(words, prior, pictures, ratio):
    rule = CHANCE.rule(words, prior, pictures)
    assert rule.is_match(ratio) == (ratio >= rule.threshold)
    if abs(ratio - rule.threshold) > 1e-6:
        assert rule.is_match(ratio) == (rule.chance(ratio) > 0.5)
    assert rule.chance(rule.threshold) == 0.5
    assert rule.chance(ratio) <= rule.chance(ratio + 1)


def test_the_size_of_the_library_counts_for_sentences_more_than_for_words():
    def at(words, pictures):
        return CHANCE.rule(words, -8.0, pictures).chance(6.0)

    assert at(1, 100) - at(1, 10_000) < 0.15
    assert at(6, 100) - at(6, 10_000) > 0.4


def test_where_nobody_can_tell_there_is_neither_chance_nor_match():
    assert (MatchRule().chance(3.0), MatchRule().is_match(3.0)) == (None, None)


def test_by_the_threshold_of_before_there_is_a_match_but_no_chance():
    rule = MatchRule(2.0)
    assert [rule.is_match(ratio) for ratio in (1.9, 2.0)] == [False, True]
    assert rule.chance(3.0) is None


COUNTS = st.integers(1, 2**63 - 1)
WEIGHTS = st.floats(-1e6, 1e6)


@given(
    st.builds(
        MatchChance,
        WEIGHTS,
        st.floats(1e-6, 1e6),
        *[WEIGHTS] * 4,
        st.text(),
        COUNTS,
        COUNTS,
        st.lists(COUNTS, min_size=1, max_size=4).map(tuple),
    )
)
def test_chances_survive_json(chance):
    assert MatchChance.from_json(json.loads(json.dumps(chance.to_json()))) == chance


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.sampled_from(list(CHANCE.to_json())), ANYTHING)
def test_any_json_is_usable_or_refused_by_the_key(name, value):
    try:
        found = MatchChance.from_json({**CHANCE.to_json(), name: value})
    except ValueError as error:
        assert str(error).startswith(f"'chance.{name}' is ")  # noqa: PT017 - others are fine
    else:
        rule = found.rule(3, -20.0, 10**9)
        assert math.isfinite(rule.threshold)
        assert 0 <= rule.chance(5.0) <= 1
        json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("key", CHANCE.to_json())
def test_every_key_is_needed_and_no_other(key):
    document = CHANCE.to_json()
    with pytest.raises(ValueError, match=f"^unknown key 'chance.{key}x'$"):
        MatchChance.from_json(document | {f"{key}x": 1})
    del document[key]
    with pytest.raises(ValueError, match=f"^missing key 'chance.{key}'$"):
        MatchChance.from_json(document)
