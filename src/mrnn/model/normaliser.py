"""The softmax's denominator: nearly all the work of scoring a sentence against an image.

It runs in ONNX Runtime, as a graph of a few operations to which the model's output weights are
bound; a model's graphs are opened when they are first asked for, and kept as long as the model.

Dimension key: R rows, each a prefix with an image; M multimodal layer; V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from onnxruntime import InferenceSession

from ..onnx_graphs import bound, constant, graph, node
from ..onnx_sessions import open_session, opened_once
from .language_model import JointModel

Normaliser = Callable[[np.ndarray], np.ndarray]  # m (R, M) -> log sum_v exp(Wo m + b)_v, (R,)
# m (R, M) -> the same, and sum_v P(v) Wo_v, (R, M)
Expectation = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# m (R, M) -> both, and P(v), (R, V)
Distribution = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]

_EXP_BOUND = 87.0  # exp of a float32 neither overflows nor vanishes within it
_WEIGHT_CODE = 127  # the largest code of a weight, 8 bits signed
_CODE = 63  # and of m, around _MIDDLE: 7 bits unsigned
_MIDDLE = 64
_WORDS = constant("words", np.array([1]))  # the axis of logits (R, V) that is summed over
_SUMMED = [  # log sum exp of logits; ONNX Runtime's own operation takes nine times as long
    node("ReduceMax", ["logits", "words"], "most", keepdims=1),
    node("Sub", ["logits", "most"], "below"),
    node("Exp", ["below"], "powers"),
    node("ReduceSum", ["powers", "words"], "sums", keepdims=1),
    node("Log", ["sums"], "log"),
    node("Add", ["log", "most"], "found"),
]


def float_normaliser(model: JointModel) -> Normaliser:
    """In fp32."""
    return opened_once(model, _float)


def integer_normaliser(model: JointModel) -> Normaliser:
    """With m rounded to 7 bits, Wo to 8, and an exact integer product.

    m lies within a bound, so one step size fits all rows; Wo has a step size a word. On
    Flickr8K the result is within .03 of the precise one (docs/experiments.md). Processors without
    VNNI instructions add pairs of 8-bit products in 16 bits, saturating in silence; with 7 bits
    none can overflow, so that all processors give the same digits.
    """
    return opened_once(model, _integer)


def fast_normaliser(model: JointModel) -> Normaliser:
    """The quickest that is good enough for a first pass over all pairs, and for log P(s)."""
    return integer_normaliser(model) if is_bounded(model) else float_normaliser(model)


def expectation(model: JointModel) -> Expectation:
    """The denominator in fp32, and the output weights that the model expects of the next word."""
    return opened_once(model, _expectation)


def distribution(model: JointModel) -> Distribution:
    """The same, and the probability of every word."""
    return opened_once(model, _distribution)


def is_bounded(model: JointModel) -> bool:
    """Whether there is a step size for m, which `integer_normaliser` needs."""
    return math.isfinite(model.bound)


def _float(model: JointModel) -> Normaliser:
    words, size = model.wo.shape
    products = node("Gemm", ["m", "weight", "bias"], "logits")
    return _session(model, [products], [bound("weight", (size, words))], {"weight": model.wo.T})


def _integer(model: JointModel) -> Normaliser:
    words, size = model.wo.shape
    steps = np.maximum(np.abs(model.wo).max(axis=1), np.float32(1e-30)) / _WEIGHT_CODE  # (V,)
    codes = np.rint(model.wo / steps[:, None]).astype(np.int8)
    nodes = [
        node("QuantizeLinear", ["m", "step", "middle"], "codes"),
        node(
            "MatMulIntegerToFloat",
            ["codes", "weight", "step", "steps", "middle", "zeros", "bias"],
            "logits",
            domain="com.microsoft",
        ),
    ]
    weights = [
        bound("weight", (size, words), "int8"),
        bound("steps", (words,)),
        bound("zeros", (words,), "int8"),
        constant("step", np.array(model.bound / _CODE, dtype=np.float32)),
        constant("middle", np.array(_MIDDLE, dtype=np.uint8)),
    ]
    bindings = {
        "weight": codes.T,
        "steps": steps,
        "zeros": np.zeros(words, dtype=np.int8),
    }
    return _session(model, nodes, weights, bindings)


def _expectation(model: JointModel) -> Expectation:
    session = opened_once(model, _open_distribution)

    def expect(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, expected = session.run(["found", "expected"], {"m": m})
        return found[:, 0], expected

    return expect


def _distribution(model: JointModel) -> Distribution:
    session = opened_once(model, _open_distribution)

    def distribute(m: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found, expected, shares = session.run(["found", "expected", "shares"], {"m": m})
        return found[:, 0], expected, shares

    return distribute


def _open_distribution(model: JointModel) -> InferenceSession:
    words, size = model.wo.shape
    nodes = [
        node("Gemm", ["m", "weight", "bias"], "logits"),
        *_SUMMED,
        node("Div", ["powers", "sums"], "shares"),
        node("MatMul", ["shares", "wo"], "expected"),
    ]
    weights = [
        bound("weight", (size, words)),
        bound("bias", (words,)),
        bound("wo", (words, size)),
        _WORDS,
    ]
    bindings = {"weight": model.wo.T, "bias": model.wo_bias, "wo": model.wo}
    outputs = {"found": ("R", 1), "expected": ("R", size), "shares": ("R", words)}
    return open_session(graph(nodes, {"m": ("R", size)}, outputs, weights), bindings)


def _session(
    model: JointModel,
    nodes: list[bytes],
    weights: list[bytes],
    bindings: Mapping[str, np.ndarray],
) -> Normaliser:
    """From logits Wo m + b (R, V), which the nodes make of m, to the denominator."""
    words, size = model.wo.shape
    if _is_safe(model):  # nothing need be subtracted first
        nodes = [*nodes, node("Exp", ["logits"], "powers")]
        nodes += [node("ReduceSum", ["powers", "words"], "sums", keepdims=1)]
        nodes += [node("Log", ["sums"], "found")]
    else:
        nodes = [*nodes, *_SUMMED]
    weights = [*weights, bound("bias", (words,)), _WORDS]
    content = graph(nodes, {"m": ("R", size)}, {"found": ("R", 1)}, weights)
    session = open_session(content, {**bindings, "bias": model.wo_bias})

    def normalise(m: np.ndarray) -> np.ndarray:
        [found] = session.run(None, {"m": m})
        return found[:, 0]

    return normalise


def _is_safe(model: JointModel) -> bool:
    """Whether no sum of exponentials can overflow or vanish: a bound of m bounds every logit."""
    largest = model.bound * np.abs(model.wo).sum(axis=1).max() + np.abs(model.wo_bias).max()
    return bool(largest + math.log(len(model.wo)) < _EXP_BOUND)
