"""One temperature is chosen on dev, in one pass over its sentences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conftest import tiny_model
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.word_scores import perplexity
from mrnn.training.calibration import TEMPERATURES, calibrate, tempered_perplexities
from mrnn.training.network import TrainableMRNN
from mrnn.words.packing import Corpus

DRAW = np.random.default_rng(0)
MANY = Pairs(  # more than one batch
    Corpus([DRAW.integers(4, 12, DRAW.integers(0, 9)).tolist() for _ in range(300)]),
    DRAW.integers(0, 20, 300),
    DRAW.normal(size=(20, 6)).astype(np.float16),
)


def overconfident() -> TrainableMRNN:
    model = TrainableMRNN.of(tiny_model(seed=1))
    model.divide_logits(1 / 2.5)
    return model


def divided(temperature: float) -> float:
    model = overconfident()
    model.divide_logits(temperature)
    return perplexity(model.trained(), MANY)


def test_one_pass_gives_the_perplexity_of_every_temperature():
    found = tempered_perplexities(overconfident(), MANY, (0.5, 1.0, 1.7, 40.0))
    assert found == pytest.approx([divided(t) for t in (0.5, 1.0, 1.7, 40.0)], rel=1e-5)


def test_logits_of_any_size_have_a_perplexity():
    network = TrainableMRNN.of(tiny_model())
    network.divide_logits(1e-4)
    assert all(map(math.isfinite, tempered_perplexities(network, MANY, (100.0, 1000.0))))
    assert tempered_perplexities(network, MANY, (1e-9,)) == (math.inf,)


def test_calibration_equals_trying_every_temperature():
    tried = [divided(temperature) for temperature in TEMPERATURES]
    score, temperature = calibrate(overconfident(), MANY)
    assert temperature > 1
    assert score == pytest.approx(tried[TEMPERATURES.index(temperature)], rel=1e-5)
    assert all(score <= other * (1 + 1e-5) for other in tried)


def test_calibration_changes_nothing():
    network = overconfident()
    calibrate(network, MANY)
    assert np.array_equal(network.trained().wo, overconfident().trained().wo)
    assert network.wo.requires_grad
