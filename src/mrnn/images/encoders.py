"""Encoders: preprocessed image batches to features.

Every encoder is one `Encoder`: what identifies it (name, digest, preprocessing), the feature's
size, and a function that runs the network. New ones join the dict `BUILDERS`; any other network
comes as an ONNX file.

Dimension key: B images, S input side, D feature, P positions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..config import ENCODER
from ..devices import require_precision
from ..errors import BundleError, UsageError
from ..weight_files import to_half, to_safetensors
from .finding import printable
from .networks import (
    NETWORKS,
    ONNX,
    SAFETENSORS,
    EncoderFile,
    Network,
    Run,
    network,
    open_known,
)
from .published import PACKAGES, alexnet_weights, packaged
from .reading import Preprocessing

DEFAULT = ENCODER
FEATURES = "features"  # stands for an encoder where features were computed elsewhere


@dataclass(frozen=True)
class Encoder:
    """An image network together with all that identifies it."""

    name: str
    digest: str  # SHA-256, hexadecimal: of the file that the weights were published or learned as
    dimension: int  # D
    preprocessing: Preprocessing
    encode: Run  # (B, 3, S, S) -> (B, D), float32
    encode_positions: Run | None  # (B, 3, S, S) -> (B, P, D), mean = encode; None: no positions
    file: EncoderFile | None = None  # all of it, as bundles carry it; None: there is no network
    precision: int = 32  # bits of its numbers, or 8
    remark: str = ""  # what was chosen of a user's network, where its description left it open


def open_encoder(name: str = DEFAULT, device: str = "cpu", weights: Path | None = None) -> Encoder:
    """Build an encoder by its name, or of an ONNX file by its path, on "cpu" or "cuda".

    `weights` is the file that alexnet needs; an ONNX file always runs on the CPU.
    Raises DependencyError when its weights package is missing, BundleError when the name is not
    known or a file is not what it should be, UsageError for weights missing or not wanted.
    """
    if name.lower().endswith(".onnx"):
        _refuse_weights(weights, name)
        return _open_onnx(Path(name))
    return _builder(name)(device, weights)


def encoder_of(name: str, weights: Mapping[str, np.ndarray], device: str = "cpu") -> Encoder:
    """The encoder of fine-tuned weights, as a bundle will carry them: rounded to float16.

    Raises BundleError for NaN or numbers too large.
    """
    try:
        file = EncoderFile.of(SAFETENSORS, to_safetensors(to_half(weights)))
    except ValueError as error:
        raise BundleError(f"{name}: {error}") from None
    return _encoder(network(name), file, file.digest, device)


def whole_encoder(name: str, arrays: Mapping[str, np.ndarray]) -> Encoder:
    """The encoder of a network in 8 bits (`eight_bits.kinds`).

    Raises BundleError where it could not be opened again.
    """
    file = EncoderFile.of(SAFETENSORS, to_safetensors(arrays), name)
    return _encoder(network(name), file, file.digest, "cpu")


def reopen_encoder(
    name: str,
    digest: str,
    file: EncoderFile | None,
    preprocessing: Preprocessing,
    device: str = "cpu",
    precision: int | None = None,
) -> Encoder:
    """Build the encoder that a bundle names, of the file that the bundle carries.

    In 8 bits where it has them, unless `precision` (8 or 32) says otherwise.
    Raises as `open_encoder`, and UsageError for 8 bits that are not to be had.
    """
    require_precision(precision)
    if file is not None and file.name != ONNX:
        return _encoder(network(name), file, digest, device, precision)
    if precision == 8:
        raise UsageError(f"--precision 8 was not made of {name}; it runs as it is")
    return _builder(name)(device, None) if file is None else _of_onnx(name, file, preprocessing)


def files_of(name: str) -> tuple[str | None, ...]:
    """The names of the file that a bundle with this encoder carries; None where it needs none."""
    if name.lower().endswith(".onnx") and name == plain_name(name):
        return (ONNX,)
    return (SAFETENSORS,) if name in NETWORKS else (None,)


def features_only(dimension: int) -> Encoder:
    """Stands for the encoder of features computed elsewhere, and refuses every picture."""

    def refuse(pixels: np.ndarray) -> np.ndarray:
        raise UsageError(
            "this model was trained on features computed elsewhere, and has no encoder for "
            "pictures; give it such features: mrnn evaluate --features FILE"
        )

    return Encoder(FEATURES, "", dimension, Preprocessing(size=1), refuse, None)


def plain_name(path: str) -> str:
    """The last part of a path, fit to be stored and to name a folder."""
    return re.sub(r"[^\w.-]", "_", Path(path).name)[-64:]


def _no_image(device: str, weights: Path | None) -> Encoder:
    """The encoder of RNN-Base: every picture is the empty vector."""
    _refuse_weights(weights, "none")

    def nothing(pixels: np.ndarray) -> np.ndarray:
        return np.zeros((len(pixels), 0), dtype=np.float32)

    def nowhere(pixels: np.ndarray) -> np.ndarray:
        return np.zeros((len(pixels), 1, 0), dtype=np.float32)

    return Encoder("none", "", 0, Preprocessing(size=1), nothing, nowhere)


def _efficientnet(name: str, device: str, weights: Path | None) -> Encoder:
    _refuse_weights(weights, name)
    found = network(name)
    return _encoder(found, packaged(found), PACKAGES[name].sha256, device)


def _alexnet(device: str, weights: Path | None) -> Encoder:
    file = alexnet_weights(weights)
    return _encoder(network("alexnet"), file, file.digest, device)


BUILDERS: Mapping[str, Callable[[str, Path | None], Encoder]] = {
    "none": _no_image,
    **{name: partial(_efficientnet, name) for name in PACKAGES},
    "alexnet": _alexnet,
}


def _builder(name: str) -> Callable[[str, Path | None], Encoder]:
    if name not in BUILDERS:
        known = ", ".join(BUILDERS)
        raise BundleError(f"unknown encoder {name!r}; known: {known}, or a path to an .onnx file")
    return BUILDERS[name]


def _refuse_weights(weights: Path | None, name: str) -> None:
    """Raise UsageError where a file of weights is given but not wanted."""
    if weights is not None:
        raise UsageError(f"{name} takes no file of weights; only alexnet does")


def _open_onnx(path: Path) -> Encoder:
    from .onnx_files import read_onnx

    content, how = read_onnx(path)
    return _of_onnx(plain_name(path.name), EncoderFile.of(ONNX, content, printable(path)), how)


def _of_onnx(name: str, file: EncoderFile, how: Preprocessing) -> Encoder:
    from .onnx_networks import open_network

    opened = open_network(file.content, how, file.place)
    runs = opened.encode, opened.encode_positions
    identity = name, file.digest, opened.dimension, opened.preprocessing
    return Encoder(*identity, *runs, file, remark=opened.remark)


def _encoder(
    network: Network, file: EncoderFile, digest: str, device: str, precision: int | None = None
) -> Encoder:
    encode, positions, bits = open_known(network, file, device, precision)
    size, how = network.dimension, network.preprocessing
    return Encoder(network.name, digest, size, how, encode, positions, file, bits)
