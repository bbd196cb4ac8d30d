"""AlexNet up to fc7 against its layers written out in NumPy, and what a bundle carries of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import mrnn
from conftest import WORDS, tiny_model
from convolutions import convolved, pooled
from mrnn.images.alexnet import FEATURE, LAYERS, PREPROCESSING, SHAPES
from mrnn.images.encoders import Encoder, open_encoder
from mrnn.images.reading import preprocess, read_image
from mrnn.model.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.weight_files import to_safetensors
from mrnn.words.text import SIGNS, Vocabulary


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """Random weights in the exact shapes, such that no layer dies."""
    numbers = np.random.default_rng(0).standard_normal(999_983, dtype=np.float32)
    drawn = {}
    for name, shape in SHAPES.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5 if shape[1:] else 0.1
        drawn[name] = np.resize((numbers * scale).astype(np.float16), shape)
    return drawn


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory) -> Path:
    """As the whole state dict has it: with the layer of ImageNet's classes."""
    path = tmp_path_factory.mktemp("alexnet") / "weights.safetensors"
    last = {
        "classifier.6.weight": np.zeros((10, 4096), np.float32),
        "classifier.6.bias": np.zeros(10, np.float32),
    }
    path.write_bytes(to_safetensors({**weights, **last}))
    return path


@pytest.fixture(scope="module")
def encoder(file) -> Encoder:
    return open_encoder("alexnet", weights=file)


def naive(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """(B, 3, 224, 224) to (B, 4096), as torchvision's AlexNet goes on."""

    def convolution(number: int, x: np.ndarray, stride: int, zeros: int) -> np.ndarray:
        name = f"features.{number}"
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        return np.maximum(convolved(x, weight, bias, stride, (zeros, zeros)), 0)

    def connected(number: int, x: np.ndarray) -> np.ndarray:
        weight, bias = w[f"classifier.{number}.weight"], w[f"classifier.{number}.bias"]
        return np.maximum(x @ weight.T.astype(np.float64) + bias, 0)

    x = pooled(convolution(0, x, 4, 2), 3, 2)
    x = pooled(convolution(3, x, 1, 2), 3, 2)
    x = convolution(6, x, 1, 1)
    x = convolution(8, x, 1, 1)
    x = pooled(convolution(10, x, 1, 1), 3, 2)
    assert x.shape[1:] == (256, 6, 6)  # of which torchvision takes means over 1 x 1
    return connected(4, connected(1, x.reshape(len(x), -1)))


def test_the_feature_is_fc7_after_its_relu(weights, encoder):
    pixels = np.random.default_rng(1).standard_normal((2, 3, 224, 224), dtype=np.float32)
    expected = naive(weights, pixels)
    found = encoder.encode(pixels)
    assert found.shape == (2, FEATURE)
    assert found.dtype == np.float32
    assert 0.2 < (expected > 0).mean() < 0.8
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(LAYERS) == 7


def test_preprocessing_is_imagenets(encoder, picture):
    assert encoder.preprocessing == PREPROCESSING
    image = read_image(picture("a.jpg"))
    values = np.asarray(image.resize((224, 224), reducing_gap=2.0), dtype=np.float64) / 255
    expected = (values - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = preprocess(image, encoder.preprocessing)
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-5)


def test_its_identity_is_what_a_bundle_would_carry(encoder, weights):
    assert encoder.name == "alexnet"
    assert encoder.encode_positions is None
    assert encoder.file.name == "encoder.safetensors"
    assert encoder.file.content == to_safetensors(weights)  # without the classes
    assert encoder.digest == hashlib.sha256(encoder.file.content).hexdigest()


def test_a_bundle_carries_it(encoder, tmp_path):
    """The same bits without the file it came from, and the card says which AlexNet it is."""
    vocabulary = Vocabulary(SIGNS + WORDS)
    training = {"data": "birds", "split": "train", "stopped_on": "dev", "images": 8}
    training |= {"sentences": 16, "config": {"seed": 1, "minimum_count": 1}}
    bundle = Bundle(
        tiny_model(len(vocabulary), feature=FEATURE),
        vocabulary,
        EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing),
        np.ones((4, FEATURE), np.float16),
        training,
        encoder_file=encoder.file,
    )
    save_bundle(bundle, tmp_path / "model")
    again = mrnn.load(tmp_path / "model", device="cpu").encoder
    pixels = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    np.testing.assert_array_equal(again.encode(pixels), encoder.encode(pixels))
    assert again.preprocessing == encoder.preprocessing
    text = (tmp_path / "model" / "README.md").read_text()
    assert "the one-weird-trick variant (Krizhevsky 2014), not the paper's AlexNet" in text
