"""Tiny ONNX networks as users may have them, and what our own writer of graphs cannot write."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mrnn.onnx_graphs import TYPES, _message, _number, _text, constant, graph, node

FLOAT, UINT8, INT64 = TYPES["float32"], TYPES["uint8"], TYPES["int64"]
Shape = Sequence[int | str | None]


def weight_elsewhere(name: str, shape: Sequence[int], location: str, **place: int) -> bytes:
    """A weight that lies in another file, at its `offset` and of its `length` in bytes."""
    dims = b"".join(_number(1, n) for n in shape)
    said = {"location": location, **{key: str(value) for key, value in place.items()}}
    entries = b"".join(_message(13, _text(1, key) + _text(2, v)) for key, v in said.items())
    return dims + _number(2, FLOAT) + _text(8, name) + entries + _number(14, 1)


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[tuple[str, Shape, int]],
    outputs: Sequence[tuple[str, Shape, int]],
    weights: Sequence[bytes] = (),
) -> bytes:
    """A graph of an older version, with inputs and outputs of any kind."""
    content = b"".join(_message(1, n) for n in nodes) + _text(2, "tiny")
    content += b"".join(_message(5, weight) for weight in weights)
    content += b"".join(_message(11, _described(*i)) for i in inputs)
    content += b"".join(_message(12, _described(*o)) for o in outputs)
    return _number(1, 8) + _message(7, content) + _message(8, _text(1, "") + _number(2, 13))


def _described(name: str, shape: Shape, kind: int) -> bytes:
    dims = [_number(1, n) if isinstance(n, int) else _text(2, n) if n else b"" for n in shape]
    tensor = _number(1, kind) + _message(2, b"".join(_message(1, d) for d in dims))
    return _text(1, name) + _message(2, _message(1, tensor))


def tiny(
    outputs: Sequence[str] = ("feature",),
    batch: int | str = "B",
    size: int | str = 8,
    weights: np.ndarray | None = None,
) -> bytes:
    """Means of squares of 4 x 4 pixels ("map": (B, 3, 2, 2)), and their mean times a matrix.

    A side without a name is "".
    """
    matrix = np.arange(15).reshape(3, 5) / 10 if weights is None else weights
    shapes = {"map": (batch, 3, "", ""), "feature": (batch, matrix.shape[1]), "mean": (batch, 3)}
    nodes = [
        node("Mul", ["pixels", "pixels"], "squares"),
        node("AveragePool", ["squares"], "map", kernel_shape=[4, 4], strides=[4, 4]),
        node("GlobalAveragePool", ["map"], "pooled"),
        node("Flatten", ["pooled"], "mean"),
        node("MatMul", ["mean", "matrix"], "feature"),
    ]
    return graph(
        nodes,
        {"pixels": (batch, 3, size, size)},
        {name: shapes[name] for name in outputs},
        [constant("matrix", matrix.astype(np.float32))],
    )
