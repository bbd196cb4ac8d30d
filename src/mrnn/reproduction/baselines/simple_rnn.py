"""The simple recurrent network of eq. 1, which the paper starts from: no image, no embeddings.

x(t) = [w(t) r(t-1)], r(t) = f1(U x(t)), y(t) = g1(V r(t)): w(t) is one-hot, f1 the sigmoid, g1 the
softmax.

Dimension key: B sentences, N packed words, R recurrent layer, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...config import ModelConfig
from ...model.arrays import log_softmax
from ...weight_files import Shape
from ...words.packing import Packed


def shapes(config: ModelConfig) -> dict[str, Shape]:
    """The weights by their names, as their file has them."""
    c = config
    return {
        "words": (c.vocabulary, c.recurrent),
        "ur": (c.recurrent, c.recurrent),
        "wo": (c.vocabulary, c.recurrent),
        "wo_bias": (c.vocabulary,),
    }


@dataclass(frozen=True, eq=False)
class SimpleRNN:
    """P(next word | words so far), whatever the image."""

    config: ModelConfig
    words: np.ndarray  # U of w(t), (V, R)
    ur: np.ndarray  # U of r(t-1), (R, R)
    wo: np.ndarray  # V of eq. 1, (V, R)
    wo_bias: np.ndarray  # (V,)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name."""
        return {name: getattr(self, name) for name in shapes(self.config)}

    def image_terms(self, features: np.ndarray) -> np.ndarray:
        """Nothing: (B, 0)."""
        return np.zeros((len(features), 0), dtype=np.float32)

    def sentence_logits(self, packed: Packed, image_terms: np.ndarray) -> np.ndarray:
        """Logits of the next word for all packed words, (N, V)."""
        r = np.empty((len(packed.inputs), self.config.recurrent), dtype=np.float32)
        before = self.initial_state(len(packed.order))
        for step in packed.steps:
            running = step.stop - step.start
            before = r[step] = self._next(packed.inputs[step], before[:running])
        return self._logits(r)

    def initial_state(self, sentences: int) -> np.ndarray:
        """r(0): zeros, (B, R)."""
        return np.zeros((sentences, self.config.recurrent), dtype=np.float32)

    def step(
        self, words: np.ndarray, state: np.ndarray, image_terms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of generation: words (B,), r(t-1) (B, R), nothing -> log P (B, V), r(t)."""
        r = self._next(words, state)
        return log_softmax(self._logits(r)), r

    def _next(self, words: np.ndarray, r: np.ndarray) -> np.ndarray:
        return sigmoid(self.words[words] + r @ self.ur.T)

    def _logits(self, r: np.ndarray) -> np.ndarray:
        return r @ self.wo.T + self.wo_bias


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), by a function that cannot overflow."""
    return (1 + np.tanh(x / 2)) / 2
