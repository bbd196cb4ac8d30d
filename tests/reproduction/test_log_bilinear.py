"""LBL, MLBL-B, MLBL-F and the simple RNN: by hand, and each way of scoring against the others."""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest

from mrnn.config import ModelConfig
from mrnn.model.arrays import logsumexp
from mrnn.reproduction.baselines import log_bilinear, simple_rnn
from mrnn.reproduction.baselines.log_bilinear import (
    CONTEXT,
    FactoredLogBilinear,
    LogBilinear,
    all_pairs,
    contexts,
    prefix_contexts,
)
from mrnn.reproduction.baselines.roles import NeuralRanker, NeuralSpeaker
from mrnn.reproduction.baselines.simple_rnn import SimpleRNN, sigmoid
from mrnn.scoring.likelihoods import log_likelihoods, pair_likelihoods
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.word_scores import score_words
from mrnn.words.packing import Corpus
from mrnn.words.prefixes import prefix_tree
from mrnn.words.text import START

V, D = 11, 6
SENTENCES = [[4, 5, 6, 7, 8, 9, 10, 4], [5], [], [4, 5, 4, 5, 4, 5, 6], [4, 5, 6]]
SIZES = ModelConfig(V, D, embedding=4, recurrent=5, multimodal=7)
BLIND = ModelConfig(V, 0, embedding=4, recurrent=5, multimodal=7)


def zeros(kind, shapes, config):
    return kind(config, **{name: np.zeros(s, np.float32) for name, s in shapes(config).items()})


def made(kind, shapes, config=SIZES):
    """With weights far from zero, so that every part of the sum matters."""
    model = zeros(kind, shapes, config)
    rng = np.random.default_rng(0)
    for weight in model.weights.values():
        weight[:] = rng.normal(0, 0.3, weight.shape)
    return model


KINDS = [
    pytest.param(lambda: made(LogBilinear, log_bilinear.shapes, BLIND), id="LBL"),
    pytest.param(lambda: made(LogBilinear, log_bilinear.shapes), id="MLBL-B"),
    pytest.param(lambda: made(FactoredLogBilinear, log_bilinear.factored_shapes), id="MLBL-F"),
    pytest.param(lambda: made(SimpleRNN, simple_rnn.shapes, BLIND), id="simple RNN"),
]
JOINT = KINDS[1:3]


def features(count, model):
    rows = np.random.default_rng(2).random((count, D), dtype=np.float32)
    return rows[:, : model.config.feature]


def one_by_one(model, corpus, images):
    """Log P of every sentence given every image, (S, I), each alone."""
    found = np.empty((len(corpus), len(images)))
    for image in range(len(images)):
        pairs = Pairs(corpus, np.full(len(corpus), image), images)
        found[:, image] = [scores.logprobs.sum() for scores in score_words(model, pairs)]
    return found


def test_lbl_by_hand():
    """Words represented by one number, tenths of their indices; the last two words predict."""
    model = zeros(LogBilinear, log_bilinear.shapes, ModelConfig(6, 0, embedding=1))
    model.wo[:, 0] = np.arange(6) / 10
    model.maps[0] = [1.0, 0.5, 0, 0, 0]
    model.wo_bias[4] = 0.2
    corpus = Corpus([[4]])
    none = Pairs(corpus, np.zeros(1, np.int64), np.zeros((1, 0), np.float32))
    r = 1 * 0.1 + 0.5 * 0.1, 1 * 0.4 + 0.5 * 0.1  # after START; after START and word 4
    expected = []
    for predicted, word in zip(r, (4, 2), strict=True):
        logits = [predicted * i / 10 + 0.2 * (i == 4) for i in range(6)]
        expected.append(logits[word] - math.log(sum(map(math.exp, logits))))
    assert score_words(model, none)[0].logprobs.tolist() == pytest.approx(expected)


def test_the_image_biases_and_gates_by_hand():
    """E = K = D = 1: the feature is scaled to length 30, whatever its size."""
    config = ModelConfig(5, 1, embedding=1, multimodal=1)
    biased = zeros(LogBilinear, log_bilinear.shapes, config)
    gated = zeros(FactoredLogBilinear, log_bilinear.factored_shapes, config)
    for model in (biased, gated):
        model.wo[:, 0] = np.arange(5) / 10
        model.maps[0] = [1.0, 0, 0, 0, 0]
        model.image_map[0, 0] = 0.01
    gated.through[0, 0], gated.gate[0, 0] = 2, 0.1
    packed = Corpus([[]]).pack()
    words = np.arange(5) / 10
    read = 0.1 * 2  # of START, through the factor
    for feature in (np.array([[7.0]], np.float32), np.array([[7.0]], np.float16)):
        logits = biased.sentence_logits(packed, biased.image_terms(feature))[0]
        assert logits == pytest.approx((0.1 + 0.3) * words)
        logits = gated.sentence_logits(packed, gated.image_terms(feature))[0]
        assert logits == pytest.approx(((read + 0.3) * 2) * (0.1 * 30) * words)


def test_the_simple_rnn_is_eq_1():
    """x(t) = [w(t) r(t-1)], r(t) = f1(U x(t)), y(t) = g1(V r(t)), one step after the other."""
    model = made(SimpleRNN, simple_rnn.shapes, BLIND)
    u = np.concatenate([model.words.T, model.ur], axis=1)  # (R, V + R)
    for sentence in SENTENCES:
        r, expected = np.zeros(5), []
        for before, word in zip([START, *sentence], [*sentence, 2], strict=True):
            x = np.concatenate([np.eye(V)[before], r])
            r = 1 / (1 + np.exp(-u @ x))
            y = np.exp(model.wo @ r + model.wo_bias)
            expected.append(math.log(y[word] / y.sum()))
        pairs = Pairs(Corpus([sentence]), np.zeros(1, np.int64), np.zeros((1, 0), np.float32))
        assert score_words(model, pairs)[0].logprobs.tolist() == pytest.approx(expected, abs=1e-5)


def test_a_sigmoid_far_from_zero_neither_overflows_nor_warns():
    assert sigmoid(np.float32([-1e4, -2, 0, 2, 1e4])) == pytest.approx(
        [0, 0.119203, 0.5, 0.880797, 1]
    )


def test_contexts_are_the_last_words():
    corpus = Corpus(SENTENCES)
    packed = corpus.pack()
    found = packed.by_sentence(contexts(packed))
    for sentence, rows in zip(SENTENCES, found, strict=True):
        line = [START] * CONTEXT + sentence  # the last START is the one that is read
        expected = [line[at : at + CONTEXT][::-1] for at in range(len(sentence) + 1)]
        assert rows.tolist() == expected


def test_contexts_of_prefixes_are_those_of_the_sentences():
    corpus = Corpus(SENTENCES)
    packed = corpus.pack()
    tree = prefix_tree(packed)
    of_words = {}
    for sentence, rows in zip(SENTENCES, packed.by_sentence(contexts(packed)), strict=True):
        for at, row in enumerate(rows.tolist()):
            of_words[tuple(sentence[:at])] = row
    found = prefix_contexts(tree).tolist()
    assert sorted(map(tuple, found)) == sorted(map(tuple, of_words.values()))


def test_no_sentence_has_no_contexts():
    packed = Corpus([]).pack()
    assert contexts(packed).shape == (0, CONTEXT)
    assert prefix_contexts(prefix_tree(packed)).shape == (0, CONTEXT)


@pytest.mark.parametrize("make", KINDS)
def test_generation_step_by_step_is_the_forward_pass(make):
    model = make()
    images = features(len(SENTENCES), model)
    pairs = Pairs(Corpus(SENTENCES), np.arange(len(SENTENCES)), images)
    terms = model.image_terms(images)
    for row, scored in enumerate(score_words(model, pairs)):
        state, found = model.initial_state(1), []
        line = [START, *SENTENCES[row], 2]
        for before, word in pairwise(line):
            logp, state = model.step(np.array([before]), state, terms[row : row + 1])
            assert np.exp(logp).sum() == pytest.approx(1, abs=1e-5)
            found.append(logp[0, word])
        assert scored.logprobs == pytest.approx(np.array(found), rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("make", KINDS)
def test_a_speaker_writes_what_its_model_says(make):
    """Whether it sees images or not, it is given their features."""
    model = make()
    images = np.random.default_rng(2).random((3, D), dtype=np.float32)
    step, state = NeuralSpeaker(model).begin(images)
    words, expected = np.full(3, START), model.initial_state(3)
    terms = model.image_terms(images[:, : model.config.feature])
    for _ in range(4):
        logp, state = step(words, state)
        theirs, expected = model.step(words, expected, terms)
        assert np.array_equal(logp, theirs)
        words = logp.argmax(1)
    assert NeuralSpeaker(model).weights == sum(w.size for w in model.weights.values())


@pytest.mark.parametrize("make", KINDS)
def test_all_numbers_are_in_32_bits(make):
    """NumPy would take 64 bits, and twice the time, without a word."""
    model = make()
    packed = Corpus(SENTENCES).pack()
    terms = model.image_terms(features(len(SENTENCES), model).astype(np.float64))
    assert model.sentence_logits(packed, terms).dtype == np.float32
    logp, _ = model.step(np.full(5, START), model.initial_state(5), terms)
    assert logp.dtype == np.float32


@pytest.mark.parametrize("make", JOINT)
def test_all_pairs_at_once_are_as_one_by_one(make):
    model = make()
    images = features(3, model)
    corpus = Corpus(SENTENCES)
    terms = model.image_terms(images)
    expected = one_by_one(model, corpus, images)
    assert log_likelihoods(model, corpus, terms) == pytest.approx(expected, rel=1e-5)
    if isinstance(model, LogBilinear):
        done = []
        quick = all_pairs(model, corpus, terms, lambda *progress: done.append(progress))
        assert quick == pytest.approx(expected, rel=1e-5)
        assert done[-1][0] == done[-1][1]
    rows, columns = np.array([0, 4, 4, 2]), np.array([2, 0, 1, 1])
    some = pair_likelihoods(model, corpus, terms, rows, columns)
    assert some == pytest.approx(expected[rows, columns], rel=1e-5)


def test_all_pairs_of_more_prefixes_than_at_once(monkeypatch):
    monkeypatch.setattr(log_bilinear, "_PREFIXES", 4)
    model = made(LogBilinear, log_bilinear.shapes)
    images = features(3, model)
    found = all_pairs(model, Corpus(SENTENCES), model.image_terms(images), lambda *progress: None)
    assert found == pytest.approx(one_by_one(model, Corpus(SENTENCES), images), rel=1e-5)


@pytest.mark.parametrize("make", JOINT)
def test_sentences_are_ranked_by_how_much_likelier_the_image_makes_them(make):
    """log P(s | I) - log P(s), P(s) the mean over training images; images by log P(s | I)."""
    model = make()
    images, prior = features(3, model), np.random.default_rng(5).random((7, D), dtype=np.float32)
    corpus = Corpus(SENTENCES)
    expected = one_by_one(model, corpus, images)
    log_prior = np.logaddexp.reduce(one_by_one(model, corpus, prior), axis=1) - math.log(7)
    pairs = Pairs(corpus, np.zeros(len(corpus), np.int64), images)
    ranker = NeuralRanker(model, prior, 1e9)
    by_sentence, by_image = ranker.ranks(pairs, lambda what, unit: nullcontext(lambda *_: None))
    assert by_sentence == pytest.approx(expected, rel=1e-5)
    assert by_image == pytest.approx(expected - log_prior[:, None], rel=1e-4, abs=1e-4)


def test_words_that_image_and_sentence_disagree_about_keep_their_scores():
    """A hundred nats apart: exponentials of 32 bits would vanish."""
    model = zeros(LogBilinear, log_bilinear.shapes, ModelConfig(6, 1, embedding=2))
    model.wo[4], model.wo[5] = [20, 0], [0, 20]
    model.maps[0] = 0.5  # word 4 before: word 4 again
    terms = np.array([[0, 10], [10, 0]], dtype=np.float32)  # the first image is of word 5
    corpus = Corpus([[4, 4, 5, 5]])
    expected = np.zeros((1, 2))
    packed = corpus.pack()
    for image in range(2):
        logits = model.sentence_logits(packed, terms[image : image + 1]).astype(np.float64)
        right = np.take_along_axis(logits, packed.targets[:, None], 1)[:, 0]
        expected[0, image] = (right - logsumexp(logits)).sum()
    assert expected.min() < -300
    found = all_pairs(model, corpus, terms, lambda done, total: None)
    assert found == pytest.approx(expected, rel=1e-5)
    assert log_likelihoods(model, corpus, terms) == pytest.approx(expected, rel=1e-5)
