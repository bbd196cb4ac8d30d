"""The networks that learn: equal to their NumPy side, word for word; and that they do learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mrnn.config import DropoutShares, ModelConfig, TrainConfig
from mrnn.evaluation.ranks import image_ranks, sentence_ranks
from mrnn.reproduction.baselines import joint_embedding, log_bilinear, simple_rnn
from mrnn.reproduction.baselines.joint_embedding import JointEmbedding, word_vectors
from mrnn.reproduction.learners import likelihood
from mrnn.reproduction.learners.joint_embedding import (
    MARGIN,
    averaging_words,
    hinge_rank_loss,
    learned,
    reading_words,
)
from mrnn.reproduction.learners.log_bilinear import (
    TrainableFactoredLogBilinear,
    TrainableLogBilinear,
)
from mrnn.reproduction.learners.simple_rnn import TrainableSimpleRNN
from mrnn.scoring.pairs import Pairs
from mrnn.scoring.word_scores import perplexity, score_words
from mrnn.training.network import Dropout, TrainableMRNN
from mrnn.words.packing import Corpus

V, D = 11, 6
SENTENCES = [[4, 5, 6, 7, 8, 9, 10, 4], [5], [], [4, 5, 4, 5, 4, 5, 6], [4, 5, 6]]
SIZES = ModelConfig(V, D, embedding=4, recurrent=5, multimodal=7)
BLIND = ModelConfig(V, 0, embedding=4, recurrent=5, multimodal=7)

KINDS = [
    pytest.param(TrainableLogBilinear, log_bilinear.shapes, BLIND, id="LBL"),
    pytest.param(TrainableLogBilinear, log_bilinear.shapes, SIZES, id="MLBL-B"),
    pytest.param(TrainableFactoredLogBilinear, log_bilinear.factored_shapes, SIZES, id="MLBL-F"),
    pytest.param(TrainableSimpleRNN, simple_rnn.shapes, BLIND, id="simple RNN"),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(kind, config):
    """As it is drawn and some way from there, lest anything be zero."""
    network = kind(config).initialise(generator())
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.03 * torch.randn(weight.shape, generator=generator(1)))
    return network


def features(config: ModelConfig) -> np.ndarray:
    rows = np.random.default_rng(2).random((len(SENTENCES), D), dtype=np.float32)
    return rows[:, : config.feature]


def pairs_of(config: ModelConfig) -> Pairs:
    return Pairs(Corpus(SENTENCES), np.arange(len(SENTENCES)), features(config))


def logits_of(network, pairs: Pairs, dropout: Dropout | None = None) -> torch.Tensor:
    packed = pairs.corpus.pack()
    every = np.arange(len(pairs.corpus))
    terms = network.image_terms(torch.from_numpy(pairs.features_of(every, packed)), dropout)
    return network(packed, terms, dropout)


@pytest.mark.parametrize(("kind", "shapes", "config"), KINDS)
def test_the_model_that_is_used_is_the_network_that_learned(kind, shapes, config):
    network, pairs = made(kind, config), pairs_of(config)
    packed = pairs.corpus.pack()
    logp = logits_of(network, pairs).log_softmax(1).detach().numpy()
    said = packed.by_sentence(np.take_along_axis(logp, packed.targets[:, None], 1)[:, 0])
    model = network.trained()
    for scores, expected in zip(score_words(model, pairs), said, strict=True):
        # Words of -50 nats: a few of float32's last digits, which processors round otherwise.
        assert scores.logprobs == pytest.approx(expected, abs=1e-5, rel=4e-7)
    assert {name: weight.shape for name, weight in model.weights.items()} == shapes(config)
    assert {weight.dtype for weight in model.weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("kind", "shapes", "config"), KINDS)
def test_a_trained_model_stays_as_it_is_when_learning_goes_on(kind, shapes, config):
    network = made(kind, config)
    model = network.trained()
    before = {name: weight.copy() for name, weight in model.weights.items()}
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(1)
    assert all(np.array_equal(model.weights[name], weight) for name, weight in before.items())


@pytest.mark.parametrize(("kind", "shapes", "config"), KINDS)
def test_a_temperature_divides_the_logits(kind, shapes, config):
    network, pairs = made(kind, config), pairs_of(config)
    before = logits_of(network, pairs)
    network.divide_logits(1.5)
    assert torch.allclose(logits_of(network, pairs), before / 1.5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "shapes", "config"), KINDS)
def test_all_weights_learn_and_dropout_is_used(kind, shapes, config):
    network, pairs = made(kind, config), pairs_of(config)
    logits_of(network, pairs).logsumexp(1).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters() if p.numel())
    plain = logits_of(network, pairs)
    assert not torch.equal(logits_of(network, pairs, Dropout(DropoutShares(), 1)), plain)
    assert torch.equal(logits_of(network, pairs, Dropout(DropoutShares(0, 0, 0), 1)), plain)


@pytest.mark.parametrize(
    ("kind", "config"),
    [*(pytest.param(*p.values[::2], id=p.id) for p in KINDS), (TrainableMRNN, SIZES)],
)
def test_learning_by_likelihood_lowers_the_perplexity(kind, config):
    """Of sentences that begin with what their picture shows, where pictures are seen."""
    about = np.arange(60) % 3
    shown = np.eye(3, D, dtype=np.float32)[about]
    corpus = Corpus([[4 + k, 7, 8] for k in about])
    pairs = Pairs(corpus, np.arange(60), shown[:, : config.feature])
    settings = TrainConfig(
        epochs=40,
        patience=40,
        batch=4,
        learning_rate=0.03,
        l2=0,
        dropout=DropoutShares(0, 0, 0),
    )
    steps = []
    model = likelihood.learned(
        kind, config, pairs, pairs, settings, "cpu", lambda *step: steps.append(step)
    )
    assert steps == [(n, 450) for n in range(1, 451)]  # of the 40 epochs, three quarters
    # Four words a sentence, of which only the first can surprise, and only those who are blind.
    least = 1 if config.feature else 3 ** (1 / 4)
    assert perplexity(model, pairs) == pytest.approx(least, abs=0.05)


def test_the_best_epoch_on_dev_is_kept_with_its_temperature(monkeypatch):
    """The third of six epochs is told to be the best, at 1.5."""
    networks = []

    def told(network, dev):
        networks.append({n: w.clone() for n, w in network.state_dict().items()})
        return (1.0 if len(networks) == 3 else 2.0), (1.5 if len(networks) == 3 else 1.0)

    monkeypatch.setattr("mrnn.training.fit.calibrate", told)
    pairs, config = pairs_of(BLIND), TrainConfig(epochs=8, patience=8)
    model = likelihood.learned(
        TrainableSimpleRNN, BLIND, pairs, pairs, config, "cpu", lambda *step: None
    )
    assert len(networks) == 6
    for name, weight in model.weights.items():
        divisor = 1.5 if name in ("wo", "wo_bias") else 1
        assert weight == pytest.approx(networks[2][name].numpy() / divisor)
    assert not torch.equal(networks[2]["ur"], networks[5]["ur"])


def test_learning_that_comes_to_nothing_gives_no_model(monkeypatch):
    monkeypatch.setattr("mrnn.training.fit.calibrate", lambda *_: (float("inf"), 1.0))
    pairs = pairs_of(BLIND)
    found = likelihood.learned(
        TrainableSimpleRNN, BLIND, pairs, pairs, TrainConfig(epochs=2), "cpu", lambda *step: None
    )
    assert found is None


def test_the_seed_decides():
    pairs, found = pairs_of(SIZES), []
    for seed in (1, 1, 2):
        config = TrainConfig(epochs=2, seed=seed)
        model = likelihood.learned(
            TrainableLogBilinear, SIZES, pairs, pairs, config, "cpu", lambda *step: None
        )
        found.append(model.wo)
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_the_loss_by_hand():
    scores = torch.tensor([[0.5, 0.45, 0.1], [0.3, 0.2, 0.9], [0.0, 0.0, 0.0]])
    wrong = ~torch.eye(3, dtype=torch.bool)
    parts = [MARGIN + 0.45 - 0.5, MARGIN + 0.3 - 0.2, MARGIN + 0.9 - 0.2, MARGIN, MARGIN]
    assert hinge_rank_loss(scores, wrong).item() == pytest.approx(sum(parts) / 3)
    wrong[1, 2] = False  # the same picture: not wrong, too
    assert hinge_rank_loss(scores, wrong).item() == pytest.approx((sum(parts) - parts[2]) / 3)


VECTORS = np.random.default_rng(0).normal(size=(V, 4)).astype(np.float32)
EMBEDDINGS = [
    pytest.param(
        lambda: averaging_words(SIZES, VECTORS, 1),
        joint_embedding.averaging_shapes,
        {"image_map"},
        id="averaged words",
    ),
    pytest.param(
        lambda: reading_words(SIZES, 1),
        joint_embedding.reading_shapes,
        {"image_map", "side.embedding", "side.ur", "side.out"},
        id="sentence RNN",
    ),
]


@pytest.mark.parametrize(("make", "shapes", "names"), EMBEDDINGS)
def test_the_embedding_that_is_used_is_the_one_that_learned(make, shapes, names):
    network, pairs = make(), pairs_of(SIZES)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator(1)))
    packed = pairs.corpus.pack()
    scores = network.sentences(packed) @ network.images(torch.from_numpy(pairs.features)).T
    model = network.trained()
    assert model.scores(pairs)[packed.order] == pytest.approx(scores.detach().numpy(), abs=1e-5)
    assert {name: weight.shape for name, weight in model.weights.items()} == shapes(SIZES)
    network.weights["image_map"].data.add_(1)
    assert not np.array_equal(model.image_map, network.trained().image_map)


@pytest.mark.parametrize(("make", "shapes", "names"), EMBEDDINGS)
def test_what_learns_of_an_embedding(make, shapes, names):
    network, pairs = make(), pairs_of(SIZES)
    after = learned(
        network, True, pairs, pairs, TrainConfig(epochs=3, learning_rate=0.1), lambda *_: None
    )
    before = make().trained().weights
    changed = {n for n, weight in after.weights.items() if not np.array_equal(weight, before[n])}
    assert changed == names
    assert after.learned == sum(after.weights[name].size for name in names)


@pytest.mark.parametrize("kind", ["words", "rnn"])
def test_an_embedding_learns(kind):
    """Six kinds of pictures, each with words of its own."""
    rng = np.random.default_rng(0)
    about = np.arange(120) % 6
    shown = (np.eye(6)[about] + 0.1 * rng.random((120, 6))).astype(np.float32)
    corpus = Corpus([[4 + k, 10 + k] for k in about])
    train = Pairs(corpus, np.arange(120), shown)
    dev = Pairs(Corpus([[4 + k, 10 + k] for k in range(6)]), np.arange(6), np.eye(6, dtype="f4"))
    sizes = ModelConfig(16, 6, embedding=8, recurrent=8)
    if kind == "words":
        network = averaging_words(sizes, word_vectors(corpus, 16, 8), 0)
    else:
        network = reading_words(sizes, 0)
    steps = []
    settings = TrainConfig(epochs=150, learning_rate=0.02)
    model = learned(network, kind == "rnn", train, dev, settings, lambda *s: steps.append(s))
    assert steps == [(n, 150) for n in range(1, 151)]  # one update an epoch
    scores = model.scores(dev)
    assert sentence_ranks(scores, dev.images).tolist() == [1] * 6
    if kind == "rnn":
        assert image_ranks(scores, dev.images).tolist() == [1] * 6


def test_the_embedding_of_the_best_epoch_on_dev_is_kept(monkeypatch):
    """The second of four epochs is told to be the best."""
    seen = []

    def scores(self: JointEmbedding, pairs: Pairs) -> np.ndarray:
        seen.append(self)
        return np.eye(5) if len(seen) == 2 else 1 - np.eye(5)

    monkeypatch.setattr(JointEmbedding, "scores", scores)
    pairs = pairs_of(SIZES)
    settings = TrainConfig(epochs=4, learning_rate=0.1)
    kept = learned(reading_words(SIZES, 0), True, pairs, pairs, settings, lambda *_: None)
    assert len(seen) == 4
    assert kept is seen[1]
    assert not np.array_equal(seen[1].image_map, seen[3].image_map)
