"""Encoders: opened by a name, a path or what a bundle names; what is refused, and in what words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage

from conftest import shipped_encoder
from mrnn.errors import BundleError, UsageError
from mrnn.images.efficientnet import FEATURE, SIZES
from mrnn.images.encoders import (
    encoder_of,
    features_only,
    files_of,
    open_encoder,
    plain_name,
    reopen_encoder,
)
from mrnn.images.networks import SAFETENSORS, EncoderFile, network
from mrnn.images.reading import Preprocessing, preprocess, read_image
from mrnn.weight_files import from_safetensors, to_safetensors

PHOTOS = Path(skimage.__file__).parent / "data"
LITES = list(SIZES)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    how = network("efficientnet-lite2").preprocessing
    names = ("chelsea.png", "coffee.png", "rocket.jpg")
    return np.stack([preprocess(read_image(PHOTOS / photo), how) for photo in names])


def test_the_feature_is_the_mean_over_positions(photos):
    encoder = shipped_encoder()
    positions = encoder.encode_positions(photos)
    assert positions.shape == (3, 9 * 9, FEATURE)
    assert positions.std() > 0.1
    np.testing.assert_allclose(positions.mean(axis=1), encoder.encode(photos), atol=1e-5)


def test_no_picture_has_no_feature():
    encoder = shipped_encoder()
    nothing = np.zeros((0, 3, 260, 260), np.float32)
    assert encoder.encode(nothing).shape == (0, FEATURE)
    assert encoder.encode_positions(nothing).shape == (0, 81, FEATURE)


def test_positions_lie_row_by_row():
    """A picture that is grey but for one corner differs from grey near that corner."""
    encoder = shipped_encoder()
    grey = np.zeros((1, 3, 260, 260), np.float32)
    corner = grey.copy()
    corner[:, :, :30, -30:] = 2
    [apart] = np.abs(encoder.encode_positions(corner) - encoder.encode_positions(grey)).sum(2)
    assert apart.reshape(9, 9)[:3, 6:].sum() > 0.5 * apart.sum()


def test_an_unknown_encoder_is_refused_by_name():
    with pytest.raises(BundleError, match=r"unknown encoder 'vgg'; known: .*efficientnet-lite0"):
        open_encoder("vgg")
    with pytest.raises(BundleError, match=r"none, .*alexnet, or a path to an \.onnx file$"):
        open_encoder("features")


@pytest.mark.parametrize("name", ["none", *LITES])
def test_weights_are_refused_where_they_would_not_be_used(name):
    with pytest.raises(UsageError, match=f"{name} takes no file of weights; only alexnet does"):
        open_encoder(name, weights=Path("x.safetensors"))


def test_a_model_without_pictures_has_an_encoder_of_nothing():
    encoder = open_encoder("none")
    assert (encoder.name, encoder.dimension, encoder.file) == ("none", 0, None)
    pixels = np.zeros((3, 3, 1, 1), np.float32)
    assert encoder.encode(pixels).shape == (3, 0)
    assert encoder.encode_positions(pixels).shape == (3, 1, 0)


# What a bundle names.


def test_an_encoder_is_opened_again_without_its_package(photos):
    encoder = shipped_encoder()
    assert encoder.name == "efficientnet-lite2"
    assert encoder.file.name == SAFETENSORS
    assert encoder.digest != encoder.file.digest  # that of the file that was published
    again = reopen_encoder(encoder.name, encoder.digest, encoder.file, encoder.preprocessing)
    assert (again.name, again.digest, again.file) == (encoder.name, encoder.digest, encoder.file)
    assert np.array_equal(again.encode(photos), encoder.encode(photos))
    nothing = reopen_encoder("none", "", None, Preprocessing(1))
    assert (nothing.name, nothing.digest, nothing.dimension) == ("none", "", 0)


def test_fine_tuned_weights_make_an_encoder_of_halves(photos):
    weights = from_safetensors(shipped_encoder().file.content)
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    weights["_conv_head.bias"] += np.float32(0.1)
    encoder = encoder_of("efficientnet-lite2", weights)
    assert encoder.digest == encoder.file.digest
    carried = from_safetensors(encoder.file.content)
    assert {value.dtype for value in carried.values()} == {np.dtype(np.float16)}
    assert not np.array_equal(encoder.encode(photos), shipped_encoder().encode(photos))
    again = reopen_encoder(encoder.name, encoder.digest, encoder.file, encoder.preprocessing)
    assert np.array_equal(again.encode(photos), encoder.encode(photos))


def test_weights_of_single_precision_run_too(photos):
    """As a bundle may have them that was made by hand."""
    halves = from_safetensors(shipped_encoder().file.content)
    for changed in ([*halves], ["_conv_head.bias"]):
        mixed = {k: v.astype(np.float32) if k in changed else v for k, v in halves.items()}
        file = EncoderFile.of(SAFETENSORS, to_safetensors(mixed))
        encoder = reopen_encoder("efficientnet-lite2", file.digest, file, Preprocessing(260))
        assert np.array_equal(encoder.encode(photos[:1]), shipped_encoder().encode(photos[:1]))


@pytest.mark.parametrize("value", [np.nan, np.inf, 70_000.0])
def test_weights_that_are_no_halves_make_no_encoder(value):
    shapes = network("efficientnet-lite0").shapes
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    weights["_conv_head.bias"][3] = value
    with pytest.raises(BundleError, match=r"efficientnet-lite0: '_conv_head.bias' holds NaN or n"):
        encoder_of("efficientnet-lite0", weights)


def test_damaged_weights_are_named_by_their_place():
    file = EncoderFile.of(SAFETENSORS, b"none", "model/encoder.safetensors")
    message = r"^model/encoder.safetensors: not a safetensors file .*; get a fresh copy of the bun"
    with pytest.raises(BundleError, match=message):
        reopen_encoder("efficientnet-lite2", "", file, Preprocessing(260))


@pytest.mark.parametrize("name", ["vgg", "../net.onnx", "/etc/net.onnx", "net.onnx"])
def test_a_bundle_opens_no_file_by_its_path(name):
    with pytest.raises(BundleError, match="unknown encoder"):
        reopen_encoder(name, "0" * 64, None, Preprocessing(8))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("none", (None,)),
        ("features", (None,)),
        ("vgg", (None,)),
        ("efficientnet-lite1", ("encoder.safetensors",)),
        ("alexnet", ("encoder.safetensors",)),
        ("net.onnx", ("encoder.onnx",)),
        ("NET.ONNX", ("encoder.onnx",)),
        ("a/net.onnx", (None,)),
        ("net\n.onnx", (None,)),
    ],
)
def test_files_that_go_with_an_encoder(name, files):
    assert files_of(name) == files


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b/net.onnx", "net.onnx"),
        ("my net\x1b[31m.onnx", "my_net__31m.onnx"),
        ("\udcff.onnx", "_.onnx"),
        ("été.onnx", "été.onnx"),
        ("x" * 200 + ".onnx", "x" * 59 + ".onnx"),
    ],
)
def test_names_of_files_are_made_plain(path, name):
    assert plain_name(path) == name
    assert plain_name(name) == name


def test_an_encoder_of_features_alone_refuses_pictures():
    encoder = features_only(7)
    assert (encoder.name, encoder.digest, encoder.dimension) == ("features", "", 7)
    assert encoder.encode_positions is None
    with pytest.raises(UsageError, match=r"features computed elsewhere.*mrnn evaluate --features"):
        encoder.encode(np.zeros((1, 3, 1, 1), dtype=np.float32))
