"""The simple recurrent network of eq. 1 with gradients: `baselines.simple_rnn` in PyTorch.

Dimension key: B sentences, N packed words, R recurrent layer, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import ModelConfig
from ...training.network import Dropout, on_device_of
from ...words.packing import Packed
from ..baselines.simple_rnn import SimpleRNN, shapes
from .parameters import add_parameters, copied, draw_uniformly


class TrainableSimpleRNN(nn.Module):
    """P(next word | words so far), whatever the image; weights are 0 until `initialise`."""

    words: nn.Parameter
    ur: nn.Parameter
    wo: nn.Parameter
    wo_bias: nn.Parameter

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        add_parameters(self, shapes(config))

    def trained(self) -> SimpleRNN:
        """The model that is used, of a copy of the weights as they are."""
        return SimpleRNN(self.config, **copied(self))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> TrainableSimpleRNN:
        """Draw all weights at random; returns itself."""
        self.words.normal_(generator=generator)  # wide, lest all sigmoids begin near 1/2
        for weight in (self.ur, self.wo):
            draw_uniformly(weight, generator)
        return self

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Scale V and its bias."""
        self.wo.div_(temperature)
        self.wo_bias.div_(temperature)

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Nothing: (B, 0)."""
        return self.wo.new_empty(len(features), 0)

    def forward(self, packed: Packed, terms: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits of the next word for all packed words, (N, V); full back-propagation in time."""
        states, r = [], self.wo.new_zeros(len(packed.order), self.config.recurrent)
        for words in on_device_of(self.wo, packed.inputs).split(packed.sizes):
            r = torch.sigmoid(F.embedding(words, self.words) + F.linear(r[: len(words)], self.ur))
            states.append(r)
        every = torch.cat(states)  # (N, R)
        if dropout:
            every = dropout(every, dropout.shares.multimodal)
        return F.linear(every, self.wo, self.wo_bias)
