"""Depthwise convolution in bf16 whose weights learn.

PyTorch computes all of it fast but the gradient of the weights, which takes twenty times as long as
the rest in bf16 on a CPU. That gradient sums products of what enters at a position with what is
wanted at another, over pictures: here all positions are multiplied with all, a channel a matrix
product, and those that lie a tap of the kernel apart are added up. With the few positions of a
network's last blocks that is little work.

Dimension key: B pictures, C channels, H x W = P positions that enter, Q that leave, K kernel.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_POSITIONS = 400  # that enter; with more, the products of all with all are too many


def depthwise(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: tuple[int, int]
) -> Tensor:
    """The convolution of each channel of x (B, C, H, W) by itself, in bf16, weight (C, 1, K, K)."""
    if x.shape[2] * x.shape[3] > _MOST_POSITIONS or x.device.type != "cpu":
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))
    low = torch.bfloat16
    given = x.to(low), weight.to(low), bias.to(low), stride, padding
    return _Depthwise.apply(*given)  # type: ignore[no-untyped-call]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        entering = None
        if ctx.needs_input_grad[0]:
            entering, _, _ = torch.ops.aten.convolution_backward(
                grad,
                x,
                weight,
                None,
                [ctx.stride] * 2,
                list(ctx.padding),
                [1, 1],
                False,
                [0, 0],
                len(weight),
                [True, False, False],
            )
        by_channel = x.permute(1, 2, 3, 0).flatten(1, 2)  # (C, P, B)
        wanted = grad.permute(1, 0, 2, 3).flatten(2)  # (C, B, Q)
        products = (by_channel @ wanted).flatten(1)  # (C, PQ)
        kernel = weight.shape[-1]
        apart = _apart(x.shape[2], x.shape[3], kernel, ctx.stride, ctx.padding)
        learned = (products @ apart).view_as(weight)
        return entering, learned, grad.float().sum(dim=(0, 2, 3)), None, None


@cache
def _apart(rows: int, columns: int, kernel: int, stride: int, padding: tuple[int, int]) -> Tensor:
    """1 where an entering position meets a leaving one at a tap: (PQ, KK), bf16."""
    down = _taps(rows, kernel, stride, padding[0])
    right = _taps(columns, kernel, stride, padding[1])
    both = torch.einsum("hok,wpl->hwopkl", down, right)
    return both.reshape(-1, kernel * kernel).to(torch.bfloat16)


def _taps(side: int, kernel: int, stride: int, padding: int) -> Tensor:
    """The same along one side: (entering, leaving, K)."""
    leaving = (side + 2 * padding - kernel) // stride + 1
    first = torch.arange(leaving)[None, :, None] * stride - padding
    return (torch.arange(side)[:, None, None] == first + torch.arange(kernel)).float()
