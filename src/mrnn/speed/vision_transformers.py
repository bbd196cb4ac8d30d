"""Image sides of well-known vision-language models, as ONNX graphs; their weights are random.

How fast a network runs does not depend on what it has learned: for `mrnn benchmark` the
architecture is enough. There are two precisions: fp32, and 8 bits, where all products with weights
are of integers: weights have a step size a column, and activations one a tensor, found while it
runs, as ONNX Runtime's own dynamic quantisation does it.

Dimension key: B images, S input side, P patch side, G = S / P patches a side, T = G G + 1 tokens,
D width, F feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ..images.networks import Run, opened_later
from ..onnx_graphs import Attribute, bound, constant, graph, node

EIGHT_BITS = "8 bits"
PRECISIONS = ("fp32", EIGHT_BITS)

_FUSED = "com.microsoft"  # the domain of operations that are ONNX Runtime's own
_CODE = 127  # the largest code of a weight, 8 bits signed
_SPREAD = 0.02  # standard deviation of the weights, as both models were begun with


@dataclass(frozen=True)
class VisionTransformer:
    """An architecture: the feature is a projection of the first token's last state."""

    size: int  # S, pixels
    patch: int  # P, pixels
    width: int  # D
    layers: int
    heads: int
    hidden: int  # units between the two products that follow each attention
    activation: str  # Gelu, or QuickGelu: x sigmoid(1.702 x)
    normed_patches: bool  # whether tokens are normalised before the first layer
    feature: int  # F

    @property
    def grid(self) -> int:
        """Patches a side, G."""
        return self.size // self.patch

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Shapes (inputs, outputs) of all matrices by their names; each has a bias."""
        d = self.width
        found = {"patches": (3 * self.patch**2, d), "projection": (d, self.feature)}
        for i in range(self.layers):
            found |= {f"{i}/{part}": (d, d) for part in ("query", "key", "value", "mix")}
            found |= {f"{i}/up": (d, self.hidden), f"{i}/down": (self.hidden, d)}
        return found

    @property
    def norms(self) -> list[str]:
        """Names of all layer normalisations; each has D gains and D biases."""
        found = ["first"] * self.normed_patches + ["last"]
        for i in range(self.layers):
            found += [f"{i}/attention", f"{i}/units"]
        return found


# Of the base model: Li et al. 2022, https://arxiv.org/abs/2201.12086
BLIP = VisionTransformer(384, 16, 768, 12, 12, 3072, "Gelu", normed_patches=False, feature=256)
# ViT-B/32: Radford et al. 2021, https://arxiv.org/abs/2103.00020
CLIP = VisionTransformer(224, 32, 768, 12, 12, 3072, "QuickGelu", normed_patches=True, feature=512)


def open_transformer(how: VisionTransformer, precision: str) -> Run:
    """A network with random weights, (B, 3, S, S) to (B, F), shared out among threads as ours."""
    weights = random_weights(how, precision)
    return opened_later(partial(onnx_graph, how, precision), weights)("feature")


def random_weights(how: VisionTransformer, precision: str) -> dict[str, np.ndarray]:
    """Weights by their names, float32; with 8 bits, matrices are codes, int8, with step sizes."""
    draw = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return np.float32(_SPREAD) * draw.standard_normal(shape, dtype=np.float32)

    found = {"positions": some(how.grid**2 + 1, how.width)}  # the first with the class token
    for name in how.norms:
        found |= {f"{name}/gain": 1 + some(how.width), f"{name}/bias": some(how.width)}
    for name, shape in how.matrices.items():
        found |= {name: some(*shape), f"{name}/bias": some(shape[1])}
        if precision == EIGHT_BITS:  # at once: memory never holds all of them in fp32
            steps = np.abs(found[name]).max(axis=0) / np.float32(_CODE)
            codes = np.rint(found[name] / steps).astype(np.int8)
            found |= {name: codes, f"{name}/steps": steps}
    return found


def onnx_graph(how: VisionTransformer, precision: str) -> bytes:
    """The graph to which weights of that precision are bound."""
    kind = "int8" if precision == EIGHT_BITS else "float32"
    nodes: list[bytes] = []
    weights = [bound("positions", (how.grid**2 + 1, how.width))]

    def add(
        operation: str, inputs: list[str], output: str, domain: str = "", **attributes: Attribute
    ) -> str:
        nodes.append(node(operation, inputs, output, domain, **attributes))
        return output

    def product(x: str, name: str, output: str = "") -> str:
        shape = how.matrices[name]
        weights.extend((bound(name, shape, kind), bound(f"{name}/bias", shape[1:])))
        output = output or f"{name}/products"
        if kind == "int8":
            weights.append(bound(f"{name}/steps", shape[1:]))
            inputs = [x, name, f"{name}/steps", "", f"{name}/bias"]
            return add("DynamicQuantizeMatMul", inputs, output, domain=_FUSED)
        return add("Add", [add("MatMul", [x, name], f"{name}/plain"), f"{name}/bias"], output)

    def normed(x: str, name: str) -> str:
        gain, bias = f"{name}/gain", f"{name}/bias"
        weights.extend(bound(part, (how.width,)) for part in (gain, bias))
        return add("LayerNormalization", [x, gain, bias], f"{name}/normed")

    def shape(name: str, *numbers: int) -> str:
        weights.append(constant(name, np.array(numbers)))
        return name

    side, patch = how.grid, how.patch  # a zero in a shape keeps what is there
    x = add("Reshape", ["pixels", shape("squares", 0, 3, side, patch, side, patch)], "split")
    x = add("Transpose", [x], "turned", perm=[0, 2, 4, 1, 3, 5])
    x = add("Reshape", [x, shape("rows", 0, side**2, 3 * patch**2)], "flat")
    x = add("Pad", [product(x, "patches"), shape("one-before", 0, 1, 0, 0, 0, 0)], "padded")
    x = add("Add", [x, "positions"], "tokens")  # (B, T, D)
    if how.normed_patches:
        x = normed(x, "first")
    for i in range(how.layers):
        y = normed(x, f"{i}/attention")
        parts = [product(y, f"{i}/{part}") for part in ("query", "key", "value")]
        y = add("MultiHeadAttention", parts, f"{i}/attended", domain=_FUSED, num_heads=how.heads)
        x = add("Add", [x, product(y, f"{i}/mix")], f"{i}/middle")
        y = product(normed(x, f"{i}/units"), f"{i}/up")
        y = add(how.activation, [y], f"{i}/active", domain=_FUSED)
        x = add("Add", [x, product(y, f"{i}/down")], f"{i}/end")
    weights.append(constant("zero", np.array(0)))
    x = add("Gather", [normed(x, "last"), "zero"], "state", axis=1)  # (B, D)
    product(x, "projection", "feature")
    pixels = ("B", 3, how.size, how.size)
    return graph(nodes, {"pixels": pixels}, {"feature": ("B", how.feature)}, weights)
