"""The screen against exact scores: above them always, equal at the anchors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import SENTENCES, mild_model, some_terms, wild_model
from mrnn.scoring import screening
from mrnn.scoring.first_order import linearise_tree, softmaxes
from mrnn.scoring.likelihoods import log_likelihoods
from mrnn.scoring.screening import screen
from mrnn.words.packing import Corpus
from mrnn.words.prefixes import prefix_tree


def made(model, sentence, centres, words, prefixes=64):
    """A screen with short lists of so many words."""
    tree = prefix_tree(Corpus([sentence]).pack())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "_WORDS", words)
        patch.setattr(screening, "_PREFIXES", prefixes)
        return screen(model, tree, model.prefix_terms(tree), centres)


def exact(model, sentence, terms):
    return log_likelihoods(model, Corpus([sentence]), terms)[0]


def rounding(sentence):
    """What other words are taken to be at least, and products in fp32."""
    return (len(sentence) + 1) * 2e-4 + 1e-3


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("model", [wild_model(), mild_model()])
def test_lists_of_all_words_leave_nothing_out(model, sentence):
    terms = some_terms(model, 30)
    found = made(model, sentence, terms[:3], 10**6)[0].scores(terms)
    np.testing.assert_allclose(found, exact(model, sentence, terms), atol=rounding(sentence))


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("words", [1, 3, 8])
def test_nothing_is_missed_at_the_anchors(sentence, words):
    model = mild_model()
    terms = some_terms(model, 5)
    found = made(model, sentence, terms, words)[0].scores(terms)
    np.testing.assert_allclose(found, exact(model, sentence, terms), atol=rounding(sentence))


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 4), st.sampled_from(SENTENCES))
@settings(deadline=None, max_examples=60)
def test_tangents_lie_below_what_they_stand_for(seed, words, anchors, sentence):
    model = mild_model()
    terms = some_terms(model, 12, seed)
    found = made(model, sentence, terms[:anchors], words)[0].scores(terms)
    assert (found >= exact(model, sentence, terms) - rounding(sentence)).all()


def test_longer_lists_are_better():
    model = wild_model()
    terms = some_terms(model, 40)
    errors = [
        np.abs(made(model, s, terms[:2], k)[0].scores(terms) - exact(model, s, terms)).mean()
        for k in (1, 4, 10)
        for s in [SENTENCES[1]]
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_any_blocks(monkeypatch, rows):
    model = wild_model()
    terms = some_terms(model, 23)
    whole = made(model, SENTENCES[1], terms[:3], 4)[0].scores(terms)
    monkeypatch.setattr(screening, "_ROWS", rows)
    parts = made(model, SENTENCES[1], terms[:3], 4, prefixes=2)[0].scores(terms)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)
    assert made(model, SENTENCES[1], terms[:3], 4)[0].scores(terms[:0]).shape == (0,)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_its_softmaxes_are_those_that_sentences_are_linearised_with(sentence):
    model = wild_model()
    centres = some_terms(model, 4)
    tree = prefix_tree(Corpus([sentence]).pack())
    twin = softmaxes(model, model.prefix_terms(tree), centres)
    found = made(model, sentence, centres, 3, prefixes=2)[1]
    for ours, theirs in zip(
        linearise_tree(model, tree, 1, found), linearise_tree(model, tree, 1, twin), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
