"""ONNX graphs without weights, written as bytes: ONNX Runtime binds the weights when it opens them.

A graph is a protobuf message (onnx.proto3, IR version 9); of that format only what our graphs need
is written here, so that the package `onnx` is needed neither to make them nor to use them. Of other
people's graphs only what says where their weights lie is read, so that these can be put into them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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


# Fields of ModelProto, GraphProto, TensorProto and StringStringEntryProto, and a TensorProto's
# DataLocation.
_GRAPH, _INITIALIZER, _NAME, _RAW, _ENTRIES, _WHERE = 7, 5, 8, 9, 13, 14
_KEY, _VALUE = 1, 2
_ELSEWHERE = 1

Field = tuple[int, memoryview | int, memoryview]  # number, value, and all of it as it is written


def locations(content: bytes) -> set[str]:
    """The files that weights of a graph lie in, as it names them; raises ValueError."""
    return {
        _text_of(_place(tensor).get("location", b""))
        for number, value, _ in _fields(memoryview(content))
        if number == _GRAPH
        for inside, tensor, _ in _fields(value)
        if inside == _INITIALIZER and _is_elsewhere(tensor)
    }


def with_weights(content: bytes, weights: bytes) -> bytes:
    """A graph with the weights that lie in another file, which is given; all else stays.

    Raises ValueError where the file does not have them.
    """
    found: list[bytes | memoryview] = []
    for number, value, raw in _fields(memoryview(content)):
        if number != _GRAPH:
            found.append(raw)
            continue
        inside = [
            _packed(part, weights) if of == _INITIALIZER and _is_elsewhere(part) else (as_it_is,)
            for of, part, as_it_is in _fields(value)
        ]
        pieces = [piece for pieces in inside for piece in pieces]
        found += [_key(_GRAPH, sum(map(len, pieces))), *pieces]
    return b"".join(found)


def _packed(tensor: memoryview | int, weights: bytes) -> tuple[bytes | memoryview, ...]:
    """An initializer with its numbers, as pieces: they may be large."""
    kept = [raw for number, _, raw in _fields(tensor) if number not in (_RAW, _ENTRIES, _WHERE)]
    place = _place(tensor)
    first = _number_of(place.get("offset", b"0"))
    last = first + _number_of(place["length"]) if "length" in place else len(weights)
    if not 0 <= first <= last <= len(weights):
        name = b"".join(v for n, v, _ in _fields(tensor) if n == _NAME and not isinstance(v, int))
        what = _text_of(name) or "a weight"
        raise ValueError(f"{what} should lie at bytes {first:,} to {last:,} of {len(weights):,}")
    numbers = memoryview(weights)[first:last]
    size = sum(map(len, kept)) + len(_key(_RAW, len(numbers))) + len(numbers)
    return _key(_INITIALIZER, size), *kept, _key(_RAW, len(numbers)), numbers


def _is_elsewhere(tensor: memoryview | int) -> bool:
    return any(number == _WHERE and value == _ELSEWHERE for number, value, _ in _fields(tensor))


def _place(tensor: memoryview | int) -> dict[str, bytes]:
    """What a tensor says of the place of its numbers: location, offset, length."""
    found = {}
    for number, entry, _ in _fields(tensor):
        if number == _ENTRIES:
            said = {of: value for of, value, _ in _fields(entry) if not isinstance(value, int)}
            found[_text_of(bytes(said.get(_KEY, b"")))] = bytes(said.get(_VALUE, b""))
    return found


def _fields(message: memoryview | int) -> Iterator[Field]:
    """The fields of a message, in order; raises ValueError where it is none."""
    if isinstance(message, int):
        raise ValueError("a number where a message should be")
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        value: memoryview | int
        if key & 7 == 0:
            value, at = _read_varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            if key & 7 == 2:
                size, at = _read_varint(message, at)
            if size is None or at + size > len(message):
                raise ValueError("cut short, or no ONNX file")
            value, at = message[at : at + size], at + size
        yield key >> 3, value, message[start:at]


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("cut short, or no ONNX file")


def _key(field: int, size: int) -> bytes:
    return _varint(field << 3 | 2) + _varint(size)


def _text_of(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _number_of(content: bytes) -> int:
    return int(content) if content.isdigit() and len(content) < 20 else -1
