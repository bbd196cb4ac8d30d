"""Image networks in PyTorch: to let their last blocks learn, and to compute features on a GPU.

They run the layers that `images.efficientnet` and `images.alexnet` list. Batch normalisation is
folded into the weights, so its statistics stay those of ImageNet: small batches do no harm, and a
trained network runs wherever the original does.

Dimension key: B images, S input side, C channels, H x W = P positions, D feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..images.alexnet import Layer
from ..images.efficientnet import Block, Convolution
from ..images.encoders import Encoder
from ..images.networks import ONNX, EncoderFile, Network, Stage, network, read_weights
from ..images.reading import Preprocessing

_CPU = torch.device("cpu")


class TrainableEncoder:
    """A network in PyTorch, of which the last blocks learn; made by `open_trainable`.

    Give `weights()` to `encoders.encoder_of` for an encoder as all others.
    """

    def __init__(
        self, network: Network, weights: Mapping[str, np.ndarray], device: torch.device = _CPU
    ) -> None:
        self._network = network
        self._weights = {
            name: nn.Parameter(torch.tensor(weight, dtype=torch.float32, device=device), False)
            for name, weight in weights.items()
        }

    @property
    def name(self) -> str:
        """The encoder's name."""
        return self._network.name

    @property
    def dimension(self) -> int:
        """D, the feature's size."""
        return self._network.dimension

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures become pixels."""
        return self._network.preprocessing

    @property
    def blocks(self) -> int:
        """How many blocks there are, from the first convolution to the feature."""
        return len(self._network.stages)

    def parameters(self, last: int | None = None) -> list[nn.Parameter]:
        """Let the last blocks learn (None: all) and freeze the others; the weights that learn.

        Raises UsageError when there are not so many blocks.
        """
        last = self.blocks if last is None else last
        if not 1 <= last <= self.blocks:
            raise UsageError(f"{self.name} has {self.blocks} blocks: train 1 to {self.blocks}")
        learning = self._network.stages[self.blocks - last :]
        chosen = [name for stage in learning for name in stage.shapes]
        for name, weight in self._weights.items():
            weight.requires_grad_(name in chosen)
        return [self._weights[name] for name in chosen]

    def features(self, pixels: Tensor) -> Tensor:
        """Preprocessed pixels (B, 3, S, S) to features (B, D); only what learns keeps a graph."""
        x = self.positions(pixels)
        return x.mean(dim=(2, 3)) if x.dim() == 4 else x

    def positions(self, pixels: Tensor) -> Tensor:
        """What the last stage gives, of which the feature is the mean: (B, D, H, W) or (B, D)."""
        x = pixels.contiguous(memory_format=torch.channels_last)  # nearly twice as fast on a CPU
        for stage in self._network.stages:
            x = _run(stage, self._weights, x)
        return x

    def weights(self) -> dict[str, np.ndarray]:
        """A copy of all weights."""
        return {name: w.detach().cpu().numpy().copy() for name, w in self._weights.items()}


def open_trainable(
    name: str, file: EncoderFile | None, device: torch.device = _CPU
) -> TrainableEncoder:
    """The network of an encoder's file, all blocks frozen until `parameters` is called.

    What learns begins with the numbers of the file, float16, as they are used. Raises BundleError
    for an encoder that is not known layer by layer, and for a damaged file.
    """
    found = network(name)
    assert file is not None  # noqa: S101 - encoders that are known layer by layer have one
    return TrainableEncoder(found, read_weights(found, file), device)


def blended(
    network: Network, began: EncoderFile, learned: EncoderFile, share: float
) -> dict[str, np.ndarray]:
    """The weights between those of two files, `share` of the way to what was learned.

    Both ends of a network's learning are joined by a path of good networks, and halfway it knows
    the pictures it began with and those it learned from (Wortsman et al. 2022, arXiv:2109.01903).
    """
    first, last = read_weights(network, began), read_weights(network, learned)
    return {
        name: weight.astype(np.float32) * (1 - share) + last[name].astype(np.float32) * share
        for name, weight in first.items()
    }


def placed(encoder: Encoder, device: torch.device) -> Encoder:
    """The encoder as it runs best: in PyTorch on a GPU, as it is on a CPU."""
    return encoder if device.type == "cpu" else in_torch(encoder, device)


def in_torch(encoder: Encoder, device: torch.device) -> Encoder:
    """The same encoder, run by PyTorch; what is not known layer by layer stays as it is."""
    if encoder.file is None or encoder.file.name == ONNX:
        return encoder
    run = open_trainable(encoder.name, encoder.file, device)

    @torch.inference_mode()
    def encode(pixels: np.ndarray) -> np.ndarray:
        return run.features(torch.from_numpy(pixels).to(device)).cpu().numpy()

    @torch.inference_mode()
    def positions(pixels: np.ndarray) -> np.ndarray:
        found = run.positions(torch.from_numpy(pixels).to(device))
        return found.flatten(2).transpose(1, 2).cpu().numpy()  # (B, P, D)

    return replace(encoder, encode=encode, encode_positions=encoder.encode_positions and positions)


def _run(stage: Stage, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """A stage's output, of (B, C, H, W); `weights` may hold more than its own."""
    match stage:
        case Block():
            entering = x
            for convolution in stage.convolutions:
                x = _convolved(convolution, weights, x)
            return x + entering if stage.residual else x
        case Layer():
            return _layer(stage, weights, x)
    raise TypeError(f"{stage!r} is no stage of a network that we know")


def _convolved(c: Convolution, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """From (B, C, H, W) to the same with other sizes; the weights are folded."""
    rows, columns = c.padding(x.shape[2]), c.padding(x.shape[3])
    padding = (rows[0], columns[0])
    if padding != (rows[1], columns[1]):  # the convolution itself pads both sides alike
        x, padding = F.pad(x, (*columns, *rows)), (0, 0)
    weight, bias = weights[f"{c.name}.weight"], weights[f"{c.name}.bias"]
    x = F.conv2d(x, weight, bias, c.stride, padding, groups=c.groups)
    return F.relu6(x, inplace=True) if c.relu6 else x


def _layer(layer: Layer, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """From (B, C, H, W) to the same with other sizes, or to (B, D)."""
    weight, bias = weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"]
    if weight.dim() == 2:
        return F.relu(F.linear(x.flatten(1), weight, bias))
    x = F.relu(F.conv2d(x, weight, bias, layer.stride, layer.padding))
    return F.max_pool2d(x, 3, 2) if layer.pool else x
