"""Graphs of vision transformers give what a plain twin in NumPy gives; weights are random."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mrnn.speed.vision_transformers import (
    BLIP,
    CLIP,
    EIGHT_BITS,
    PRECISIONS,
    VisionTransformer,
    onnx_graph,
    open_transformer,
    random_weights,
)

TINY = {
    "like BLIP": VisionTransformer(32, 8, 24, 2, 3, 48, "Gelu", normed_patches=False, feature=10),
    "like CLIP": VisionTransformer(
        16, 8, 16, 2, 2, 32, "QuickGelu", normed_patches=True, feature=6
    ),
}
FP32 = PRECISIONS[0]


def twin(how, weights, pixels):
    """The feature of one picture (3, S, S), a patch, a head and a layer after another."""

    def product(x, name):
        return x @ weights[name] + weights[f"{name}/bias"]

    def normed(x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return scaled * weights[f"{name}/gain"] + weights[f"{name}/bias"]

    def active(x):
        if how.activation == "Gelu":
            return x * np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(x)
        return x / (1 + np.exp(-1.702 * x))

    p, size = how.patch, how.width // how.heads
    patches = [
        pixels[:, row : row + p, column : column + p].ravel()
        for row in range(0, how.size, p)
        for column in range(0, how.size, p)
    ]
    x = np.vstack([np.zeros(how.width), product(np.stack(patches), "patches")])
    x = x + weights["positions"]
    if how.normed_patches:
        x = normed(x, "first")
    for i in range(how.layers):
        y = normed(x, f"{i}/attention")
        query, key, value = (product(y, f"{i}/{part}") for part in ("query", "key", "value"))
        heads = []
        for head in range(how.heads):
            own = slice(head * size, (head + 1) * size)
            shares = np.exp(query[:, own] @ key[:, own].T / math.sqrt(size))
            heads.append(shares / shares.sum(axis=1, keepdims=True) @ value[:, own])
        x = x + product(np.hstack(heads), f"{i}/mix")
        x = x + product(active(product(normed(x, f"{i}/units"), f"{i}/up")), f"{i}/down")
    return product(normed(x, "last")[0], "projection")


def cosine(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("images", [1, 3])
def test_features_are_those_of_the_twin(name, images):
    how = TINY[name]
    draw = np.random.default_rng(1)
    pixels = draw.standard_normal((images, 3, how.size, how.size), dtype=np.float32)
    weights = random_weights(how, FP32)
    right = np.stack([twin(how, weights, picture) for picture in pixels])
    found = open_transformer(how, FP32)(pixels)
    assert found.shape == (images, how.feature)
    np.testing.assert_allclose(found, right, atol=1e-5)
    rounded = open_transformer(how, EIGHT_BITS)(pixels)
    # Processors without VNNI instructions add pairs of products in 16 bits, which may saturate.
    assert (cosine(rounded, right) > 0.98).all()
    assert not np.array_equal(rounded, found)


@pytest.mark.parametrize("name", TINY)
def test_codes_times_step_sizes_are_the_weights(name):
    plain, rounded = (random_weights(TINY[name], precision) for precision in PRECISIONS)
    for matrix in TINY[name].matrices:
        steps = rounded[f"{matrix}/steps"]
        assert (np.abs(rounded[matrix]).max(axis=0) == 127).all()
        assert (np.abs(rounded[matrix] * steps - plain[matrix]) <= 0.501 * steps).all()


def test_the_architectures_are_as_large_as_published():
    """Parameters without biases of patches and, in CLIP, of the projection: it has none."""
    for how, millions in ((BLIP, 86.3), (CLIP, 87.8)):
        matrices = sum(inputs * outputs + outputs for inputs, outputs in how.matrices.values())
        others = 2 * how.width * len(how.norms) + (how.grid**2 + 1) * how.width
        assert (matrices + others) / 1e6 == pytest.approx(millions, abs=0.2)


def test_graphs_hold_no_weights():
    assert len(onnx_graph(BLIP, EIGHT_BITS)) < 100_000
