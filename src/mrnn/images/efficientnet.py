"""EfficientNet-Lite as a list of convolutions with batch normalisation folded in.

The list serves twice: `Block.run` runs it in PyTorch (GPUs, fine-tuning, tests), and
tools/export_graphs.py writes the ONNX graphs in graphs/ from it. Architecture: Tan and Le,
EfficientNet, 2019, in the "Lite" form (ReLU6, no squeeze-and-excitation, TensorFlow's padding).
Folded statistics are constants: fine-tuning trains weights and biases, never the statistics.

Dimension key: B images, S input side, C channels, H x W positions, D=1280 feature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..weight_files import Shape

FEATURE = 1280
_BATCH_NORM_EPSILON = 1e-3

# (repeats, kernel, stride, expansion, output channels) of Lite0's stages
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class Size:
    """How a member of the family is scaled from Lite0."""

    width: float
    depth: float
    input: int  # side of the square input, pixels


SIZES: Mapping[str, Size] = {
    "efficientnet-lite0": Size(1.0, 1.0, 224),
    "efficientnet-lite1": Size(1.0, 1.1, 240),
    "efficientnet-lite2": Size(1.1, 1.2, 260),
}


@dataclass(frozen=True)
class Convolution:
    """One convolution with its batch normalisation, named as in the published state dict."""

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    groups: int = 1
    relu6: bool = True

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weight, as PyTorch and ONNX have it."""
        return (self.outputs, self.inputs // self.groups, self.kernel, self.kernel)

    def run(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """From (B, C, H, W) to the same with other sizes."""
        rows, columns = _same_padding(x.shape[2], self), _same_padding(x.shape[3], self)
        padding = (rows[0], columns[0])
        if padding != (rows[1], columns[1]):  # the convolution itself pads both sides alike
            x, padding = F.pad(x, (*columns, *rows)), (0, 0)
        weight, bias = weights[f"{self.name}.weight"], weights[f"{self.name}.bias"]
        x = F.conv2d(x, weight, bias, self.stride, padding, groups=self.groups)
        return F.relu6(x, inplace=True) if self.relu6 else x


@dataclass(frozen=True)
class Block:
    """Convolutions in a row; `residual` adds the block's input to its output."""

    convolutions: tuple[Convolution, ...]
    residual: bool = False

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of the folded weights by their names."""
        weights = {f"{c.name}.weight": c.weight_shape for c in self.convolutions}
        return weights | {f"{c.name}.bias": (c.outputs,) for c in self.convolutions}

    def run(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """From (B, C, H, W) to the same with other sizes; `weights` are folded."""
        entering = x
        for convolution in self.convolutions:
            x = convolution.run(weights, x)
        return x + entering if self.residual else x


def blocks(size: Size) -> tuple[Block, ...]:
    """List the network from stem to head; no stage follows the head but the mean over positions."""
    listed = [Block((Convolution("_conv_stem", "_bn0", 3, 32, 3, stride=2),))]
    channels = 32
    for stage, (repeats, kernel, stride, expansion, width) in enumerate(_STAGES):
        outputs = _scaled_channels(width, size.width)
        # Lite deepens neither its first nor its last stage.
        depth = size.depth if 0 < stage < len(_STAGES) - 1 else 1.0
        for repeat in range(math.ceil(repeats * depth)):
            name = f"_blocks.{len(listed) - 1}"
            step = stride if repeat == 0 else 1
            listed.append(_inverted_bottleneck(name, channels, outputs, kernel, step, expansion))
            channels = outputs
    return (*listed, Block((Convolution("_conv_head", "_bn1", channels, FEATURE, 1),)))


def fold(state: Mapping[str, Tensor], size: Size) -> dict[str, Tensor]:
    """Fold batch normalisation into weights and biases, named `<convolution>.weight|.bias`."""
    folded = {}
    for block in blocks(size):
        for c in block.convolutions:
            gain = state[f"{c.norm}.weight"] / torch.sqrt(
                state[f"{c.norm}.running_var"] + _BATCH_NORM_EPSILON
            )
            folded[f"{c.name}.weight"] = state[f"{c.name}.weight"] * gain[:, None, None, None]
            folded[f"{c.name}.bias"] = (
                state[f"{c.norm}.bias"] - state[f"{c.norm}.running_mean"] * gain
            )
    return folded


def _inverted_bottleneck(
    name: str, inputs: int, outputs: int, kernel: int, stride: int, expansion: int
) -> Block:
    wide = inputs * expansion
    expand = Convolution(f"{name}._expand_conv", f"{name}._bn0", inputs, wide, 1)
    depthwise = Convolution(
        f"{name}._depthwise_conv", f"{name}._bn1", wide, wide, kernel, stride, groups=wide
    )
    project = Convolution(f"{name}._project_conv", f"{name}._bn2", wide, outputs, 1, relu6=False)
    convolutions = (depthwise, project) if expansion == 1 else (expand, depthwise, project)
    return Block(convolutions, residual=stride == 1 and inputs == outputs)


def _scaled_channels(channels: int, width: float) -> int:
    # Round to a multiple of 8, but never lose more than a tenth.
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _same_padding(length: int, c: Convolution) -> tuple[int, int]:
    # TensorFlow's SAME: as little as needed, the odd pixel after the image, not before it.
    needed = (math.ceil(length / c.stride) - 1) * c.stride + c.kernel - length
    needed = max(needed, 0)
    return needed // 2, needed - needed // 2
