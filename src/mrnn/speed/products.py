"""Products of square matrices, fp32: what the processor can do at best without PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..onnx_graphs import bound, graph, node
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


def _matrices(side: int) -> np.ndarray:
    """Two of them, (2, side, side)."""
    return np.random.default_rng(0).standard_normal((2, side, side), dtype=np.float32)
