"""EfficientNet-Lite as a list of convolutions with batch normalisation folded in.

The list serves twice: `graph` makes an ONNX graph of it, and `training.image_network` runs it in
PyTorch. Architecture: Tan and Le, EfficientNet, 2019, in the "Lite" form (ReLU6, no
squeeze-and-excitation, TensorFlow's padding).
Folded statistics are constants: fine-tuning trains weights and biases, never the statistics.

Dimension key: B images, S input side, C channels, H x W positions, D=1280 feature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..onnx_graphs import bound_as, constant, graph, node
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

    def padding(self, length: int) -> tuple[int, int]:
        """Zeros before and after a side of this length: TensorFlow's SAME.

        As few as needed, the odd one after the image, not before it.
        """
        needed = (math.ceil(length / self.stride) - 1) * self.stride + self.kernel - length
        needed = max(needed, 0)
        return needed // 2, needed - needed // 2


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


def fold(state: Mapping[str, np.ndarray], size: Size) -> dict[str, np.ndarray]:
    """Fold batch normalisation into weights and biases, named `<convolution>.weight|.bias`."""
    folded = {}
    for block in blocks(size):
        for c in block.convolutions:
            deviation = np.sqrt(state[f"{c.norm}.running_var"] + np.float32(_BATCH_NORM_EPSILON))
            gain = state[f"{c.norm}.weight"] / deviation
            shift = state[f"{c.norm}.bias"] - state[f"{c.norm}.running_mean"] * gain
            folded[f"{c.name}.weight"] = state[f"{c.name}.weight"] * gain[:, None, None, None]
            folded[f"{c.name}.bias"] = shift
    return folded


def onnx_graph(size: Size, kind: str) -> bytes:
    """Pixels (B, 3, S, S) to positions (B, D, H, W) and feature (B, D), their mean.

    The weights, of this kind, are bound when the graph is opened, by `stored_name` of the names
    that `fold` gives them.
    """
    nodes, weights = [], []
    x = "pixels"
    listed = blocks(size)
    for number, block in enumerate(listed):
        entering = x
        for c in block.convolutions:
            names = [x, f"{c.name}.weight", f"{c.name}.bias"]
            for name, shape in ((names[1], c.weight_shape), (names[2], (c.outputs,))):
                weight, cast = bound_as(name, shape, kind)
                weights.append(weight)
                nodes.append(cast)
            x = "positions" if number == len(listed) - 1 else c.name
            linear = f"{x}/linear" if c.relu6 else x
            nodes.append(
                node(
                    "Conv",
                    names,
                    linear,
                    kernel_shape=[c.kernel, c.kernel],
                    strides=[c.stride, c.stride],
                    group=c.groups,
                    auto_pad="SAME_UPPER",
                )
            )
            if c.relu6:
                nodes.append(node("Clip", [linear, "zero", "six"], x))
        if block.residual:
            nodes.append(node("Add", [entering, x], f"{x}/residual"))
            x = f"{x}/residual"
    nodes.append(node("ReduceMean", [x, "spatial"], "feature", keepdims=0))
    constants = [
        constant("zero", np.array(0, dtype=np.float32)),
        constant("six", np.array(6, dtype=np.float32)),
        constant("spatial", np.array([2, 3])),
    ]
    outputs = {"feature": ("B", FEATURE), "positions": ("B", FEATURE, "H", "W")}
    pixels = ("B", 3, size.input, size.input)
    return graph(nodes, {"pixels": pixels}, outputs, [*constants, *weights])


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
