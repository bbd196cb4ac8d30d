"""LBL, MLBL-B, MLBL-F and the simple RNN: by hand, and each way of scoring against the others."""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch

from mrnn.config import DropoutShares, ModelConfig
from mrnn.model.mrnn import Dropout
from mrnn.reproduction.baselines.log_bilinear import (
    CONTEXT,
    FactoredLogBilinear,
    LogBilinear,
    all_pairs,
    contexts,
    prefix_contexts,
)
from mrnn.reproduction.baselines.roles import NeuralRanker
from mrnn.reproduction.baselines.simple_rnn import SimpleRNN
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


def made(kind, config=SIZES):
    """With weights far from zero, so that every part of the sum matters."""
    model = kind(config).initialise(torch.Generator().manual_seed(0)).requires_grad_(False)
    for weight in model.parameters():
        weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return model


KINDS = [
    pytest.param(lambda: made(LogBilinear, BLIND), id="LBL"),
    pytest.param(lambda: made(LogBilinear), id="MLBL-B"),
    pytest.param(lambda: made(FactoredLogBilinear), id="MLBL-F"),
    pytest.param(lambda: made(SimpleRNN, BLIND), id="simple RNN"),
]
JOINT = KINDS[1:3]


def features(count, model):
    rows = np.random.default_rng(2).random((count, D), dtype=np.float32)
    return rows[:, : model.config.feature]


def test_lbl_by_hand():
    """Words represented by one number, tenths of their indices; the last two words predict."""
    model = LogBilinear(ModelConfig(6, 0, embedding=1)).requires_grad_(False)
    model.wo[:, 0] = torch.arange(6) / 10
    model.maps[0] = torch.tensor([1.0, 0.5, 0, 0, 0])
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
    biased = LogBilinear(config).requires_grad_(False)
    gated = FactoredLogBilinear(config).requires_grad_(False)
    for model in (biased, gated):
        model.wo[:, 0] = torch.arange(5) / 10
        model.maps[0] = torch.tensor([1.0, 0, 0, 0, 0])
        model.image_map[0, 0] = 0.01
    gated.through[0, 0], gated.gate[0, 0] = 2, 0.1
    packed = Corpus([[]]).pack()
    feature = torch.tensor([[7.0]])
    words = torch.arange(5) / 10
    logits = biased(packed, biased.image_terms(feature))[0]
    assert logits == pytest.approx((0.1 + 0.3) * words)
    logits = gated(packed, gated.image_terms(feature))[0]
    read = 0.1 * 2  # of START, through the factor
    assert logits == pytest.approx(((read + 0.3) * 2) * (0.1 * 30) * words)


def test_the_simple_rnn_is_eq_1():
    """x(t) = [w(t) r(t-1)], r(t) = f1(U x(t)), y(t) = g1(V r(t)), one step after the other."""
    model = made(SimpleRNN, BLIND)
    u = np.concatenate([model.words.numpy().T, model.ur.numpy()], axis=1)  # (R, V + R)
    for sentence in SENTENCES:
        r, expected = np.zeros(5), []
        for before, word in zip([START, *sentence], [*sentence, 2], strict=True):
            x = np.concatenate([np.eye(V)[before], r])
            r = 1 / (1 + np.exp(-u @ x))
            y = np.exp(model.wo.numpy() @ r + model.wo_bias.numpy())
            expected.append(math.log(y[word] / y.sum()))
        pairs = Pairs(Corpus([sentence]), np.zeros(1, np.int64), np.zeros((1, 0), np.float32))
        assert score_words(model, pairs)[0].logprobs.tolist() == pytest.approx(expected, abs=1e-5)


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
    assert prefix_contexts(prefix_tree(Corpus([]).pack())).shape == (0, CONTEXT)


@pytest.mark.parametrize("make", KINDS)
def test_generation_step_by_step_is_the_forward_pass(make):
    model = make()
    images = features(len(SENTENCES), model)
    pairs = Pairs(Corpus(SENTENCES), np.arange(len(SENTENCES)), images)
    terms = model.image_terms(torch.from_numpy(images))
    for row, scored in enumerate(score_words(model, pairs)):
        state, found = model.initial_state(1), []
        line = [START, *SENTENCES[row], 2]
        for before, word in pairwise(line):
            logp, state = model.step(torch.tensor([before]), state, terms[row : row + 1])
            assert logp.exp().sum().item() == pytest.approx(1, abs=1e-5)
            found.append(logp[0, word].item())
        assert scored.logprobs.tolist() == pytest.approx(found, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("make", JOINT)
def test_all_pairs_at_once_are_as_one_by_one(make):
    model = make()
    images = features(3, model)
    corpus = Corpus(SENTENCES)
    terms = model.image_terms(torch.from_numpy(images))
    expected = np.empty((len(SENTENCES), 3))
    for image in range(3):
        pairs = Pairs(corpus, np.full(len(SENTENCES), image), images)
        expected[:, image] = [s.logprobs.sum().item() for s in score_words(model, pairs)]
    assert log_likelihoods(model, corpus, terms).numpy() == pytest.approx(expected, rel=1e-5)
    if isinstance(model, LogBilinear):
        done = []
        quick = all_pairs(model, corpus, terms, lambda *progress: done.append(progress))
        assert quick.numpy() == pytest.approx(expected, rel=1e-5)
        assert done[-1][0] == done[-1][1]
        if torch.cuda.is_available():
            there = all_pairs(model.cuda(), corpus, terms.cuda(), lambda *progress: None)
            assert there.cpu().numpy() == pytest.approx(expected, rel=1e-4)
            model.cpu()
    rows, columns = np.array([0, 4, 4, 2]), np.array([2, 0, 1, 1])
    some = pair_likelihoods(model, corpus, terms, rows, columns)
    assert some.numpy() == pytest.approx(expected[rows, columns], rel=1e-5)


@pytest.mark.parametrize("make", KINDS)
def test_a_temperature_divides_the_logits(make):
    model = make()
    packed = Corpus(SENTENCES).pack()
    images = torch.from_numpy(features(len(SENTENCES), model))
    before = model(packed, model.image_terms(images))
    model.divide_logits(1.5)
    assert torch.allclose(
        model(packed, model.image_terms(images)), before / 1.5, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("make", KINDS)
def test_all_weights_learn_and_dropout_is_used(make):
    model = make().requires_grad_(True)
    packed = Corpus(SENTENCES).pack()
    images = torch.from_numpy(features(len(SENTENCES), model))

    def logits(dropout):
        return model(packed, model.image_terms(images, dropout), dropout)

    logits(None).logsumexp(1).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters() if p.numel())
    assert not torch.equal(logits(Dropout(DropoutShares(), 1)), logits(None))
    assert torch.equal(logits(Dropout(DropoutShares(0, 0, 0), 1)), logits(None))


@pytest.mark.parametrize("make", JOINT)
def test_sentences_are_ranked_by_how_much_likelier_the_image_makes_them(make):
    """log P(s | I) - log P(s), P(s) the mean over training images; images by log P(s | I)."""
    model = make()
    images, prior = features(3, model), np.random.default_rng(5).random((7, D), dtype=np.float32)
    corpus = Corpus(SENTENCES)

    def scored(rows):
        every = np.empty((len(corpus), len(rows)))
        for image in range(len(rows)):
            pairs = Pairs(corpus, np.full(len(corpus), image), rows)
            every[:, image] = [s.logprobs.sum().item() for s in score_words(model, pairs)]
        return every

    expected = scored(images)
    log_prior = np.logaddexp.reduce(scored(prior), axis=1) - math.log(7)
    pairs = Pairs(corpus, np.zeros(len(corpus), np.int64), images)
    ranker = NeuralRanker(model, prior, 1e9)
    by_sentence, by_image = ranker.ranks(pairs, lambda what, unit: nullcontext(lambda *_: None))
    assert by_sentence == pytest.approx(expected, rel=1e-5)
    assert by_image == pytest.approx(expected - log_prior[:, None], rel=1e-4, abs=1e-4)


def test_words_that_image_and_sentence_disagree_about_keep_their_scores():
    """A hundred nats apart: exponentials of 32 bits would vanish."""
    model = LogBilinear(ModelConfig(6, 1, embedding=2)).requires_grad_(False)
    for weight in model.parameters():
        weight.zero_()
    model.wo[4], model.wo[5] = torch.tensor([20.0, 0]), torch.tensor([0, 20.0])
    model.maps[0] = 0.5  # word 4 before: word 4 again
    terms = torch.tensor([[0.0, 10.0], [10.0, 0.0]])  # the first image is of word 5
    corpus = Corpus([[4, 4, 5, 5]])
    expected = log_likelihoods(model, corpus, terms)
    found = all_pairs(model, corpus, terms, lambda done, total: None)
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-5)
