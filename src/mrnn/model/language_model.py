"""What the m-RNN and the models that it is compared with have in common: how they are scored.

Dimension key: B sentences, N packed words, P prefixes, I images, V vocabulary, D image feature, Z
what a model keeps of an image, R its state while it generates, M what its softmax sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ..config import ModelConfig
from ..words.packing import Packed
from ..words.prefixes import PrefixTree


class LanguageModel(Protocol):
    """P(next word | words so far, image); the image is a vector of size 0 for those without."""

    @property
    def config(self) -> ModelConfig:
        """Sizes."""

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """All weights by name."""

    def image_terms(self, features: np.ndarray) -> np.ndarray:
        """All that the model keeps of images: features (B, D) to (B, Z)."""

    def sentence_logits(self, packed: Packed, image_terms: np.ndarray) -> np.ndarray:
        """Logits of the next word for all packed words, (N, V); terms (B, Z) as sorted there."""

    def initial_state(self, sentences: int) -> np.ndarray:
        """The state (B, R) before the first word."""

    def step(
        self, words: np.ndarray, state: np.ndarray, image_terms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of generation: words (B,), (B, R), (B, Z) -> log P (B, V), next state."""


class JointModel(LanguageModel, Protocol):
    """One whose image and sentence meet only before the softmax: all pairs are scored at once."""

    @property
    def wo(self) -> np.ndarray:
        """Output weights, (V, M)."""

    @property
    def wo_bias(self) -> np.ndarray:
        """Output biases, (V,)."""

    @property
    def bound(self) -> float:
        """What no value before the softmax exceeds; infinite where there is none."""

    def prefix_terms(self, tree: PrefixTree) -> np.ndarray:
        """All that is needed of P distinct prefixes, (P, ...)."""

    def multimodal(self, sentence_terms: np.ndarray, image_terms: np.ndarray) -> np.ndarray:
        """What the softmax sees, (P, I, M), of terms of prefixes (P, 1, ...) and images (I, Z)."""
