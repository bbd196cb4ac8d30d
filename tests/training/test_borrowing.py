"""Sentences that rare words borrow from their relatives."""

from __future__ import annotations

import numpy as np

from mrnn.training import borrowing
from mrnn.training.borrowing import with_borrowed

# The words, and what they look like: a hen like a goose, a tuba like nothing else.
A, RUNS, GOOSE, HEN, GEESE, HENS, TUBA, BIRD = range(4, 12)
VECTORS = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 0, 1]] + [[0, 1, 0]] * 9, dtype=np.float32)
PROTOTYPES = {
    GOOSE: (0,), HEN: (1,), GEESE: (0,), HENS: (1,), TUBA: (2,), BIRD: tuple(range(12)),
}  # fmt: skip
SENTENCES = [[A, GOOSE, RUNS]] * 8 + [[GEESE, RUNS]] * 9 + [[A, HEN]] + [[A, BIRD]] * 200


def borrow(sentences=SENTENCES, prototypes=PROTOTYPES):
    generator = np.random.default_rng(0)
    return with_borrowed(sentences, prototypes, VECTORS, {GEESE, HENS}, generator)


def test_a_rare_word_takes_the_place_of_its_relative_in_its_own_number():
    every, said = borrow()
    assert every[: len(SENTENCES)] == SENTENCES
    of_hen = [every[i] for i in said[HEN]]
    assert of_hen.count([A, HEN]) == 1
    assert of_hen.count([A, HEN, RUNS]) == 8
    assert [every[i] for i in said[HENS]] == [[HENS, RUNS]] * 9
    # a wide word lends to nobody
    assert not any(BIRD in every[i] for word in (HEN, TUBA) for i in said[word])


def test_no_word_has_more_than_enough(monkeypatch):
    monkeypatch.setattr(borrowing, "ENOUGH", 5)
    _, said = borrow()
    assert len(said[HEN]) == 5
    assert len(said[GOOSE]) == 8  # all are its own
    assert len(said[BIRD]) == 200


def test_every_sentence_says_the_word_that_it_is_for():
    every, said = borrow()
    assert all(word in every[i] for word, places in said.items() for i in places)


def test_without_relatives_or_words_nothing_is_borrowed():
    every, said = borrow([[A, HEN]])
    assert (every, said) == ([[A, HEN]], {HEN: [0]})
    assert borrow(prototypes={}) == (SENTENCES, {})
