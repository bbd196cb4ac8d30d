"""The image network in 8 bits against whole numbers written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.errors import BundleError, UsageError
from mrnn.images.eight_bits import (
    CODE,
    PAIR,
    as_floats,
    bindings,
    check,
    kinds,
    onnx_graph,
    pair_sums,
)
from mrnn.images.encoders import encoder_of, reopen_encoder, whole_encoder
from mrnn.images.networks import SAFETENSORS, EncoderFile, network, read_weights, read_whole_numbers
from mrnn.images.reading import Preprocessing
from mrnn.onnx_sessions import open_session
from mrnn.weight_files import to_safetensors
from whole_networks import SIDE, drawn, lite, naive, stages

HOW = Preprocessing(SIDE)
PICTURE = np.array([1 / 128, 127], dtype=np.float32)  # step and middle of pixels
LITE = "efficientnet-lite0"


def pixels_of(codes: np.ndarray, how: Preprocessing = HOW) -> np.ndarray:
    return ((codes - how.mean) / how.scale).astype(np.float32)


def session_of(arrays, blocks, how=HOW):
    return open_session(onnx_graph(blocks, how.size), bindings(arrays, blocks, how))


def codes_of(count: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side)).astype(float)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_small_network_equals_its_twin(seed):
    arrays, codes = drawn(stages(), seed), codes_of(3, SIDE, seed)
    check(arrays, stages())
    expected = naive(arrays, stages(), codes, PICTURE)
    session = session_of(arrays, stages())
    feature, positions = session.run(["feature", "positions"], {"pixels": pixels_of(codes)})
    assert expected.std() > 0.005
    # A sum of two tensors may be rounded the other way where it lies half-way, which the layers
    # after that may make more of: seldom.
    differ = np.abs(positions - expected) / arrays["head.range"][0]
    assert (differ > 0.5).mean() < 0.02
    assert _cosines(positions.reshape(1, -1), expected.reshape(1, -1))[0] > 0.9999
    np.testing.assert_allclose(feature, positions.mean(axis=(2, 3)), atol=1e-5)


@pytest.mark.parametrize("light", [0, 255])
@pytest.mark.parametrize("sign", [1, -1])
def test_nothing_saturates_at_the_largest_pairs(light, sign):
    """Processors without VNNI add pairs of products in 16 bits: the largest pairs must fit."""
    arrays = drawn(stages(), 0)
    for name in ("stem", "thin", "wide", "head", "back"):
        weight = arrays[f"{name}.weight"]
        rows = np.resize([CODE, 1], weight[0].size)  # the order of the sum: kernel, then channels
        one = rows.reshape(*weight.shape[2:], weight.shape[1]).transpose(2, 0, 1)
        weight[:] = sign * one
        arrays[f"{name}.step"][:] = 1e-3
    check(arrays, stages())
    codes = np.full((1, 3, SIDE, SIDE), float(light))
    expected = naive(arrays, stages(), codes, PICTURE)
    [positions] = session_of(arrays, stages()).run(["positions"], {"pixels": pixels_of(codes)})
    assert np.abs(positions - expected).max() < 1.01 * arrays["head.range"][0]


def test_a_real_architecture_equals_its_twin():
    blocks, how = lite(), network(LITE).preprocessing
    arrays, codes = drawn(blocks, 1), codes_of(2, how.size, 2)
    found = whole_encoder(LITE, arrays)
    assert found.precision == 8
    expected = naive(arrays, blocks, codes, PICTURE)
    positions = found.encode_positions(pixels_of(codes, how))
    flat = expected.reshape(*expected.shape[:2], -1).transpose(0, 2, 1)
    assert _cosines(found.encode(pixels_of(codes, how)), flat.mean(axis=1)).min() > 0.999
    assert _cosines(positions.reshape(2, -1), flat.reshape(2, -1)).min() > 0.999


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


def test_a_picture_has_the_same_bits_in_any_company():
    arrays, codes = drawn(stages(), 5), codes_of(16, SIDE, 5)
    session = session_of(arrays, stages())
    [together] = session.run(["feature"], {"pixels": pixels_of(codes)})
    for row in range(16):
        [alone] = session.run(["feature"], {"pixels": pixels_of(codes[row : row + 1])})
        assert np.array_equal(alone[0], together[row])


def test_floats_are_nearly_the_same_network():
    """32 bits of an encoder in 8: only tensors are rounded no more."""
    arrays = drawn(lite(), 3)
    whole = whole_encoder(LITE, arrays)
    how = whole.preprocessing
    floats = reopen_encoder(LITE, whole.digest, whole.file, how, precision=32)
    assert (whole.precision, floats.precision) == (8, 32)
    pixels = pixels_of(codes_of(2, how.size, 4), how)
    assert _cosines(floats.encode(pixels), whole.encode(pixels)).min() > 0.99
    weights = as_floats(arrays, lite())
    assert weights.keys() == network(LITE).shapes.keys()
    step = arrays["_conv_head.step"][3]
    assert np.allclose(weights["_conv_head.weight"][3], step * arrays["_conv_head.weight"][3])
    read = read_weights(network(LITE), whole.file)
    assert np.array_equal(read["_conv_stem.bias"], arrays["_conv_stem.bias"])


def test_weights_are_known_by_their_kind():
    arrays = drawn(lite(), 0)
    file = EncoderFile.of(SAFETENSORS, to_safetensors(arrays))
    found = read_whole_numbers(network(LITE), file)
    assert found is not None
    assert all(np.array_equal(found[name], arrays[name]) for name in kinds(lite()))
    plain = encoder_of(LITE, as_floats(arrays, lite()))
    assert read_whole_numbers(network(LITE), plain.file) is None
    assert plain.precision == 32


@pytest.mark.parametrize(("precision", "device"), [(8, "cpu"), (8, "cuda")])
def test_eight_bits_that_are_not_to_be_had_are_refused(precision, device):
    arrays = drawn(lite(), 0)
    plain = encoder_of(LITE, as_floats(arrays, lite()))
    file = whole_encoder(LITE, arrays).file if device == "cuda" else plain.file
    with pytest.raises(UsageError, match=r"^--precision 8 (was not|runs on the CPU).*leave it out"):
        reopen_encoder(LITE, "", file, plain.preprocessing, device, precision)
    with pytest.raises(UsageError, match="none"):
        reopen_encoder("none", "", None, Preprocessing(1), "cpu", 8)


def _with(name: str, change) -> dict[str, np.ndarray]:
    arrays = drawn(stages(), 0)
    arrays[name] = change(arrays[name].copy())
    return arrays


def _set(index, value):
    def change(array):
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("head.step", _set(2, np.nan), "'head.step' holds NaN"),
        ("head.step", _set(2, 0), "'head.step' holds what no network"),
        ("head.range", _set(0, -1), "'head.range' holds what no network"),
        ("head.range", _set(1, 256), "'head.range' holds what no network"),
        ("head.range", _set(1, 0.5), "'head.range' holds what no network"),
        ("back+.range", _set(0, np.inf), r"'back\+\.range' holds NaN or infinite"),
        ("head.bias", _set(0, np.inf), "'head.bias' holds NaN or infinite"),
        ("head.weight", _set(..., 100), "'head.weight' holds neighbours whose sums"),
        ("deep.weight", _set((0, 0, 0, 0), -128), "'deep.weight' holds what no network"),
        ("head.weight", lambda a: a.astype(np.float32), "'head.weight' is float32 of shape"),
        ("head.bias", lambda a: a[:-1], r"'head.bias' is float32 of shape \(6,\), not"),
    ],
)
def test_what_no_network_in_8_bits_has_is_named(name, change, message):
    with pytest.raises(ValueError, match=message):
        check(_with(name, change), stages())


def test_keys_must_be_those_of_the_network():
    arrays = drawn(stages(), 0)
    with pytest.raises(ValueError, match=r"missing key 'wide\.step'"):
        check({name: a for name, a in arrays.items() if name != "wide.step"}, stages())
    with pytest.raises(ValueError, match=r"unknown key 'foot\.step'"):
        check(arrays | {"foot.step": arrays["wide.step"]}, stages())


def test_a_damaged_encoder_in_8_bits_is_named_by_its_file():
    arrays = drawn(lite(), 0)
    arrays["_conv_head.step"] = np.full_like(arrays["_conv_head.step"], np.nan)
    file = EncoderFile.of(SAFETENSORS, to_safetensors(arrays), "model/encoder.safetensors")
    with pytest.raises(BundleError) as caught:
        reopen_encoder(LITE, file.digest, file, network(LITE).preprocessing)
    assert str(caught.value) == (
        "model/encoder.safetensors: '_conv_head.step' holds NaN or infinite numbers; get a fresh "
        "copy of the bundle"
    )


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_pairs_are_neighbours_in_the_order_of_the_sum(outputs, inputs, kernel, seed):
    weight = np.random.default_rng(seed).integers(-9, 10, (outputs, inputs, kernel, kernel))
    found = pair_sums(weight)
    for output in range(outputs):
        order = [
            max(weight[output, i, y, x], 0)
            for y in range(kernel)
            for x in range(kernel)
            for i in range(inputs)
        ] + [0]
        expected = [sum(order[at : at + 2]) for at in range(0, len(order) - 1, 2)]
        assert found[output].tolist() == expected
    assert PAIR * 255 <= 2**15
    assert PAIR * 255 + 0 < 2**15
