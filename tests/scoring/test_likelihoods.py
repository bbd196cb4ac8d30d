"""Shared-prefix scoring against every pair on its own, a word at a time."""

from __future__ import annotations

import math
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny_model
from models import CORPUS, SENTENCES, precise, some_features, some_terms, wild_model
from mrnn.images.features import FeatureRows
from mrnn.model.normaliser import float_normaliser
from mrnn.scoring import likelihoods
from mrnn.scoring.likelihoods import (
    image_terms,
    log_likelihoods,
    log_prior,
    pair_likelihoods,
    sentence_groups,
)
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.word_scores import score_words
from mrnn.words.packing import Corpus
from mrnn.words.text import END, START, UNKNOWN
from processors import OLDER, run_on

SENTENCE = st.lists(st.integers(3, 6), max_size=5)
MEMORIES = (700, 9_000, 2e9)  # bytes; the first is hardly more than the result


def naive_logp(model, sentence, term):
    """Log P of one sentence given one image's term (M,), a step at a time, in float64."""
    model, before, total = precise(model), START, 0.0
    state = model.initial_state(1)
    for word in (*sentence, END):
        logp, state = model.step(np.array([before]), state, term[None].astype(np.float64))
        total += logp[0, word].item()
        before = word
    return total


def naive_matrix(model, sentences, terms):
    rows = [[naive_logp(model, s, term) for term in terms] for s in sentences]
    return np.array(rows).reshape(len(sentences), len(terms))


def check_close(found, expected):
    """As close as sums in float32 are; the model is far from uniform."""
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=5e-5)


@pytest.mark.parametrize("feature", [6, 0])
@pytest.mark.parametrize("memory", MEMORIES)
def test_every_sentence_given_every_image(memory, feature):
    model = wild_model(feature)
    terms = some_terms(model)
    found = log_likelihoods(model, CORPUS, terms, memory)
    expected = naive_matrix(model, SENTENCES, terms)
    check_close(found, expected)


@given(st.lists(SENTENCE, max_size=7), st.integers(0, 4), st.sampled_from((900, 3_000, 2e9)))
@settings(deadline=None, max_examples=40)
def test_any_sentences_and_images(sentences, images, memory):
    model = wild_model()
    terms = some_terms(model, images)
    found = log_likelihoods(model, Corpus(sentences), terms, memory)
    assert found.shape == (len(sentences), images)
    expected = naive_matrix(model, sentences, terms)
    check_close(found, expected)


@pytest.mark.parametrize("sentence", [[], [UNKNOWN], [UNKNOWN] * 40, [5, 6] * 100, [4, UNKNOWN, 4]])
def test_one_sentence_given_one_image(sentence):
    model = wild_model()
    terms = some_terms(model, 1)
    found = log_likelihoods(model, Corpus([sentence]), terms, memory=40)
    assert found.item() == pytest.approx(naive_logp(model, sentence, terms[0]), rel=1e-6, abs=5e-5)


def test_many_images_and_many_blocks(monkeypatch):
    """More images than are scored together, and prefixes cut between any two."""
    monkeypatch.setattr(likelihoods, "_IMAGES", 4)
    monkeypatch.setattr(likelihoods, "_ROWS", 9)
    model = wild_model()
    terms = some_terms(model, 11)
    found = log_likelihoods(model, CORPUS, terms)
    expected = log_likelihoods_by_words(model, SENTENCES, some_features(11))
    check_close(found, expected)


def log_likelihoods_by_words(model, sentences, features):
    """The sums of `score_words`, image by image."""
    columns = []
    for image in range(len(features)):
        owners = np.full(len(sentences), image)
        scores = score_words(model, Pairs(Corpus(sentences), owners, features))
        columns.append([s.logprobs.sum() for s in scores])
    return np.array(columns).T


def test_images_matter_only_with_a_feature():
    without = wild_model(0)
    assert np.ptp(log_likelihoods(wild_model(), CORPUS, some_terms(wild_model())), 1).min() > 1e-3
    assert np.ptp(log_likelihoods(without, CORPUS, some_terms(without)), 1).max() == 0


def test_a_hopeless_model_has_finite_scores():
    model = tiny_model()
    model.wo_bias[4] = 1e4
    assert np.isfinite(log_likelihoods(model, CORPUS, some_terms(model))).all()


def test_the_result_may_be_larger_than_the_memory():
    model = wild_model()
    terms = some_terms(model, 30)
    found = log_likelihoods(model, CORPUS, terms, memory=40)
    check_close(found, log_likelihoods(model, CORPUS, terms))


@pytest.mark.parametrize("memory", MEMORIES)
def test_progress_rises_to_all_words_times_images(memory):
    seen = []
    model = wild_model()
    log_likelihoods(
        model, CORPUS, some_terms(model), memory, on_progress=lambda *at: seen.append(at)
    )
    total = 3 * sum(len(s) + 1 for s in SENTENCES)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) > 5 or memory > 1e6


class Counted:
    """A normaliser that notes how many rows it was given at once."""

    def __init__(self, model):
        self.inner, self.rows = float_normaliser(model), []

    def __call__(self, m):
        self.rows.append(len(m))
        return self.inner(m)


def test_a_prefix_is_computed_once_and_few_rows_at_once():
    model = tiny_model()
    terms = some_terms(model, 100)
    twice = Corpus([[4, 5], [4, 5], [4, 6], [4, 5, 6] * 20])
    prefixes = 1 + 1 + 2 + 58  # START, 4, the two that follow, the rest of the long one
    counted = Counted(model)
    log_likelihoods(model, twice, terms, normaliser=counted)
    assert sum(counted.rows) == prefixes * 100
    assert max(counted.rows) <= likelihoods._ROWS
    counted = Counted(model)
    everything = np.indices((4, 100)).reshape(2, -1)
    pair_likelihoods(model, twice, terms, *everything, normaliser=counted)
    assert sum(counted.rows) == prefixes * 100
    assert max(counted.rows) <= likelihoods._ROWS


def test_image_terms_are_the_models():
    model, features = wild_model(), some_features(5000)  # more than one batch
    expected = model.image_terms(features)
    np.testing.assert_allclose(image_terms(model, features), expected, rtol=1e-5, atol=1e-5)
    assert image_terms(model, features[:0]).shape == (0, 7)
    cached = FeatureRows(features, np.array([3, 3, 4999]))
    assert np.array_equal(image_terms(model, cached), image_terms(model, features[[3, 3, 4999]]))


EQUAL_FEATURES = """
import numpy as np
from mrnn.config import ModelConfig
from mrnn.model.mrnn import model_of, shapes
from mrnn.scoring.likelihoods import image_terms
draw = np.random.default_rng(0)
for feature, multimodal in (1280, 512), (257, 301):
    config = ModelConfig(12, feature, 4, 5, multimodal)
    model = model_of(config, {n: draw.standard_normal(s) for n, s in shapes(config).items()})
    features = draw.standard_normal((4103, feature)).astype(np.float16)
    places = [0, 5, 6, 11, 12, 15, 16, 4095, 4096, 4102]
    features[places] = features[0]
    terms = image_terms(model, features)
    assert len(np.unique(terms[places], axis=0)) == 1
    assert np.array_equal(image_terms(model, features[:16]), terms[:16])
"""


@pytest.mark.parametrize("processor", [None, *OLDER])
def test_equal_features_have_the_same_image_terms_to_the_last_bit(processor):
    """Wherever they stand, and in the last of the batches, too."""
    if processor:
        run_on(processor, EQUAL_FEATURES)
    else:
        exec(EQUAL_FEATURES, {})


def test_log_prior_is_the_mean_probability_over_images():
    model, sentences = wild_model(), [s for s in SENTENCES if len(s) < 9]
    terms = some_terms(model, 5)
    found = log_prior(model, Corpus(sentences), terms).tolist()
    for value, sentence in zip(found, sentences, strict=True):
        mean = sum(math.exp(naive_logp(model, sentence, term)) for term in terms) / 5
        assert value == pytest.approx(math.log(mean), rel=1e-6, abs=5e-5)
    assert np.isfinite(log_prior(model, CORPUS, terms)).all()  # also where P underflows


@pytest.mark.parametrize("memory", [1, 20_000, 2e9])
def test_log_prior_in_groups(memory):
    model = wild_model()
    terms = some_terms(model, 70)
    short = [i for i, s in enumerate(SENTENCES) if len(s) < 50]
    likely = log_likelihoods(model, CORPUS, terms)[short].astype(np.float64)
    expected = np.log(np.exp(likely).mean(1))
    counted = Counted(model)
    found = log_prior(model, CORPUS, terms, memory, counted)
    np.testing.assert_allclose(found[short], expected, rtol=1e-6, atol=5e-5)
    check_close(found, log_prior(model, CORPUS, terms))
    assert counted.rows  # the normaliser that was given is the one that is used
    assert memory > 1 or max(counted.rows) == 70  # one prefix at once
    assert log_prior(model, Corpus([]), terms, memory).shape == (0,)


@given(
    st.lists(SENTENCE, min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=12),
    st.sampled_from((1, 3_000, 2e9)),
)
@settings(deadline=None, max_examples=60)
def test_chosen_pairs_equal_entries_of_the_whole(sentences, pairs, memory):
    model = wild_model()
    terms = some_terms(model, 4)
    corpus = Corpus(sentences)
    s = np.array([s % len(sentences) for s, _ in pairs], dtype=np.int64)
    i = np.array([i for _, i in pairs], dtype=np.int64)
    found = pair_likelihoods(model, corpus, terms, s, i, memory)
    expected = log_likelihoods(model, corpus, terms)[s, i]
    check_close(found, expected)


@pytest.mark.parametrize("feature", [6, 0])
@pytest.mark.parametrize("memory", [1, 9_000, 2e9])
def test_chosen_pairs_of_long_and_odd_sentences(memory, feature):
    model = wild_model(feature)
    terms = some_terms(model, 3)
    draw = np.random.default_rng(0)
    s, i = draw.integers(0, len(SENTENCES), 40), draw.integers(0, 3, 40)
    seen = []
    found = pair_likelihoods(
        model, CORPUS, terms, s, i, memory, on_progress=lambda *at: seen.append(at)
    )
    expected = naive_matrix(model, SENTENCES, terms)[s, i]
    check_close(found, expected)
    assert seen[-1] == (40, 40)
    assert seen == sorted(seen)


@given(st.lists(SENTENCE, max_size=8), st.floats(0, 40), st.data())
@settings(deadline=None, max_examples=100)
def test_groups_of_sentences_stay_in_the_budget(sentences, budget, data):
    corpus = Corpus(sentences)
    chosen = np.array(
        [i for i in range(len(sentences)) if data.draw(st.booleans())], dtype=np.int64
    )
    costs = corpus.lengths * 3
    groups = [group.tolist() for group in sentence_groups(corpus, chosen, costs, budget)]
    assert sorted(chain(*groups)) == chosen.tolist()
    for group, later in pairwise(groups):
        assert costs[group].sum() + costs[later[0]] > budget  # no group is needlessly small
    for group in groups:
        assert len(group) == 1 or costs[group].sum() <= budget
    if costs[chosen].sum() > budget:
        words = [sentences[i] for group in groups for i in group]
        assert words == sorted(words)
