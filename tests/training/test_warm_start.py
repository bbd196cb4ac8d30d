"""A trained model as the beginning of another: what is known stays, new words start as unknown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conftest import tiny_model
from mrnn.model.arrays import log_softmax
from mrnn.model.mrnn import MRNN, shapes
from mrnn.training.warm_start import grown
from mrnn.words.packing import Corpus
from mrnn.words.text import UNKNOWN

FEATURES = np.random.default_rng(1).random((1, 6), dtype=np.float32)


def probabilities(model: MRNN, word: int = 5) -> np.ndarray:
    """P of every word after one word and a picture."""
    packed = Corpus([[word]]).pack()
    return np.exp(log_softmax(model.sentence_logits(packed, model.image_terms(FEATURES))))[1]


def larger(words: int = 15, seed: int = 0) -> MRNN:
    return grown(tiny_model(), words, torch.Generator().manual_seed(seed))


def test_known_rows_are_copied_and_new_ones_are_set_apart():
    old, new = tiny_model(), larger()
    assert new.config.vocabulary == 15
    assert {n: w.shape for n, w in new.weights.items()} == shapes(new.config)
    assert {w.dtype for w in new.weights.values()} == {np.dtype(np.float32)}
    for name, weights in old.weights.items():
        rows = slice(None, 12) if name in ("embedding", "wo", "wo_bias") else slice(None)
        assert np.array_equal(new.weights[name][rows], weights)
    assert not np.array_equal(new.embedding[12], new.embedding[13])
    assert not np.array_equal(new.wo[12], new.wo[13])


def test_a_new_word_begins_as_what_it_was():
    before, after = probabilities(tiny_model()), probabilities(larger())
    expected = before[UNKNOWN] / 3 * (1 - after[UNKNOWN])
    np.testing.assert_allclose(after[12:], expected, rtol=0.2)
    shares = after[:12] / before
    np.testing.assert_allclose(shares, shares[0], rtol=1e-4)  # the known keep their order
    np.testing.assert_allclose(
        probabilities(larger(), 13)[:12], probabilities(tiny_model(), UNKNOWN) * shares[0], rtol=0.2
    )


def test_without_new_words_nothing_changes():
    same = larger(12)
    assert same.config == tiny_model().config
    assert all(np.array_equal(w, same.weights[n]) for n, w in tiny_model().weights.items())


def test_the_seed_decides():
    assert np.array_equal(larger().wo, larger().wo)
    assert not np.array_equal(larger().wo, larger(seed=1).wo)


def test_a_smaller_vocabulary_is_not_possible():
    with pytest.raises(RuntimeError):
        larger(11)
