"""The multimodal recurrent neural network of Mao et al. 2014 (arXiv:1410.1090), sec. 3, in NumPy.

    w(t) = We Emb[word(t)] + b             word embedding II
    r(t) = ReLU(Ur r(t-1) + w(t))          eq. 2
    m(t) = g2(Vw w(t) + Vr r(t) + VI I)    eq. 3
    g2(x) = 1.7159 tanh(2x/3)              eq. 4
    P(word(t+1)) = softmax(Wo m(t) + b)

It learns elsewhere: `training.network` has the same equations with gradients, and a test holds the
two together. The weights' names and shapes stand here only, in `shapes`.

Dimension key: B sentences, N packed words, P prefixes, V vocabulary, E word embedding I, R word
embedding II and recurrent layer, M multimodal layer, D image feature (0 for RNN-Base, the model
without image).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..config import ModelConfig
from ..weight_files import Shape
from ..words.packing import Packed
from ..words.prefixes import PrefixTree
from .arrays import log_softmax, relu, unit

G2_BOUND = 1.7159


def shapes(config: ModelConfig) -> dict[str, Shape]:
    """The weights by their names, as a bundle has them."""
    c = config
    return {
        "embedding": (c.vocabulary, c.embedding),
        "we": (c.recurrent, c.embedding),
        "we_bias": (c.recurrent,),
        "ur": (c.recurrent, c.recurrent),
        "vw": (c.multimodal, c.recurrent),
        "vw_bias": (c.multimodal,),
        "vr": (c.multimodal, c.recurrent),
        "vi": (c.multimodal, c.feature),
        "wo": (c.vocabulary, c.multimodal),
        "wo_bias": (c.vocabulary,),
    }


@dataclass(frozen=True, eq=False)
class MRNN:
    """P(next word | words so far, image), and its parts; all weights are float32."""

    config: ModelConfig
    embedding: np.ndarray  # (V, E)
    we: np.ndarray  # (R, E)
    we_bias: np.ndarray  # (R,)
    ur: np.ndarray  # (R, R)
    vw: np.ndarray  # (M, R)
    vw_bias: np.ndarray  # (M,)
    vr: np.ndarray  # (M, R)
    vi: np.ndarray  # (M, D)
    wo: np.ndarray  # (V, M)
    wo_bias: np.ndarray  # (V,)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name."""
        return {name: getattr(self, name) for name in shapes(self.config)}

    @property
    def bound(self) -> float:
        """What no value of the multimodal layer exceeds."""
        return G2_BOUND

    def word_representation(self, words: np.ndarray) -> np.ndarray:
        """w(t), (N, R), of words (N,)."""
        return self.embedding[words] @ self.we.T + self.we_bias

    def image_terms(self, features: np.ndarray) -> np.ndarray:
        """VI I, (B, M), from image features (B, D) of any float type: once an image."""
        return unit(features.astype(np.float32)) * self.config.feature_norm @ self.vi.T

    def initial_state(self, sentences: int) -> np.ndarray:
        """r(0): zeros, (B, R)."""
        return np.zeros((sentences, self.config.recurrent), dtype=np.float32)

    def step(
        self, words: np.ndarray, recurrent: np.ndarray, image_terms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of generation: words (B,), r(t-1) (B, R), (B, M) -> log P (B, V), r(t)."""
        w = self.word_representation(words)
        r = relu(recurrent @ self.ur.T + w)
        return log_softmax(self.logits(self._joined_terms(w, r) + image_terms)), r

    def sentence_logits(self, packed: Packed, image_terms: np.ndarray) -> np.ndarray:
        """Logits of the next word for all packed words, (N, V).

        `image_terms` (B, M) has a row a sentence, in the order of the sorted batch.
        """
        return self.logits(self.sentence_terms(packed) + image_terms[packed.rows])

    def sentence_terms(self, packed: Packed) -> np.ndarray:
        """Vw w(t) + Vr r(t) of all packed words, (N, M): it needs no image."""
        w = self.word_representation(packed.inputs)  # (N, R)
        return self._joined_terms(w, self.recurrence(w, packed))

    def recurrence(self, w: np.ndarray, packed: Packed) -> np.ndarray:
        """r(t), (N, R), of w(t) (N, R) over packed words (eq. 2)."""
        r = np.empty_like(w)
        before = self.initial_state(len(packed.order))
        for step in packed.steps:
            running = step.stop - step.start
            before = r[step] = relu(before[:running] @ self.ur.T + w[step])
        return r

    def prefix_terms(self, tree: PrefixTree) -> np.ndarray:
        """Vw w(t) + Vr r(t) after each of P distinct prefixes, (P, M)."""
        w = self.word_representation(tree.words)  # (P, R)
        r = relu(w)  # right for the first ones
        for level in tree.levels[1:]:
            r[level] = relu(r[tree.parents[level]] @ self.ur.T + w[level])
        return self._joined_terms(w, r)

    def multimodal(self, sentence_terms: np.ndarray, image_terms: np.ndarray) -> np.ndarray:
        """m(t), (..., M), from both parts of the sum inside eq. 3."""
        x = sentence_terms + image_terms
        return g2(x, out=x)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Wo g2(x) + b, (N, V), from the sum x (N, M) inside eq. 3."""
        return g2(x) @ self.wo.T + self.wo_bias

    def _joined_terms(self, w: np.ndarray, r: np.ndarray) -> np.ndarray:
        return w @ self.vw.T + r @ self.vr.T + self.vw_bias


def model_of(config: ModelConfig, weights: Mapping[str, np.ndarray]) -> MRNN:
    """The model with these weights, as float32, of the shapes that `shapes` tells."""
    return MRNN(config, **{n: np.asarray(weights[n], dtype=np.float32) for n in shapes(config)})


def g2(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The scaled tanh of eq. 4; never beyond `G2_BOUND`. New memory costs more than the tanh."""
    m = np.multiply(x, np.float32(2 / 3), out=out)
    np.tanh(m, out=m)
    m *= np.float32(G2_BOUND)
    return m


def g2_slope(m: np.ndarray) -> np.ndarray:
    """g2'(x) where g2(x) = m."""
    return np.float32(2 / 3) * (np.float32(G2_BOUND) - np.square(m) / np.float32(G2_BOUND))
