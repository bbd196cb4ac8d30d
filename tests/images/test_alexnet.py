"""AlexNet up to fc7 against torchvision's layers written out, and the files of its weights."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

import mrnn
from conftest import WORDS, tiny_model
from mrnn.errors import BundleError, UsageError
from mrnn.images import alexnet
from mrnn.images.alexnet import FEATURE, LAYERS, PREPROCESSING, SHAPES
from mrnn.images.encoders import Encoder, open_encoder
from mrnn.images.reading import preprocess, read_image
from mrnn.model.bundle import Bundle, EncoderIdentity, save_bundle
from mrnn.training.trainable import open_trainable
from mrnn.words.text import SIGNS, Vocabulary


def naive() -> nn.Sequential:
    """Torchvision's network, dropout and all, up to the ReLU after fc7; without memory yet."""
    with torch.device("meta"):
        return layers().eval()


def layers() -> nn.Sequential:
    network = nn.Sequential()
    network.features = nn.Sequential(
        nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(64, 192, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(192, 384, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
    )
    network.pool = nn.AdaptiveAvgPool2d((6, 6))
    network.flatten = nn.Flatten()
    network.classifier = nn.Sequential(
        nn.Dropout(),
        nn.Linear(9216, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
    )
    return network


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Random weights in the exact shapes, such that no layer dies."""
    numbers = torch.randn(999_983, generator=torch.Generator().manual_seed(0))
    drawn = {}
    for name, shape in SHAPES.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5 if shape[1:] else 0.1
        count = int(np.prod(shape))
        repeated = (numbers * scale).half().repeat(-(-count // len(numbers)))
        drawn[name] = repeated[:count].reshape(shape).clone()
    return drawn


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory) -> Path:
    """As the whole state dict has it: with the layer of ImageNet's classes."""
    path = tmp_path_factory.mktemp("alexnet") / "weights.safetensors"
    last = {"classifier.6.weight": torch.zeros(10, 4096), "classifier.6.bias": torch.zeros(10)}
    path.write_bytes(save({**weights, **last}))
    return path


@pytest.fixture(scope="module")
def encoder(file) -> Encoder:
    return open_encoder("alexnet", weights=file)


def test_the_names_and_shapes_are_torchvisions():
    expected = {name: tuple(value.shape) for name, value in naive().state_dict().items()}
    assert expected == SHAPES
    assert len(LAYERS) == 7


def test_the_feature_is_fc7_after_its_relu(weights, encoder):
    twin = naive()
    twin.load_state_dict({k: v.float() for k, v in weights.items()}, assign=True)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = twin(pixels).numpy()
    found = encoder.encode(pixels.numpy())
    assert found.shape == (2, FEATURE)
    assert 0.2 < (expected > 0).mean() < 0.8
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)
    trainable = open_trainable("alexnet", weights=encoder.file)
    np.testing.assert_allclose(trainable.features(pixels).numpy(), expected, atol=1e-4)


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
    assert encoder.file.content == save(weights)  # without the classes
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


def torchvision_file(path: Path, tensors, monkeypatch) -> Path:
    """A file of torch.save that passes for torchvision's."""
    torch.save(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(alexnet, "_TORCHVISION", digest[:8])
    return path


def test_torchvisions_file_is_read_up_to_fc7(tmp_path, monkeypatch):
    weights = {name: torch.full(SHAPES[name], 2.0) for name in LAYERS[0].shapes}
    monkeypatch.setattr(alexnet, "SHAPES", LAYERS[0].shapes)  # the others are large
    everything = {**weights, "classifier.6.bias": torch.zeros(1000)}
    path = torchvision_file(tmp_path / "alexnet.pth", everything, monkeypatch)
    found = alexnet.read_weights(path)
    assert found.keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in found.items())


@pytest.mark.parametrize("content", [[1, 2], {"features.0.bias": 3}, torch.zeros(3)])
def test_torchvisions_digest_with_another_content(tmp_path, monkeypatch, content):
    path = torchvision_file(tmp_path / "alexnet.pth", content, monkeypatch)
    assert "not a state dict" in refused(path)


def test_torchvisions_digest_is_the_published_one():
    assert alexnet._TORCHVISION == "7be5be79"


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_encoder("alexnet", weights=path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("known", [True, False])
def test_a_pickle_is_not_run(tmp_path, monkeypatch, known):
    """Not even one whose digest were right: weights_only stands behind it."""
    path = tmp_path / "alexnet.pth"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=2))
    if known:
        monkeypatch.setattr(
            alexnet, "_TORCHVISION", hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        )
    refused(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"0123456789"])
def test_another_file_than_torchvisions_is_named(tmp_path, content):
    path = tmp_path / "alexnet.pth"
    path.write_bytes(content)
    message = refused(path)
    assert (
        f"its SHA-256 begins {hashlib.sha256(content).hexdigest()[:8]}: another pickle" in message
    )
    assert (
        "give torchvision's alexnet-owt-7be5be79.pth, or its state dict as safetensors" in message
    )


def stub(**changes: torch.Tensor | None) -> bytes:
    """All names, in shapes that need no memory; None leaves one out."""
    tensors = {
        name: torch.zeros(1).expand(shape) for name, shape in SHAPES.items() if len(shape) != 2
    }
    tensors |= {name: torch.zeros(1) for name, shape in SHAPES.items() if len(shape) == 2}
    tensors |= {name.replace("_", "."): value for name, value in changes.items()}
    return save({k: v.contiguous() for k, v in tensors.items() if v is not None})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (stub(features_0_bias=None), "missing key 'features.0.bias'"),
        (stub(features_1_bias=torch.zeros(2)), "unknown key 'features.1.bias'"),
        (stub(), "'classifier.1.weight' has shape (1,), AlexNet says (4096, 9216)"),
        (
            stub(features_0_weight=torch.zeros(96, 3, 11, 11)),
            "'features.0.weight' has shape (96, 3, 11, 11), AlexNet says (64, 3, 11, 11)",
        ),
        (stub()[:100], "not a safetensors file"),
        (b"\x10\0\0\0\0\0\0\0{\xff", "not a safetensors file"),
    ],
    ids=range(6),
)
def test_other_tensors_are_refused(tmp_path, content, what):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    if "96" in what or "(1,)" in what:  # which shape is named first is left open
        assert "AlexNet says" in refused(path)
    else:
        assert what in refused(path)


def test_a_missing_file_is_named(tmp_path):
    assert "cannot be read (No such file or directory)" in refused(tmp_path / "no.safetensors")
    assert "not a regular file" in refused(tmp_path)


def test_the_weights_must_be_given():
    with pytest.raises(UsageError, match=r"alexnet needs a file of weights: torchvision's"):
        open_encoder("alexnet")
