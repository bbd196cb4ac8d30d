"""LBL, MLBL-B and MLBL-F with gradients: the equations of `baselines.log_bilinear` in PyTorch.

Dimension key: B sentences, N packed words, E word vectors, K factors, D image feature, V
vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import ModelConfig
from ...training.network import Dropout, on_device_of
from ...words.packing import Packed
from ..baselines.log_bilinear import (
    FactoredLogBilinear,
    LogBilinear,
    contexts,
    factored_shapes,
    shapes,
)
from .parameters import add_parameters, copied, draw_uniformly


class TrainableLogBilinear(nn.Module):
    """LBL without an image (D = 0), else MLBL-B; weights are 0 until `initialise`."""

    wo: nn.Parameter
    wo_bias: nn.Parameter
    maps: nn.Parameter
    image_map: nn.Parameter

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        add_parameters(self, shapes(config))

    def trained(self) -> LogBilinear:
        """The model that is used, of a copy of the weights as they are."""
        return LogBilinear(self.config, **copied(self))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> TrainableLogBilinear:
        """Draw all weights at random; returns itself."""
        self.wo.normal_(0, 0.1, generator=generator)
        for weight in (self.maps, self.image_map):
            draw_uniformly(weight, generator)
        return self

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Scale what predicts, not the words that are read."""
        for weight in (self.maps, self.image_map, self.wo_bias):
            weight.div_(temperature)

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """C_m x of image features (B, D): (B, E)."""
        return F.linear(_scaled(features, self.config, dropout), self.image_map)

    def forward(self, packed: Packed, terms: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits of the next word, (N, V); terms (B, E)."""
        r = F.linear(_read(self.wo, packed, dropout), self.maps)
        r = r + terms.index_select(0, on_device_of(self.wo, packed.rows))  # (N, E)
        if dropout:
            r = dropout(r, dropout.shares.multimodal)
        return F.linear(r, self.wo, self.wo_bias)


class TrainableFactoredLogBilinear(nn.Module):
    """MLBL-F; weights are 0 until `initialise`."""

    wo: nn.Parameter
    wo_bias: nn.Parameter
    through: nn.Parameter
    gate: nn.Parameter
    maps: nn.Parameter
    image_map: nn.Parameter

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        add_parameters(self, factored_shapes(config))

    def trained(self) -> FactoredLogBilinear:
        """The model that is used, of a copy of the weights as they are."""
        return FactoredLogBilinear(self.config, **copied(self))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> TrainableFactoredLogBilinear:
        """Draw all weights at random; returns itself."""
        self.wo.normal_(0, 0.1, generator=generator)
        for weight in (self.through, self.gate, self.maps, self.image_map):
            draw_uniformly(weight, generator)
        return self

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Scale what predicts, not the words that are read."""
        for weight in (self.gate, self.wo_bias):
            weight.div_(temperature)

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Wfk C_m x, and Wfd x, of image features (B, D): (B, 2K)."""
        x = _scaled(features, self.config, dropout)
        return torch.cat((F.linear(x, self.through @ self.image_map), F.linear(x, self.gate)), 1)

    def forward(self, packed: Packed, terms: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits of the next word, (N, V); terms (B, 2K)."""
        read = _read(self.wo @ self.through, packed, dropout)
        factors = F.linear(F.linear(read, self.maps), self.through)  # (N, K)
        seen, gate = terms.index_select(0, on_device_of(self.wo, packed.rows)).chunk(2, dim=1)
        m = (factors + seen) * gate
        if dropout:
            m = dropout(m, dropout.shares.multimodal)
        return F.linear(m, self.wo, self.wo_bias)


def _read(words: Tensor, packed: Packed, dropout: Dropout | None) -> Tensor:
    """Representations (V, E) of the words before each packed one, side by side: (N, C * E)."""
    read = F.embedding(on_device_of(words, contexts(packed)), words).flatten(1)
    return dropout(read, dropout.shares.words) if dropout else read


def _scaled(features: Tensor, config: ModelConfig, dropout: Dropout | None) -> Tensor:
    x = F.normalize(features, dim=1) * config.feature_norm
    return dropout(x, dropout.shares.image) if dropout else x
