"""Convolutions and what goes with them, written out in NumPy, in float64."""

from __future__ import annotations

import numpy as np


def convolved(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    stride: int = 1,
    zeros: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """(B, C, H, W) by weights (O, C, K, K), or (C, 1, K, K) for each channel by itself.

    `zeros` stand before and after each side.
    """
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), zeros, zeros))
    kernel = weight.shape[2]
    rows, columns = ((side - kernel) // stride + 1 for side in x.shape[2:])
    total = np.zeros((len(x), len(weight), rows, columns))
    for down in range(kernel):
        for right in range(kernel):
            seen = x[:, :, down::stride, right::stride][:, :, :rows, :columns]
            w = weight[:, :, down, right].astype(np.float64)
            if w.shape[1] == 1 < x.shape[1]:
                total += seen * w[:, :, None]
            else:
                total += np.einsum("oc,bchw->bohw", w, seen, optimize=True)
    return total + bias[:, None, None]


def pooled(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """The maximum of kernel x kernel positions of (B, C, H, W), at every `stride`."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    return windows[:, :, ::stride, ::stride].max(axis=(4, 5))
