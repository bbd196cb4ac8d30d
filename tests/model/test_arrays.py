"""Functions of arrays against Python's own arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.model.arrays import highest, log_softmax, logsumexp, relu, unit

LOGITS = [[1.0, 2.0, 3.0], [-1000.0, 0.0, -1000.0], [500.0, 500.0, 500.0], [-2e4, -2e4, -3e4]]
fast = settings(deadline=None, max_examples=200)


def test_the_positive_part():
    assert relu(np.array([-2.0, 0.0, 3.0])).tolist() == [0, 0, 3]


def test_rows_of_length_1():
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [-1e-3, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(unit(rows), [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
    assert unit(rows).dtype == np.float32
    assert unit(rows[:, :0]).shape == (3, 0)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_shares_sum_to_1_however_large_the_logits(kind):
    logits = np.array(LOGITS, dtype=kind)
    kept = logits.copy()
    found = log_softmax(logits)
    assert found.dtype == kind
    for row, logp in zip(LOGITS, found.tolist(), strict=True):
        total = math.fsum(math.exp(x - max(row)) for x in row)
        assert logp == pytest.approx([x - max(row) - math.log(total) for x in row])
    assert np.array_equal(logits, kept)


def test_log_of_sums_of_exponentials():
    logits = np.array([*LOGITS, [-math.inf, 0.5, -math.inf], [-math.inf] * 3], dtype=np.float32)
    found = logsumexp(logits)
    assert found.shape == (6,)
    for row, value in zip(LOGITS, found.tolist(), strict=False):
        total = math.fsum(math.exp(x - max(row)) for x in row)
        assert value == pytest.approx(max(row) + math.log(total))
    assert found[4:].tolist() == [0.5, -math.inf]
    assert np.array_equal(logsumexp(logits, keepdims=True), found[:, None])
    assert np.array_equal(logsumexp(logits.T.copy(), axis=0), found)
    assert logsumexp(logits[:0]).shape == (0,)


SCORES = st.integers(-2, 2).map(float) | st.just(-math.inf)  # so that there are ties


@given(st.integers(0, 4), st.integers(0, 9), st.data())
@fast
def test_the_highest_of_each_row_of_equals_the_first(rows, columns, data):
    scores = data.draw(st.lists(SCORES, min_size=rows * columns, max_size=rows * columns))
    scores = np.array(scores, dtype=np.float32).reshape(rows, columns)
    count = data.draw(st.integers(0, columns))
    found = highest(scores, count)
    assert found.shape == (rows, count)
    for row, places in zip(scores.tolist(), found.tolist(), strict=True):
        assert places == sorted(range(columns), key=lambda i: -row[i])[:count]


def test_the_highest_of_long_rows():
    """So long that a partition does not keep to the order of equals."""
    scores = np.random.default_rng(0).integers(0, 50, (6, 3000)).astype(np.float32)
    scores[0] = 1
    for count in (1, 7, 100, 2999, 3000):
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        assert np.array_equal(highest(scores, count), expected)
