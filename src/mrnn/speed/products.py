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


def integer_product(side: int) -> Callable[[], object]:
    """The same of 7-bit by 8-bit integers, to fp32, as `model.normaliser` multiplies."""
    codes = np.random.default_rng(0).integers(-63, 64, (2, side, side))
    names = ["a", "b", "one", "ones", "middle", "zeros"]
    weights = [
        bound("b", (side, side), "int8"),
        bound("ones", (side,)),
        bound("zeros", (side,), "int8"),
        constant("one", np.array(1, dtype=np.float32)),
        constant("middle", np.array(64, dtype=np.uint8)),
    ]
    nodes = [
        node("QuantizeLinear", ["m", "one", "middle"], "a"),
        node("MatMulIntegerToFloat", names, "found", domain="com.microsoft"),
    ]
    bindings = {
        "b": codes[1].astype(np.int8),
        "ones": np.ones(side, dtype=np.float32),
        "zeros": np.zeros(side, dtype=np.int8),
    }
    shape = (side, side)
    session = open_session(graph(nodes, {"m": shape}, {"found": shape}, weights), bindings)
    m = codes[0].astype(np.float32)
    return lambda: session.run(None, {"m": m})


def _matrices(side: int) -> np.ndarray:
    """Two of them, (2, side, side)."""
    return np.random.default_rng(0).standard_normal((2, side, side), dtype=np.float32)
