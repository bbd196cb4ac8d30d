"""A query against its dumb twin: everything scored in fp32, then sorted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import SENTENCES, mild_model, some_terms, wild_model
from mrnn.model.bundle import load_bundle
from mrnn.model.directory import find_bundle
from mrnn.scoring import queries, screening
from mrnn.scoring.first_order import anchors, linearise
from mrnn.scoring.likelihoods import log_likelihoods, log_prior
from mrnn.scoring.queries import open_query
from mrnn.scoring.word_scores import to_perplexity
from mrnn.words.packing import Corpus


@pytest.fixture
def few(monkeypatch):
    """Each kind of score hands on few images, so that all of them have work."""
    monkeypatch.setattr(screening, "_WORDS", 4)
    monkeypatch.setattr(queries, "_SCREENED", 30)
    monkeypatch.setattr(queries, "_PRECISE", 6)
    monkeypatch.setattr(queries, "_PRIOR_SCREENED", 10)
    monkeypatch.setattr(queries, "_PRIOR_PRECISE", 3)


def naive(model, sentence, terms, prior_terms, k):
    corpus = Corpus([sentence])
    scores = log_likelihoods(model, corpus, terms)[0]
    prior = log_prior(model, corpus, prior_terms)[0]
    best = np.argsort(-scores, kind="stable")[:k]
    return [
        (i, scores[i], to_perplexity(scores[i], len(sentence) + 1), scores[i] - prior)
        for i in best.tolist()
    ]


def check_ranked(found, expected, atol=1e-3):
    assert [one[0] for one in found] == [one[0] for one in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert all(type(figure) is float for figure in ours[1:])
        assert ours[1] == pytest.approx(theirs[1], abs=1e-4, rel=1e-5)
        assert ours[2] == pytest.approx(theirs[2], rel=1e-4)
        assert ours[3] == pytest.approx(theirs[3], abs=atol)


@pytest.mark.parametrize("k", [None, 1, 7, 1000])
@pytest.mark.parametrize("sentence", SENTENCES[:4])
def test_among_few_images_all_is_exact(sentence, k):
    model = wild_model()
    terms, prior_terms = some_terms(model, 20), some_terms(model, 8, seed=2)
    found = open_query(model, sentence, prior_terms[:3]).ranked(terms, prior_terms, k)
    check_ranked(found, naive(model, sentence, terms, prior_terms, k))


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("sentence", SENTENCES[:4])
@pytest.mark.usefixtures("few")
def test_the_best_of_many(sentence, k):
    model = mild_model()
    terms, prior_terms = some_terms(model, 300), some_terms(model, 200, seed=2)
    found = open_query(model, sentence, anchors(prior_terms)).ranked(terms, prior_terms, k)
    check_ranked(found, naive(model, sentence, terms, prior_terms, k), atol=0.01)


@given(st.integers(0, 999), st.integers(1, 60), st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_who_is_passed_over_is_not_better(seed, images, k):
    """As far as the screen goes: what it hands on comes out in the exact order."""
    model = mild_model()
    terms = some_terms(model, images, seed)
    query = open_query(model, SENTENCES[1], terms[:2])
    chosen, scores = query.best(terms, k)
    exact = log_likelihoods(model, Corpus([SENTENCES[1]]), terms)[0]
    np.testing.assert_allclose(scores, exact[chosen], rtol=1e-5, atol=1e-5)
    assert len(set(chosen.tolist())) == min(k, images)
    assert (np.diff(scores) <= 0).all()


@pytest.mark.usefixtures("few")
def test_equal_images_tie_in_their_order_whatever_is_beside_them():
    model = mild_model()
    terms, prior_terms = some_terms(model, 100), some_terms(model, 40, seed=2)
    query = open_query(model, SENTENCES[1], anchors(prior_terms))
    [(best, *figures)] = query.ranked(terms, prior_terms, 1)
    twice = np.concatenate([terms, terms[best][None], terms])
    found = query.ranked(twice, prior_terms, 3)
    assert [one[0] for one in found] == [best, 100, 101 + best]
    assert len({one[1] for one in found}) == 1
    assert found[0][1:] == pytest.approx(figures)
    backwards = query.ranked(terms[::-1], prior_terms, 5)
    assert [(99 - i, *rest) for i, *rest in backwards] == query.ranked(terms, prior_terms, 5)
    assert query.ranked(terms[:0], prior_terms, 5) == []


@pytest.mark.parametrize(("model", "error"), [(mild_model(), 0.02), (wild_model(), 0.2)])
@pytest.mark.parametrize("sentence", SENTENCES[:4])
@pytest.mark.usefixtures("few")
def test_log_prior_is_about_the_exact_one(model, error, sentence):
    prior_terms = some_terms(model, 400, seed=4)
    query = open_query(model, sentence, anchors(prior_terms, 16))
    exact = log_prior(model, Corpus([sentence]), prior_terms)[0]
    assert query.log_prior(prior_terms) == pytest.approx(exact, abs=error)


def test_log_prior_is_exact_where_all_are_scored_in_fp32(monkeypatch):
    monkeypatch.setattr(queries, "_PRIOR_SCREENED", 40)
    monkeypatch.setattr(queries, "_PRIOR_PRECISE", 40)
    model = wild_model()
    prior_terms = some_terms(model, 40)
    query = open_query(model, SENTENCES[1], prior_terms[:2])
    exact = log_prior(model, Corpus([SENTENCES[1]]), prior_terms)[0]
    assert query.log_prior(prior_terms) == pytest.approx(exact, abs=1e-4)


def test_what_is_not_chosen_changes_as_what_is_like_it():
    scores = np.array([0.0, -1, -2, -3, -4])
    queries._correct(scores, np.array([1, 0]), np.array([-2.0, 0.5]), slice(1, None))
    np.testing.assert_allclose(scores, [0.5, -2, -1.5, -2.5, -3.5])
    scores = np.array([0.0, -1, -2])
    queries._correct(scores, np.array([0, 1]), np.array([0.5, -2.0]), slice(None))
    mean = math.log((math.exp(0.5) + math.exp(-1)) / 2)
    np.testing.assert_allclose(scores, [0.5, -2, -2 + mean])


def test_a_query_is_linearised_as_any_sentence():
    model = wild_model()
    centres = some_terms(model, 5)
    found = open_query(model, SENTENCES[4], centres).linearised
    twin = linearise(model, Corpus([SENTENCES[4]]), centres)
    np.testing.assert_allclose(found.values, twin.values, rtol=1e-4)
    np.testing.assert_allclose(found.gradients, twin.gradients, rtol=1e-3, atol=1e-3)
    assert np.array_equal(found.centres, centres)


def test_log_prior_of_a_shipped_model():
    """Within .02 nats, the claim of docs/speed.md."""
    bundle = load_bundle(find_bundle("default"))
    model, vocabulary = bundle.model, bundle.vocabulary
    terms = model.image_terms(bundle.prior)
    centres = anchors(terms, queries.ANCHORS)
    for sentence in ("a dog runs", "two men in red shirts play football on a field", "snow"):
        words = vocabulary.encode(sentence)
        exact = log_prior(model, Corpus([words]), terms)[0]
        assert open_query(model, words, centres).log_prior(terms) == pytest.approx(exact, abs=0.02)
