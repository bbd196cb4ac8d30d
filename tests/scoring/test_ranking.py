"""Rankings against plain sorting of exact scores."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import mild_model, some_terms, wild_model
from mrnn.errors import UsageError
from mrnn.evaluation.ranks import image_ranks, sentence_ranks
from mrnn.model.normaliser import float_normaliser
from mrnn.scoring import first_order, likelihoods, ranking
from mrnn.scoring.first_order import (
    anchors,
    estimated_log_prior,
    first_order_likelihoods,
    first_order_log_prior,
)
from mrnn.scoring.likelihoods import log_likelihoods, log_prior
from mrnn.scoring.ranking import (
    best_mask,
    candidates_first,
    rank_all,
    require_memory,
    rescored,
    sentences_for,
)
from mrnn.words.packing import Corpus
from mrnn.words.text import UNKNOWN

DRAW = np.random.default_rng(0)
DRAWN = [tuple(DRAW.integers(3, 12, n).tolist()) for n in DRAW.integers(0, 8, 80)]
SENTENCES = list(dict.fromkeys(DRAWN))[:60]  # all different: of equals, either may be first
CORPUS = Corpus(SENTENCES)
IMAGES = 55


def without_integers(monkeypatch):
    """All of it in fp32, as for a model of which no bound is known."""
    monkeypatch.setattr(first_order, "fast_normaliser", float_normaliser)
    monkeypatch.setattr(ranking, "fast_normaliser", float_normaliser)
    monkeypatch.setattr(ranking, "is_bounded", lambda model: False)


@pytest.fixture
def in_floats(monkeypatch):
    without_integers(monkeypatch)


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
    """Notes the names and units of stages and what they said of their progress."""

    def __init__(self):
        self.names, self.units, self.seen = [], {}, {}

    @contextmanager
    def __call__(self, name, unit):
        self.names.append(name)
        self.units[name], self.seen[name] = unit, []
        yield lambda done, total: self.seen[name].append((done, total))


def ranked(model, terms, prior, exact, corpus=CORPUS, memory=2e9):
    stages = Stages()
    found = rank_all(model, corpus, terms, prior, exact, memory, stages)
    for seen in stages.seen.values():
        assert seen == sorted(seen)
        assert seen[-1][0] == seen[-1][1] == seen[0][1]
    return found, stages.names


def order(scores):
    return np.argsort(-np.asarray(scores), axis=1, kind="stable")


def check_close(ours, theirs):
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=5e-5)


def check_same_order(found, expected, count=None):
    """The same items first in each row (Q, N), but for what is equal save for rounding."""
    taken = np.take_along_axis(expected, order(found), 1)
    np.testing.assert_allclose(taken[:, :count], -np.sort(-expected, 1)[:, :count], atol=1e-4)


def noisy(model):
    """A normaliser that is wrong by some hundredths, as products of integers are."""
    precise = float_normaliser(model)
    return lambda m: precise(m) + np.float32(0.02) * np.sin(100 * m[:, 0])


def check_order(row, coarse, exact, count):
    """The `count` best by coarse scores, ordered by exact ones; then the others by coarse ones.

    What is equal but for rounding may change places.
    """
    best = set(sorted(range(len(coarse)), key=lambda i: -coarse[i])[:count])
    value = [exact[i] if i in best else coarse[i] for i in range(len(coarse))]
    expected = sorted(range(len(coarse)), key=lambda i: (i not in best, -value[i]))
    assert sorted(row) == sorted(expected)
    assert [i in best for i in row] == [i in best for i in expected]
    assert [value[i] for i in row] == pytest.approx([value[i] for i in expected], abs=1e-4)


@pytest.mark.usefixtures("in_floats")
def test_exact_rankings_are_those_of_exact_scores(model, terms, prior):
    found, names = ranked(model, terms, prior, exact=True)
    scores = log_likelihoods(model, CORPUS, terms)
    ratios = scores - log_prior(model, CORPUS, prior)[:, None]
    check_close(found.likelihoods, scores)
    check_same_order(found.images, scores)
    check_same_order(found.sentences.T, ratios.T)
    rough = first_order_likelihoods(model, CORPUS, terms, anchors(prior))
    check_close(found.first_images, rough)
    assert names == ["first order, P(s)", "scoring"]


@pytest.mark.usefixtures("in_floats")
def test_first_order_rankings_are_by_first_order_scores_alone(model, terms, prior):
    for exact in (True, False):
        found, _ = ranked(model, terms, prior, exact)
        centres = anchors(prior)
        scores = first_order_likelihoods(model, CORPUS, terms, centres)
        of_prior = first_order_likelihoods(model, CORPUS, prior, centres)
        rough = first_order_log_prior(of_prior)
        check_close(found.first_images, scores)
        check_close(found.first_sentences, scores - rough[:, None])
        assert (found.likelihoods is None) == (not exact)


@pytest.mark.usefixtures("in_floats")
@pytest.mark.parametrize("again", [1, 20, 50])
def test_after_coarse_scoring_the_best_are_scored_again(monkeypatch, model, terms, prior, again):
    """With a noisy normaliser for products of integers."""
    monkeypatch.setattr(ranking, "is_bounded", lambda model: True)
    monkeypatch.setattr(ranking, "fast_normaliser", noisy)
    monkeypatch.setattr(ranking, "RESCORED", again)
    found, names = ranked(model, terms, prior, exact=True)
    assert names == ["first order, P(s)", "scoring", "candidates"]
    exact = log_likelihoods(model, CORPUS, terms)
    coarse = log_likelihoods(model, CORPUS, terms, normaliser=noisy(model))
    assert np.abs(exact - coarse).max() > 0.01
    check_close(found.likelihoods, coarse)  # as the first pass has it
    log_p = log_prior(model, CORPUS, prior)
    check_two_stages(found, coarse, coarse - log_p[:, None], exact, log_p, (again, again))


@pytest.mark.usefixtures("in_floats")
@pytest.mark.parametrize("counts", [(1, 2), (10, 30), (50, 20), (60, 90)])
def test_two_stages_put_candidates_first(monkeypatch, model, terms, prior, counts):
    monkeypatch.setattr(ranking, "IMAGE_CANDIDATES", counts[0])
    monkeypatch.setattr(ranking, "SENTENCE_CANDIDATES", counts[1])
    found, names = ranked(model, terms, prior, exact=False)
    assert names == ["first order, P(s)", "candidates"]
    assert found.likelihoods is None
    exact = log_likelihoods(model, CORPUS, terms)
    log_p = log_prior(model, CORPUS, prior)
    check_two_stages(found, found.first_images, found.first_sentences, exact, log_p, counts)


def check_two_stages(found, coarse, coarse_ratios, exact, log_p, counts):
    """`counts` are of the images of a sentence, and of the sentences of an image."""
    ratios = exact - log_p[:, None]
    for s, row in enumerate(order(found.images)):
        check_order(row.tolist(), coarse[s].tolist(), exact[s].tolist(), counts[0])
    for i, row in enumerate(order(found.sentences.T)):
        check_order(row.tolist(), coarse_ratios[:, i].tolist(), ratios[:, i].tolist(), counts[1])


@pytest.mark.usefixtures("in_floats")
@pytest.mark.parametrize("exact", [True, False])
def test_groups_of_sentences_change_nothing(model, terms, prior, exact):
    """As little memory as is allowed, which cuts every stage into groups."""
    few = 12 * 4 * len(CORPUS) * IMAGES
    (cut, _), (whole, _) = (ranked(model, terms, prior, exact, memory=m) for m in (few, 2e9))
    for name in ("images", "sentences", "first_images", "first_sentences"):
        check_close(getattr(cut, name), getattr(whole, name))
    stages = Stages()
    rank_all(model, CORPUS, terms, prior, exact, few, stages)
    assert len(stages.seen["first order, P(s)"]) > 2
    units = {
        "first order, P(s)": "sentences", "scoring": "words", "candidates": "pairs"
    }  # fmt: skip
    assert stages.units.items() <= units.items()


def test_too_little_memory_is_refused_before_any_work(model, terms, prior):
    needed = 12 * 4 * len(CORPUS) * IMAGES
    for exact in (True, False):
        with pytest.raises(UsageError, match=r"ranking \d\d sentences and 55 images .* --memory"):
            rank_all(model, CORPUS, terms, prior, exact, needed - 1, None)  # no stage is entered
    require_memory(len(CORPUS), IMAGES, needed)
    with pytest.raises(UsageError, match=r"40,000 sentences and 8,000 images takes 15\.4 GB"):
        require_memory(40_000, 8000, 2e9)


@pytest.mark.usefixtures("in_floats")
def test_log_prior_of_exact_rankings_is_exact_while_all_training_images_are_scored(model, terms):
    """More of them than two stages score, whose estimate is another number."""
    prior = some_terms(model, 120, seed=3)
    found, _ = ranked(model, terms, prior, exact=True)
    log_p = log_prior(model, CORPUS, prior)
    ratios = log_likelihoods(model, CORPUS, terms) - log_p[:, None]
    check_close(found.sentences, ratios)
    check_same_order(found.sentences.T, ratios.T)
    scores = first_order_likelihoods(model, CORPUS, prior, anchors(prior))
    assert np.abs(estimated_log_prior(model, CORPUS, prior, scores) - log_p).max() > 1e-3
    assert np.abs(first_order_log_prior(scores) - log_p).max() > 1e-3


@pytest.mark.usefixtures("in_floats")
@pytest.mark.parametrize(("exact", "scored"), [(True, 128), (False, 64)])
def test_log_prior_is_estimated_from_more_images_when_all_pairs_are_scored(
    monkeypatch, model, terms, exact, scored
):
    asked = []
    whole = ranking.estimated_log_prior
    monkeypatch.setattr(
        ranking, "estimated_log_prior", lambda *given: asked.append(given[5]) or whole(*given)
    )
    prior = some_terms(model, 300, seed=3)
    found, _ = ranked(model, terms, prior, exact)
    assert asked == [scored]
    log_p = whole(
        model,
        CORPUS,
        prior,
        first_order_likelihoods(model, CORPUS, prior, anchors(prior)),
        scored=scored,
    )
    if exact:
        check_close(found.sentences, log_likelihoods(model, CORPUS, terms) - log_p[:, None])
    assert np.abs(log_p - log_prior(model, CORPUS, prior)).max() < 0.05


def test_integer_products_give_the_same_first_places(monkeypatch):
    model = mild_model()
    terms, prior = some_terms(model, IMAGES, seed=2), some_terms(model, 100, seed=3)
    coarse, names = ranked(model, terms, prior, exact=True)
    assert names[-1] == "candidates"
    without_integers(monkeypatch)
    fine, _ = ranked(model, terms, prior, exact=True)
    check_same_order(coarse.images, fine.images, 10)
    # Log P(s) is of integer products too: its error may swap sentences that are nearly equal.
    found, right = order(coarse.sentences.T)[:, :30], fine.sentences.T
    np.testing.assert_allclose(
        np.take_along_axis(right, found, 1), -np.sort(-right, 1)[:, :30], atol=0.05
    )
    for ours, theirs in ((coarse.images, fine.images), (coarse.sentences.T, right)):
        assert np.array_equal(order(ours)[:, 0], order(theirs)[:, 0])
        for row, scores in zip(order(ours)[:, :50], theirs, strict=True):
            assert (np.diff(scores[row]) <= 0.05).all()  # in order, but for nearly equal ones


MODES = [("exact", False), ("exact", True), ("two-stage", False), ("two-stage", True)]


@pytest.mark.parametrize(("how", "integers"), MODES)
@pytest.mark.parametrize("images", [70, 203])
def test_a_blind_model_puts_every_image_last(monkeypatch, how, integers, images):
    """More images than are scored together and than there are candidates: all must tie."""
    if not integers:
        without_integers(monkeypatch)
    model = mild_model()
    terms = some_terms(model, 1).repeat(images, 0)
    own = np.arange(len(CORPUS)) % images
    found, _ = ranked(model, terms, some_terms(model, 100, seed=3), how == "exact")
    for scores in (found.images, found.first_images, found.likelihoods):
        if scores is not None:
            assert image_ranks(scores, own).tolist() == [images] * len(CORPUS)
    assert (found.sentences == found.sentences[:, :1]).all()


@pytest.mark.parametrize(("how", "integers"), MODES)
@pytest.mark.parametrize("apart", [1, 30, 63, 64, 100])
def test_equal_pictures_tie_exactly(monkeypatch, how, integers, apart):
    """Wherever they stand, though one is scored in another group than the other."""
    monkeypatch.setattr(likelihoods, "_IMAGES", 64)
    if not integers:
        without_integers(monkeypatch)
    model = mild_model()
    prior = some_terms(model, 20, seed=3)
    alone = some_terms(model, 101, seed=2)
    terms = np.concatenate([alone, alone[[100 - apart]]])
    found, _ = ranked(model, terms, prior, how == "exact")
    right, _ = ranked(model, alone, prior, how == "exact")
    for name in ("images", "sentences", "first_images", "first_sentences", "likelihoods"):
        scores = getattr(found, name)
        if scores is not None:
            assert np.array_equal(scores[:, 101], scores[:, 100 - apart])
            np.testing.assert_allclose(scores[:, :101], getattr(right, name), atol=1e-4)
    own = np.full(len(CORPUS), 100 - apart)
    # A twin costs each sentence of the picture one place, and its own sentences none.
    alone_ranks = image_ranks(right.images, own)
    assert (image_ranks(found.images, own) == alone_ranks + 1).all()
    assert sentence_ranks(found.sentences, own).tolist() == [1]


@pytest.mark.parametrize(("how", "integers"), MODES)
def test_equal_sentences_tie_exactly(monkeypatch, terms, prior, how, integers):
    """Wherever they stand, and in as little memory as is allowed."""
    if not integers:
        without_integers(monkeypatch)
    model, copies = wild_model(), 9
    sentences = [*SENTENCES[:20], *SENTENCES * 2, *[[UNKNOWN, UNKNOWN]] * copies, *SENTENCES[30:]]
    memory = 12 * 4 * len(sentences) * IMAGES
    found, _ = ranked(model, terms, prior, how == "exact", Corpus(sentences), memory)
    words = [tuple(sentence) for sentence in sentences]
    first = [words.index(sentence) for sentence in words]
    for name in ("images", "sentences", "first_images", "first_sentences", "likelihoods"):
        scores = getattr(found, name)
        if scores is not None:
            assert np.array_equal(scores, scores[first])


@pytest.mark.usefixtures("in_floats")
def test_chosen_pairs_are_scored_exactly(model, terms):
    draw = np.random.default_rng(1)
    coarse = draw.standard_normal((len(CORPUS), IMAGES), dtype=np.float32)
    kept, seen = coarse.copy(), []
    chosen = draw.random(coarse.shape) < 0.1
    found = rescored(
        model, CORPUS, terms, coarse, chosen, 1e5, lambda done, total: seen.append((done, total))
    )
    check_close(found, np.where(chosen, log_likelihoods(model, CORPUS, terms), coarse))
    assert np.array_equal(coarse, kept)
    assert seen[-1] == (int(chosen.sum()),) * 2


@pytest.mark.parametrize("count", [1, 3, 7, 100])
def test_the_best_of_each_row_are_marked(count):
    scores = np.random.default_rng(1).standard_normal((5, 7))
    for row, marked in zip(scores.tolist(), best_mask(scores, count).tolist(), strict=True):
        best = sorted(range(7), key=lambda i: -row[i])[:count]
        assert [i for i, mark in enumerate(marked) if mark] == sorted(best)


def test_all_that_tie_with_the_last_of_the_best_are_marked():
    scores = np.array([[3.0, 1.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert best_mask(scores, 1).tolist() == [[True, False, False, False, False], [True] * 5]
    assert best_mask(scores, 2).tolist() == [[True, False, True, True, True], [True] * 5]
    assert best_mask(scores, 4).tolist() == best_mask(scores, 2).tolist()
    assert best_mask(scores, 5).all()


SCORES = st.integers(-3, 3).map(float)  # so that there are ties


@given(st.lists(st.tuples(SCORES, SCORES, st.booleans()), min_size=1, max_size=8))
@settings(deadline=None, max_examples=200)
def test_candidates_come_first(items):
    coarse, exact, chosen = (np.array([part]) for part in zip(*items, strict=True))
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
    def random_ratios(scores):
        return np.random.default_rng(1).standard_normal(len(scores))

    monkeypatch.setattr(ranking, "first_order_log_prior", random_ratios)
    monkeypatch.setattr(ranking, "estimated_log_prior", lambda *given: log_prior(*given[:3]))
    expected, *_ = naive_sentences(model, SENTENCES, terms[:1], prior)
    assert sentences_for(model, CORPUS, terms[:1], prior, 5)[0] == expected[:5]


def test_reserves_make_up_for_a_bad_estimate(monkeypatch, model, terms, prior):
    """The best sentence, estimated to be only the seventh, is still found to be the best."""

    def estimate(model, part, prior, _):
        ratios = log_likelihoods(model, part, terms[:1])[:, 0] - log_prior(model, part, prior)
        places = np.argsort(-ratios)
        ratios[places[0]] = ratios[places[6]] - 1e-4
        return log_likelihoods(model, part, terms[:1])[:, 0] - ratios

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


@pytest.mark.parametrize("k", [1, 7, 30, None])
def test_equal_sentences_among_others_keep_their_order(model, terms, prior, k):
    """More of them than there are candidates, and than are asked for."""
    sentences = [sentence for sentence in SENTENCES[:20] for _ in range(20)]
    order = np.random.default_rng(0).permutation(len(sentences))
    sentences = [sentences[i] for i in order]
    positions, scores, log_p = sentences_for(model, Corpus(sentences), terms[:1], prior, k)
    ratios = [a - b for a, b in zip(scores, log_p, strict=True)]
    assert ratios == sorted(ratios, reverse=True)
    assert len(positions) == (k or len(sentences))
    for sentence in SENTENCES[:20]:
        found = [i for i in positions if sentences[i] == sentence]
        assert found == [i for i, s in enumerate(sentences) if s == sentence][: len(found)]
    best = [sentences[i] for i in positions]
    assert len(set(best)) == -(-len(best) // 20)  # each as often as it can be


@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("sentences", [[], [[]], [[UNKNOWN] * 9], [[5, 6] * 100]])
def test_hardly_any_sentences(model, terms, prior, sentences, k):
    positions, scores, log_p = sentences_for(model, Corpus(sentences), terms[:1], prior, k)
    assert positions == list(range(len(sentences)))
    assert np.isfinite([*scores, *log_p]).all()


@pytest.mark.usefixtures("in_floats")
@pytest.mark.parametrize("exact", [True, False])
def test_without_a_feature_every_image_is_the_same(exact):
    model = wild_model(0)
    found, _ = ranked(model, some_terms(model, 4), some_terms(model, 5), exact)
    assert (found.images == found.images[:, :1]).all()
    np.testing.assert_allclose(found.sentences, 0, atol=1e-4)
