"""Encoders whose last blocks are trained on a data set of one's own.

Batch normalisation is folded into the weights, so its statistics stay those of ImageNet: small
batches do no harm, and a trained network runs wherever the original does.

Dimension key: B images, S input side, D feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..images.networks import EncoderFile, Network, network, pooled, read_weights
from ..images.reading import Preprocessing


class TrainableEncoder:
    """A network in PyTorch, of which the last blocks learn; made by `open_trainable`.

    Give `weights()` to `encoders.encoder_of` for an encoder as all others.
    """

    def __init__(self, network: Network, weights: Mapping[str, Tensor], device: str) -> None:
        self._network = network
        self._weights = {
            k: nn.Parameter(_copied(v).to(device), requires_grad=False) for k, v in weights.items()
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
        x = pixels.contiguous(memory_format=torch.channels_last)  # nearly twice as fast on a CPU
        for stage in self._network.stages:
            x = stage.run(self._weights, x)
        return pooled(x)

    def weights(self) -> dict[str, Tensor]:
        """A copy of all weights, on the CPU."""
        return {k: v.detach().cpu().clone() for k, v in self._weights.items()}


def _copied(weight: Tensor) -> Tensor:
    return weight.to(torch.float32).clone(memory_format=torch.contiguous_format)


def open_trainable(
    name: str, device: str = "cpu", weights: Path | EncoderFile | None = None
) -> TrainableEncoder:
    """An EfficientNet-Lite or alexnet, all blocks frozen until `parameters` is called.

    `weights`: the file that alexnet needs, or the file of a bundle to go on from. Raises as
    `encoders.open_encoder`.
    """
    found = network(name)
    return TrainableEncoder(found, read_weights(found, weights), device)
