"""AlexNet up to its layer 7, the paper's image feature: fc7 after the ReLU, 4096 numbers.

The layers, and their names in the state dict, are those of torchvision's AlexNet. That is the
variant of "One weird trick for parallelizing convolutional neural networks" (Krizhevsky, 2014),
with fewer filters and no local response normalisation, not the network of 2012 that the paper
used: figures made with it are not the paper's. There is no dropout, in training neither.

Dimension key: B images, C channels, H x W positions, D=4096 feature.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import BundleError
from ..weight_files import Shape, check_tensors, from_safetensors, read_whole
from .reading import Preprocessing, printable

FEATURE = 4096
# ImageNet's mean and standard deviation of each channel.
PREPROCESSING = Preprocessing(224, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
VARIANT = "the one-weird-trick variant (Krizhevsky 2014), not the paper's AlexNet"

_TORCHVISION = "7be5be79"  # begins the SHA-256 of alexnet-owt-7be5be79.pth
_UNUSED = ("classifier.6.weight", "classifier.6.bias")  # from the feature to ImageNet's classes


@dataclass(frozen=True)
class Layer:
    """A convolution, or a product with a matrix, and its ReLU."""

    name: str
    weight_shape: Shape
    stride: int = 1
    padding: int = 0
    pool: bool = False  # the maximum of 3 x 3 positions, at every second one

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of the weights by their names."""
        return {
            f"{self.name}.weight": self.weight_shape,
            f"{self.name}.bias": self.weight_shape[:1],
        }

    def run(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """From (B, C, H, W) to the same with other sizes, or to (B, 4096)."""
        weight, bias = weights[f"{self.name}.weight"], weights[f"{self.name}.bias"]
        if weight.dim() == 2:
            return F.relu(F.linear(x.flatten(1), weight, bias))
        x = F.relu(F.conv2d(x, weight, bias, self.stride, self.padding))
        return F.max_pool2d(x, 3, 2) if self.pool else x


LAYERS = (
    Layer("features.0", (64, 3, 11, 11), stride=4, padding=2, pool=True),
    Layer("features.3", (192, 64, 5, 5), padding=2, pool=True),
    Layer("features.6", (384, 192, 3, 3), padding=1),
    Layer("features.8", (256, 384, 3, 3), padding=1),
    Layer("features.10", (256, 256, 3, 3), padding=1, pool=True),
    Layer("classifier.1", (4096, 256 * 6 * 6)),
    Layer("classifier.4", (FEATURE, 4096)),
)
SHAPES = {name: shape for layer in LAYERS for name, shape in layer.shapes.items()}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the layers up to fc7 from a safetensors file, or from torchvision's own file.

    Raises BundleError for any other file, and when a layer is missing or of another shape.
    """
    try:
        tensors = _tensors(read_whole(path))
        check_tensors({k: v for k, v in tensors.items() if k not in _UNUSED}, SHAPES, "AlexNet")
    except ValueError as error:
        raise BundleError(
            f"{printable(path)}: {error}; give torchvision's alexnet-owt-{_TORCHVISION}.pth, or "
            "its state dict as safetensors"
        ) from None
    return {name: tensors[name] for name in SHAPES}


def _tensors(content: bytes) -> Mapping[str, Tensor]:
    if content[8:9] == b"{":  # as every safetensors file
        return from_safetensors(content)
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(_TORCHVISION):
        raise ValueError(
            f"not a safetensors file, and its SHA-256 begins {digest[:8]}: another pickle than "
            "torchvision's is never read"
        )
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # the digest's beginning can be forged; its errors are many
        raise ValueError(f"not weights ({printable(str(error))[:200]})") from None
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ValueError("not a state dict")
    return loaded
