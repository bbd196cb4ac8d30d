"""Generation by the ratio against the same in plain NumPy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from conftest import tiny_model
from mrnn.model.arrays import log_softmax
from mrnn.model.generate import Rules, _allowed, greedy
from mrnn.model.guidance import by_ratio, shares
from mrnn.model.stepping import quick_step
from mrnn.words.text import END, START

MODEL = replace(tiny_model(seed=3), wo=8 * tiny_model(seed=3).wo)  # so that words differ
V, M = MODEL.config.vocabulary, MODEL.config.multimodal
USUAL = np.random.default_rng(1).normal(size=M).astype(np.float32)


def of_steps(terms, words):
    """log P (N, V) for the images and for the usual one, and the state, after some words."""
    r = MODEL.initial_state(len(terms))
    for word in (START, *words):
        given = np.full(len(terms), word), r
        logp, after = MODEL.step(*given, terms)
        usual, _ = MODEL.step(*given, np.tile(USUAL, (len(terms), 1)))
        _, _, of_sentence = quick_step(MODEL)(*given, terms)
        r = after
    return logp, usual, of_sentence


@pytest.mark.parametrize("words", [(), (5, 6), (7, 4, 9)])
def test_words_weigh_what_section_6_says(words):
    terms = np.random.default_rng(2).normal(size=(5, M)).astype(np.float32)
    logp, usual, of_sentence = of_steps(terms, words)
    c = np.array([0, 0.2, 0.4, 0.6, 1], dtype=np.float32)[:, None]
    weights = by_ratio(MODEL, USUAL, across=True)(logp, (terms, c, of_sentence))
    is_plausible = np.exp(logp) >= 0.1 * np.exp(logp).max(axis=1, keepdims=True)
    assert 0 < is_plausible.sum() < is_plausible.size
    assert np.array_equal(np.isfinite(weights), is_plausible)
    expected = logp - c * usual
    np.testing.assert_allclose(weights[is_plausible], expected[is_plausible], atol=1e-4)
    within = by_ratio(MODEL, USUAL, across=False)(logp, (terms, c, of_sentence))
    assert np.array_equal(np.isfinite(within), is_plausible)
    for row, known in enumerate(is_plausible):  # the same but for a number a row
        apart = within[row, known] - weights[row, known]
        np.testing.assert_allclose(apart, apart[0], atol=1e-4)


def test_only_allowed_words_are_measured_against_the_best_one():
    logp, _, of_sentence = of_steps(np.zeros((1, M), np.float32), ())
    best = int(logp[0].argmax())
    once = np.zeros(V, dtype=bool)
    once[best] = True
    allowed = _allowed(logp, np.array([[best]]), Rules(once=once))
    weights = by_ratio(MODEL, USUAL, across=True)(
        allowed, (np.ones((1, 1), np.float32), of_sentence)
    )
    assert weights[0, best] == -np.inf
    assert np.isfinite(weights[0]).any()


def test_ordinary_pictures_have_little_of_the_ratio():
    found = shares(0.4, np.array([0, 0.5, 1], dtype=np.float32))
    np.testing.assert_allclose(found, [0, 0.05, 0.4], rtol=1e-5)


def test_a_word_of_once_is_said_once():
    """A step that always finds word 6 the most probable, then 5, then the end."""
    logp = np.log(np.array([1e-9] * 5 + [0.3, 0.6, 1e-9]) + 1e-12)
    logp[END] = math.log(0.1)

    def step(words, state):
        return np.tile(log_softmax(logp[None]), (len(words), 1)), state

    once = np.zeros(8, dtype=bool)
    once[6] = True
    [found] = greedy(step, (np.zeros(1),), Rules(max_length=4, once=once))
    assert found.words == (6, 5, 5, 5)
    once[5] = True
    [found] = greedy(step, (np.zeros(1),), Rules(max_length=4, once=once))
    assert found.words == (6, 5, END)
