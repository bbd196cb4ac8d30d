"""What the m-RNN and the models it is compared with have in common: how they learn and are scored.

Dimension key: B sentences, N packed words, P prefixes, I images, V vocabulary, D image feature, Z
what a model keeps of an image, R its state while it generates, M what its softmax sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from ..config import ModelConfig
    from ..words.packing import Packed
    from ..words.prefixes import PrefixTree
    from .mrnn import Dropout


class LanguageModel(Protocol):
    """P(next word | words so far, image); the image is a vector of size 0 for those without."""

    config: ModelConfig

    @property
    def wo(self) -> Tensor:
        """Output weights, (V, M)."""

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """All that the model keeps of images: features (B, D) to (B, Z)."""

    def __call__(self, packed: Packed, terms: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits of the next word for all packed words, (N, V); terms (B, Z) as sorted there."""

    def initial_state(self, sentences: int) -> Tensor:
        """The state (B, R) before the first word."""

    def step(self, words: Tensor, state: Tensor, terms: Tensor) -> tuple[Tensor, Tensor]:
        """One step of generation: words (B,), (B, R), (B, Z) -> log P (B, V), next state."""

    def divide_logits(self, temperature: float) -> None:
        """Make the softmax flatter by a temperature above 1, for good."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights that learn."""

    def state_dict(self) -> dict[str, Any]:
        """All weights by name."""


class JointModel(LanguageModel, Protocol):
    """One whose image and sentence meet only before the softmax: all pairs are scored at once."""

    @property
    def wo_bias(self) -> Tensor:
        """Output biases, (V,)."""

    @property
    def bound(self) -> float:
        """What no value before the softmax exceeds; infinite where there is none."""

    def prefix_terms(self, tree: PrefixTree) -> Tensor:
        """All that is needed of P distinct prefixes, (P, ...); not for training."""

    def multimodal(self, sentence_terms: Tensor, image_terms: Tensor) -> Tensor:
        """What the softmax sees, (P, I, M), of terms of prefixes (P, 1, ...) and images (I, Z)."""
