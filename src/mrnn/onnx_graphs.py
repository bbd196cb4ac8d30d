"""ONNX graphs without weights, written as bytes: ONNX Runtime binds the weights when it opens them.

A graph is a protobuf message (onnx.proto3, IR version 9); of that format only what our graphs need
is written here, so that the package `onnx` is needed neither to make them nor to use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Attribute = int | str | Sequence[int]
Dimensions = Sequence[int | str]  # a name stands for any number

_IR, _OPSET = 9, 18
# TensorProto.DataType
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "float16": 10}
_INT, _STRING, _INTS = 2, 3, 7  # AttributeProto.AttributeType


def node(
    kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Attribute
) -> bytes:
    """An operation of the graph."""
    listed = b"".join(_message(5, _attribute(name, a)) for name, a in attributes.items())
    return _text(1, *inputs) + _text(2, output) + _text(4, kind) + listed + _text(7, domain)


def bound(name: str, shape: Sequence[int], kind: str = "float32") -> bytes:
    """A weight that is bound when the graph is opened."""
    place = _text(1, "location") + _text(2, "bound-at-load")
    return _tensor(name, shape, kind) + _message(13, place) + _number(14, 1)


def bound_as(name: str, shape: Sequence[int], kind: str) -> tuple[bytes, bytes]:
    """A float32 weight that is bound as another kind, and the operation that makes it one.

    ONNX Runtime does so while it opens the graph: memory never holds all weights twice.
    """
    stored = stored_name(name)
    return bound(stored, shape, kind), node("Cast", [stored], name, to=TYPES["float32"])


def stored_name(name: str) -> str:
    """The name by which `bound_as` wants a weight to be bound."""
    return f"{name}/stored"


def constant(name: str, value: np.ndarray) -> bytes:
    """A weight that the graph itself holds."""
    return _tensor(name, value.shape, value.dtype.name) + _message(9, value.tobytes())


def graph(
    nodes: Sequence[bytes],
    inputs: Mapping[str, Dimensions],
    outputs: Mapping[str, Dimensions],
    weights: Sequence[bytes],
) -> bytes:
    """The whole graph; inputs and outputs are float32."""
    content = b"".join(_message(1, n) for n in nodes) + _text(2, "mrnn")
    content += b"".join(_message(5, weight) for weight in weights)
    content += b"".join(_message(11, _described(*named)) for named in inputs.items())
    content += b"".join(_message(12, _described(*named)) for named in outputs.items())
    opsets = [_text(1, "") + _number(2, _OPSET), _text(1, "com.microsoft") + _number(2, 1)]
    return _number(1, _IR) + _message(7, content) + b"".join(_message(8, o) for o in opsets)


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, _STRING)
    numbers = b"".join(_number(8, number) for number in value)
    return _text(1, name) + numbers + _number(20, _INTS)


def _tensor(name: str, shape: Sequence[int], kind: str) -> bytes:
    return b"".join(_number(1, n) for n in shape) + _number(2, TYPES[kind]) + _text(8, name)


def _described(name: str, shape: Dimensions) -> bytes:
    sides = [_number(1, n) if isinstance(n, int) else _text(2, n) for n in shape]
    tensor = _number(1, TYPES["float32"]) + _message(2, b"".join(_message(1, s) for s in sides))
    return _text(1, name) + _message(2, _message(1, tensor))


def _text(field: int, *values: str) -> bytes:
    return b"".join(_message(field, value.encode()) for value in values)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value % 128 + 128)
        value //= 128
    return bytes([*found, value])
