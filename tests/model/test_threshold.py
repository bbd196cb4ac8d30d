"""The match threshold: what it says of a number of pictures, and its JSON."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.model.threshold import MatchThreshold

THRESHOLD = MatchThreshold(1.5, 0.75, 95, "dev", 1000, 900, (10, 100))


def test_the_threshold_rises_with_the_logarithm_of_the_pictures():
    assert THRESHOLD.at(1) == 1.5
    assert THRESHOLD.at(100) == pytest.approx(1.5 + 0.75 * math.log(100))
    assert THRESHOLD.at(1000) - THRESHOLD.at(100) == pytest.approx(0.75 * math.log(10))
    assert THRESHOLD.at(0) == 1.5  # an empty library


NATS = st.floats(-1e6, 1e6)
COUNTS = st.integers(1, 2**63 - 1)


@given(
    st.builds(
        MatchThreshold,
        NATS,
        NATS.map(abs),
        COUNTS,
        st.text(),
        COUNTS,
        COUNTS,
        st.lists(COUNTS, min_size=1, max_size=4).map(tuple),
    )
)
def test_the_threshold_survives_json(threshold):
    assert MatchThreshold.from_json(json.loads(json.dumps(threshold.to_json()))) == threshold


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.sampled_from(list(THRESHOLD.to_json())), ANYTHING)
def test_any_json_is_a_usable_threshold_or_refused_by_the_key(name, value):
    try:
        found = MatchThreshold.from_json({**THRESHOLD.to_json(), name: value})
    except ValueError as error:
        assert str(error).startswith(f"'match.{name}' is ")  # noqa: PT017 - others are fine
    else:
        assert math.isfinite(found.at(10**9))
        assert found.at(10) <= found.at(100)
        json.dumps(found.to_json(), allow_nan=False)
