"""Products of square matrices: what the processor can do at best without PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..onnx_graphs import bound, constant, graph, node
from ..onnx_sessions import open_session


def numpy_product(side: int) -> Callable[[], object]:
    """A product of two matrices (side, side) in NumPy."""
    a, b = _matrices(side)
    return lambda: a @ b


def onnx_product(side: int) -> Callable[[], object]:
    """A product of two matrices (side, side) in ONNX Runtime, one of them bound as a weight."""
    a, b = _matrices(side)
    nodes = [node("MatMul", ["a", "b"], "found")]
    content = graph(nodes, {"a": a.shape}, {"found": a.shape}, [bound("b", b.shape)])
    session = open_session(content, {"b": b})
    return lambda: session.run(None, {"a": a})


def integer_product(rows: int, size: int, words: int) -> Callable[[], object]:
    """A product (rows, size) by (size, words) of 7-bit by 8-bit integers, to fp32.

    As `model.normaliser` has it; only the largest number of each row (rows, 1) is handed out.
    """
    draw = np.random.default_rng(0)
    m = draw.integers(-63, 64, (rows, size)).astype(np.float32)
    weights = [
        bound("weight", (size, words), "int8"),
        bound("ones", (words,)),
        bound("zeros", (words,), "int8"),
        constant("one", np.array(1, dtype=np.float32)),
        constant("middle", np.array(64, dtype=np.uint8)),
        constant("words", np.array([1])),
    ]
    factors = ["codes", "weight", "one", "ones", "middle", "zeros"]
    nodes = [
        node("QuantizeLinear", ["m", "one", "middle"], "codes"),
        node("MatMulIntegerToFloat", factors, "products", domain="com.microsoft"),
        node("ReduceMax", ["products", "words"], "found", keepdims=1),
    ]
    bindings: dict[str, np.ndarray] = {
        "weight": draw.integers(-127, 128, (size, words)).astype(np.int8),
        "ones": np.ones(words, dtype=np.float32),
        "zeros": np.zeros(words, dtype=np.int8),
    }
    content = graph(nodes, {"m": m.shape}, {"found": (rows, 1)}, weights)
    session = open_session(content, bindings)
    return lambda: session.run(None, {"m": m})


def _matrices(side: int) -> np.ndarray:
    """Two of them, (2, side, side)."""
    return np.random.default_rng(0).standard_normal((2, side, side), dtype=np.float32)
