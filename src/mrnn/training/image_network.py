"""Image networks in PyTorch: to let their last blocks learn, and to compute features on a GPU.

They run the layers that `images.efficientnet` and `images.alexnet` list. Batch normalisation is
folded into the weights, so its statistics stay those of ImageNet: small batches do no harm, and a
trained network runs wherever the original does.

Dimension key: B images, S input side, C channels, H x W = P positions, D feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..images.alexnet import Layer
from ..images.efficientnet import Block, Convolution
from ..images.eight_bits import bindings, onnx_graph
from ..images.encoders import Encoder
from ..images.networks import (
    ONNX,
    EncoderFile,
    Network,
    Run,
    Stage,
    network,
    opened_later,
    read_weights,
    read_whole_numbers,
)
from .depthwise import depthwise

_CPU = torch.device("cpu")


class TrainableEncoder:
    """A network in PyTorch, of which the last blocks learn; made by `open_trainable`.

    Blocks before them have no gradient. Where the network is in 8 bits, they run as they will when
    the network is used, in whole numbers, which is faster, too.
    """

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, np.ndarray],
        device: torch.device = _CPU,
        whole: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.network = network
        self.whole = whole  # its arrays in 8 bits, if it has been rounded
        self._device = device
        self._weights = {
            name: nn.Parameter(torch.tensor(weight, dtype=torch.float32, device=device), False)
            for name, weight in weights.items()
        }
        self._frozen = 0  # of the blocks, how many are run by `_run_frozen`
        self._run_frozen: Run | None = None

    @property
    def blocks(self) -> int:
        """How many blocks there are, from the first convolution to the feature."""
        return len(self.network.stages)

    def parameters(self, last: int | None = None) -> list[nn.Parameter]:
        """Let the last blocks learn (None: all) and freeze the others; the weights that learn.

        Raises UsageError when there are not so many blocks.
        """
        last = self.blocks if last is None else last
        if not 1 <= last <= self.blocks:
            raise UsageError(
                f"{self.network.name} has {self.blocks} blocks: train 1 to {self.blocks}"
            )
        first = self.blocks - last
        chosen = [name for stage in self.network.stages[first:] for name in stage.shapes]
        for name, weight in self._weights.items():
            weight.requires_grad_(name in chosen)
        self._frozen, self._run_frozen = 0, None
        if first and self.whole is not None and self._device.type == "cpu":
            frozen, how = self.network.blocks[:first], self.network.preprocessing
            weights = bindings(self.whole, frozen, how)
            graph = partial(onnx_graph, frozen, how.size)
            self._run_frozen = opened_later(graph, weights)("positions")
            self._frozen = first
        return [self._weights[name] for name in chosen]

    def features(self, pixels: np.ndarray) -> Tensor:
        """Preprocessed pixels (B, 3, S, S) to features (B, D); only what learns keeps a graph."""
        x = self.positions(pixels)
        return x.float().mean(dim=(2, 3)) if x.dim() == 4 else x

    def positions(self, pixels: np.ndarray) -> Tensor:
        """What the last stage gives, of which the feature is the mean: (B, D, H, W) or (B, D)."""
        if self._run_frozen is not None:
            pixels = self._run_frozen(pixels)
        x = torch.from_numpy(pixels).to(self._device)
        x = x.contiguous(memory_format=torch.channels_last)  # nearly twice as fast on a CPU
        for stage in self.network.stages[self._frozen :]:
            x = _run(stage, self._weights, x)
        return x

    def weights(self) -> dict[str, np.ndarray]:
        """A copy of all weights."""
        return {name: w.detach().cpu().numpy().copy() for name, w in self._weights.items()}


def open_trainable(
    name: str, file: EncoderFile | None, device: torch.device = _CPU
) -> TrainableEncoder:
    """The network of an encoder's file, all blocks frozen until `parameters` is called.

    What learns begins with the numbers of the file as they are used. Raises BundleError for an
    encoder that is not known layer by layer, and for a damaged file.
    """
    found = network(name)
    assert file is not None  # noqa: S101 - encoders that are known layer by layer have one
    whole = read_whole_numbers(found, file)
    return TrainableEncoder(found, read_weights(found, file), device, whole)


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
        return run.features(pixels).cpu().numpy()

    @torch.inference_mode()
    def positions(pixels: np.ndarray) -> np.ndarray:
        found = run.positions(pixels)
        return found.flatten(2).transpose(1, 2).cpu().numpy()  # (B, P, D)

    at = encoder.encode_positions and positions
    return replace(encoder, encode=encode, encode_positions=at, precision=32)


def _run(stage: Stage, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """A stage's output, of (B, C, H, W); `weights` may hold more than its own."""
    match stage:
        case Block():
            entering = x
            for convolution in stage.convolutions:
                weight, bias = (weights[f"{convolution.name}.{p}"] for p in ("weight", "bias"))
                x = convolved(convolution, weight, bias, x)
                x = F.relu6(x, inplace=True) if convolution.relu6 else x
            return x + entering if stage.residual else x
        case Layer():
            return _layer(stage, weights, x)
    raise TypeError(f"{stage!r} is no stage of a network that we know")


def convolved(c: Convolution, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """A convolution, without ReLU6: from (B, C, H, W) to the same with other sizes."""
    if c.kernel == 1:  # a product of matrices is quicker, and its gradients still more
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    rows, columns = c.padding(x.shape[2]), c.padding(x.shape[3])
    padding = (rows[0], columns[0])
    if padding != (rows[1], columns[1]):  # the convolution itself pads both sides alike
        x, padding = F.pad(x, (*columns, *rows)), (0, 0)
    if c.groups > 1 and weight.requires_grad and torch.is_autocast_enabled(x.device.type):
        return depthwise(x, weight, bias, c.stride, padding)
    return F.conv2d(x, weight, bias, c.stride, padding, groups=c.groups)


def _layer(layer: Layer, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """From (B, C, H, W) to the same with other sizes, or to (B, D)."""
    weight, bias = weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"]
    if weight.dim() == 2:
        return F.relu(F.linear(x.flatten(1), weight, bias))
    x = F.relu(F.conv2d(x, weight, bias, layer.stride, layer.padding))
    return F.max_pool2d(x, 3, 2) if layer.pool else x
