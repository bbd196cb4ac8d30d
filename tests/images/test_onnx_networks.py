"""Networks as exporters write them: how pictures go in, and what of the output is the feature."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.errors import BundleError
from mrnn.images import onnx_networks
from mrnn.images.onnx_networks import OnnxNetwork, open_network
from mrnn.images.reading import Preprocessing
from mrnn.onnx_graphs import TYPES, constant, node
from onnx_models import FLOAT, model

SIDE = 12
HOW = Preprocessing(SIDE)
PIXELS = np.random.default_rng(0).normal(size=(7, 3, SIDE, SIDE)).astype(np.float32)
MEANS = PIXELS.mean(axis=(2, 3))
HALF, DOUBLE = TYPES["float16"], 11


def opened(content: bytes, **how: object) -> OnnxNetwork:
    return open_network(content, Preprocessing(SIDE, **how), "net.onnx")


def refused(content: bytes, **how: object) -> str:
    with pytest.raises(BundleError) as caught:
        opened(content, **how)
    assert str(caught.value).isprintable()
    return str(caught.value)


def network(nodes, shape=("B", 3, SIDE, SIDE), kind=FLOAT, out=("B", "D"), weights=()) -> bytes:
    """A network from "x" to "y"."""
    return model(nodes, [("x", shape, kind)], [("y", out, kind)], weights)


def means(shape, kind=FLOAT, axes=(2, 3), out=("B", 3)) -> bytes:
    return network([node("ReduceMean", ["x"], "y", axes=list(axes), keepdims=0)], shape, kind, out)


def tokens(count: int, more: int = 0) -> bytes:
    """Tokens of 3 numbers: of `more` that are alike first, then of `count` places, by rows."""
    side = round(count**0.5)
    step = SIDE // side
    nodes = [
        node("AveragePool", ["x"], "map", kernel_shape=[step, step], strides=[step, step]),
        node("Reshape", ["map", "flat"], "flattened"),
        node("Transpose", ["flattened"], "places", perm=[0, 2, 1]),
    ]
    flat = constant("flat", np.array([0, 3, -1]))
    if not more:
        return network(
            [*nodes, node("Identity", ["places"], "y")], out=("B", "T", 3), weights=[flat]
        )
    nodes += [
        node("ReduceMax", ["places"], "class", axes=[1], keepdims=1),
        node("Concat", [*["class"] * more, "places"], "y", axis=1),
    ]
    return network(nodes, out=("B", "T", 3), weights=[flat])


def places(count: int) -> np.ndarray:
    side = round(count**0.5)
    parts = PIXELS.reshape(7, 3, side, SIDE // side, side, SIDE // side).mean(axis=(3, 5))
    return parts.reshape(7, 3, count).transpose(0, 2, 1)  # (B, P, 3)


def close(found: np.ndarray, expected: np.ndarray, digits: float = 1e-5) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=digits, atol=digits)


@pytest.mark.parametrize(("count", "more"), [(16, 1), (36, 1), (16, 2), (16, 5), (4, 1)])
def test_the_class_token_is_the_feature_where_there_is_one(count, more):
    found = opened(tokens(count, more))
    close(found.encode(PIXELS), places(count).max(axis=1))
    assert found.encode_positions is None
    assert found.dimension == 3
    assert found.preprocessing.pooling == "class"
    side = round(count**0.5)
    assert found.remark == (
        f"the output 'y' has {count + more} tokens, of {side} x {side} places and {more} before "
        "them: the first, the class token, is the feature; the mean of the places is with "
        '"pooling": "mean" in the JSON'
    )


@pytest.mark.parametrize("count", [4, 16, 36, 144])
def test_tokens_of_places_alone_are_averaged(count):
    found = opened(tokens(count))
    close(found.encode(PIXELS), MEANS)
    close(found.encode_positions(PIXELS), places(count))
    assert found.preprocessing.pooling == "mean"
    assert "their mean is the feature" in found.remark


@pytest.mark.parametrize(("count", "more"), [(16, 1), (16, 5), (16, 0), (9, 0), (4, 3)])
def test_the_description_chooses_the_class_token_or_the_mean(count, more):
    content, known = tokens(count, more), more in (0, 1, 2, 5)
    first = places(count).max(axis=1) if more else places(count)[:, 0]
    close(opened(content, pooling="class").encode(PIXELS), first)
    mean = opened(content, pooling="mean")
    of_places = (
        MEANS if known else np.concatenate([*[first[:, None]] * more, places(count)], 1).mean(1)
    )
    close(mean.encode(PIXELS), of_places)
    close(mean.encode_positions(PIXELS).mean(axis=1), of_places)
    assert mean.remark == ""


@pytest.mark.parametrize(("count", "more"), [(9, 0), (4, 3)])  # 9 may be 4 places and 5 registers
def test_tokens_that_cannot_be_told_apart(count, more):
    assert refused(tokens(count, more)).startswith(
        f"net.onnx: the output 'y' has {count + more} tokens a picture, and it cannot be told "
        'which of them are the feature: say "pooling": "class" (the first) or "mean" in the JSON'
    )


def test_what_was_chosen_is_kept():
    """A bundle opened again need not guess, and says the same as before."""
    how = opened(tokens(16, 1)).preprocessing
    assert how.to_json()["pooling"] == "class"
    again = open_network(tokens(16, 1), Preprocessing.from_json(how.to_json()), "net.onnx")
    assert (again.preprocessing, again.remark) == (how, "")


@pytest.mark.parametrize("wish", ["class", "mean"])
def test_a_vector_has_no_tokens(wish):
    message = refused(means(("B", 3, SIDE, SIDE)), pooling=wish)
    assert f'"pooling" is {wish!r}, which is for tokens' in message


def test_a_map_is_averaged_anyway():
    pool = [node("AveragePool", ["x"], "y", kernel_shape=[3, 3], strides=[3, 3])]
    content = network(pool, out=("B", 3, 4, 4))
    close(opened(content, pooling="mean").encode(PIXELS), MEANS)
    assert "which is for tokens" in refused(content, pooling="class")


@pytest.mark.parametrize("shape", [("B", SIDE, SIDE, 3), ("B", "H", "W", 3), (1, SIDE, SIDE, 3)])
def test_channels_last_as_keras_has_them(shape):
    close(opened(means(shape, axes=(1, 2))).encode(PIXELS), MEANS)


def test_channels_that_are_not_told_are_found_by_trying():
    """All sides free: what takes pictures with channels first gets them so."""
    kernels = constant("k", np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1))
    nodes = [
        node("Transpose", ["x"], "first", perm=[0, 3, 1, 2]),
        node("Conv", ["first", "k"], "y"),
    ]
    content = network(nodes, ("B", "H", "W", "C"), out=("B", "a", "b", "c"), weights=[kernels])
    close(opened(content).encode(PIXELS), MEANS)
    content = network([node("Conv", ["x", "k"], "y")], ("B", "C", "H", "W"),
                      out=("B", "a", "b", "c"), weights=[kernels])  # fmt: skip
    close(opened(content).encode(PIXELS), MEANS)


@pytest.mark.parametrize("turned", [False, True])
def test_maps_with_channels_last_whatever_the_input_has(turned):
    """tf2onnx turns the input where it is asked to, and leaves the outputs as they are."""
    pool = node("AveragePool", ["first"], "map", kernel_shape=[3, 3], strides=[3, 3])
    first = [node("Transpose", ["x"], "first", perm=[0, 3, 1, 2])]
    if turned:
        first = [node("Identity", ["x"], "first")]
    shape = ("B", 3, SIDE, SIDE) if turned else ("B", SIDE, SIDE, 3)
    last = node("Transpose", ["map"], "y", perm=[0, 2, 3, 1])
    found = opened(network([*first, pool, last], shape, out=("B", 4, 4, 3)))
    assert found.dimension == 3
    close(found.encode(PIXELS), MEANS)
    close(found.encode_positions(PIXELS), places(16))


def test_a_map_that_is_no_square():
    content = network([node("ReduceMean", ["x"], "y", axes=[3])], out=("B", 3, SIDE, 1))
    assert "the output 'y' is of shape (2, 3, 12, 1); expected" in refused(content)


def test_channels_before_places_are_not_taken_for_tokens():
    nodes = [
        node("AveragePool", ["x"], "map", kernel_shape=[6, 6], strides=[6, 6]),
        node("Concat", ["map"] * 12, "maps", axis=1),
        node("Reshape", ["maps", "flat"], "y"),
    ]
    flat = constant("flat", np.array([0, 36, 4]))
    content = network(nodes, out=("B", 36, 4), weights=[flat])
    message = refused(content)
    assert "is of 36 x 4 numbers a picture, and these may be 4 places of 36 channels" in message
    assert "export it with the channels last" in message
    assert opened(content, pooling="mean").dimension == 4


@pytest.mark.parametrize("batch", [1, 2, 4, 16])
@pytest.mark.parametrize("last", [False, True])
def test_batches_of_a_fixed_size_are_filled_up(batch, last):
    shape = (batch, SIDE, SIDE, 3) if last else (batch, 3, SIDE, SIDE)
    found = opened(means(shape, axes=(1, 2) if last else (2, 3), out=(batch, 3)))
    close(found.encode(PIXELS), MEANS)
    close(found.encode(PIXELS[:1]), MEANS[:1])


@pytest.mark.parametrize("batch", ["B", 4])
def test_a_picture_has_the_same_answer_in_any_company_of_a_fixed_size(batch):
    nodes = [
        node("ReduceMax", ["x"], "largest", keepdims=0),
        node("Div", ["x", "largest"], "shares"),
        node("ReduceMean", ["shares"], "y", axes=[2, 3], keepdims=0),
    ]
    found = opened(network(nodes, (batch, 3, SIDE, SIDE), out=(batch, 3)))
    close(found.encode(PIXELS), MEANS / PIXELS.max(axis=(1, 2, 3))[:, None])


def test_steps_of_8_bits_that_all_pictures_share_never_show():
    """Where only few pictures have large numbers, none of the noise tells that steps are shared."""
    nodes = [
        node("ReduceMean", ["x"], "m", axes=[2, 3], keepdims=0),
        node("Sub", ["m", "threshold"], "above"),
        node("Relu", ["above"], "rare"),
        node("Mul", ["rare", "hundred"], "large"),
        node("Add", ["m", "large"], "f"),
        node("DynamicQuantizeLinear", ["f"], "q").replace(
            b"\x12\x01q", b"\x12\x01q\x12\x01s\x12\x01z"
        ),
        node("DequantizeLinear", ["q", "s", "z"], "y"),
    ]
    weights = [constant("threshold", np.float32(5)), constant("hundred", np.float32(100))]
    found = opened(network(nodes, out=("B", 3), weights=weights))
    dark, bright = PIXELS[:1], np.full_like(PIXELS[:1], 9)
    together = found.encode(np.concatenate([dark, bright]))
    np.testing.assert_array_equal(together[:1], found.encode(dark))


def test_a_batch_that_is_fixed_in_the_midst():
    """Exported with one picture: the input says any batch, a reshape inside only one."""
    nodes = [
        node("ReduceMean", ["x"], "m", axes=[2, 3], keepdims=0),
        node("Reshape", ["m", "one"], "y"),
    ]
    content = network(nodes, weights=[constant("one", np.array([1, 3]))])
    close(opened(content).encode(PIXELS), MEANS)


def test_a_network_in_8_bits_that_must_run_in_floats_is_told(monkeypatch):
    monkeypatch.setattr(onnx_networks, "rounds_floats", lambda session: True)
    for content, first in ((means(("B", 3, SIDE, SIDE)), ""), (tokens(16), "the output 'y' has")):
        remark = opened(content).remark
        assert remark.startswith(first)
        assert "in 8 bits, but as slow as in 32" in remark


@pytest.mark.parametrize(("kind", "digits"), [(HALF, 2e-3), (DOUBLE, 1e-5)])
def test_numbers_of_16_and_64_bits(kind, digits):
    close(opened(means(("B", 3, SIDE, SIDE), kind)).encode(PIXELS), MEANS, digits)
