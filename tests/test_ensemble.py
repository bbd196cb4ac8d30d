"""Several m-RNNs as one, against each asked alone."""

from __future__ import annotations

import pytest
import torch

from conftest import tiny_model
from mrnn.ensemble import as_one
from mrnn.packing import Corpus
from mrnn.text import START

SENTENCES = Corpus([[4, 5, 6], [7], [5, 5, 9, 8]])


def members(count: int, feature: int = 6):
    return [tiny_model(feature=feature, seed=seed).double() for seed in range(count)]


def logits(model, packed, features):
    return model(packed, model.image_terms(features))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("feature", [6, 0])
def test_its_logits_are_the_mean_of_the_members(count, feature):
    alone = members(count, feature)
    for model in alone:  # biases begin at zero
        for bias in (model.we_bias, model.vw_bias, model.wo_bias):
            bias.normal_(generator=torch.Generator().manual_seed(len(bias)))
    packed, features = SENTENCES.pack([0, 1, 2]), torch.randn(3, feature, dtype=torch.double)
    expected = sum(logits(model, packed, features) for model in alone) / count
    assert torch.allclose(logits(as_one(alone).double(), packed, features), expected)


def test_it_says_the_next_word_by_the_mean():
    alone = members(2)
    one, features = as_one(alone).double(), torch.randn(3, 6, dtype=torch.double)
    words, state = torch.full((3,), START), one.initial_state(3)
    states = [model.initial_state(3) for model in alone]
    for _ in range(4):
        found, state = one.step(words, state, one.image_terms(features))
        steps = [
            m.step(words, r, m.image_terms(features)) for m, r in zip(alone, states, strict=True)
        ]
        states = [r for _, r in steps]
        expected = (sum(logp for logp, _ in steps) / 2).log_softmax(1)
        assert torch.allclose(found, expected)
        words = found.argmax(1)


def test_it_is_as_wide_as_all_of_them():
    config = as_one(members(3)).config
    assert (config.embedding, config.recurrent, config.multimodal) == (12, 15, 21)
    assert (config.vocabulary, config.feature) == (12, 6)


def test_one_alone_is_itself():
    [model] = members(1)
    assert as_one([model]) is model


def test_its_weights_are_its_own():
    alone = members(2)
    one = as_one(alone)
    before = alone[0].wo_bias.clone()
    one.wo_bias.data.add_(1)
    assert torch.equal(alone[0].wo_bias, before)
