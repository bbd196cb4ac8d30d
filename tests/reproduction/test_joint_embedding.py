"""DeViSE-like and sentence RNN: the loss by hand, both sides by dumb twins, and that they learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mrnn.evaluation.ranks import image_ranks, sentence_ranks
from mrnn.reproduction.baselines.joint_embedding import (
    MARGIN,
    AveragedWords,
    JointEmbedding,
    SentenceRNN,
    hinge_rank_loss,
    learn,
    word_vectors,
)
from mrnn.scoring.pairs import Pairs
from mrnn.words.packing import Corpus
from mrnn.words.text import START

SENTENCES = [[4, 5, 6], [7], [], [4, 4, 8, 9, 6]]


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_loss_by_hand():
    scores = torch.tensor([[0.5, 0.45, 0.1], [0.3, 0.2, 0.9], [0.0, 0.0, 0.0]])
    wrong = ~torch.eye(3, dtype=torch.bool)
    parts = [MARGIN + 0.45 - 0.5, MARGIN + 0.3 - 0.2, MARGIN + 0.9 - 0.2, MARGIN, MARGIN]
    assert hinge_rank_loss(scores, wrong).item() == pytest.approx(sum(parts) / 3)
    wrong[1, 2] = False  # the same picture: not wrong, too
    assert hinge_rank_loss(scores, wrong).item() == pytest.approx((sum(parts) - parts[2]) / 3)


def test_the_average_of_words_by_hand():
    """Repeated words count as often as they are said; START has no vector."""
    vectors = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    vectors[:4] = 0
    model = JointEmbedding(AveragedWords(vectors), 5, False, drawn())
    packed = Corpus(SENTENCES).pack()
    found = torch.empty(4, 3)
    found[packed.order] = model.sentences(packed)
    for sentence, row in zip(SENTENCES, found.tolist(), strict=True):
        total = vectors[sentence].sum(0)
        assert row == pytest.approx((total / max(np.linalg.norm(total), 1e-12)).tolist(), abs=1e-6)
    assert {name for name, _ in model.named_parameters()} == {"image_map"}  # words do not learn


def test_the_sentence_rnn_reads_to_the_last_word():
    side = SentenceRNN(10, 3, 6, drawn())
    with torch.no_grad():
        side.ur.add_(0.1 * torch.randn(6, 6, generator=drawn(1)))
    packed = Corpus(SENTENCES).pack()
    found = torch.empty(4, 3)
    found[packed.order] = side(packed)
    for sentence, row in zip(SENTENCES, found, strict=True):
        r = torch.zeros(6)
        for word in [START, *sentence]:
            r = (side.ur @ r + side.embedding[word]).clamp_min(0)
        assert torch.allclose(row, side.out @ r, atol=1e-6)


@pytest.mark.parametrize("both_ways", [False, True])
def test_scores_are_inner_products_of_unit_vectors(both_ways):
    model = JointEmbedding(SentenceRNN(10, 3, 6, drawn()), 5, both_ways, drawn())
    features = np.random.default_rng(0).random((3, 5), dtype=np.float32)
    many = SENTENCES * 200  # more than are scored at once
    pairs = Pairs(Corpus(many), np.zeros(len(many), np.int64), features)
    scores = model.scores(pairs)
    images = model.images(torch.from_numpy(features))
    for row in (0, 1, 3, 603, 799):
        [sentence] = model.sentences(Corpus([many[row]]).pack())
        assert scores[row] == pytest.approx((images @ sentence).tolist(), abs=1e-5)
    assert images.norm(dim=1).tolist() == pytest.approx([1, 1, 1])


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
    assert np.isfinite(word_vectors(Corpus([[4, 5], [4]]), 6, 200)).all()


@pytest.mark.parametrize("kind", ["words", "rnn"])
def test_it_learns_and_the_best_on_dev_is_kept(kind):
    """Six kinds of pictures, each with words of its own."""
    rng = np.random.default_rng(0)
    about = np.arange(120) % 6
    features = (np.eye(6)[about] + 0.1 * rng.random((120, 6))).astype(np.float32)
    corpus = Corpus([[4 + k, 10 + k] for k in about])
    train = Pairs(corpus, np.arange(120), features)
    dev = Pairs(Corpus([[4 + k, 10 + k] for k in range(6)]), np.arange(6), np.eye(6, dtype="f4"))
    generator = drawn()
    if kind == "words":
        side = AveragedWords(word_vectors(corpus, 16, 8))
    else:
        side = SentenceRNN(16, 8, 8, generator)
    model = JointEmbedding(side, 6, kind == "rnn", generator)
    steps = []
    learn(model, train, dev, 150, 0.02, 1, lambda done, total: steps.append((done, total)))
    assert steps == [(n, 150) for n in range(1, 151)]  # one update an epoch
    scores = model.scores(dev)
    assert sentence_ranks(scores, dev.images).tolist() == [1] * 6
    if model.both_ways:
        assert image_ranks(scores, dev.images).tolist() == [1] * 6


def test_the_weights_of_the_best_epoch_on_dev_are_kept():
    """The second of four epochs is told to be the best."""
    generator = drawn()
    model = JointEmbedding(SentenceRNN(10, 3, 6, generator), 5, True, generator)
    features = np.random.default_rng(0).random((4, 5), dtype=np.float32)
    pairs = Pairs(Corpus(SENTENCES), np.arange(4), features)
    seen = []

    def scores(pairs):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return np.eye(4) if len(seen) == 2 else 1 - np.eye(4)

    model.scores = scores
    learn(model, pairs, pairs, 4, 0.1, 1, lambda done, total: None)
    assert len(seen) == 4
    for name, value in model.state_dict().items():
        assert torch.equal(value, seen[1][name])
    assert not torch.equal(seen[1]["image_map"], seen[3]["image_map"])
