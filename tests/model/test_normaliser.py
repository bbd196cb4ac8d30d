"""Every softmax denominator against NumPy: logsumexp in float64, and products of integers."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny_model
from mrnn.model import normaliser
from mrnn.model.arrays import logsumexp
from mrnn.model.bundle import load_bundle
from mrnn.model.directory import find_bundle
from mrnn.model.mrnn import G2_BOUND, g2
from mrnn.model.normaliser import (
    expectation,
    fast_normaliser,
    float_normaliser,
    integer_normaliser,
)

BIASES = [60.0, 79.9, 81.0, 1e4, -60.0, -79.9, -1e4]


def rows(model, count=40, seed=3, spread=3.0):
    """Values of the multimodal layer (R, M), some of them saturated."""
    draw = np.random.default_rng(seed)
    return g2((spread * draw.standard_normal((count, model.config.multimodal))).astype(np.float32))


def scaled(scale, **sizes):
    """A model whose output weights are larger by this factor, with biases of all kinds."""
    model = tiny_model(**sizes)
    model.wo[:] *= scale
    model.wo_bias[:] = np.linspace(-2, 2, len(model.wo))
    return model


def precise_logits(model, m):
    return m.astype(np.float64) @ model.wo.T.astype(np.float64) + model.wo_bias


def precise(model, m):
    return logsumexp(precise_logits(model, m))


def by_integers(model, m):
    """The denominator of rounded factors: codes by hand, and their products in 64 bits."""
    step = np.float32(G2_BOUND / 63)
    codes = np.rint(m / step).astype(np.int64)
    steps = np.maximum(np.abs(model.wo).max(1), np.float32(1e-30)) / np.float32(127)
    weights = np.rint(model.wo / steps[:, None]).astype(np.int64)
    assert np.abs(codes).max(initial=0) <= 63
    assert np.abs(weights).max() <= 127
    products = codes @ weights.T
    return logsumexp(products * (np.float64(step) * steps.astype(np.float64)) + model.wo_bias)


def check_digits(model, m):
    """To what adding and exp in float32 may be wrong by."""
    found = integer_normaliser(model)(m)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_integers(model, m), rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0, 1000.0])
def test_float_normaliser_equals_logsumexp(scale):
    model = scaled(scale)
    m = rows(model)
    kept = m.copy()
    found = float_normaliser(model)(m)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, precise(model, m), rtol=2e-6, atol=1e-5)
    assert np.array_equal(m, kept)


@pytest.mark.parametrize("bias", BIASES)
def test_logits_far_from_zero(bias):
    model = tiny_model(vocabulary=9000)
    model.wo[:] *= 0.01
    model.wo_bias[:] = bias
    m = rows(model)
    np.testing.assert_allclose(float_normaliser(model)(m), precise(model, m), rtol=1e-6, atol=1e-5)
    check_digits(model, m)


def test_both_paths_are_taken():
    """The tests here reach each of them."""
    model = tiny_model()
    assert normaliser._is_safe(model)
    model.wo[:] *= 1000
    assert not normaliser._is_safe(model)
    model = tiny_model(vocabulary=9000)
    assert normaliser._is_safe(model)
    model.wo_bias[:] = 79.9  # of so many words the sum overflows, no single one
    assert not normaliser._is_safe(model)
    assert normaliser._is_safe(load_bundle(find_bundle("default")).model)


@pytest.mark.parametrize("name", ["default", "plain"])
def test_the_digits_of_shipped_models_do_not_depend_on_the_processor(name):
    model = load_bundle(find_bundle(name)).model
    for spread in (1.0, 30.0):  # the latter saturates: the largest codes there are
        check_digits(model, rows(model, 50, spread=spread))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1000.0])
@pytest.mark.parametrize("multimodal", [1, 2, 7, 64, 513])
def test_the_digits_do_not_depend_on_the_processor(scale, multimodal):
    model = scaled(scale, vocabulary=37, multimodal=multimodal)
    m = rows(model, 30)
    m[0], m[1] = G2_BOUND, -G2_BOUND
    check_digits(model, m)


@pytest.mark.parametrize("scale", [0.01, 1000.0])
def test_the_largest_products_do_not_overflow(scale):
    """Some processors add two products in 16 bits, without a word where these do not suffice."""
    largest = normaliser._MIDDLE + normaliser._CODE
    assert 2 * largest * normaliser._WEIGHT_CODE < 2**15
    model = tiny_model(multimodal=512)
    model.wo[:] = scale * (np.arange(12)[:, None] - 6.0)
    m = np.full((3, 512), G2_BOUND, dtype=np.float32)
    m[1] *= -1
    m[2] = g2(np.full(512, 50.0, dtype=np.float32))
    found = integer_normaliser(model)(m)
    np.testing.assert_allclose(found, precise(model, m), rtol=1e-5, atol=1e-4)
    check_digits(model, m)


@pytest.mark.parametrize("sizes", [{"vocabulary": 1}, {"vocabulary": 5, "multimodal": 1}])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_tiny_models(sizes, scale):
    model = scaled(scale, **sizes)
    m = rows(model, 9)
    check_digits(model, m)
    np.testing.assert_allclose(float_normaliser(model)(m), precise(model, m), rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("name", ["default", "plain"])
def test_integers_are_close_on_the_shipped_models(name):
    """Within .03 nats, of 8 or so; it is the claim of its docstring."""
    model = load_bundle(find_bundle(name)).model
    m = rows(model, 200, spread=1.0)
    errors = np.abs(integer_normaliser(model)(m) - precise(model, m))
    assert errors.max() < 0.03


@given(st.integers(0, 99), st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([1e-6, 1.0, 100.0]))
@settings(deadline=None, max_examples=60)
def test_integers_err_by_no_more_than_rounding_can(seed, spread, scale):
    model = tiny_model(seed=seed)
    model.wo[:] *= scale
    model.wo[5] = 0  # a word without weights
    model.wo_bias[:] = np.linspace(-30, 30, 12)
    m = rows(model, 20, seed, spread)
    m[0], m[1] = G2_BOUND, -G2_BOUND
    found, exact = integer_normaliser(model)(m), precise(model, m)
    m_step, steps = G2_BOUND / 63, np.abs(model.wo).max(1) / 127
    # Half a step for each factor of each product, and all in the same direction.
    most = np.abs(m).sum(1).max() * steps / 2 + np.abs(model.wo).sum(1) * m_step / 2
    most = most.max() + 7 * m_step * steps.max() / 4
    assert np.abs(found - exact).max() <= 1.01 * most + 1e-4
    check_digits(model, m)


class Unbounded:
    """A model of which no bound is known; it lends all else from another."""

    bound = float("inf")

    def __init__(self, model):
        self.wo, self.wo_bias = model.wo, model.wo_bias


def test_the_fast_one_is_that_of_integers_where_there_is_a_bound():
    model = tiny_model(vocabulary=37)
    model.wo[:] *= 5
    m = rows(model)
    ours, theirs = integer_normaliser(model)(m), float_normaliser(model)(m)
    assert np.array_equal(fast_normaliser(model)(m), ours)
    assert not np.array_equal(ours, theirs)
    without = Unbounded(model)
    found = fast_normaliser(without)(100 * m)
    np.testing.assert_allclose(found, precise(model, 100 * m), rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("kind", [float_normaliser, integer_normaliser])
def test_any_number_of_rows(kind, scale):
    model = scaled(scale, vocabulary=37)
    m = rows(model, 20)
    whole = kind(model)(m)
    for count in (0, 1, 3, 17):
        found = kind(model)(m[:count])
        assert found.shape == (count,)
        np.testing.assert_allclose(found, whole[:count], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_what_a_model_expects_of_the_next_word(scale, count):
    model = scaled(scale)
    m = rows(model, count)
    found, expected = expectation(model)(m)
    logits = precise_logits(model, m)
    shares = np.exp(logits - precise(model, m)[:, None])
    np.testing.assert_allclose(found, precise(model, m), rtol=2e-6, atol=1e-5)
    np.testing.assert_allclose(
        expected, shares @ model.wo, rtol=1e-4, atol=1e-3 * np.abs(model.wo).max() + 1e-9
    )


@pytest.mark.parametrize("kind", [float_normaliser, integer_normaliser, expectation])
def test_a_graph_is_opened_once_and_kept_no_longer_than_its_model(kind):
    model, other = tiny_model(), tiny_model(seed=1)
    assert kind(model) is kind(model)
    assert kind(model) is not kind(other)
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
