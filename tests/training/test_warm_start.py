"""A trained model as the beginning of another: what is known stays, new words start as unknown."""

from __future__ import annotations

import pytest
import torch

from conftest import tiny_model
from mrnn.training.warm_start import grown
from mrnn.words.packing import Corpus
from mrnn.words.text import UNKNOWN

FEATURES = torch.rand(1, 6, generator=torch.Generator().manual_seed(1))


def probabilities(model, word: int = 5) -> torch.Tensor:
    """P of every word after one word and a picture."""
    packed = Corpus([[word]]).pack()
    return model(packed, model.image_terms(FEATURES))[1].softmax(0)


def larger(words: int = 15, seed: int = 0):
    return grown(tiny_model(), words, torch.Generator().manual_seed(seed))


def test_known_rows_are_copied_and_new_ones_are_set_apart():
    old, new = tiny_model(), larger()
    assert new.config.vocabulary == 15
    for name, weights in old.named_parameters():
        rows = slice(None, 12) if name in ("embedding", "wo", "wo_bias") else slice(None)
        assert torch.equal(getattr(new, name)[rows], weights)
    assert not torch.equal(new.embedding[12], new.embedding[13])
    assert new.wo.requires_grad


def test_a_new_word_begins_as_what_it_was():
    before, after = probabilities(tiny_model()), probabilities(larger())
    assert torch.allclose(after[12:], before[UNKNOWN] / 3 * (1 - after[UNKNOWN]), rtol=0.2)
    shares = after[:12] / before
    assert torch.allclose(shares, shares[0].expand(12), rtol=1e-4)  # the known keep their order
    assert torch.allclose(
        probabilities(larger(), 13)[:12], probabilities(tiny_model(), UNKNOWN) * shares[0], rtol=0.2
    )


def test_without_new_words_nothing_changes():
    same = larger(12)
    assert all(torch.equal(a, getattr(same, n)) for n, a in tiny_model().named_parameters())


def test_the_seed_decides():
    assert torch.equal(larger().wo, larger().wo)
    assert not torch.equal(larger().wo, larger(seed=1).wo)


def test_a_smaller_vocabulary_is_not_possible():
    with pytest.raises(RuntimeError):
        larger(11)
