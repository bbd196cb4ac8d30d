"""One step of generation in ONNX Runtime: what `MRNN.step` gives, in a third of the time.

A step has few rows, and NumPy lays all weights out anew for each of its products, which takes
longer than the products. ONNX Runtime lays them out once, when the graph is opened.

Dimension key: B sentences, V vocabulary, E word embedding I, R recurrent layer, M multimodal layer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..onnx_graphs import bound, constant, graph, node
from ..onnx_sessions import open_session, opened_once
from .mrnn import G2_BOUND, MRNN, shapes

# Words (B,), r(t-1) (B, R), image terms (B, M) -> log P (B, V), r(t), Vw w(t) + Vr r(t) (B, M)
StepFunction = Callable[
    [np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]
]


def quick_step(model: MRNN) -> StepFunction:
    """`model.step`, as a graph that is opened when it is first asked for, and kept as long.

    It gives the sentence's part of the sum inside eq. 3, too.
    """
    return opened_once(model, _open)


def _open(model: MRNN) -> StepFunction:
    c, embedding = model.config, model.embedding
    nodes = [
        node("Gemm", ["embedded", "we", "we_bias"], "w", transB=1),
        node("Gemm", ["before", "ur", "w"], "sum", transB=1),
        node("Relu", ["sum"], "r"),  # eq. 2
        node("Gemm", ["w", "vw", "vw_bias"], "of_word", transB=1),
        node("Gemm", ["r", "vr", "of_word"], "of_sentence", transB=1),
        node("Add", ["of_sentence", "image"], "x"),
        node("Mul", ["x", "two_thirds"], "scaled"),
        node("Tanh", ["scaled"], "tanh"),
        node("Mul", ["tanh", "bound"], "m"),  # eq. 3 and 4
        node("Gemm", ["m", "wo", "wo_bias"], "logits", transB=1),
        node("LogSoftmax", ["logits"], "logp", axis=1),
    ]
    inside = [name for name in shapes(c) if name not in ("embedding", "vi")]
    weights = [bound(name, shapes(c)[name]) for name in inside]
    weights.append(constant("two_thirds", np.array(2 / 3, dtype=np.float32)))
    weights.append(constant("bound", np.array(G2_BOUND, dtype=np.float32)))
    inputs = {
        "embedded": ("B", c.embedding),
        "before": ("B", c.recurrent),
        "image": ("B", c.multimodal),
    }
    outputs = {
        "logp": ("B", c.vocabulary),
        "r": ("B", c.recurrent),
        "of_sentence": ("B", c.multimodal),
    }
    content = graph(nodes, inputs, outputs, weights)
    session = open_session(content, {name: model.weights[name] for name in inside})

    def step(
        words: np.ndarray, recurrent: np.ndarray, image_terms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        given = {"embedded": embedding[words], "before": recurrent, "image": image_terms}
        logp, r, of_sentence = session.run(list(outputs), given)
        return logp, r, of_sentence

    return step
