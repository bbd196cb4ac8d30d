"""Words scored in batches against the model run word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conftest import tiny_model
from models import CORPUS, SENTENCES, precise, wild_model
from mrnn.model.generate import Rules, greedy
from mrnn.scoring import word_scores as scoring
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.word_scores import perplexity, score_words, to_perplexity
from mrnn.words.packing import Corpus
from mrnn.words.text import END, START

IMAGES = np.array([0, 2, 1, 1, 0, 2, 0])


@pytest.fixture
def features():
    return np.random.default_rng(1).standard_normal((3, 6)).astype(np.float16)


@pytest.fixture
def pairs(features):
    return Pairs(CORPUS, IMAGES, features)


def all_logp(model, sentence, feature):
    """Log P of every next word (L + 1, V), a step at a time, in float64."""
    model = precise(model)
    terms, rows = model.image_terms(feature[None]), []
    state = model.initial_state(1)
    for word in (START, *sentence):
        logp, state = model.step(np.array([word]), state, terms)
        rows.append(logp[0])
    return np.stack(rows)


def naive_score(model, sentence, feature):
    logp = all_logp(model, sentence, feature)
    return np.stack([row[word] for row, word in zip(logp, (*sentence, END), strict=True)])


@pytest.mark.parametrize("batch", [2, 256])
def test_word_scores_equal_single_steps_in_the_given_order(monkeypatch, pairs, batch):
    monkeypatch.setattr(scoring, "_BATCH", batch)
    model = wild_model()
    found = score_words(model, pairs)
    assert len(found) == len(SENTENCES)
    for scores, sentence, image in zip(found, SENTENCES, IMAGES, strict=True):
        expected = naive_score(model, sentence, pairs.features[image])
        assert scores.logprobs.dtype == np.float32
        np.testing.assert_allclose(scores.logprobs, expected, rtol=1e-5, atol=1e-4)
        assert scores.alternatives.shape == (len(sentence) + 1, 0)


@pytest.mark.parametrize("count", [1, 4, 100])
def test_alternatives_are_the_most_probable_words(monkeypatch, pairs, count):
    monkeypatch.setattr(scoring, "_BATCH", 3)
    model = wild_model()
    found = score_words(model, pairs, count)
    for scores, sentence, image in zip(found, SENTENCES, IMAGES, strict=True):
        logp = all_logp(model, sentence, pairs.features[image])
        expected = np.argsort(-logp, axis=1)[:, :count]
        best = np.take_along_axis(logp, expected, 1)
        np.testing.assert_allclose(scores.alternative_logprobs, best, rtol=1e-5, atol=1e-4)
        assert np.array_equal(scores.alternatives, expected)


def test_perplexity_is_eq_5(monkeypatch, pairs):
    model = wild_model()
    scores = [
        naive_score(model, sentence, pairs.features[image])
        for sentence, image in zip(SENTENCES, IMAGES, strict=True)
    ]
    bits = [-math.log2(math.exp(logp)) for logp in np.concatenate(scores).tolist()]
    expected = 2 ** (sum(bits) / len(bits))
    assert len(bits) == sum(len(s) + 1 for s in SENTENCES)
    for batch in (2, 256):
        monkeypatch.setattr(scoring, "_BATCH", batch)
        assert perplexity(model, pairs) == pytest.approx(expected)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(pairs):
    model = tiny_model()
    model.wo[:] = 0
    assert perplexity(model, pairs) == pytest.approx(12, rel=1e-6)


def test_a_hopeless_model_has_an_infinite_perplexity(pairs):
    model = tiny_model()
    model.wo_bias[4] = 1e4
    assert perplexity(model, pairs) == math.inf
    assert all(np.isfinite(scores.logprobs).all() for scores in score_words(model, pairs))


def test_generated_words_score_what_generation_said(features):
    model = wild_model()
    terms = model.image_terms(features)

    def step(words, state):
        logp, recurrent = model.step(words, *state)
        return logp, (recurrent, state[1])

    generated = greedy(step, (model.initial_state(3), terms), Rules((5,), 6))
    corpus = Corpus([[w for w in found.words if w != END] for found in generated])
    for found, scores in zip(
        generated, score_words(model, Pairs(corpus, np.arange(3), features)), strict=True
    ):
        assert found.logprobs == pytest.approx(scores.logprobs.tolist()[: len(found.words)])


def test_equally_probable_words_come_in_the_order_of_the_vocabulary(pairs):
    model = tiny_model()
    model.wo[:] = 0
    for scores in score_words(model, pairs, 5):
        assert (scores.alternatives == np.arange(5)).all()


def test_no_sentences_have_no_scores(features):
    assert score_words(tiny_model(), Pairs(Corpus([]), IMAGES[:0], features)) == []


@pytest.mark.parametrize(("logprob", "words"), [(-2.0, 4), (0.0, 1), (-6999.0, 10)])
def test_perplexity_of_a_sum(logprob, words):
    assert to_perplexity(logprob, words) == pytest.approx(math.exp(-logprob / words))


@pytest.mark.parametrize("logprob", [-7001.0, -1e300, -math.inf])
def test_perplexity_past_the_range_of_a_float_is_infinite(logprob):
    assert to_perplexity(logprob, 10) == math.inf
