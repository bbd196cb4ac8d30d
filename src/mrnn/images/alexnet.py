"""AlexNet up to its layer 7, the paper's image feature: fc7 after the ReLU, 4096 numbers.

The layers, and their names in the state dict, are those of torchvision's AlexNet. That is the
variant of "One weird trick for parallelizing convolutional neural networks" (Krizhevsky, 2014),
with fewer filters and no local response normalisation, not the network of 2012 that the paper
used: figures made with it are not the paper's. There is no dropout, in training neither.

Dimension key: B images, C channels, H x W positions, D=4096 feature.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..onnx_graphs import bound_as, graph, node
from ..weight_files import Shape
from .reading import Preprocessing

FEATURE = 4096
# ImageNet's mean and standard deviation of each channel.
PREPROCESSING = Preprocessing(224, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
VARIANT = "the one-weird-trick variant (Krizhevsky 2014), not the paper's AlexNet"


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


def onnx_graph(kind: str) -> bytes:
    """Pixels (B, 3, S, S) to the feature (B, D).

    The weights, of this kind, are bound when it is opened, by `stored_name` of their names.
    """
    nodes, weights = [], []
    x = "pixels"
    for layer in LAYERS:
        names = [f"{layer.name}.weight", f"{layer.name}.bias"]
        for name in names:
            weight, cast = bound_as(name, layer.shapes[name], kind)
            weights.append(weight)
            nodes.append(cast)
        linear = f"{layer.name}/linear"
        output = "feature" if layer is LAYERS[-1] else layer.name
        if len(layer.weight_shape) == 2:
            nodes.append(node("Flatten", [x], f"{layer.name}/flat"))
            nodes.append(node("Gemm", [f"{layer.name}/flat", *names], linear, transB=1))
        else:
            strides, pads = [layer.stride] * 2, [layer.padding] * 4
            nodes.append(node("Conv", [x, *names], linear, strides=strides, pads=pads))
        nodes.append(node("Relu", [linear], f"{layer.name}/relu" if layer.pool else output))
        if layer.pool:
            pooled = node(
                "MaxPool", [f"{layer.name}/relu"], output, kernel_shape=[3, 3], strides=[2, 2]
            )
            nodes.append(pooled)
        x = output
    side = PREPROCESSING.size
    return graph(nodes, {"pixels": ("B", 3, side, side)}, {"feature": ("B", FEATURE)}, weights)
