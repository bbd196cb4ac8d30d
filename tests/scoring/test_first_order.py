"""The first-order score against autograd, its anchors, and the estimate of log P(s)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_likelihoods import some_terms
from test_scoring import CORPUS, SENTENCES, wild_model

from conftest import tiny_model
from mrnn.devices import has_int8
from mrnn.model import normaliser
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
def no_int8(monkeypatch):
    monkeypatch.setattr(normaliser, "has_int8", lambda device: False)


def mild_model():
    """A model whose images change log P by a few nats, as those of trained models do."""
    model = tiny_model().double()
    model.wo.mul_(2)
    model.vi.mul_(0.05)
    return model


def by_autograd(model, sentence, centre):
    """Log P and its gradient with respect to the image's term, from steps of the model."""
    z = centre.clone().requires_grad_(True)
    state, total = model.initial_state(1), 0.0
    for word, following in zip((START, *sentence), (*sentence, END), strict=True):
        logp, state = model.step(torch.tensor([word]), state, z[None])
        total = total + logp[0, following]
    [gradient] = torch.autograd.grad(total, z)
    return total.detach(), gradient


@pytest.mark.parametrize("chunk", [1, 7, 1024])
@pytest.mark.parametrize("feature", [6, 0])
def test_values_and_gradients_equal_autograd(monkeypatch, chunk, feature):
    monkeypatch.setattr(first_order, "_PREFIXES", chunk)
    model = wild_model(feature)
    centres = some_terms(model, 2)
    found = linearise(model, CORPUS, centres)
    for anchor, centre in enumerate(centres):
        for i, sentence in enumerate(SENTENCES):
            value, gradient = by_autograd(model, sentence, centre.clone())
            torch.testing.assert_close(found.values[anchor, i], value, rtol=0, atol=1e-9)
            torch.testing.assert_close(found.gradients[anchor, i], gradient, rtol=0, atol=1e-9)


def test_scores_are_exact_at_the_anchors():
    model = wild_model()
    centres = some_terms(model, 4)
    exact = log_likelihoods(model, CORPUS, centres)
    torch.testing.assert_close(linearise(model, CORPUS, centres).values.T, exact)
    torch.testing.assert_close(first_order_likelihoods(model, CORPUS, centres, centres), exact)


def test_scores_are_a_step_from_the_nearest_centre():
    draw = torch.Generator().manual_seed(1)
    linearised = Linearised(
        torch.randn(3, 7, generator=draw).double(),
        torch.randn(3, 5, generator=draw).double(),
        torch.randn(3, 5, 7, generator=draw).double(),
    )
    terms = 2 * torch.randn(20, 7, generator=draw).double()
    found, cells = linearised.scores(terms), set()
    for i, term in enumerate(terms):
        cell = min(range(3), key=lambda a: (term - linearised.centres[a]).norm().item())
        cells.add(cell)
        assert nearest(terms, linearised.centres)[i] == cell
        step = term - linearised.centres[cell]
        for s in range(5):
            expected = linearised.values[cell, s] + linearised.gradients[cell, s] @ step
            assert found[s, i].item() == pytest.approx(expected.item())
    assert len(cells) == 3
    assert linearised.scores(terms[:0]).shape == (5, 0)


@pytest.mark.parametrize(("memory", "groups"), [(1, {7}), (12_000, {2, 3, 4, 5}), (2e9, {1})])
def test_groups_of_sentences_change_nothing(memory, groups):
    model = wild_model()
    centres, terms = some_terms(model, 3), some_terms(model, 9, seed=2)
    found = first_order_likelihoods(model, CORPUS, terms, centres, memory)
    torch.testing.assert_close(found, linearise(model, CORPUS, centres).scores(terms))
    whole = linearise(model, CORPUS, centres)
    seen = []
    for group, part, linearised in linearised_groups(model, CORPUS, centres, 9, memory):
        assert part.sentences(np.arange(len(part))) == CORPUS.sentences(group)
        torch.testing.assert_close(linearised.values, whole.values[:, group])
        torch.testing.assert_close(linearised.gradients, whole.gradients[:, group])
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
    spread = (exact - exact.mean(1, keepdim=True)).square().mean()
    errors = [
        (first_order_likelihoods(model, MANY, terms, anchors(prior, count)) - exact).square().mean()
        for count in (1, 4, 16)
    ]
    assert spread > errors[0] > 2 * errors[1] > 4 * errors[2]


def test_anchors_are_the_means_of_their_cells():
    terms = some_terms(wild_model(), 60)
    centres = anchors(terms)
    cells = nearest(terms, centres)
    for cell, centre in enumerate(centres):
        torch.testing.assert_close(terms[cells == cell].mean(0), centre)
    assert len(centres) == 4
    torch.testing.assert_close(anchors(terms, 1), terms.mean(0, keepdim=True))


@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 9), st.sampled_from([0.0, 1.0, 1e-6]))
@settings(deadline=None, max_examples=60)
def test_anchors_are_always_numbers(images, count, seed, spread):
    draw = torch.Generator().manual_seed(seed)
    terms = 3 + spread * torch.randn(images, 5, generator=draw)
    centres = anchors(terms, count, seed)
    assert centres.shape == (min(count, images), 5)
    assert centres.isfinite().all()
    assert (centres >= terms.amin(0) - 1e-5).all()
    assert (centres <= terms.amax(0) + 1e-5).all()


def test_some_identical_images():
    """More anchors than different images leave cells empty."""
    terms = torch.tensor([[0.0, 0], [0, 0], [0, 0], [4, 4]])
    centres = anchors(terms, 4)
    assert centres.unique(dim=0).equal(torch.tensor([[0.0, 0], [4, 4]]))


def test_seeds_decide_and_torchs_own_generator_is_left_alone():
    model = wild_model()
    terms = some_terms(model, 90)
    scores = log_likelihoods(model, CORPUS, terms)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = anchors(terms), estimated_log_prior(model, CORPUS, terms, scores, scored=10)
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(8)
    again = anchors(terms), estimated_log_prior(model, CORPUS, terms, scores, scored=10)
    assert first[0].equal(again[0])
    assert first[1].equal(again[1])
    assert not anchors(terms, seed=2).equal(first[0])


def test_first_order_log_prior_is_a_mean_of_probabilities():
    scores = torch.tensor([[-1.0, -2.0], [-900.0, -901.0]]).double()
    mean = math.log((math.exp(-1) + math.exp(-2)) / 2)
    assert first_order_log_prior(scores).tolist() == pytest.approx([mean, mean - 899])


@pytest.mark.usefixtures("no_int8")
@pytest.mark.parametrize("scored", [5, 6, 64])
@pytest.mark.parametrize("feature", [6, 0])
def test_with_every_image_scored_the_estimate_is_exact(scored, feature):
    model = wild_model(feature)
    prior = some_terms(model, 5)
    scores = first_order_likelihoods(model, CORPUS, prior, anchors(prior))
    found = estimated_log_prior(model, CORPUS, prior, scores, scored=scored)
    torch.testing.assert_close(found, log_prior(model, CORPUS, prior), rtol=0, atol=1e-9)


@pytest.mark.usefixtures("no_int8")
def test_the_estimate_is_closer_than_the_first_order():
    model = mild_model()
    prior = some_terms(model, 400)
    scores = first_order_likelihoods(model, MANY, prior, anchors(prior))
    exact = log_prior(model, MANY, prior)
    ours = (estimated_log_prior(model, MANY, prior, scores) - exact).abs()
    rough = (first_order_log_prior(scores) - exact).abs()
    assert ours.max() < 0.1
    assert ours.mean() < 0.1 * rough.mean()


@pytest.mark.usefixtures("no_int8")
def test_of_what_is_not_scored_the_estimate_follows_the_line_through_what_is():
    """Scores that are a line of the exact ones give the exact log P(s), however few are scored."""
    model = wild_model()
    prior = some_terms(model, 40)
    exact = log_likelihoods(model, CORPUS, prior)
    found = estimated_log_prior(model, CORPUS, prior, 3 * exact + 5, scored=6)
    torch.testing.assert_close(found, log_prior(model, CORPUS, prior), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("no_int8")
def test_the_estimate_allows_for_the_scatter_about_the_line():
    """Where the scores say nothing, P(s) is taken for the mean of a log-normal variable."""
    model = mild_model()
    prior = some_terms(model, 300)
    exact = log_likelihoods(model, MANY, prior)
    found = estimated_log_prior(model, MANY, prior, torch.zeros_like(exact), scored=150)
    error, variance = found - log_prior(model, MANY, prior), exact.var(1)
    assert variance.max() > 1
    assert error.abs().mean() < 0.15 * variance.mean()  # without, it is half the variance too low
    assert (error / variance).mean().abs() < 0.15


@pytest.mark.parametrize("int8", [True, False])
def test_what_is_not_scored_is_never_taken_for_better_than_the_best(monkeypatch, int8):
    """Of long or constant sentences a line runs far off: the estimate stays within reason."""
    if not int8:
        monkeypatch.setattr(normaliser, "has_int8", lambda device: False)
    model = wild_model().float()
    odd = Corpus([[UNKNOWN] * 200, [5, 6] * 100, [UNKNOWN] * 40, [], [7]])
    prior = some_terms(model, 300)
    scores = first_order_likelihoods(model, odd, prior, anchors(prior))
    found = estimated_log_prior(model, odd, prior, scores)
    exact = log_likelihoods(model, odd, prior)
    slack = 0.05 + 2e-3 * exact.abs().amax(1)  # 8-bit products, perhaps
    assert (found <= exact.amax(1) + slack).all()
    chosen = scores.topk(32, dim=1).indices  # these at least are scored exactly
    least = exact.gather(1, chosen).logsumexp(1) - math.log(300)
    assert (found >= least - slack).all()


@pytest.mark.usefixtures("no_int8")
@pytest.mark.parametrize("spread", [1e-6, 1e-3, 1.0])
def test_wrong_scores_cannot_make_the_estimate_run_away(spread):
    """Three images seem far better than the rest, and are not: the line through them is steep."""
    model = wild_model()
    prior = some_terms(model, 200)
    draw = torch.Generator().manual_seed(3)
    scores = spread * torch.randn(7, 200, generator=draw).double()
    scores[:, :3] += 50
    exact = log_likelihoods(model, CORPUS, prior)
    found = estimated_log_prior(model, CORPUS, prior, scores, scored=4)
    chosen = first_order._best_and_some(scores, 4, 1)
    known = exact.gather(1, chosen)
    usual = known[:, :2].amin(1) + math.log(196)  # the median of two is the lower one here
    most = torch.logaddexp(known.logsumexp(1), usual) - math.log(200)
    assert (found <= most + 1e-9).all()
    assert found.isfinite().all()


@pytest.mark.usefixtures("no_int8")
def test_a_single_training_image():
    """Nothing is a half of one: there is no best half to hold the others to."""
    model = wild_model()
    prior = some_terms(model, 1)
    scores = first_order_likelihoods(model, CORPUS, prior, anchors(prior))
    found = estimated_log_prior(model, CORPUS, prior, scores)
    torch.testing.assert_close(found, scores[:, 0])


@pytest.mark.parametrize("scored", [1, 2, 3, 64])
def test_constant_scores_give_numbers(scored):
    model = wild_model(0)
    prior = some_terms(model, 30)
    scores = first_order_likelihoods(model, CORPUS, prior, anchors(prior))
    found = estimated_log_prior(model, CORPUS, prior, scores, scored=scored)
    expected = log_likelihoods(model, CORPUS, prior)[:, 0]
    torch.testing.assert_close(found, expected, atol=0.05, rtol=2e-3)  # 8-bit products, perhaps


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
        best = row.argsort(descending=True)[:4].tolist()
        assert {(sentence, image) for image in best} <= pairs


@pytest.mark.skipif(not has_int8(torch.device("cpu")), reason="no 8-bit products here")
def test_8_bit_estimates_are_close():
    model = mild_model().float()
    prior = some_terms(model, 100)
    scores = first_order_likelihoods(model, MANY, prior, anchors(prior))
    found = estimated_log_prior(model, MANY, prior, scores)
    torch.testing.assert_close(found, log_prior(model, MANY, prior), rtol=0, atol=0.1)


def test_no_sentences_have_no_log_prior():
    model = wild_model()
    prior = some_terms(model, 4)
    assert estimated_log_prior(model, Corpus([]), prior, torch.zeros(0, 4)).shape == (0,)
