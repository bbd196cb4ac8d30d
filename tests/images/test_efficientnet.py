"""EfficientNet-Lite in ONNX Runtime against its convolutions written out in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convolutions import convolved
from mrnn.images.efficientnet import FEATURE, SIZES, Convolution, blocks, fold
from mrnn.images.encoders import Encoder, encoder_of
from mrnn.images.networks import network

LITES = list(SIZES)


def random_weights(name: str) -> dict[str, np.ndarray]:
    """Such that no layer dies, with biases."""
    draw = np.random.default_rng(0)
    return {
        key: (draw.standard_normal(shape) * ((2 / np.prod(shape[1:])) ** 0.5 if shape[1:] else 0.3))
        .astype(np.float16)
        .astype(np.float32)
        for key, shape in network(name).shapes.items()
    }


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return random_weights("efficientnet-lite0")


@pytest.fixture(scope="module")
def encoder(weights) -> Encoder:
    return encoder_of("efficientnet-lite0", weights)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((5, 3, 224, 224), dtype=np.float32)


def naive(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """(B, 3, S, S) to positions (B, D, H, W), layer by layer, of the paper's table for Lite0."""
    stages = [
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
    ]  # fmt: skip

    def layer(name: str, x: np.ndarray, stride: int = 1, relu6: bool = True) -> np.ndarray:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        kernel, side = weight.shape[2], x.shape[2]
        missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        x = convolved(x, weight, bias, stride, (missing // 2, missing - missing // 2))
        return np.clip(x, 0, 6) if relu6 else x

    x = layer("_conv_stem", x, 2)
    number = 0
    for repeats, kernel, first_stride, expansion, outputs in stages:
        for repeat in range(repeats):
            stride, entering, block = first_stride if repeat == 0 else 1, x, f"_blocks.{number}"
            assert weights[f"{block}._depthwise_conv.weight"].shape[2] == kernel
            if expansion > 1:
                x = layer(f"{block}._expand_conv", x)
            x = layer(f"{block}._depthwise_conv", x, stride)
            x = layer(f"{block}._project_conv", x, relu6=False)
            assert x.shape[1] == outputs
            if repeat:
                x = x + entering
            number += 1
    return layer("_conv_head", x)


def test_the_graph_computes_the_layers_of_the_table(weights, encoder, pixels):
    expected = naive(weights, pixels[:2])
    assert expected.shape == (2, FEATURE, 7, 7)
    assert expected.std() > 0.1
    found = encoder.encode_positions(pixels[:2])
    assert found.dtype == np.float32
    flat = expected.reshape(2, FEATURE, 49).transpose(0, 2, 1)
    np.testing.assert_allclose(found, flat, atol=2e-3, rtol=1e-3)
    feature = encoder.encode(pixels[:2])
    assert feature.dtype == np.float32
    np.testing.assert_allclose(feature, expected.mean(axis=(2, 3)), atol=2e-4, rtol=1e-4)


def test_batches_do_not_change_the_feature(encoder, pixels):
    alone = [encoder.encode(pixels[i : i + 1]) for i in range(5)]
    np.testing.assert_allclose(encoder.encode(pixels), np.concatenate(alone), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "side", "count"),
    [
        ("efficientnet-lite0", 224, 18),
        ("efficientnet-lite1", 240, 23),
        ("efficientnet-lite2", 260, 23),
    ],
)
def test_sizes_of_the_family(name, side, count):
    assert network(name).preprocessing.size == SIZES[name].input == side
    assert len(blocks(SIZES[name])) == count
    assert network(name).dimension == FEATURE


@pytest.mark.parametrize("name", LITES)
def test_channels_follow_each_other(name):
    channels = 3
    for block in blocks(SIZES[name]):
        entering = channels
        for c in block.convolutions:
            assert c.inputs == channels
            assert c.outputs % 8 == 0
            assert c.groups in (1, c.inputs)
            channels = c.outputs
        assert not block.residual or channels == entering
    assert channels == FEATURE


@given(st.integers(1, 300), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]))
def test_padding_is_that_of_tensorflow(length, kernel, stride):
    """As many results as strides begin, as few zeros as that needs, the odd one after."""
    before, after = Convolution("", "", 1, 1, kernel, stride).padding(length)
    assert (before + length + after - kernel) // stride + 1 == math.ceil(length / stride)
    assert after - before in (0, 1)
    if before + after:
        assert (before + length + after - 1 - kernel) // stride + 1 < math.ceil(length / stride)


@pytest.mark.parametrize("name", LITES)
def test_folding_changes_no_result(name):
    """A convolution of folded weights is one with batch normalisation after it."""
    draw = np.random.default_rng(0)
    state = {}
    for block in blocks(SIZES[name]):
        for c in block.convolutions:
            state[f"{c.name}.weight"] = draw.standard_normal(c.weight_shape, dtype=np.float32)
            for part in ("weight", "bias", "running_mean", "running_var"):
                values = draw.standard_normal(c.outputs, dtype=np.float32)
                state[f"{c.norm}.{part}"] = np.abs(values) if part == "running_var" else values
    folded = fold(state, SIZES[name])
    assert {key: value.shape for key, value in folded.items()} == network(name).shapes
    listed = blocks(SIZES[name])
    for c in (*listed[0].convolutions, *listed[1].convolutions, *listed[-2].convolutions[:2]):
        x = draw.standard_normal((2, c.inputs, 5, 5), dtype=np.float32)
        plain = convolved(x, state[f"{c.name}.weight"], np.zeros(c.outputs))
        mean, variance, gain, shift = (
            state[f"{c.norm}.{part}"].astype(np.float64)[:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        expected = (plain - mean) / np.sqrt(variance + 1e-3) * gain + shift
        found = convolved(x, folded[f"{c.name}.weight"], folded[f"{c.name}.bias"])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
