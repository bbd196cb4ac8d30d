"""The model against the equations of the paper, written out naively."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny_model
from mrnn.config import ModelConfig
from mrnn.model.arrays import log_softmax
from mrnn.model.mrnn import G2_BOUND, MRNN, g2, g2_slope, model_of, shapes
from mrnn.words.packing import Corpus
from mrnn.words.prefixes import prefix_tree
from mrnn.words.text import START

SENTENCES = [[5, 6], [7, 8, 9, 5, 6], [], [11], [4, 4, 10]]


def random_model(feature: int = 6, seed: int = 3) -> MRNN:
    """A tiny model with all weights random, biases and Ur too."""
    rng = np.random.default_rng(seed)
    sizes = tiny_model(feature=feature).config
    return model_of(sizes, {n: rng.normal(size=s) / 2 for n, s in shapes(sizes).items()})


def features(rows: int, size: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, size)).astype(np.float32)


def naive_logits(model: MRNN, sentence: list[int], feature: np.ndarray) -> np.ndarray:
    """Eq. 2-4 word by word, in float64: (L + 1, V)."""
    p = {name: weight.astype(np.float64) for name, weight in model.weights.items()}
    length = math.sqrt(sum(x * x for x in feature.tolist()))
    image = p["vi"] @ (feature.astype(np.float64) * model.config.feature_norm / (length or 1))
    r = np.zeros(len(p["ur"]))
    rows = []
    for word in [START, *sentence]:
        w = p["we"] @ p["embedding"][word] + p["we_bias"]
        r = p["ur"] @ r + w
        r[r < 0] = 0
        x = p["vw"] @ w + p["vw_bias"] + p["vr"] @ r + image
        m = np.array([1.7159 * math.tanh(2 * each / 3) for each in x])
        rows.append(p["wo"] @ m + p["wo_bias"])
    return np.array(rows)


@pytest.mark.parametrize("feature", [6, 0])
def test_logits_equal_the_equations(feature):
    model, images = random_model(feature), features(len(SENTENCES), feature)
    packed = Corpus(SENTENCES).pack()
    logits = model.sentence_logits(packed, model.image_terms(images[packed.order]))
    assert logits.dtype == np.float32
    naive = [naive_logits(model, s, image) for s, image in zip(SENTENCES, images, strict=True)]
    for ours, theirs in zip(packed.by_sentence(logits), naive, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_step_by_step_equals_whole_sentences():
    model, images = random_model(), features(len(SENTENCES))
    packed = Corpus(SENTENCES).pack()
    terms = model.image_terms(images)
    logits = model.sentence_logits(packed, terms[packed.order])
    logp = packed.by_sentence(log_softmax(logits))
    for i, sentence in enumerate(SENTENCES):
        state = model.initial_state(1)
        for word, expected in zip([START, *sentence], logp[i], strict=True):
            found, state = model.step(np.array([word]), state, terms[i : i + 1])
            np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
            assert np.exp(found).sum() == pytest.approx(1)


def test_step_treats_rows_alone():
    model = random_model()
    words, terms = np.array([4, 5, 6]), model.image_terms(features(3))
    state = np.maximum(features(3, 5, seed=2), 0)
    together = model.step(words, state, terms)
    for i in range(3):
        row = slice(i, i + 1)
        alone = model.step(words[row], state[row], terms[row])
        for ours, theirs in zip(together, alone, strict=True):
            np.testing.assert_allclose(ours[row], theirs, rtol=1e-5, atol=1e-6)


@given(st.lists(st.lists(st.integers(3, 6), max_size=6), max_size=7))
@settings(deadline=None, max_examples=40)
def test_terms_of_prefixes_are_those_of_the_words_after_them(sentences):
    model, packed = random_model(), Corpus(sentences).pack()
    terms = packed.by_sentence(model.sentence_terms(packed))
    tree = prefix_tree(packed)
    found = model.prefix_terms(tree)
    lengths = [length for length, size in enumerate(tree.sizes) for _ in range(size)]
    assert found.shape == (len(lengths), 7)
    for prefix, sentence in zip(tree.prefixes.tolist(), tree.sentences.tolist(), strict=True):
        expected = terms[sentence][lengths[prefix]]
        np.testing.assert_allclose(found[prefix], expected, rtol=1e-4, atol=1e-5)


def test_terms_of_prefixes_of_a_long_sentence():
    model = replace(random_model(), ur=np.eye(5, dtype=np.float32) / 2)  # another may make r grow
    packed = Corpus([[4, 5] * 100]).pack()
    found, expected = model.prefix_terms(prefix_tree(packed)), model.sentence_terms(packed)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_both_parts_meet_inside_eq_3():
    """All pairs of prefixes and images by broadcasting, and the logits of each."""
    model = random_model()
    tree = prefix_tree(Corpus(SENTENCES).pack())
    prefixes, terms = model.prefix_terms(tree), model.image_terms(features(3))
    m = model.multimodal(prefixes[:, None], terms)
    assert m.shape == (len(prefixes), 3, 7)
    logits = model.logits(prefixes[4:5] + terms[2])
    np.testing.assert_allclose(m[4, 2] @ model.wo.T + model.wo_bias, logits[0], rtol=1e-5)
    assert np.abs(m).max() <= model.bound


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5).map(lambda s: sorted(s, reverse=True)),
    st.integers(0, 999),
)
@settings(deadline=None, max_examples=40)
def test_recurrence_equals_a_naive_loop(sizes, seed):
    """Sentence by sentence: as many as there are at the first step."""
    rng = np.random.default_rng(seed)
    model = random_model(seed=seed)
    lengths = [sum(size > i for size in sizes) for i in range(sizes[0])]
    packed = Corpus([[4] * (length - 1) for length in lengths]).pack()
    assert packed.sizes == tuple(sizes)
    w = rng.normal(size=(sum(sizes), 5)).astype(np.float32)
    kept, found = w.copy(), model.recurrence(w, packed)
    for row in range(sizes[0]):
        r = np.zeros(5)
        for at in np.flatnonzero(packed.rows == row):
            r = np.maximum(model.ur @ r + w[at], 0)
            np.testing.assert_allclose(found[at], r, rtol=1e-4, atol=1e-5)
    assert np.array_equal(w, kept)


def test_the_papers_sizes():
    expected = {
        "embedding": (50, 128),
        "we": (256, 128),
        "we_bias": (256,),
        "ur": (256, 256),
        "vw": (512, 256),
        "vw_bias": (512,),
        "vr": (512, 256),
        "vi": (512, 4096),
        "wo": (50, 512),
        "wo_bias": (50,),
    }
    config = ModelConfig(vocabulary=50)
    assert shapes(config) == expected
    model = model_of(config, {n: np.zeros(s, dtype=np.float16) for n, s in expected.items()})
    assert {name: weight.shape for name, weight in model.weights.items()} == expected
    assert {weight.dtype for weight in model.weights.values()} == {np.dtype(np.float32)}


def test_g2_has_the_papers_constants():
    x = np.array([-100, -1.5, -1, 0, 0.5, 1, 1.5, 3, 100], dtype=np.float32)
    expected = [1.7159 * math.tanh(2 * v / 3) for v in x.tolist()]
    assert g2(x).tolist() == pytest.approx(expected, abs=1e-6)


def test_g2_never_leaves_its_bound():
    x = np.array([-np.inf, -1e30, -50.0, -9.0, 0.0, 9.0, 50.0, 1e30, np.inf], dtype=np.float32)
    assert np.abs(g2(x)).max() <= np.float32(G2_BOUND)
    assert g2(x)[[0, 4, -1]].tolist() == pytest.approx([-1.7159, 0, 1.7159])


def test_the_slope_of_g2_is_that_of_small_steps():
    x = np.linspace(-4, 4, 41)
    differences = (g2(x + 1e-4) - g2(x - 1e-4)) / 2e-4
    np.testing.assert_allclose(g2_slope(g2(x)), differences, atol=1e-5)


def test_the_length_of_an_image_feature_does_not_matter():
    model, images = tiny_model(), features(3)
    terms = model.image_terms(images)
    np.testing.assert_allclose(model.image_terms(images * 7), terms, rtol=1e-5, atol=1e-6)
    lengths = np.sqrt((images.astype(np.float64) ** 2).sum(1, keepdims=True))
    np.testing.assert_allclose(terms, 30 * images / lengths @ model.vi.T, rtol=1e-5, atol=1e-6)
    assert not model.image_terms(np.zeros((1, 6), dtype=np.float32)).any()


def test_half_precision_features_are_taken_as_they_are():
    """A length of halves can be too large for a half."""
    model, images = tiny_model(), (features(3) * 20_000).astype(np.float16)
    expected = model.image_terms(images.astype(np.float32))
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(model.image_terms(images), expected)


def test_without_a_feature_the_image_has_no_say():
    terms = random_model(feature=0).image_terms(np.empty((4, 0), dtype=np.float32))
    assert terms.shape == (4, 7)
    assert not terms.any()
