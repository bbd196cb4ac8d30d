"""The first-order score against differences, its anchors, and the estimate of log P(s)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import CORPUS, SENTENCES, mild_model, precise, some_terms, wild_model
from mrnn.model.arrays import logsumexp
from mrnn.model.normaliser import float_normaliser, integer_normaliser
from mrnn.scoring import first_order
from mrnn.scoring.first_order import (
    Linearised,
    anchors,
    estimated_log_prior,
    first_order_likelihoods,
    first_order_log_prior,
    linearise,
    linearised_groups,
    nearest,
)
from mrnn.scoring.likelihoods import log_likelihoods, log_prior
from mrnn.words.packing import Corpus
from mrnn.words.text import END, START, UNKNOWN

MANY = Corpus([[4 + (i * j) % 8 for j in range(1 + i % 9)] for i in range(60)])


@pytest.fixture
def in_floats(monkeypatch):
    """What P(s) is estimated from, in fp32 and not of integers."""
    monkeypatch.setattr(first_order, "fast_normaliser", float_normaliser)


def log_p(model, sentence, z):
    """Log P of a sentence given an image's term (M,), from steps of the model."""
    state, total = model.initial_state(1), 0.0
    for word, following in zip((START, *sentence), (*sentence, END), strict=True):
        logp, state = model.step(np.array([word]), state, z[None])
        total += logp[0, following].item()
    return total


def by_differences(model, sentence, centre):
    """Log P and its gradient with respect to the image's term (M,), in float64."""
    model, z, step = precise(model), centre.astype(np.float64), 1e-5
    steps = step * np.eye(len(z))
    rises = [log_p(model, sentence, z + s) - log_p(model, sentence, z - s) for s in steps]
    return log_p(model, sentence, z), np.array(rises) / (2 * step)


def check_close(found, expected):
    """As close as sums in float32 are; the models are far from uniform."""
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 7, 1024])
@pytest.mark.parametrize("feature", [6, 0])
def test_values_and_gradients_are_those_of_differences(monkeypatch, chunk, feature):
    monkeypatch.setattr(first_order, "_PREFIXES", chunk)
    model = wild_model(feature)
    centres = some_terms(model, 2)
    found = linearise(model, CORPUS, centres)
    for anchor, centre in enumerate(centres):
        for i, sentence in enumerate(SENTENCES):
            value, gradient = by_differences(model, sentence, centre)
            check_close(found.values[anchor, i], value)
            check_close(found.gradients[anchor, i], gradient)


def test_scores_are_exact_at_the_anchors():
    model = wild_model()
    centres = some_terms(model, 4)
    exact = log_likelihoods(model, CORPUS, centres)
    check_close(linearise(model, CORPUS, centres).values.T, exact)
    check_close(first_order_likelihoods(model, CORPUS, centres, centres), exact)


def test_scores_are_a_step_from_the_nearest_centre():
    draw = np.random.default_rng(1)
    linearised = Linearised(
        draw.standard_normal((3, 7), dtype=np.float32),
        draw.standard_normal((3, 5), dtype=np.float32),
        draw.standard_normal((3, 5, 7), dtype=np.float32),
    )
    terms = 2 * draw.standard_normal((20, 7), dtype=np.float32)
    found, cells = linearised.scores(terms), set()
    for i, term in enumerate(terms):
        cell = min(range(3), key=lambda a: np.linalg.norm(term - linearised.centres[a]))
        cells.add(cell)
        assert nearest(terms, linearised.centres)[i] == cell
        step = term - linearised.centres[cell]
        for s in range(5):
            expected = linearised.values[cell, s] + linearised.gradients[cell, s] @ step
            assert found[s, i] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert len(cells) == 3
    assert linearised.scores(terms[:0]).shape == (5, 0)


@pytest.mark.parametrize(("memory", "groups"), [(1, {7}), (12_000, {2, 3, 4, 5}), (2e9, {1})])
def test_groups_of_sentences_change_nothing(memory, groups):
    model = wild_model()
    centres, terms = some_terms(model, 3), some_terms(model, 9, seed=2)
    found = first_order_likelihoods(model, CORPUS, terms, centres, memory)
    check_close(found, linearise(model, CORPUS, centres).scores(terms))
    whole = linearise(model, CORPUS, centres)
    seen = []
    for group, part, linearised in linearised_groups(model, CORPUS, centres, 9, memory):
        assert part.sentences(np.arange(len(part))) == CORPUS.sentences(group)
        check_close(linearised.values, whole.values[:, group])
        check_close(linearised.gradients, whole.gradients[:, group])
        seen.append(group)
    assert sorted(np.concatenate(seen)) == list(range(7))
    assert len(seen) in groups


def test_many_images_make_groups_small():
    """What the scores of a group take counts: (S, I) may be far larger than all the rest."""
    model = wild_model()
    centres = some_terms(model, 2)

    def sizes(images):
        groups = linearised_groups(model, MANY, centres, images, 2e6)
        return [len(group) for group, *_ in groups]

    assert sizes(10) == [60]
    assert max(sizes(10_000)) <= 2e6 / 2 / (4 * 4 * 10_000)


def test_no_sentences_and_no_images():
    model = wild_model()
    centres = some_terms(model, 2)
    assert first_order_likelihoods(model, Corpus([]), centres, centres).shape == (0, 2)
    assert first_order_likelihoods(model, CORPUS, centres[:0], centres).shape == (7, 0)


def test_first_order_scores_stay_close_to_exact_ones_and_more_anchors_help():
    model = mild_model()
    prior, terms = some_terms(model, 100), some_terms(model, 40, seed=2)
    exact = log_likelihoods(model, MANY, terms)
    spread = exact.var(1).mean()
    errors = [
        np.square(first_order_likelihoods(model, MANY, terms, anchors(prior, n)) - exact).mean()
        for n in (1, 4, 16)
    ]
    assert spread > errors[0] > 2 * errors[1] > 4 * errors[2]


def test_anchors_are_the_means_of_their_cells():
    terms = some_terms(wild_model(), 60)
    centres = anchors(terms)
    cells = nearest(terms, centres)
    for cell, centre in enumerate(centres):
        np.testing.assert_allclose(terms[cells == cell].mean(0), centre, rtol=1e-5, atol=1e-5)
    assert len(centres) == 4
    np.testing.assert_allclose(anchors(terms, 1), terms.mean(0)[None], rtol=1e-5, atol=1e-5)


@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 9), st.sampled_from([0.0, 1.0, 1e-6]))
@settings(deadline=None, max_examples=60)
def test_anchors_are_always_numbers(images, count, seed, spread):
    draw = np.random.default_rng(seed)
    terms = np.float32(3) + np.float32(spread) * draw.standard_normal((images, 5), dtype=np.float32)
    centres = anchors(terms, count, seed)
    assert centres.shape == (min(count, images), 5)
    assert np.isfinite(centres).all()
    assert (centres >= terms.min(0) - 1e-5).all()
    assert (centres <= terms.max(0) + 1e-5).all()


def test_some_identical_images():
    """More anchors than different images leave cells empty."""
    terms = np.array([[0, 0], [0, 0], [0, 0], [4, 4]], dtype=np.float32)
    centres = anchors(terms, 4)
    assert np.unique(centres, axis=0).tolist() == [[0, 0], [4, 4]]


def test_seeds_decide():
    model = wild_model()
    terms = some_terms(model, 90)
    scores = log_likelihoods(model, CORPUS, terms)
    np.random.seed(7)  # the generator that all share does not matter
    first = anchors(terms), estimated_log_prior(model, CORPUS, terms, scores, scored=10)
    np.random.seed(8)
    again = anchors(terms), estimated_log_prior(model, CORPUS, terms, scores, scored=10)
    other = (
        anchors(terms, seed=2),
        estimated_log_prior(model, CORPUS, terms, scores, scored=10, seed=2),
    )
    for ours, same, different in zip(first, again, other, strict=True):
        assert np.array_equal(ours, same)
        assert not np.array_equal(ours, different)


def test_first_order_log_prior_is_a_mean_of_probabilities():
    scores = np.array([[-1.0, -2.0], [-900.0, -901.0]])
    mean = math.log((math.exp(-1) + math.exp(-2)) / 2)
    assert first_order_log_prior(scores).tolist() == pytest.approx([mean, mean - 899])


@pytest.mark.usefixtures("in_floats")
@pytest.mark.parametrize("scored", [5, 6, 64])
@pytest.mark.parametrize("feature", [6, 0])
def test_with_every_image_scored_the_estimate_is_exact(scored, feature):
    model = wild_model(feature)
    prior = some_terms(model, 5)
    scores = first_order_likelihoods(model, CORPUS, prior, anchors(prior))
    found = estimated_log_prior(model, CORPUS, prior, scores, scored=scored)
    check_close(found, log_prior(model, CORPUS, prior))


@pytest.mark.usefixtures("in_floats")
def test_the_estimate_is_closer_than_the_first_order():
    model = mild_model()
    prior = some_terms(model, 400)
    scores = first_order_likelihoods(model, MANY, prior, anchors(prior))
    exact = log_prior(model, MANY, prior)
    ours = np.abs(estimated_log_prior(model, MANY, prior, scores) - exact)
    rough = np.abs(first_order_log_prior(scores) - exact)
    assert ours.max() < 0.1
    assert ours.mean() < 0.2 * rough.mean()


@pytest.mark.usefixtures("in_floats")
def test_of_what_is_not_scored_the_estimate_follows_the_line_through_what_is():
    """Scores that are a line of the exact ones give the exact log P(s), however few are scored."""
    model = wild_model()
    prior = some_terms(model, 40)
    exact = log_likelihoods(model, CORPUS, prior)
    found = estimated_log_prior(model, CORPUS, prior, 3 * exact + 5, scored=6)
    check_close(found, log_prior(model, CORPUS, prior))


def test_the_estimate_allows_for_the_scatter_about_the_line(monkeypatch):
    """What is not scored is taken for the mean of a log-normal variable."""
    draw = np.random.default_rng(1)
    scores = (0.5 * draw.standard_normal((len(MANY), 4000)) - 20).astype(np.float32)
    exact = scores + draw.standard_normal(scores.shape, dtype=np.float32)
    monkeypatch.setattr(first_order, "pair_likelihoods", lambda *given: exact[given[3], given[4]])
    found = estimated_log_prior(mild_model(), MANY, np.zeros((4000, 7), np.float32), scores)
    errors = found - (logsumexp(exact) - math.log(4000))
    assert np.abs(errors).mean() < 0.2
    assert abs(errors.mean()) < 0.1  # without, half the variance: 0.5


@pytest.mark.parametrize("normaliser", [float_normaliser, integer_normaliser])
def test_what_is_not_scored_is_never_taken_for_better_than_the_best(monkeypatch, normaliser):
    """Of long or constant sentences a line runs far off: the estimate stays within reason."""
    monkeypatch.setattr(first_order, "fast_normaliser", normaliser)
    model = wild_model()
    odd = Corpus([[UNKNOWN] * 200, [5, 6] * 100, [UNKNOWN] * 40, [], [7]])
    prior = some_terms(model, 300)
    scores = first_order_likelihoods(model, odd, prior, anchors(prior))
    found = estimated_log_prior(model, odd, prior, scores)
    exact = log_likelihoods(model, odd, prior)
    slack = 0.1 + 4e-3 * np.abs(exact).max(1)  # products of integers, perhaps
    assert (found <= exact.max(1) + slack).all()
    chosen = np.argsort(-scores, axis=1)[:, :32]  # these at least are scored exactly
    least = logsumexp(np.take_along_axis(exact, chosen, 1)) - math.log(300)
    assert (found >= least - slack).all()


@pytest.mark.usefixtures("in_floats")
@pytest.mark.parametrize("spread", [1e-6, 1e-3, 1.0])
def test_wrong_scores_cannot_make_the_estimate_run_away(spread):
    """Three images seem far better than the rest, and are not: the line through them is steep."""
    model = wild_model()
    prior = some_terms(model, 200)
    scores = spread * np.random.default_rng(3).standard_normal((7, 200), dtype=np.float32)
    scores[:, :3] += 50
    exact = log_likelihoods(model, CORPUS, prior)
    found = estimated_log_prior(model, CORPUS, prior, scores, scored=4)
    chosen = first_order._best_and_some(scores, 4, 1)
    known = np.take_along_axis(exact, chosen, 1)
    usual = known[:, :2].min(1) + math.log(196)  # the median of two is the lower one here
    most = np.logaddexp(logsumexp(known), usual) - math.log(200)
    assert (found <= most + 1e-4 + 1e-6 * np.abs(most)).all()
    assert np.isfinite(found).all()


@pytest.mark.usefixtures("in_floats")
def test_a_single_training_image():
    """Nothing is a half of one: there is no best half to hold the others to."""
    model = wild_model()
    prior = some_terms(model, 1)
    scores = first_order_likelihoods(model, CORPUS, prior, anchors(prior))
    found = estimated_log_prior(model, CORPUS, prior, scores)
    check_close(found, scores[:, 0])


@pytest.mark.parametrize("scored", [1, 2, 3, 64])
def test_constant_scores_give_numbers(scored):
    model = wild_model(0)
    prior = some_terms(model, 30)
    scores = first_order_likelihoods(model, CORPUS, prior, anchors(prior))
    found = estimated_log_prior(model, CORPUS, prior, scores, scored=scored)
    expected = log_likelihoods(model, CORPUS, prior)[:, 0]
    np.testing.assert_allclose(found, expected, atol=0.1, rtol=4e-3)  # products of integers


def test_none_is_scored_twice(monkeypatch):
    asked = []
    whole = first_order.pair_likelihoods
    monkeypatch.setattr(
        first_order,
        "pair_likelihoods",
        lambda *given: asked.append((given[3], given[4])) or whole(*given),
    )
    model = wild_model()
    prior = some_terms(model, 20)
    scores = log_likelihoods(model, CORPUS, prior)
    estimated_log_prior(model, CORPUS, prior, scores, scored=9)
    [(sentences, images)] = asked
    pairs = set(zip(sentences.tolist(), images.tolist(), strict=True))
    assert len(pairs) == len(sentences) == 7 * 9
    assert np.bincount(sentences).tolist() == [9] * 7
    for sentence, row in enumerate(scores):  # its best four are among them
        best = np.argsort(-row)[:4].tolist()
        assert {(sentence, image) for image in best} <= pairs


def test_estimates_of_integer_products_are_close():
    model = mild_model()
    prior = some_terms(model, 100)
    scores = first_order_likelihoods(model, MANY, prior, anchors(prior))
    found = estimated_log_prior(model, MANY, prior, scores)
    np.testing.assert_allclose(found, log_prior(model, MANY, prior), rtol=0, atol=0.1)


def test_no_sentences_have_no_log_prior():
    model = wild_model()
    prior = some_terms(model, 4)
    nothing = np.zeros((0, 4), dtype=np.float32)
    assert estimated_log_prior(model, Corpus([]), prior, nothing).shape == (0,)
