"""Contributions to log P: they sum to the difference from the baseline, by every road."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiny_model
from mrnn.explanation.contributions import explain, position_terms
from mrnn.model.arrays import log_softmax
from mrnn.words.packing import Corpus
from mrnn.words.text import END, START

SENTENCES = [[4, 5, 6], [], [7], [3, 3, 11, 4, 9, 4], [5]]


def case(seed: int = 0, sentences: list[list[int]] = SENTENCES, strength: float = 3.0):
    """A model with opinions, packed sentences, an image term each, and the usual one."""
    model = tiny_model(seed=seed)
    model.wo[:] *= strength
    draw = np.random.default_rng(seed)
    for bias in (model.wo_bias, model.vw_bias, model.we_bias):
        bias[:] = draw.standard_normal(bias.shape)
    terms = draw.standard_normal((len(sentences), 7), dtype=np.float32)
    usual = draw.standard_normal(7, dtype=np.float32)
    packed = Corpus(sentences).pack()
    return model, packed, terms[packed.order], usual


def log_probabilities(model, packed, terms):
    logp = log_softmax(model.sentence_logits(packed, terms))
    return np.take_along_axis(logp, packed.targets[:, None], 1)[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_parts_and_baseline_sum_to_log_p(seed):
    model, packed, terms, usual = case(seed)
    parts = explain(model, packed, terms, usual)
    total = parts.baseline + parts.last_word + parts.sentence + parts.image
    assert np.abs(total - log_probabilities(model, packed, terms)).max() < 1e-3


@given(st.lists(st.lists(st.integers(3, 11), max_size=6), min_size=1, max_size=4), st.integers(0))
def test_parts_sum_for_any_sentences(sentences, seed):
    model, packed, terms, usual = case(seed % 1000, sentences)
    parts = explain(model, packed, terms, usual)
    total = parts.baseline + parts.last_word + parts.sentence + parts.image
    assert len(total) == sum(len(sentence) + 1 for sentence in sentences)
    assert np.abs(total - log_probabilities(model, packed, terms)).max() < 1e-3


def naive(model, sentence: list[int], term: np.ndarray, usual: np.ndarray, steps: int = 400):
    """Word by word, equation by equation, in float64, with differences and many equal steps."""
    w = {name: weight.astype(np.float64) for name, weight in model.weights.items()}
    near = 1e-5 * np.eye(7)
    results = []
    r = np.zeros(5)
    for word, target in zip([START, *sentence], [*sentence, END], strict=True):
        said = w["we"] @ w["embedding"][word] + w["we_bias"]
        r = np.maximum(w["ur"] @ r + said, 0)
        pieces = [w["vw"] @ said, w["vr"] @ r, term.astype(np.float64) - usual]
        start = w["vw_bias"] + usual

        def log_p(x, target=target):
            logits = 1.7159 * np.tanh(2 / 3 * x) @ w["wo"].T + w["wo_bias"]
            return logits[..., target] - np.log(np.exp(logits).sum(-1))

        places = start + (np.arange(steps)[:, None] + 0.5) / steps * sum(pieces)  # (steps, M)
        rises = log_p(places[:, None] + near) - log_p(places[:, None] - near)  # (steps, M)
        gradient = rises.mean(0) / 2e-5
        results.append([log_p(start), *(gradient @ piece for piece in pieces)])
    return np.array(results)


def test_parts_are_those_of_the_definition():
    model, packed, terms, usual = case()
    found = explain(model, packed, terms, usual)
    every = np.stack([found.baseline, found.last_word, found.sentence, found.image], 1)
    by_row = np.argsort(packed.order)
    for i, part in enumerate(packed.by_sentence(every)):
        expected = naive(model, SENTENCES[i], terms[by_row[i]], usual)
        np.testing.assert_allclose(part, expected, rtol=0, atol=2e-4)


def test_what_has_no_say_gets_no_part():
    model, packed, terms, _ = case()
    parts = explain(model, packed, terms[:1].repeat(len(SENTENCES), 0), terms[0])
    assert np.abs(parts.image).max() == 0  # the image is the usual one
    model.vw[:] = 0
    assert np.abs(explain(model, packed, terms, terms[0]).last_word).max() == 0
    model.vr[:] = 0
    assert np.abs(explain(model, packed, terms, terms[0]).sentence).max() == 0


def test_long_sentences_are_done_in_pieces(monkeypatch):
    model, packed, terms, usual = case(sentences=[[4, 5, 6] * 10, [7] * 5])
    whole = explain(model, packed, terms, usual)
    monkeypatch.setattr("mrnn.explanation.contributions._ROWS", 4)
    pieces = explain(model, packed, terms, usual)
    np.testing.assert_allclose(whole.gradients, pieces.gradients, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positions", [1, 4, 9])
def test_the_image_term_is_a_sum_over_positions(positions):
    model = tiny_model()
    draw = np.random.default_rng(positions)
    found = 5 * draw.standard_normal((positions, 6), dtype=np.float32)
    terms = position_terms(model, found)
    assert terms.shape == (positions, 7)
    expected = model.image_terms(found.mean(0)[None])[0]
    assert terms.dtype == np.float32
    np.testing.assert_allclose(terms.sum(0), expected, rtol=1e-5, atol=1e-5)
    twice = position_terms(model, 2 * found)  # blind to the encoder's gain, as the model is
    np.testing.assert_allclose(twice, terms, rtol=1e-5, atol=1e-5)


def test_positions_that_say_nothing_are_no_nan():
    found = position_terms(tiny_model(), np.zeros((4, 6), dtype=np.float32))
    assert np.abs(found).max() == 0


def test_nodes_are_doubled_where_they_do_not_suffice(monkeypatch):
    model, packed, terms, usual = case(strength=12)
    expected = log_probabilities(model, packed, 20 * terms)
    errors = []
    for most in (16, 256):
        monkeypatch.setattr("mrnn.explanation.contributions._MOST_NODES", most)
        parts = explain(model, packed, 20 * terms, usual)
        total = parts.baseline + parts.last_word + parts.sentence + parts.image
        errors.append(float(np.abs(total - expected).max()))
    assert errors[0] > 1e-2
    assert errors[1] < 1e-3
