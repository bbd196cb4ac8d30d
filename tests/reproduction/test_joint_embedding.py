"""DeViSE-like and sentence RNN: both sides by dumb twins, and the word vectors."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.config import ModelConfig
from mrnn.reproduction.baselines.joint_embedding import (
    averaging,
    averaging_shapes,
    reading,
    reading_shapes,
    word_vectors,
)
from mrnn.scoring.pairs import Pairs
from mrnn.words.packing import Corpus
from mrnn.words.text import START

SENTENCES = [[4, 5, 6], [7], [], [4, 4, 8, 9, 6]]
SIZES = ModelConfig(10, 5, embedding=3, recurrent=6)


def made(kind, shapes):
    rng = np.random.default_rng(0)
    drawn = {name: rng.normal(0, 0.5, s).astype(np.float32) for name, s in shapes(SIZES).items()}
    return kind(SIZES, **drawn)


KINDS = [
    pytest.param(averaging, averaging_shapes, id="averaged words"),
    pytest.param(reading, reading_shapes, id="sentence RNN"),
]


def test_the_average_of_words_by_hand():
    """Repeated words count as often as they are said; START has no vector."""
    model = made(averaging, averaging_shapes)
    vectors = model.weights["side.vectors"]
    vectors[:4] = 0
    packed = Corpus(SENTENCES).pack()
    found = np.empty((4, 3))
    found[packed.order] = model.sentences(packed)
    for sentence, row in zip(SENTENCES, found.tolist(), strict=True):
        total = vectors[sentence].sum(0)
        assert row == pytest.approx((total / max(np.linalg.norm(total), 1e-12)).tolist(), abs=1e-6)
    assert model.learned == model.image_map.size  # words do not learn


def test_the_sentence_rnn_reads_to_the_last_word():
    model = made(reading, reading_shapes)
    weights = model.weights
    packed = Corpus(SENTENCES).pack()
    found = np.empty((4, 3))
    found[packed.order] = model.side.read(packed)
    for sentence, row in zip(SENTENCES, found, strict=True):
        r = np.zeros(6)
        for word in [START, *sentence]:
            r = np.maximum(weights["side.ur"] @ r + weights["side.embedding"][word], 0)
        assert row == pytest.approx(weights["side.out"] @ r, abs=1e-5)
    assert model.learned == sum(weight.size for weight in weights.values())


@pytest.mark.parametrize(("kind", "shapes"), KINDS)
def test_scores_are_inner_products_of_unit_vectors(kind, shapes):
    model = made(kind, shapes)
    features = np.random.default_rng(0).random((3, 5), dtype=np.float32)
    many = SENTENCES * 200  # more than are scored at once
    pairs = Pairs(Corpus(many), np.zeros(len(many), np.int64), features.astype(np.float16))
    scores = model.scores(pairs)
    assert (scores.shape, scores.dtype) == ((len(many), 3), np.float32)
    turned = features.astype(np.float16).astype(float) @ model.image_map.T
    images = turned / np.linalg.norm(turned, axis=1, keepdims=True)
    for row in (0, 1, 3, 603, 799):
        [sentence] = model.sentences(Corpus([many[row]]).pack())
        assert np.linalg.norm(sentence) == pytest.approx(1)
        assert scores[row] == pytest.approx(images @ sentence, abs=1e-5)


@pytest.mark.parametrize(("kind", "shapes"), KINDS)
def test_what_a_file_holds_is_what_it_is_made_of(kind, shapes):
    model = made(kind, shapes)
    assert {name: weight.shape for name, weight in model.weights.items()} == shapes(SIZES)
    pairs = Pairs(Corpus(SENTENCES), np.zeros(4, np.int64), np.ones((2, 5), np.float32))
    assert np.array_equal(kind(SIZES, **model.weights).scores(pairs), model.scores(pairs))


def test_word_vectors_put_together_what_is_said_together():
    """Words 4 and 5 come with 8, words 6 and 7 with 9."""
    rng = np.random.default_rng(0)
    sentences = [
        [int(rng.choice([4, 5])), 8] if i % 2 else [int(rng.choice([6, 7])), 9] for i in range(200)
    ]
    vectors = word_vectors(Corpus(sentences), 10, 2)
    assert vectors.shape == (10, 2)
    assert (vectors[:4] == 0).all()
    assert vectors[4] @ vectors[5] > 5 * abs(vectors[4] @ vectors[6])
    assert vectors[6] @ vectors[7] > 5 * abs(vectors[5] @ vectors[7])


def test_fewer_words_than_dimensions():
    found = word_vectors(Corpus([[4, 5], [4]]), 6, 200)
    assert found.shape == (6, 6)
    assert np.isfinite(found).all()
