"""Words scored in batches against the model run word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from conftest import tiny_model
from mrnn.model.generate import greedy
from mrnn.scoring import word_scores as scoring
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.word_scores import perplexity, score_words, tempered_perplexities
from mrnn.words.packing import Corpus
from mrnn.words.text import END, START, UNKNOWN

SENTENCES = [[5, 6], [7, 8, 9, 5], [], [UNKNOWN] * 3, [4] + [5, 6] * 100, [11, 4], [7, 8, 9, 10]]
IMAGES = np.array([0, 2, 1, 1, 0, 2, 0])
CORPUS = Corpus(SENTENCES)


@pytest.fixture
def features():
    return np.random.default_rng(1).standard_normal((3, 6)).astype(np.float16)


@pytest.fixture
def pairs(features):
    return Pairs(CORPUS, IMAGES, features)


def wild_model(feature=6):
    """A model in float64, far from uniform."""
    model = tiny_model(feature=feature).double()
    model.wo.mul_(5)
    return model


def all_logp(model, sentence, feature):
    """Log P of every next word (L + 1, V), a step at a time."""
    terms, rows = model.image_terms(torch.from_numpy(feature[None])), []
    state = model.initial_state(1)
    for word in (START, *sentence):
        logp, state = model.step(torch.tensor([word]), state, terms)
        rows.append(logp[0])
    return torch.stack(rows)


def naive_score(model, sentence, feature):
    logp = all_logp(model, sentence, feature)
    return torch.stack([row[word] for row, word in zip(logp, (*sentence, END), strict=True)])


@pytest.mark.parametrize("batch", [2, 256])
def test_word_scores_equal_single_steps_in_the_given_order(monkeypatch, pairs, batch):
    monkeypatch.setattr(scoring, "_BATCH", batch)
    model = wild_model()
    found = score_words(model, pairs)
    assert len(found) == len(SENTENCES)
    for scores, sentence, image in zip(found, SENTENCES, IMAGES, strict=True):
        expected = naive_score(model, sentence, pairs.features[image])
        torch.testing.assert_close(scores.logprobs, expected)
        assert scores.alternatives.shape == (len(sentence) + 1, 0)


@pytest.mark.parametrize("count", [1, 4, 100])
def test_alternatives_are_the_most_probable_words(monkeypatch, pairs, count):
    monkeypatch.setattr(scoring, "_BATCH", 3)
    model = wild_model()
    found = score_words(model, pairs, count)
    for scores, sentence, image in zip(found, SENTENCES, IMAGES, strict=True):
        logp = all_logp(model, sentence, pairs.features[image])
        expected = logp.sort(dim=1, descending=True)
        torch.testing.assert_close(scores.alternative_logprobs, expected.values[:, :count])
        assert scores.alternatives.equal(expected.indices[:, :count])


def test_perplexity_is_eq_5(monkeypatch, pairs):
    model = wild_model()
    scores = [
        naive_score(model, sentence, pairs.features[image])
        for sentence, image in zip(SENTENCES, IMAGES, strict=True)
    ]
    bits = [-math.log2(math.exp(logp)) for logp in torch.cat(scores).tolist()]
    expected = 2 ** (sum(bits) / len(bits))
    assert len(bits) == sum(len(s) + 1 for s in SENTENCES)
    for batch in (2, 256):
        monkeypatch.setattr(scoring, "_BATCH", batch)
        assert perplexity(model, pairs) == pytest.approx(expected)


def test_tempered_perplexities_are_those_of_models_with_flatter_logits(pairs):
    found = tempered_perplexities(wild_model(), pairs, (0.5, 1.0, 2.0))
    for temperature, value in zip((0.5, 1.0, 2.0), found, strict=True):
        model = wild_model()
        model.divide_logits(temperature)
        assert perplexity(model, pairs) == pytest.approx(value)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(pairs):
    model = tiny_model()
    model.wo.zero_()
    assert perplexity(model, pairs) == pytest.approx(12, rel=1e-6)


def test_a_hopeless_model_has_an_infinite_perplexity(pairs):
    model = tiny_model()
    model.wo_bias[4] = 1e4
    assert perplexity(model, pairs) == math.inf
    assert all(scores.logprobs.isfinite().all() for scores in score_words(model, pairs))


def test_generated_words_score_what_generation_said(features):
    model = wild_model()
    terms = model.image_terms(torch.from_numpy(features))

    def step(words, state):
        logp, recurrent = model.step(words, *state)
        return logp, (recurrent, state[1])

    generated = greedy(step, (model.initial_state(3), terms), (5,), 6)
    corpus = Corpus([[w for w in found.words if w != END] for found in generated])
    for found, scores in zip(
        generated, score_words(model, Pairs(corpus, np.arange(3), features)), strict=True
    ):
        assert found.logprobs == pytest.approx(scores.logprobs.tolist()[: len(found.words)])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_scores_the_same(pairs):
    model = wild_model()
    here = score_words(model, pairs, 2)
    there = score_words(model.cuda(), pairs, 2)
    for ours, theirs in zip(here, there, strict=True):
        torch.testing.assert_close(ours.logprobs, theirs.logprobs.cpu())
        assert ours.alternatives.equal(theirs.alternatives.cpu())
