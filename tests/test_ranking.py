"""Rankings against plain sorting of exact scores."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn import first_order, ranking
from mrnn.devices import has_int8
from mrnn.first_order import anchors, first_order_likelihoods
from mrnn.likelihoods import log_likelihoods, log_prior
from mrnn.normaliser import float_normaliser
from mrnn.packing import Corpus
from mrnn.ranking import best_mask, candidates_first, rank_all, sentences_for
from mrnn.text import UNKNOWN
from test_first_order import mild_model
from test_likelihoods import some_terms
from test_scoring import wild_model

DRAW = np.random.default_rng(0)
DRAWN = [tuple(DRAW.integers(3, 12, n).tolist()) for n in DRAW.integers(0, 8, 80)]
SENTENCES = list(dict.fromkeys(DRAWN))[:60]  # all different: of equals, either may be first
CORPUS = Corpus(SENTENCES)
IMAGES = 55


@pytest.fixture
def no_int8(monkeypatch):
    for module in (first_order, ranking):
        monkeypatch.setattr(module, "has_int8", lambda device: False)


@pytest.fixture
def model():
    return mild_model()


@pytest.fixture
def terms(model):
    return some_terms(model, IMAGES, seed=2)


@pytest.fixture
def prior(model):
    return some_terms(model, 30, seed=3)


class Stages:
    """Notes the names of stages and what they said of their progress."""

    def __init__(self):
        self.names, self.last = [], {}

    @contextmanager
    def __call__(self, name):
        self.names.append(name)
        yield lambda done, total: self.last.__setitem__(name, (done, total))


def ranked(model, terms, prior, exact):
    stages = Stages()
    found = rank_all(model, CORPUS, terms, prior, exact, 2e9, stages)
    assert all(done == total for done, total in stages.last.values())
    return found, stages.names


def order(scores):
    return np.argsort(-scores.numpy(), axis=1, kind="stable")


def noisy(model):
    """A normaliser that is wrong by some hundredths, as 8-bit products are."""
    precise = float_normaliser(model)
    return lambda m: precise(m) + 0.02 * torch.sin(1e4 * m.sum(1))


def slow_order(coarse, exact, count):
    """The `count` best by coarse scores, ordered by exact ones; then the others by coarse ones."""
    best = sorted(range(len(coarse)), key=lambda i: -coarse[i])[:count]
    rest = [i for i in range(len(coarse)) if i not in set(best)]
    return [*sorted(best, key=lambda i: -exact[i]), *sorted(rest, key=lambda i: -coarse[i])]


@pytest.mark.usefixtures("no_int8")
def test_exact_rankings_are_those_of_exact_scores(model, terms, prior):
    found, names = ranked(model, terms, prior, exact=True)
    scores = log_likelihoods(model, CORPUS, terms)
    ratios = scores - log_prior(model, CORPUS, prior)[:, None]
    torch.testing.assert_close(found.likelihoods, scores)
    assert np.array_equal(order(found.images), order(scores))
    assert np.array_equal(order(found.sentences.T), order(ratios.T))
    rough = first_order_likelihoods(model, CORPUS, terms, anchors(prior))
    torch.testing.assert_close(found.first_images, rough)
    assert names == ["first order", "log P(s)", "scoring"]


@pytest.mark.usefixtures("no_int8")
def test_first_order_rankings_are_by_first_order_scores_alone(model, terms, prior):
    for exact in (True, False):
        found, _ = ranked(model, terms, prior, exact)
        centres = anchors(prior)
        scores = first_order_likelihoods(model, CORPUS, terms, centres)
        of_prior = first_order_likelihoods(model, CORPUS, prior, centres)
        rough = of_prior.exp().mean(1).log()
        torch.testing.assert_close(found.first_images, scores)
        torch.testing.assert_close(found.first_sentences, scores - rough[:, None])


@pytest.mark.usefixtures("no_int8")
@pytest.mark.parametrize("rescored", [1, 20, 50])
def test_after_8_bit_scoring_the_best_are_scored_again(monkeypatch, model, terms, prior, rescored):
    """With a noisy normaliser for 8-bit products, so that it runs on any processor."""
    monkeypatch.setattr(ranking, "has_int8", lambda device: True)
    monkeypatch.setattr(ranking, "int8_normaliser", noisy)
    monkeypatch.setattr(ranking, "RESCORED", rescored)
    found, names = ranked(model, terms, prior, exact=True)
    assert names == ["first order", "log P(s)", "scoring", "candidates"]
    exact = log_likelihoods(model, CORPUS, terms)
    coarse = log_likelihoods(model, CORPUS, terms, normaliser=noisy(model))
    assert (exact - coarse).abs().max() > 0.01
    log_p = log_prior(model, CORPUS, prior)
    counts = (rescored, rescored)
    check_two_stages(found, coarse, coarse - log_p[:, None], exact, log_p, counts)


@pytest.mark.usefixtures("no_int8")
@pytest.mark.parametrize("counts", [(1, 2), (10, 30), (50, 20), (60, 90)])
def test_two_stages_put_candidates_first(monkeypatch, model, terms, prior, counts):
    monkeypatch.setattr(ranking, "_CANDIDATES", counts)
    found, names = ranked(model, terms, prior, exact=False)
    assert names == ["first order", "log P(s)", "candidates"]
    exact = log_likelihoods(model, CORPUS, terms)
    log_p = log_prior(model, CORPUS, prior)
    check_two_stages(found, found.first_images, found.first_sentences, exact, log_p, counts)


def check_two_stages(found, coarse, coarse_ratios, exact, log_p, counts):
    """`counts` are of the images of a sentence, and of the sentences of an image."""
    ratios = exact - log_p[:, None]
    rescored = torch.zeros_like(exact, dtype=torch.bool)
    for s, row in enumerate(order(found.images)):
        assert row.tolist() == slow_order(coarse[s].tolist(), exact[s].tolist(), counts[0])
        rescored[s, row[: counts[0]]] = True
    for i, row in enumerate(order(found.sentences.T)):
        expected = slow_order(coarse_ratios[:, i].tolist(), ratios[:, i].tolist(), counts[1])
        assert row.tolist() == expected
        rescored[row[: counts[1]], i] = True
    torch.testing.assert_close(found.likelihoods, exact.where(rescored, coarse))


@pytest.mark.skipif(not has_int8(torch.device("cpu")), reason="no 8-bit products here")
def test_8_bit_products_give_the_same_first_places(monkeypatch):
    model = mild_model().float()
    terms, prior = some_terms(model, IMAGES, seed=2), some_terms(model, 30, seed=3)
    monkeypatch.setattr(first_order, "has_int8", lambda device: False)  # the same log P(s)
    with_int8, names = ranked(model, terms, prior, exact=True)
    assert names[-1] == "candidates"
    monkeypatch.setattr(ranking, "has_int8", lambda device: False)
    without, _ = ranked(model, terms, prior, exact=True)
    for ours, theirs in (
        (with_int8.images, without.images),
        (with_int8.sentences.T, without.sentences.T),
    ):
        assert np.array_equal(order(ours)[:, :30], order(theirs)[:, :30])
        for row, scores in zip(order(ours)[:, :50], theirs, strict=True):
            assert (scores[row].diff() <= 1e-4).all()  # in order, but for equals


@pytest.mark.parametrize("count", [0, 1, 3, 7, 100])
def test_the_best_of_each_row_are_marked(count):
    scores = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    for row, marked in zip(scores.tolist(), best_mask(scores, count).tolist(), strict=True):
        best = sorted(range(7), key=lambda i: -row[i])[:count]
        assert [i for i, mark in enumerate(marked) if mark] == sorted(best)
    assert best_mask(torch.zeros(5, 7), count).sum(1).tolist() == [min(count, 7)] * 5


SCORES = st.integers(-3, 3).map(float)  # so that there are ties


@given(st.lists(st.tuples(SCORES, SCORES, st.booleans()), min_size=1, max_size=8))
@settings(deadline=None, max_examples=200)
def test_candidates_come_first(items):
    coarse, exact, chosen = (torch.tensor([part]) for part in zip(*items, strict=True))
    [scores] = candidates_first(coarse, exact, chosen).tolist()
    for value, (_, precise, first) in zip(scores, items, strict=True):
        assert not first or value == precise  # the exact ones are what they are
    for a, (coarse_a, exact_a, first_a) in zip(scores, items, strict=True):
        for b, (coarse_b, exact_b, first_b) in zip(scores, items, strict=True):
            if first_a != first_b:
                assert (a > b) == first_a
            elif first_a:
                assert (a > b) == (exact_a > exact_b)
            else:
                assert (a > b) == (coarse_a > coarse_b)


def naive_sentences(model, sentences, terms, prior):
    """Positions by exact log P(s | I) - log P(s), with both."""
    corpus = Corpus(sentences)
    scores = log_likelihoods(model, corpus, terms)[:, 0].tolist()
    log_p = log_prior(model, corpus, prior).tolist()
    positions = sorted(range(len(sentences)), key=lambda i: log_p[i] - scores[i])
    return positions, scores, log_p


@pytest.mark.parametrize("k", [None, 0, 1, 49, 50, 51, 60, 1000])
def test_the_best_sentences_of_an_image(model, terms, prior, k):
    expected, scores, log_p = naive_sentences(model, SENTENCES, terms[:1], prior)
    positions, found, found_prior = sentences_for(model, CORPUS, terms[:1], prior, k)
    assert positions == expected[:k]
    assert found == pytest.approx([scores[i] for i in positions])
    assert found_prior == pytest.approx([log_p[i] for i in positions])


@pytest.mark.parametrize("k", [1, 5, 20])
def test_the_best_of_many_sentences_pass_every_stage(monkeypatch, model, terms, prior, k):
    monkeypatch.setattr(ranking, "SENTENCE_CANDIDATES", 40)
    for image in range(2):
        term = terms[image : image + 1]
        expected, scores, log_p = naive_sentences(model, SENTENCES, term, prior)
        positions, found, found_prior = sentences_for(model, CORPUS, term, prior, k)
        assert positions == expected[:k]
        assert found == pytest.approx([scores[i] for i in positions])
        assert found_prior == pytest.approx([log_p[i] for i in positions])


def test_a_bad_first_stage_loses_nothing_while_all_are_candidates(monkeypatch, model, terms, prior):
    def random_scores(model, corpus, terms, *_):
        return torch.randn(len(corpus), len(terms), generator=torch.Generator().manual_seed(1))

    monkeypatch.setattr(ranking, "first_order_likelihoods", random_scores)
    monkeypatch.setattr(ranking, "estimated_log_prior", lambda *given: log_prior(*given[:3]))
    expected, *_ = naive_sentences(model, SENTENCES, terms[:1], prior)
    assert sentences_for(model, CORPUS, terms[:1], prior, 5)[0] == expected[:5]


def test_reserves_make_up_for_a_bad_estimate(monkeypatch, model, terms, prior):
    """The best sentence, estimated to be only the seventh, is still found to be the best."""

    def estimate(model, part, prior, _):
        ratios = log_likelihoods(model, part, terms[:1])[:, 0] - log_prior(model, part, prior)
        places = ratios.argsort(descending=True)
        wrong = ratios.index_put((places[:1],), ratios[places[6]] - 1e-6)
        return log_likelihoods(model, part, terms[:1])[:, 0] - wrong

    monkeypatch.setattr(ranking, "estimated_log_prior", estimate)
    expected, *_ = naive_sentences(model, SENTENCES, terms[:1], prior)
    assert sentences_for(model, CORPUS, terms[:1], prior, 1)[0] == expected[:1]


def test_too_few_candidates_are_still_ranked_exactly(monkeypatch, model, terms, prior):
    """What is returned is exact and in order even where the first stages chose badly."""
    monkeypatch.setattr(ranking, "SENTENCE_CANDIDATES", 1)
    monkeypatch.setattr(ranking, "_RESERVES", 0)
    _, scores, log_p = naive_sentences(model, SENTENCES, terms[:1], prior)
    positions, found, _ = sentences_for(model, CORPUS, terms[:1], prior, 4)
    assert found == pytest.approx([scores[i] for i in positions])
    ratios = [scores[i] - log_p[i] for i in positions]
    assert ratios == sorted(ratios, reverse=True)
    assert len(set(positions)) == 4


@pytest.mark.parametrize("k", [None, 1, 4, 8])
@pytest.mark.parametrize("sentence", [[5, 6], [], [UNKNOWN, UNKNOWN]])
@pytest.mark.parametrize("copies", [9, 300])
def test_equal_sentences_keep_their_order(terms, prior, sentence, copies, k):
    model = wild_model()
    corpus = Corpus([sentence] * copies)
    positions, *_ = sentences_for(model, corpus, terms[:1], prior, k)
    assert positions == list(range(copies))[:k]


@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("sentences", [[], [[]], [[UNKNOWN] * 9], [[5, 6] * 100]])
def test_hardly_any_sentences(model, terms, prior, sentences, k):
    positions, scores, log_p = sentences_for(model, Corpus(sentences), terms[:1], prior, k)
    assert positions == list(range(len(sentences)))
    assert np.isfinite([*scores, *log_p]).all()


@pytest.mark.usefixtures("no_int8")
@pytest.mark.parametrize("exact", [True, False])
def test_without_a_feature_every_image_is_the_same(exact):
    model = wild_model(0)
    found, _ = ranked(model, some_terms(model, 4), some_terms(model, 5), exact)
    assert found.likelihoods.std(1).max() < 1e-9
    torch.testing.assert_close(
        found.sentences, torch.zeros_like(found.sentences), rtol=0, atol=1e-9
    )
