"""The network that learns against the equations of the paper, written out naively."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny_model
from mrnn.config import DropoutShares, ModelConfig
from mrnn.model.mrnn import G2_BOUND, shapes
from mrnn.training.network import Dropout, TrainableMRNN, g2, recurrence
from mrnn.words.packing import Corpus
from mrnn.words.text import END, START

SENTENCES = [[5, 6], [7, 8, 9, 5, 6], [], [11], [4, 4, 10]]
SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(lambda s: sorted(s, reverse=True))


@torch.no_grad()
def random_network(feature=6, seed=3):
    """A tiny network in float64 with all parameters random, biases too."""
    network = TrainableMRNN.of(tiny_model(feature=feature)).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return network


def features(rows, size=6, seed=1):
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)).double()


def naive_logits(p, sentence, feature, norm):
    """Eq. 2-4 word by word, from parameters by name: (L + 1, V)."""
    image = p["vi"] @ (feature / feature.norm() * norm)
    r = torch.zeros(len(p["ur"])).double()
    rows = []
    for word in [START, *sentence]:
        w = p["we"] @ p["embedding"][word] + p["we_bias"]
        r = (p["ur"] @ r + w).clamp(min=0)
        x = p["vw"] @ w + p["vw_bias"] + p["vr"] @ r + image
        m = 1.7159 * torch.tanh(2 * x / 3)
        rows.append(p["wo"] @ m + p["wo_bias"])
    return torch.stack(rows)


@pytest.mark.parametrize("feature", [6, 0])
def test_logits_and_gradients_equal_the_equations(feature):
    network = random_network(feature)
    images = features(len(SENTENCES), feature)
    packed = Corpus(SENTENCES).pack()
    logits = network(packed, network.image_terms(images[packed.order]))
    F.cross_entropy(logits, torch.from_numpy(packed.targets)).backward()

    twin = {name: p.detach().clone().requires_grad_(True) for name, p in network.named_parameters()}
    naive = [
        naive_logits(twin, s, image, network.config.feature_norm)
        for s, image in zip(SENTENCES, images, strict=True)
    ]
    targets = torch.tensor([word for s in SENTENCES for word in (*s, END)])
    F.cross_entropy(torch.cat(naive), targets).backward()

    for ours, theirs in zip(packed.by_sentence(logits.detach().numpy()), naive, strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), theirs.detach())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, twin[name].grad, msg=lambda m, n=name: n + m)


def naive_recurrence(w, ur, sizes):
    r, rows = torch.zeros_like(w[: sizes[0]]), []
    for step in w.split(sizes):
        r = (r[: len(step)] @ ur.T + step).relu()
        rows.append(r)
    return torch.cat(rows)


@given(SIZES, st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_recurrence_equals_a_naive_loop(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(sum(sizes), 3, generator=generator).double().requires_grad_(True)
    ur = torch.randn(3, 3, generator=generator).double().requires_grad_(True)
    grad = torch.randn(sum(sizes), 3, generator=generator).double()
    kept = w.detach().clone()
    ours, naive = recurrence(w, ur, sizes), naive_recurrence(w, ur, sizes)
    torch.testing.assert_close(ours, naive)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (w, ur), grad), torch.autograd.grad(naive, (w, ur), grad)
    )
    assert w.equal(kept)


@pytest.mark.parametrize("sizes", [(1,), (3,), (2, 2), (4, 2, 2, 1), (1, 1, 1)])
def test_recurrence_gradient_is_numerically_right(sizes):
    generator = torch.Generator().manual_seed(sum(sizes))
    w = torch.randn(sum(sizes), 3, generator=generator).double().requires_grad_(True)
    ur = torch.randn(3, 3, generator=generator).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda *x: recurrence(*x, sizes), (w, ur))


# Weights


def test_all_weights_learn_and_are_named_as_in_a_bundle():
    config = ModelConfig(vocabulary=50)
    network = TrainableMRNN(config)
    found = {name: tuple(p.shape) for name, p in network.named_parameters()}
    assert list(found.items()) == list(shapes(config).items())  # checkpoints count on the order
    assert all(p.requires_grad for p in network.parameters())
    assert not any(p.any() for p in network.parameters())


def test_initial_weights_depend_on_the_seed_alone():
    def drawn(seed):
        network = TrainableMRNN(tiny_model().config)
        return network.initialise(torch.Generator().manual_seed(seed))

    first, again, other = drawn(1), drawn(1), drawn(2)
    for name, parameter in first.named_parameters():
        assert parameter.equal(again.get_parameter(name))
        assert parameter.isfinite().all()
    assert not first.wo.equal(other.wo)
    assert first.ur.equal(torch.eye(5))
    for bias in (first.we_bias, first.vw_bias, first.wo_bias):
        assert not bias.any()


def test_the_first_weights_are_drawn_in_the_order_of_ever():
    """Runs that were interrupted long ago are gone on with where they begin with the same."""
    network = TrainableMRNN(tiny_model().config).initialise(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    drawn = torch.empty(12, 4).normal_(0, 0.1, generator=generator)
    torch.testing.assert_close(network.embedding.detach(), drawn)
    for name in ("we", "vw", "vr", "vi", "wo"):
        weight = network.get_parameter(name).detach()
        share = torch.rand(weight.shape, generator=generator)
        torch.testing.assert_close(weight, (2 * share - 1) / math.sqrt(weight.shape[1]))


def test_a_model_goes_on_learning_with_a_copy_of_its_weights():
    model = tiny_model(seed=4)
    network = TrainableMRNN.of(model)
    assert network.config == model.config
    for name, weight in model.weights.items():
        assert np.array_equal(network.get_parameter(name).detach().numpy(), weight)
    before = model.wo.copy()
    network.divide_logits(2)
    assert np.array_equal(model.wo, before)


def test_what_was_trained_is_a_copy_too():
    network = TrainableMRNN.of(tiny_model(seed=4))
    model = network.trained()
    for name, weight in tiny_model(seed=4).weights.items():
        assert np.array_equal(model.weights[name], weight)
        assert model.weights[name].dtype == np.float32
    network.divide_logits(2)
    assert np.array_equal(model.wo, tiny_model(seed=4).wo)
    assert {w.dtype for w in network.double().trained().weights.values()} == {np.dtype("float32")}


def test_logits_are_divided_for_good():
    network, packed = random_network(), Corpus(SENTENCES).pack()
    terms = network.image_terms(features(len(SENTENCES)))
    before = network(packed, terms)
    network.divide_logits(1.6)
    torch.testing.assert_close(network(packed, terms), before / 1.6)


# Its parts


def test_g2_has_the_papers_constants():
    x = torch.tensor([-100, -1.5, -1, 0, 0.5, 1, 1.5, 3, 100])
    expected = [1.7159 * math.tanh(2 * v / 3) for v in x.tolist()]
    assert g2(x).tolist() == pytest.approx(expected, abs=1e-6)


def test_g2_never_leaves_its_bound():
    x = torch.tensor([-torch.inf, -1e30, -50.0, -9.0, 0.0, 9.0, 50.0, 1e30, torch.inf])
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        assert g2(x.to(kind)).abs().max().item() <= torch.tensor(G2_BOUND, dtype=kind).item()
    assert g2(x)[[0, 4, -1]].tolist() == pytest.approx([-1.7159, 0, 1.7159])


def test_the_length_of_an_image_feature_does_not_matter():
    network, images = random_network(), features(3)
    terms = network.image_terms(images)
    torch.testing.assert_close(network.image_terms(images * 7), terms)
    torch.testing.assert_close(
        terms, F.linear(30 * images / images.norm(dim=1, keepdim=True), network.vi)
    )
    assert network.image_terms(torch.zeros(1, 6)).eq(0).all()


def test_without_a_feature_the_image_has_no_say():
    terms = random_network(feature=0).image_terms(torch.empty(4, 0))
    assert terms.shape == (4, 7)
    assert terms.eq(0).all()


# Dropout


def test_dropout_zeroes_a_share_and_keeps_the_mean():
    x = torch.ones(500, 400)
    for share in (0.1, 0.3, 0.5, 0.9):
        y = Dropout(DropoutShares(), seed=1)(x, share)
        assert (y == 0).float().mean().item() == pytest.approx(share, abs=0.005)
        assert y.mean().item() == pytest.approx(1, abs=0.02)
        assert len(y.unique()) == 2


def test_no_dropout_changes_nothing():
    dropout, x = Dropout(DropoutShares(), seed=1), torch.randn(5, 4)
    assert dropout(x, 0.0) is x
    assert dropout(x[:, :0], 0.5).shape == (5, 0)


def test_dropout_follows_its_seed():
    x = torch.ones(40, 50)
    dropout, same, other = (Dropout(DropoutShares(), seed) for seed in (1, 1, 2))
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    assert same(x, 0.5).equal(first)
    assert same(x, 0.5).equal(second)
    assert not first.equal(second)
    assert not other(x, 0.5).equal(first)


def test_dropout_reaches_words_image_and_multimodal_layer():
    network, images = random_network(), features(len(SENTENCES))
    packed = Corpus(SENTENCES).pack()

    def forward(dropout=None):
        return network(packed, network.image_terms(images, dropout), dropout)

    plain = forward()
    for share in ("words", "image", "multimodal"):
        shares = DropoutShares(**{"words": 0, "image": 0, "multimodal": 0, share: 0.5})
        assert not forward(Dropout(shares, 1)).allclose(plain)
    assert forward(Dropout(DropoutShares(0, 0, 0), 1)).equal(plain)


# Learning


def test_weight_decay_is_the_l2_of_eq_6_in_bits():
    # Fit takes the loss in nats and decay = 2 lambda ln 2; eq. 6 has the cost in bits.
    # The gradients differ by the factor ln 2 alone, and Adam without epsilon ignores it.
    l2, theta = 0.03, torch.tensor([0.5, -2.0, 1.5]).double()
    data = torch.tensor([0.3, -0.1, 0.7]).double()

    def nats(x):
        return F.cross_entropy((x * data)[None], torch.tensor([1]))

    coupled, exact = theta.clone().requires_grad_(), theta.clone().requires_grad_()
    decay = 2 * l2 * math.log(2)
    ours = torch.optim.Adam([coupled], lr=0.01, weight_decay=decay, eps=1e-30, fused=True)
    theirs = torch.optim.Adam([exact], lr=0.01, eps=1e-30)
    for _ in range(20):
        ours.zero_grad()
        theirs.zero_grad()
        nats(coupled).backward()
        (nats(exact) / math.log(2) + l2 * exact.square().sum()).backward()
        torch.testing.assert_close(coupled.grad + decay * coupled, exact.grad * math.log(2))
        ours.step()
        theirs.step()
        torch.testing.assert_close(coupled, exact)


def test_bf16_stays_close_to_fp32():
    network = TrainableMRNN.of(tiny_model())
    packed = Corpus(SENTENCES).pack()
    images, targets = features(len(SENTENCES)).float(), torch.from_numpy(packed.targets)

    def run():
        logits = network(packed, network.image_terms(images))
        network.zero_grad()
        F.cross_entropy(logits.float(), targets).backward()
        return logits.float(), {name: p.grad.clone() for name, p in network.named_parameters()}

    logits, gradients = run()
    with torch.autocast("cpu", torch.bfloat16):
        half, half_gradients = run()
    torch.testing.assert_close(half, logits, atol=0.1, rtol=0.05)
    for name, gradient in gradients.items():
        assert half_gradients[name].dtype == torch.float32
        error = (half_gradients[name] - gradient).norm() / gradient.norm().clamp(min=1e-6)
        assert error < 0.1, name
