"""Tiny ONNX networks, written as protobuf bytes by hand: the package `onnx` is not needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FLOAT, UINT8 = 1, 2  # of TensorProto.DataType
Shape = Sequence[int | str | None]

_INT, _INTS = 2, 7  # of AttributeProto.AttributeType


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value % 128 + 128)
        value //= 128
    return bytes([*found, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, *values: bytes | str) -> bytes:
    contents = [v.encode() if isinstance(v, str) else v for v in values]
    return b"".join(_varint(field << 3 | 2) + _varint(len(c)) + c for c in contents)


def _described(name: str, shape: Shape, kind: int) -> bytes:
    dims = [_number(1, n) if isinstance(n, int) else _bytes(2, n) if n else b"" for n in shape]
    tensor = _number(1, kind) + _bytes(2, _bytes(1, *dims))
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int | Sequence[int]) -> bytes:
    listed = []
    for name, value in attributes.items():
        if isinstance(value, int):
            listed.append(_bytes(1, name) + _number(3, value) + _number(20, _INT))
        else:
            numbers = b"".join(_number(8, v) for v in value)
            listed.append(_bytes(1, name) + numbers + _number(20, _INTS))
    return _bytes(1, *inputs) + _bytes(2, output) + _bytes(4, kind) + _bytes(5, *listed)


def weight(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_number(1, n) for n in values.shape)
    raw = values.astype(np.float32).tobytes()
    return dims + _number(2, FLOAT) + _bytes(8, name) + _bytes(9, raw)


def weight_elsewhere(name: str, shape: Sequence[int], location: str) -> bytes:
    dims = b"".join(_number(1, n) for n in shape)
    entry = _bytes(1, "location") + _bytes(2, location)
    return dims + _number(2, FLOAT) + _bytes(8, name) + _bytes(13, entry) + _number(14, 1)


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[tuple[str, Shape, int]],
    outputs: Sequence[tuple[str, Shape, int]],
    weights: Sequence[bytes] = (),
) -> bytes:
    graph = _bytes(1, *nodes) + _bytes(2, "tiny") + _bytes(5, *weights)
    graph += _bytes(11, *(_described(*i) for i in inputs))
    graph += _bytes(12, *(_described(*o) for o in outputs))
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13))


def tiny(
    outputs: Sequence[str] = ("feature",),
    batch: int | str | None = "B",
    size: int | str | None = 8,
    weights: np.ndarray | None = None,
) -> bytes:
    """Means of squares of 4 x 4 pixels ("map": (B, 3, 2, 2)), and their mean times a matrix."""
    matrix = np.arange(15).reshape(3, 5) / 10 if weights is None else weights
    shapes = {
        "map": [batch, 3, None, None],
        "feature": [batch, matrix.shape[1]],
        "mean": [batch, 3],
    }
    nodes = [
        node("Mul", ["pixels", "pixels"], "squares"),
        node("AveragePool", ["squares"], "map", kernel_shape=[4, 4], strides=[4, 4]),
        node("GlobalAveragePool", ["map"], "pooled"),
        node("Flatten", ["pooled"], "mean"),
        node("MatMul", ["mean", "matrix"], "feature"),
    ]
    return model(
        nodes,
        [("pixels", [batch, 3, size, size], FLOAT)],
        [(name, shapes[name], FLOAT) for name in outputs],
        [weight("matrix", matrix)],
    )
