"""Every softmax denominator against logsumexp of the logits in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny_model
from mrnn.devices import has_int8
from mrnn.model import normaliser
from mrnn.model.bundle import load_bundle
from mrnn.model.finding import find_bundle
from mrnn.model.mrnn import G2_BOUND, g2
from mrnn.model.normaliser import fast_normaliser, float_normaliser, int8_normaliser

CPU = torch.device("cpu")
needs_int8 = pytest.mark.skipif(not has_int8(CPU), reason="no 8-bit products here")


def rows(model, count=40, seed=3, spread=3.0):
    """Values of the multimodal layer (R, M), some of them saturated."""
    generator = torch.Generator().manual_seed(seed)
    x = spread * torch.randn(count, model.config.multimodal, generator=generator)
    return g2(x.to(model.wo.dtype))


def precise(model, m):
    logits = m.double() @ model.wo.double().T + model.wo_bias.double()
    return logits.logsumexp(1)


@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0, 1000.0])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_float_normaliser_equals_logsumexp(scale, kind):
    model = tiny_model().to(kind)
    model.wo.mul_(scale)
    model.wo_bias.copy_(torch.linspace(-2, 2, 12))
    m = rows(model)
    kept = m.clone()
    found = float_normaliser(model)(m)
    assert found.dtype == kind
    tolerance = 1e-9 if kind == torch.float64 else 2e-6
    torch.testing.assert_close(found.double(), precise(model, m), rtol=tolerance, atol=1e-5)
    assert m.equal(kept)


@pytest.mark.parametrize("bias", [60.0, 79.9, 81.0, 1e4, -60.0, -79.9, -1e4])
def test_logits_far_from_zero(bias):
    model = tiny_model(vocabulary=9000)
    model.wo.mul_(0.01)
    model.wo_bias.fill_(bias)
    m = rows(model)
    found = float_normaliser(model)(m).double()
    torch.testing.assert_close(found, precise(model, m), rtol=1e-6, atol=1e-5)


def test_both_paths_are_taken():
    """The tests above reach each of them."""
    model = tiny_model()
    assert normaliser._is_safe(model)
    model.wo.mul_(1000)
    assert not normaliser._is_safe(model)
    assert normaliser._is_safe(load_bundle(find_bundle("default")).model)


@needs_int8
def test_int8_is_close_on_the_shipped_model():
    """Within .02 nats, of 8 or so; it is the claim of its docstring."""
    model = load_bundle(find_bundle("default")).model
    m = rows(model, 200, spread=1.0)
    errors = (int8_normaliser(model)(m).double() - precise(model, m)).abs()
    assert errors.max() < 0.02


@needs_int8
@given(st.integers(0, 99), st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([1e-6, 1.0, 100.0]))
@settings(deadline=None, max_examples=60)
def test_int8_errs_by_no_more_than_rounding_can(seed, spread, scale):
    model = tiny_model(seed=seed)
    model.wo.mul_(scale)
    model.wo[5] = 0  # a word without weights
    model.wo_bias.copy_(torch.linspace(-30, 30, 12))
    m = rows(model, 20, seed, spread)
    m[0], m[1] = G2_BOUND, -G2_BOUND
    found, exact = int8_normaliser(model)(m).double(), precise(model, m)
    m_step, steps = G2_BOUND / 127, model.wo.abs().amax(1) / 127
    # Half a step for each factor of each product, and all in the same direction.
    most = (m.abs().sum(1).amax() * steps / 2 + model.wo.abs().sum(1) * m_step / 2).max()
    most += 7 * m_step * steps.max() / 4
    assert (found - exact).abs().max() <= 1.01 * most + 1e-4


@pytest.mark.parametrize("int8", [False, pytest.param(True, marks=needs_int8)])
def test_the_fast_one_is_that_of_8_bits_where_there_are_such_products(monkeypatch, int8):
    asked = []
    monkeypatch.setattr(normaliser, "has_int8", lambda device: asked.append(device) or int8)
    model = tiny_model(vocabulary=37)
    model.wo.mul_(5)
    m = rows(model)
    ours, theirs = int8_normaliser(model)(m) if int8 else None, float_normaliser(model)(m)
    found = fast_normaliser(model)(m)
    assert found.equal(ours if int8 else theirs)
    assert asked == [model.wo.device]
    if int8:
        assert not ours.equal(theirs)


@needs_int8
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_rounding_never_leaves_8_bits(scale):
    """+127 steps must not wrap around to -128: the logit would change its sign."""
    model = tiny_model()
    model.wo.copy_(scale * (torch.arange(12)[:, None] - 6.0).expand(-1, 7))
    m = torch.full((3, 7), G2_BOUND)
    m[1] *= -1
    m[2] = g2(torch.full((7,), 50.0))
    found = int8_normaliser(model)(m)
    torch.testing.assert_close(found.double(), precise(model, m), rtol=1e-5, atol=1e-4)


@needs_int8
def test_int8_takes_any_number_of_rows():
    model = tiny_model(vocabulary=37)
    m = rows(model, 20)
    whole = int8_normaliser(model)(m)
    for count in (0, 1, 3, 17):
        torch.testing.assert_close(int8_normaliser(model)(m[:count]), whole[:count])


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, False),
        ({"avx2": True, "avx512_vnni": False}, False),
        ({"avx512_vnni": True}, True),
        ({"avx_vnni": True}, True),
        ({"amx_int8": True}, True),
    ],
)
def test_8_bit_products_are_found_by_the_processors_instructions(
    monkeypatch, capabilities, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_int8(CPU) is expected
    assert not has_int8(torch.device("cuda"))


def test_no_8_bit_products_where_torch_has_none(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    monkeypatch.delattr(torch, "_int_mm")
    assert not has_int8(CPU)
