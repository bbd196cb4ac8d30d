"""What `fit.Fit` needs of a network that learns: the m-RNN, and those that it is compared with.

Dimension key: B sentences, N packed words, V vocabulary, D image feature, Z what a network keeps of
an image, M what its softmax sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor, nn

from ..config import ModelConfig
from ..model.language_model import LanguageModel
from ..words.packing import Packed
from .network import Dropout


class Learner(Protocol):
    """P(next word | words so far, image), with gradients; an `nn.Module` with these besides."""

    @property
    def config(self) -> ModelConfig:
        """Sizes."""

    @property
    def wo(self) -> Tensor:
        """Output weights, (V, M); they tell on which device the network learns."""

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """All that the network keeps of images: features (B, D) to (B, Z)."""

    def __call__(self, packed: Packed, terms: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits of the next word for all packed words, (N, V); terms (B, Z) as sorted there."""

    def divide_logits(self, temperature: float) -> None:
        """Make the softmax flatter by a temperature above 1, for good."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights."""

    def state_dict(self) -> dict[str, Any]:
        """All weights by name."""

    def trained(self) -> LanguageModel:
        """The same network without gradients, in NumPy: a copy of the weights as they are."""
