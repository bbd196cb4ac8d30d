"""Graphs that we write, as a plain reader of protobuf sees them and as ONNX Runtime runs them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.onnx_graphs import (
    TYPES,
    _number,
    bound,
    bound_as,
    constant,
    graph,
    locations,
    node,
    stored_name,
    with_weights,
)
from mrnn.onnx_sessions import open_session
from onnx_models import FLOAT, model, weight_elsewhere

X = np.random.default_rng(0).standard_normal((3, 4), dtype=np.float32)


def number(content: bytes) -> tuple[int, bytes]:
    """The first number, seven bits a byte, and what follows it."""
    value = 0
    for place, byte in enumerate(content):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, content[place + 1 :]
    raise AssertionError("it does not end")


def fields(content: bytes) -> list[tuple[int, int | bytes]]:
    """A message's fields by their numbers, in order: numbers, and bytes of all else."""
    found = []
    while content:
        tag, content = number(content)
        value, content = number(content)
        assert tag & 7 in (0, 2)
        if tag & 7 == 2:
            assert value <= len(content)
            value, content = content[:value], content[value:]
        found.append((tag >> 3, value))
    return found


def run(nodes, weights=(), bindings=None, x=X, shape=("R", "C"), outputs=("y",)):
    """What a graph of `x` gives for y."""
    content = graph(nodes, {"x": shape}, dict.fromkeys(outputs, ()), weights)
    return open_session(content, bindings or {}).run(list(outputs), {"x": x})


@given(st.integers(0, 2**63 - 1), st.integers(1, 2**20))
def test_numbers_of_any_size(value, field):
    assert fields(_number(field, value)) == [(field, value)]


def test_an_operation_is_written_with_its_attributes():
    found = fields(node("Kind", ["a", "b" * 200], "c", "some.where", axis=3, pads=[1, 300], by="é"))
    attributes = [fields(value) for field, value in found if field == 5]
    assert [entry for entry in found if entry[0] != 5] == [
        (1, b"a"), (1, b"b" * 200), (2, b"c"), (4, b"Kind"), (7, b"some.where"),
    ]  # fmt: skip
    assert attributes == [
        [(1, b"axis"), (3, 3), (20, 2)],
        [(1, b"pads"), (8, 1), (8, 300), (20, 7)],
        [(1, b"by"), (4, "é".encode()), (20, 3)],
    ]


def test_a_graph_tells_its_version_and_the_operations_it_uses():
    content = fields(graph([], {}, {}, []))
    assert content[0] == (1, 9)
    opsets = [fields(value) for field, value in content if field == 8]
    assert opsets == [[(1, b""), (2, 18)], [(1, b"com.microsoft"), (2, 1)]]


@pytest.mark.parametrize("shape", [(3, 4), ("R", 4), ("R", "C"), ("", 4)])
def test_sides_are_numbers_or_names_for_any_number(shape):
    content = graph([node("Neg", ["x"], "y")], {"x": shape}, {"y": shape}, [])
    session = open_session(content)
    [found] = session.get_inputs()
    assert found.type == "tensor(float)"
    assert found.shape == [side or None for side in shape]
    for rows in {3, 3 if shape[0] == 3 else 5}:
        x = np.resize(X, (rows, 4))
        assert np.array_equal(session.run(["y"], {"x": x})[0], -x)


def test_attributes_of_all_kinds_reach_the_runtime():
    x = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)
    kernel = constant("kernel", np.ones((1, 1, 3, 3), np.float32))
    nodes = [node("Conv", ["x", "kernel"], "y", auto_pad="SAME_UPPER", strides=[2, 2], group=1)]
    [found] = run(nodes, [kernel], x=x, shape=("B", 1, "H", "W"))
    padded = np.pad(x[0, 0], 1)
    expected = [
        [padded[i : i + 3, j : j + 3].sum() for j in range(0, 5, 2)] for i in range(0, 5, 2)
    ]
    assert np.array_equal(found[0, 0], expected)


@pytest.mark.parametrize("kind", [*TYPES])
def test_a_weight_may_lie_in_the_graph_or_be_bound(kind):
    values = np.random.default_rng(1).integers(0, 100, (300, 4)).astype(kind)
    nodes = [node("Cast", ["w"], "y", to=TYPES["float32"])]
    [inside] = run(nodes, [constant("w", values)])
    [outside] = run(nodes, [bound("w", values.shape, kind)], {"w": values})
    assert np.array_equal(inside, values.astype(np.float32))
    assert np.array_equal(inside, outside)


def test_a_number_alone_has_no_sides():
    two = np.array(2, dtype=np.float32)
    nodes = [node("Mul", ["x", "two"], "y"), node("Shape", ["two"], "s")]
    nodes.append(node("Size", ["s"], "n"))
    nodes.append(node("Cast", ["n"], "sides", to=TYPES["float32"]))
    for weights, bindings in (([constant("two", two)], {}), ([bound("two", ())], {"two": two})):
        found, sides = run(nodes, weights, bindings, outputs=("y", "sides"))
        assert np.array_equal(found, 2 * X)
        assert sides == 0


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_a_weight_may_be_bound_as_another_kind(kind):
    values = np.random.default_rng(1).standard_normal((4, 200)).astype(kind)
    weight, cast = bound_as("w", values.shape, kind)
    nodes = [cast, node("MatMul", ["x", "w"], "y")]
    [found] = run(nodes, [weight], {stored_name("w"): values})
    np.testing.assert_allclose(found, X @ values.astype(np.float32), rtol=1e-5, atol=1e-5)


def test_what_is_bound_must_be_what_the_graph_says():
    nodes = [node("MatMul", ["x", "w"], "y")]
    for wrong in (np.ones((4, 3), np.float32), np.ones((4, 2), np.float16)):
        with pytest.raises(Exception, match="ONNXRuntimeError"):
            run(nodes, [bound("w", (4, 2))], {"w": wrong})
    with pytest.raises(Exception, match="bound-at-load"):
        run(nodes, [bound("w", (4, 2))])


def test_a_graph_without_its_weights_is_refused():
    content = graph(
        [node("MatMul", ["x", "w"], "y")], {"x": ("R", 4)}, {"y": ("R", 2)}, [bound("w", (4, 2))]
    )
    with pytest.raises(Exception, match="bound-at-load"):
        open_session(content)


# Weights that lie in another file.


def sums(*weights: bytes) -> bytes:
    """x + a + b"""
    nodes = [node("Add", ["x", "a"], "c"), node("Add", ["c", "b"], "y")]
    return model(nodes, [("x", ["R", 4], FLOAT)], [("y", ["R", 4], FLOAT)], weights)


def test_weights_of_another_file_are_put_into_the_graph():
    """As if they had been there, and all else is what it was."""
    values = np.arange(9, dtype=np.float32)
    elsewhere = sums(
        weight_elsewhere("a", [4], "there", offset=4, length=16),
        weight_elsewhere("b", [4], "there", offset=20),
    )
    assert locations(elsewhere) == {"there"}
    packed = with_weights(elsewhere, values.tobytes())
    assert locations(packed) == set()
    [found] = open_session(packed).run(None, {"x": X})
    np.testing.assert_array_equal(found, X + values[1:5] + values[5:9])
    held = sums(constant("a", values[1:5]), constant("b", values[5:9]))
    assert locations(held) == set()
    assert with_weights(held, b"") == held


def test_places_of_weights_are_what_the_graph_says():
    weights = [weight_elsewhere("a", [4], "one"), weight_elsewhere("b", [4], "../two")]
    assert locations(sums(*weights)) == {"one", "../two"}


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ({"offset": 8, "length": 16}, "a should lie at bytes 8 to 24 of 20"),
        ({"offset": 24}, "a should lie at bytes 24 to 20 of 20"),
        ({"offset": -1}, "a should lie at bytes -1"),
        ({"length": -1}, "a should lie at bytes 0 to -1 of 20"),
        ({"length": 10**30}, "a should lie at bytes 0 to -1 of 20"),
    ],
)
def test_weights_beyond_the_end_of_their_file(place, what):
    content = sums(weight_elsewhere("a", [4], "there", **place))
    with pytest.raises(ValueError, match=what):
        with_weights(content, bytes(20))


@given(st.binary(max_size=40), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3))
def test_damaged_graphs_are_no_graphs_or_keep_all_they_have(weights, changes):
    content = bytearray(sums(weight_elsewhere("a", [4], "there", offset=1, length=16)))
    for at, byte in changes:
        content[at % len(content)] = byte
    try:
        found = locations(bytes(content))
        packed = with_weights(bytes(content), weights)
    except ValueError as error:
        assert str(error)  # noqa: PT017
    else:
        assert locations(packed) == set()
        assert found or packed == bytes(content)
