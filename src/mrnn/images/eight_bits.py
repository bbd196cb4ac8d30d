"""EfficientNet-Lite in whole numbers: how its layers lie in a bundle, and the graph that runs them.

A tensor's numbers are x = step (q - middle), q from 0 to 255; a weight is -127 to 127 steps, one
step a channel; products are added up in 32 bits (Jacob et al. 2018, arXiv:1712.05877). ReLU6 costs
nothing: it is where q ends.

Processors without VNNI instructions add two products in 16 bits, and saturate in silence. So
neighbours among the weights of a sum never go beyond `PAIR` together: no picture's products can
saturate, and the digits are the same on every processor. That costs less than 7 bits for all.

Dimension key: B images, S input side, D feature, H x W positions, O outputs of a convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..onnx_graphs import TYPES, bound, constant, graph, node
from ..weight_files import Shape, check_names
from .efficientnet import Block, Convolution
from .reading import Preprocessing

CODE = 127  # the largest of a weight
PAIR = 128  # the largest sum of two: 255 * 128 fits into 16 bits
LEVELS = 255  # of a tensor
_BIAS = 2**30  # the largest, far from the end of 32 bits
_PIXELS = "pixels"


def kinds(stages: Sequence[Block]) -> dict[str, tuple[Shape, type[np.generic]]]:
    """Shape and type of every array of a network in 8 bits, by its name.

    Of a convolution `<name>.weight`, `.step` of its weights, `.bias` in floats and `.range`: step
    and middle of what comes out; of a sum `<name>+.range`, the last convolution's name.
    """
    found: dict[str, tuple[Shape, type[np.generic]]] = {}
    for stage in stages:
        for c in stage.convolutions:
            found[f"{c.name}.weight"] = (c.weight_shape, np.int8)
            found[f"{c.name}.step"] = ((c.outputs,), np.float32)
            found[f"{c.name}.bias"] = ((c.outputs,), np.float32)
            found[f"{c.name}.range"] = ((2,), np.float32)
        if stage.residual:
            found[f"{sum_of(stage)}.range"] = ((2,), np.float32)
    return found


def sum_of(stage: Block) -> str:
    """The name of what a residual block gives."""
    return f"{stage.convolutions[-1].name}+"


def check(arrays: Mapping[str, np.ndarray], stages: Sequence[Block]) -> None:
    """Raise ValueError unless these are the arrays of such a network, and nothing saturates."""
    expected = kinds(stages)
    check_names(arrays, expected)
    for name, array in arrays.items():
        shape, kind = expected[name]
        if array.shape != shape or array.dtype != kind:
            raise ValueError(
                f"{name!r} is {array.dtype} of shape {array.shape}, not {np.dtype(kind)} of {shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name!r} holds NaN or infinite numbers")
        if not _CHECKS[name.rpartition(".")[2]](array):
            raise ValueError(f"{name!r} holds what no network in 8 bits has")
    for c in (c for stage in stages for c in stage.convolutions):
        if c.groups == 1 and _largest_pair(arrays[f"{c.name}.weight"]) > PAIR:
            raise ValueError(f"'{c.name}.weight' holds neighbours whose sums could saturate")


def _is_range(array: np.ndarray) -> bool:
    step, middle = array.tolist()
    return step > 0 and 0 <= middle <= LEVELS and middle == round(middle)


_CHECKS: Mapping[str, Callable[[np.ndarray], bool]] = {
    "weight": lambda array: bool(array.min() >= -CODE),
    "step": lambda array: bool(array.min() > 0),
    "bias": lambda array: True,
    "range": _is_range,
}


def _largest_pair(weight: np.ndarray) -> int:
    """Of two neighbours of one sign, among weights (O, I, K, K) in the order of their sum."""
    return int(max(pair_sums(sign * weight.astype(np.int16)).max() for sign in (1, -1)))


def pair_sums(weight: np.ndarray) -> np.ndarray:
    """What two neighbours of a sum have together above 0: (O, I, K, K) to (O, pairs)."""
    rows = np.maximum(weight, 0).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    padded = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    return padded[:, ::2] + padded[:, 1::2]


def as_floats(arrays: Mapping[str, np.ndarray], stages: Sequence[Block]) -> dict[str, np.ndarray]:
    """The weights and biases of the same network in float32, by the names that `fold` gives."""
    found = {}
    for c in (c for stage in stages for c in stage.convolutions):
        step = arrays[f"{c.name}.step"][:, None, None, None]
        found[f"{c.name}.weight"] = arrays[f"{c.name}.weight"] * step
        found[f"{c.name}.bias"] = arrays[f"{c.name}.bias"]
    return found


def bindings(
    arrays: Mapping[str, np.ndarray], stages: Sequence[Block], how: Preprocessing
) -> dict[str, np.ndarray]:
    """What `onnx_graph` wants to be bound: steps, middles, weights, and biases in 32 bits."""
    # Values 0..255 are whole numbers already: pixels lose nothing.
    found = _range(_PIXELS, *(float(np.mean(v)) for v in (1 / np.asarray(how.scale), how.mean)))
    for c, entering, output in _operations(stages):
        found |= _range(output, *arrays[f"{output}.range"])
        if c is None:
            continue
        step = arrays[f"{c.name}.step"]
        unit = found[f"{entering[0]}/step"] * step.astype(np.float64)
        bias = np.rint(arrays[f"{c.name}.bias"] / unit)
        found[f"{c.name}/weight"] = arrays[f"{c.name}.weight"]
        found[f"{c.name}/weight/step"] = step
        found[f"{c.name}/weight/middle"] = np.zeros(len(step), dtype=np.int8)
        found[f"{c.name}/bias"] = np.clip(bias, -_BIAS, _BIAS).astype(np.int32)
    return found


def onnx_graph(stages: Sequence[Block], side: int) -> bytes:
    """Pixels (B, 3, S, S) to positions (B, D, H, W) and feature (B, D), their mean.

    No step is an input of the graph, or ONNX Runtime would leave its whole numbers aside. The mean
    begins as a sum of whole numbers, so that its last digit hangs on no processor.
    """
    nodes = [node("QuantizeLinear", [_PIXELS, *_range_of(_PIXELS)], f"{_PIXELS}/q")]
    weights = _bound_range(_PIXELS)
    positions = side
    for c, entering, output in _operations(stages):
        tensors = [name for t in entering for name in (f"{t}/q", *_range_of(t))]
        weights += _bound_range(output)
        if c is None:
            inputs = [*tensors, *_range_of(output)]
            nodes.append(node("QLinearAdd", inputs, f"{output}/q", "com.microsoft"))
            continue
        weight, bias = f"{c.name}/weight", f"{c.name}/bias"
        inputs = [*tensors, weight, *_range_of(weight), *_range_of(output), bias]
        nodes.append(
            node(
                "QLinearConv",
                inputs,
                f"{output}/q",
                kernel_shape=[c.kernel, c.kernel],
                strides=[c.stride, c.stride],
                group=c.groups,
                auto_pad="SAME_UPPER",
            )
        )
        weights += [
            bound(weight, c.weight_shape, "int8"),
            bound(f"{weight}/step", (c.outputs,)),
            bound(f"{weight}/middle", (c.outputs,), "int8"),
            bound(bias, (c.outputs,), "int32"),
        ]
        positions = -(-positions // c.stride)
    step, middle = _range_of(output)
    nodes += [
        node("DequantizeLinear", [f"{output}/q", step, middle], "positions"),
        node("Cast", [f"{output}/q"], "whole", to=TYPES["int32"]),
        node("Cast", [middle], "middle", to=TYPES["int32"]),
        node("Sub", ["whole", "middle"], "steps"),
        node("ReduceSum", ["steps", "spatial"], "sum", keepdims=0),
        node("Cast", ["sum"], "summed", to=TYPES["float32"]),
        node("Mul", ["summed", step], "scaled"),
        node("Div", ["scaled", "count"], "feature"),
    ]
    constants = [
        constant("spatial", np.array([2, 3])),
        constant("count", np.array(positions**2, dtype=np.float32)),
    ]
    dimension = stages[-1].convolutions[-1].outputs
    outputs = {"feature": ("B", dimension), "positions": ("B", dimension, "H", "W")}
    return graph(nodes, {_PIXELS: ("B", 3, side, side)}, outputs, [*constants, *weights])


def _operations(
    stages: Sequence[Block],
) -> Iterator[tuple[Convolution | None, Sequence[str], str]]:
    """Convolutions and sums (None), the tensors that enter each and the one that comes out."""
    tensor = _PIXELS
    for stage in stages:
        entered = tensor
        for c in stage.convolutions:
            yield c, [tensor], c.name
            tensor = c.name
        if stage.residual:
            yield None, [entered, tensor], sum_of(stage)
            tensor = sum_of(stage)


def _range_of(tensor: str) -> tuple[str, str]:
    return f"{tensor}/step", f"{tensor}/middle"


def _range(tensor: str, step: float, middle: float) -> dict[str, np.ndarray]:
    names = _range_of(tensor)
    return {
        names[0]: np.array(step, dtype=np.float32),
        names[1]: np.array(middle, dtype=np.uint8),
    }


def _bound_range(tensor: str) -> list[bytes]:
    step, middle = _range_of(tensor)
    return [bound(step, ()), bound(middle, (), "uint8")]
