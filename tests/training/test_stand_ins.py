"""Stand-ins for pictures, against the same by least squares, word by word."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.scoring.pairs import Pairs
from mrnn.training import stand_ins
from mrnn.training.stand_ins import StandIns
from mrnn.words.packing import Corpus

V, D, NORM, STRENGTH = 12, 5, 30.0, 8.0
VECTORS = np.eye(3, D, dtype=np.float32)


@pytest.fixture
def train():
    rng = np.random.default_rng(0)
    sentences = [rng.integers(4, 9, size=rng.integers(1, 6)).tolist() for _ in range(40)]
    return Pairs(Corpus(sentences), np.arange(40) // 2, rng.normal(size=(20, D)))


def make(train, prototypes=None):
    return StandIns(train, V, NORM, prototypes or {}, VECTORS, STRENGTH)


def real(train):
    features = train.features[train.images]
    return NORM * features / np.linalg.norm(features, axis=1, keepdims=True)


def naive_expectation(train, sentence):
    """Ridge regression on word counts, all at once."""
    bags = np.array(
        [np.bincount(s, minlength=V) for s in train.corpus.sentences(np.arange(40))], dtype=float
    )
    x, y = bags - bags.mean(0), real(train) - real(train).mean(0)
    weights = np.linalg.solve(x.T @ x + stand_ins._RIDGE * np.eye(V), x.T @ y)
    return real(train).mean(0) + (np.bincount(sentence, minlength=V) - bags.mean(0)) @ weights


def test_the_mean_over_all_noise_is_what_the_words_let_expect(train):
    made = make(train)
    sentence = [4, 5, 5]
    drawn = made.draw([sentence] * 4000, np.random.default_rng(1)).mean(0)
    noise = [made.draw([sentence], np.random.default_rng(i))[0] for i in range(3)]
    assert not np.array_equal(noise[0], noise[1])
    missed = real(train) - [
        naive_expectation(train, s) for s in train.corpus.sentences(np.arange(40))
    ]
    expected = naive_expectation(train, sentence) + missed.mean(0)
    np.testing.assert_allclose(drawn, expected, atol=4 * missed.std() / 4000**0.5)


def test_a_caption_with_its_own_noise_is_its_own_picture(train):
    made = make(train)
    sentences = train.corpus.sentences(np.arange(40))

    class Own:
        def integers(self, high, size):
            assert high == size == 40
            return np.arange(40)

    np.testing.assert_allclose(made.draw(sentences, Own()), real(train), atol=1e-4)


def test_words_with_prototypes_add_theirs(train):
    prototypes = {10: (0,), 11: (1, 2)}
    without = make(train).draw([[4, 10], [4], [10, 10, 11]], np.random.default_rng(5))
    added = make(train, prototypes).draw([[4, 10], [4], [10, 10, 11]], np.random.default_rng(5))
    one, none, two = added - without
    assert np.flatnonzero(one).tolist() == [0]
    assert 0.7 * STRENGTH <= one[0] <= 1.3 * STRENGTH
    assert not none.any()
    assert two[0] > 0
    assert (two[1] > 0) != (two[2] > 0)  # one of its two


def test_words_share_the_strength(train, monkeypatch):
    monkeypatch.setattr(stand_ins, "_VARIATION", 0.0)
    sentences = [[10], [10, 10, 4], [10, 11, 5]]
    prototypes = {10: (0,), 11: (1,)}
    without = make(train).draw(sentences, np.random.default_rng(5))
    added = make(train, prototypes).draw(sentences, np.random.default_rng(5)) - without
    half = STRENGTH / 2**0.5
    expected = np.zeros((3, D))
    expected[:2, 0], expected[2, :2] = STRENGTH, half
    np.testing.assert_allclose(added, expected, atol=1e-4)


def test_large_data_is_read_in_parts(train, monkeypatch):
    whole = make(train).draw([[4, 5], []], np.random.default_rng(2))
    monkeypatch.setattr(stand_ins, "_AT_ONCE", 7)
    parts = make(train).draw([[4, 5], []], np.random.default_rng(2))
    np.testing.assert_allclose(parts, whole, atol=1e-4)
