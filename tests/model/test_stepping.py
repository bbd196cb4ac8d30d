"""Steps of generation in ONNX Runtime against the equations in NumPy."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny_model
from mrnn.model.blocks import in_blocks
from mrnn.model.stepping import quick_step


def arguments(model, rows, seed=0):
    """Words, states and image terms, as a step takes them."""
    draw = np.random.default_rng(seed)
    words = draw.integers(0, model.config.vocabulary, rows)
    state = np.abs(draw.standard_normal((rows, model.config.recurrent)))
    terms = 3 * draw.standard_normal((rows, model.config.multimodal))
    return words, state.astype(np.float32), terms.astype(np.float32)


@pytest.mark.parametrize("rows", [0, 1, 3, 40])
@pytest.mark.parametrize("sizes", [{}, {"vocabulary": 301, "recurrent": 33, "multimodal": 65}])
def test_a_quick_step_is_the_models_own(rows, sizes):
    model = tiny_model(**sizes)
    model.wo[:] *= 3
    model.ur[:] += np.random.default_rng(1).normal(size=model.ur.shape)
    for name in ("we_bias", "vw_bias", "wo_bias"):
        getattr(model, name)[:] = np.random.default_rng(2).normal(size=getattr(model, name).shape)
    given_to = arguments(model, rows)
    found = quick_step(model)(*given_to)
    w = model.word_representation(given_to[0])
    logp, r = model.step(*given_to)
    expected = logp, r, model._joined_terms(w, r)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype == np.float32
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)


def test_the_graph_is_opened_once_and_lives_no_longer_than_the_model():
    model, other = tiny_model(), tiny_model(seed=1)
    assert quick_step(model) is quick_step(model)
    assert quick_step(model) is not quick_step(other)
    words = arguments(model, 4)
    expected = other.step(*words)[0]
    step, gone = quick_step(other), weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
    np.testing.assert_allclose(step(*words)[0], expected, rtol=1e-5, atol=2e-5)


MODELS = [
    tiny_model(37, embedding=3, recurrent=9, multimodal=13),
    tiny_model(301, embedding=16, recurrent=32, multimodal=64),
]


@given(st.sampled_from(MODELS), st.lists(st.integers(0, 49), max_size=40))
@settings(deadline=None, max_examples=50)
def test_a_row_gives_the_same_bits_in_any_company(model, chosen):
    records = arguments(model, 50)
    whole = in_blocks(quick_step(model), *records)
    part = in_blocks(quick_step(model), *(record[chosen] for record in records))
    for ours, theirs in zip(part, whole, strict=True):
        assert np.array_equal(ours, theirs[chosen])
