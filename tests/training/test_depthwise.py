"""Depthwise convolution in bf16 against PyTorch's own, in fp32."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.training import depthwise as module
from mrnn.training.depthwise import depthwise


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5), st.integers(2, 6), st.sampled_from([3, 5]), st.sampled_from([1, 2]),
    st.integers(5, 11), st.integers(5, 11), st.integers(0, 2), st.integers(0, 999),
)  # fmt: skip
def test_gradients_are_those_of_pytorch(
    pictures, channels, kernel, stride, rows, columns, padding, seed
):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(pictures, channels, rows, columns, generator=draw).bfloat16()
    weight = torch.randn(channels, 1, kernel, kernel, generator=draw).bfloat16()
    bias = torch.randn(channels, generator=draw).bfloat16()
    ours = [t.float().requires_grad_() for t in (x, weight, bias)]
    theirs = [t.float().requires_grad_() for t in (x, weight, bias)]
    found = depthwise(*ours, stride, (padding, padding))
    expected = F.conv2d(*theirs, stride, padding, groups=channels)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.02)
    wanted = torch.randn(expected.shape, generator=draw).bfloat16()
    found.backward(wanted)
    expected.backward(wanted.float())
    for one, other in zip(ours, theirs, strict=True):
        assert one.grad.dtype == torch.float32
        scale = other.grad.abs().max()
        torch.testing.assert_close(one.grad, other.grad, atol=0.02 * scale.item(), rtol=0.02)


def test_a_picture_that_needs_no_gradient_gets_none():
    weight = torch.ones(2, 1, 3, 3, requires_grad=True)
    depthwise(torch.ones(1, 2, 5, 5), weight, torch.zeros(2), 1, (1, 1)).sum().backward()
    assert weight.grad[0, 0].tolist() == [[16, 20, 16], [20, 25, 20], [16, 20, 16]]


def test_with_many_positions_it_is_left_to_pytorch(monkeypatch):
    asked = []
    monkeypatch.setattr(module.F, "conv2d", lambda *a, **k: asked.append(a[0].shape))
    monkeypatch.setattr(module._Depthwise, "apply", lambda *a: asked.append("ours"))
    weight = torch.ones(2, 1, 3, 3)
    for side in (20, 21):
        depthwise(torch.ones(1, 2, side, side), weight, torch.zeros(2), 1, (1, 1))
    assert asked == ["ours", (1, 2, 21, 21)]


@pytest.mark.parametrize("stride", [1, 2])
def test_taps_say_which_positions_meet(stride):
    taps = module._taps(6, 3, stride, 1)
    for leaving in range(taps.shape[1]):
        for tap in range(3):
            entering = leaving * stride - 1 + tap
            met = taps[:, leaving, tap].nonzero().flatten().tolist()
            assert met == ([entering] if 0 <= entering < 6 else [])
