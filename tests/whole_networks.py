"""Small networks in 8 bits, and the same written out in NumPy with whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convolutions import convolved
from mrnn.images.efficientnet import Block, Convolution
from mrnn.images.eight_bits import CODE, PAIR, pair_sums, sum_of
from mrnn.images.networks import network

SIDE = 9


def stages() -> tuple[Block, ...]:
    """Every kind of layer: strides, odd sides, depthwise kernels of 3 and 5, a sum."""
    low = Convolution("low", "", 6, 6, 3, groups=6)
    thin = Convolution("thin", "", 6, 5, 1, relu6=False)
    wide = Convolution("wide", "", 5, 9, 1)
    deep = Convolution("deep", "", 9, 9, 5, groups=9)
    back = Convolution("back", "", 9, 5, 1, relu6=False)
    return (
        Block((Convolution("stem", "", 3, 6, 3, stride=2),)),
        Block((low, thin)),
        Block((wide, deep, back), residual=True),
        Block((Convolution("head", "", 5, 7, 1),)),
    )


def lite() -> tuple[Block, ...]:
    """EfficientNet-Lite0's."""
    return network("efficientnet-lite0").blocks


def drawn(blocks: Sequence[Block], seed: int) -> dict[str, np.ndarray]:
    """Arrays of a network in 8 bits such that no layer dies; pairs of weights go to the end."""
    draw = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    for block in blocks:
        for c in block.convolutions:
            weight = np.clip(draw.normal(0, 45, c.weight_shape).round(), -CODE, CODE)
            if c.groups == 1:
                for sign in (1, -1):
                    most = max(pair_sums(sign * weight).max(), 1)
                    weight = np.trunc(weight * min(1.0, PAIR / most))
            fan_in = np.prod(c.weight_shape[1:])
            step = draw.uniform(0.8, 1.2, c.outputs) * (2 / fan_in) ** 0.5 / 45
            found[f"{c.name}.weight"] = weight.astype(np.int8)
            found[f"{c.name}.step"] = step.astype(np.float32)
            found[f"{c.name}.bias"] = draw.normal(0.2, 0.3, c.outputs).astype(np.float32)
            found[f"{c.name}.range"] = _range(6, 0) if c.relu6 else _range(8, 128)
        if block.residual:
            found[f"{sum_of(block)}.range"] = _range(12, 120)
    return found


def _range(width: float, middle: int) -> np.ndarray:
    return np.array([width / 255, middle], dtype=np.float32)


def naive(
    arrays: dict[str, np.ndarray], blocks: Sequence[Block], codes: np.ndarray, entering: np.ndarray
) -> np.ndarray:
    """Codes (B, 3, S, S) of 0..255, and their step and middle, to positions (B, D, H, W).

    Sums are exact: whole numbers in float64.
    """
    for block in blocks:
        entered, entered_range = codes, entering
        for c in block.convolutions:
            codes = _layer(arrays, c, codes, entering)
            entering = arrays[f"{c.name}.range"]
        if block.residual:
            one = (entered - entered_range[1]) * entered_range[0].astype(np.float64)
            other = (codes - entering[1]) * entering[0].astype(np.float64)
            entering = arrays[f"{sum_of(block)}.range"]
            codes = np.clip(np.rint((one + other) / entering[0]) + entering[1], 0, 255)
    return (codes - entering[1]) * entering[0]


def _layer(
    arrays: dict[str, np.ndarray], c: Convolution, codes: np.ndarray, entering: np.ndarray
) -> np.ndarray:
    step, leaving = arrays[f"{c.name}.step"].astype(np.float64), arrays[f"{c.name}.range"]
    bias = np.rint(arrays[f"{c.name}.bias"] / (entering[0] * step))
    sums = convolved(
        codes - entering[1], arrays[f"{c.name}.weight"], bias, c.stride, c.padding(codes.shape[2])
    )
    scale = entering[0] * arrays[f"{c.name}.step"] / leaving[0]
    scaled = sums.astype(np.float32) * scale[:, None, None]  # in float32, as ONNX Runtime does
    return np.clip(np.rint(scaled) + leaving[1], 0, 255)
