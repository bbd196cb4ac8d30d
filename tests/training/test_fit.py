"""Fitting: it learns, stops, repeats itself exactly, and goes on from a saved state."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny_model
from mrnn.config import DropoutShares, TrainConfig
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.word_scores import perplexity
from mrnn.training import fit as fitting
from mrnn.training.fit import Fit, captions_phase, one_cycle, shuffled, text_phase
from mrnn.training.network import Dropout, TrainableMRNN
from mrnn.words.packing import Corpus

NO_DROPOUT = DropoutShares(0, 0, 0)


def told_by_the_picture() -> Pairs:
    """Eight sentences of which each is known from the image alone."""
    corpus = Corpus([[4 + i % 4] * (1 + i % 2) for i in range(8)])
    return Pairs(corpus, np.arange(8), np.eye(8, 6, dtype=np.float32))


def network(seed: int = 0, feature: int = 6) -> TrainableMRNN:
    return TrainableMRNN.of(tiny_model(feature=feature, seed=seed))


def learner(
    config: TrainConfig, seed: int = 0, feature: int = 6, **options
) -> tuple[TrainableMRNN, Fit]:
    model, pairs = network(seed, feature), told_by_the_picture()
    pairs = Pairs(pairs.corpus, pairs.images, pairs.features[:, :feature])
    return model, Fit(model, captions_phase(model, pairs, pairs, config), config, **options)


def test_the_image_is_learned_from():
    config = TrainConfig(
        epochs=150, patience=150, batch=4, learning_rate=0.02, l2=0, dropout=NO_DROPOUT
    )
    pairs = told_by_the_picture()
    seeing, fit = learner(config, seed=1)
    list(fit.run())
    blind, fit = learner(config, seed=1, feature=0)
    list(fit.run())
    assert perplexity(seeing.trained(), pairs) < 1.3
    without = Pairs(pairs.corpus, pairs.images, np.zeros((8, 0), dtype=np.float32))
    assert perplexity(blind.trained(), without) > 2**0.8 - 1e-3  # the entropy of what it cannot see


def test_the_first_update_is_that_of_eq_6(monkeypatch):
    """The gradient of -log2 P a word plus lambda ||theta||^2, clipped, then one step of Adam."""
    monkeypatch.setattr(fitting, "reduced_precision", lambda device: nullcontext())
    config = TrainConfig(epochs=1, batch=8, l2=0.1, clip=0.5, dropout=NO_DROPOUT)
    model, fit = learner(config)
    twin, pairs = network(), told_by_the_picture()
    packed = pairs.corpus.pack(np.arange(8))
    features = torch.from_numpy(pairs.features[packed.order])
    logits = twin(packed, twin.image_terms(features))
    bits = F.cross_entropy(logits, torch.from_numpy(packed.targets)) / math.log(2)
    bits.backward()
    grads = {name: p.grad * math.log(2) for name, p in twin.named_parameters()}  # in nats
    norm = torch.cat([g.flatten() for g in grads.values()]).norm()
    assert norm > config.clip
    list(fit.run())
    for name, before in twin.named_parameters():
        gradient = grads[name] * config.clip / norm + 2 * config.l2 * math.log(2) * before.detach()
        step = config.learning_rate * one_cycle(0, 1) * gradient / (gradient.abs() + 1e-8)
        assert torch.allclose(dict(model.named_parameters())[name], before - step, atol=2e-6), name


def test_training_is_the_same_every_time_and_another_seed_differs():
    def weights(seed: int) -> torch.Tensor:
        model, fit = learner(TrainConfig(epochs=2, batch=4, seed=seed))
        list(fit.run())
        return model.wo.detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@given(stop=st.integers(0, 11))
@settings(max_examples=12, deadline=None)
def test_a_restored_fit_ends_with_the_same_weights(stop):
    config = TrainConfig(epochs=4, batch=3, patience=9)
    model, fit = learner(config)
    reports = list(fit.run())
    expected = model.state_dict()

    begun, fit = learner(config)
    run = fit.run()
    seen = [next(run) for _ in range(stop)]
    tensors, counters = fit.state()
    tensors = {name: value.clone() for name, value in tensors.items()}
    weights = {name: value.clone() for name, value in begun.state_dict().items()}

    resumed, fit = learner(config, seed=5)
    resumed.load_state_dict(weights)
    fit.restore(tensors, counters)
    seen += list(fit.run())
    assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())
    assert [replace(p, seconds=0) for p in seen] == [replace(p, seconds=0) for p in reports]


def test_a_wish_to_stop_is_granted_between_two_updates():
    wishes = iter([False, False, True])
    config = TrainConfig(epochs=2, batch=4)
    model, fit = learner(config, wants_stop=lambda: next(wishes))
    list(fit.run())
    assert fit.was_stopped
    _, counters = fit.state()
    assert (counters["epoch"], counters["position"]) == (2, 1)
    again, after = learner(config)
    again.load_state_dict(model.state_dict())
    after.restore(*fit.state())
    list(after.run())
    whole, fit = learner(config)
    list(fit.run())
    assert torch.equal(again.wo, whole.wo)


def test_every_update_of_every_phase_and_process_drops_other_units(monkeypatch):
    seeds = []

    def noted(shares, seed):
        seeds.append(tuple(seed))
        return Dropout(shares, seed)

    monkeypatch.setattr(fitting, "Dropout", noted)
    config = TrainConfig(epochs=2, text_epochs=2, batch=4)
    model, fit = learner(config)
    list(fit.run())
    list(
        Fit(
            model, text_phase(model, Corpus([[4, 5]] * 8), told_by_the_picture(), config), config
        ).run()
    )
    assert len(set(seeds)) == len(seeds) == 8
    masks = {
        Dropout(DropoutShares(), seed)(torch.ones(64), 0.5).numpy().tobytes() for seed in seeds
    }
    assert len(masks) == 8


@pytest.mark.parametrize("updates", range(1, 31))
def test_the_learning_rate_rises_then_falls_to_zero(updates):
    shares = [one_cycle(update, updates) for update in range(updates + 1)]
    peak = shares.index(1.0)
    assert peak == max(1, updates // 10)
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert shares[0] > 0
    assert updates == 1 or shares[-1] == pytest.approx(0)


@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 3))
def test_every_sentence_comes_once_an_epoch(count, batch, epoch):
    batches = shuffled(count, batch, (1, epoch))
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(count))
    assert all(len(b) == batch for b in batches[:-1])
    again = shuffled(count, batch, (1, epoch))
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_epochs_differ_in_their_order():
    pairs, config = told_by_the_picture(), TrainConfig(batch=8)
    phase = captions_phase(network(), pairs, pairs, config)
    assert not np.array_equal(phase.batches(1)[0], phase.batches(2)[0])


def test_it_stops_when_dev_gets_no_better(monkeypatch):
    scores = iter([5.0, 4.0, 4.5, 4.2, 3.0])
    monkeypatch.setattr(fitting, "calibrate", lambda model, pairs: (next(scores), 1.0))
    _, fit = learner(TrainConfig(epochs=5, patience=2, batch=8))
    ends = [p for p in fit.run() if p.dev_perplexity is not None]
    assert [p.is_best for p in ends] == [True, True, False, False]


def test_a_phase_says_how_long_it_waits(monkeypatch):
    scores = iter([5.0, 6.0, 7.0, 4.0])
    monkeypatch.setattr(fitting, "calibrate", lambda model, pairs: (next(scores), 1.0))
    config = TrainConfig(epochs=4, batch=4, patience=1)
    model, pairs = network(), told_by_the_picture()
    patient = replace(captions_phase(model, pairs, pairs, config), patience=4)
    ends = [p for p in Fit(model, patient, config).run() if p.dev_perplexity is not None]
    assert [p.is_best for p in ends] == [True, False, False, True]


def test_what_was_reached_before_has_to_be_beaten(monkeypatch):
    scores = iter([5.0, 4.0, 4.5])
    monkeypatch.setattr(fitting, "calibrate", lambda model, pairs: (next(scores), 1.0))
    pairs, config = told_by_the_picture(), TrainConfig(epochs=3, patience=3, batch=8)
    model = network()
    phase = replace(captions_phase(model, pairs, pairs, config), to_beat=4.2)
    ends = [p for p in Fit(model, phase, config).run() if p.dev_perplexity is not None]
    assert [p.is_best for p in ends] == [False, True, False]


def test_text_is_learned_without_touching_what_sees():
    model = network()
    before = model.vi.detach().clone()
    text, pairs = Corpus([[4, 5, 6]] * 20), told_by_the_picture()
    config = TrainConfig(text_epochs=30, batch=5, learning_rate=0.02, l2=1e-3, dropout=NO_DROPOUT)
    phase = text_phase(model, text, pairs, replace(config, patience=99))
    list(Fit(model, phase, replace(config, patience=99)).run())
    assert torch.equal(model.vi, before)
    blind = Pairs(text, np.zeros(20, dtype=np.int64), np.zeros((1, 6), dtype=np.float32))
    model = model.trained()
    assert perplexity(model, blind) < 1.2
    assert perplexity(model, phase.dev()) == pytest.approx(
        perplexity(model, replace(pairs, features=np.zeros((8, 6), dtype=np.float32)))
    )
