"""The bag-of-words baseline: the ridge in closed form against one fitted again and again."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.evaluation.ranks import image_ranks, sentence_ranks
from mrnn.reproduction.baselines.bag_of_words import BagOfWords, bags, ridge
from mrnn.scoring.pairs import Pairs
from mrnn.words.packing import Corpus


def test_bags_say_which_words_a_sentence_has():
    found = bags(Corpus([[4, 5, 4], [], [6, 3]]), 7)
    assert found.tolist() == [[0, 0, 0, 0, 1, 1, 0], [0] * 7, [0, 0, 0, 1, 0, 0, 1]]


def test_the_strength_is_the_best_of_rows_left_out():
    """The closed form of the error against ridges fitted without each row."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6))
    y = x @ rng.normal(size=(6, 3)) + rng.normal(size=(40, 3)) * 4
    x, y = x - x.mean(0), y - y.mean(0)
    weights, strength = ridge(x, y)
    mean = np.trace(x.T @ x) / 6

    def fitted(rows, s):
        a, b = x[rows] - x[rows].mean(0), y[rows] - y[rows].mean(0)
        return np.linalg.solve(a.T @ a + s * mean * np.eye(6), a.T @ b)

    def error(s):
        total = 0.0
        for out in range(40):
            rows = np.delete(np.arange(40), out)
            said = (x[out] - x[rows].mean(0)) @ fitted(rows, s) + y[rows].mean(0)
            total += np.square(y[out] - said).sum()
        return total

    tried = np.logspace(-4, 2, 13)
    assert strength == pytest.approx(min(tried, key=error))
    assert 1e-4 < strength < 1e2  # noise makes an end of the range a poor choice
    assert weights == pytest.approx(fitted(np.arange(40), strength))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_fewer_pictures_than_features(rows):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(rows, 9)), rng.normal(size=(rows, 4))
    weights, _ = ridge(x - x.mean(0), y - y.mean(0))
    assert weights.shape == (9, 4)
    assert np.isfinite(weights).all()


def test_it_finds_what_the_feature_tells():
    """Each image is about one of four words, and its feature says which."""
    rng = np.random.default_rng(2)
    about = rng.integers(4, size=60)
    features = (np.eye(4)[about] + 0.05 * rng.random((60, 4))).astype(np.float32)
    sentences = [[4 + about[i], 8 + int(rng.integers(3))] for i in range(60) for _ in range(2)]
    images = np.repeat(np.arange(60), 2)
    model = BagOfWords(Pairs(Corpus(sentences), images, features), 11)
    for image in range(60):
        assert model.predicted(features[image : image + 1])[0].argmax() == 4 + about[image]
    test = Pairs(Corpus([[4, 9], [5, 9], [6, 8], [7, 10]]), np.arange(4), np.eye(4, dtype="f4"))
    scores = model.scores(test)
    assert np.abs(scores).max() <= 1 + 1e-6
    assert image_ranks(scores, test.images).tolist() == [1, 1, 1, 1]
    assert sentence_ranks(scores, test.images).tolist() == [1, 1, 1, 1]


def test_pictures_that_are_all_alike_tell_nothing():
    same = np.ones((3, 4), dtype=np.float32)
    train = Pairs(Corpus([[4], [5], [6]]), np.arange(3), same)
    assert (BagOfWords(train, 7).scores(train) == 0).all()


def test_a_sentence_of_unknown_words_scores_finitely():
    train = Pairs(Corpus([[4], [5], []]), np.arange(3), np.eye(3, dtype=np.float32))
    model = BagOfWords(train, 6)
    odd = Pairs(Corpus([[], [3, 3]]), np.zeros(2, np.int64), np.zeros((1, 3), np.float32))
    assert np.isfinite(model.scores(odd)).all()
