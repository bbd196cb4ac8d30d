"""The simple recurrent network of eq. 1, which the paper starts from: no image, no embeddings.

x(t) = [w(t) r(t-1)], r(t) = f1(U x(t)), y(t) = g1(V r(t)): w(t) is one-hot, f1 the sigmoid, g1 the
softmax.

Dimension key: B sentences, N packed words, R recurrent layer, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import ModelConfig
from ...model.mrnn import Dropout
from ...words.packing import Packed


class SimpleRNN(nn.Module):
    """P(next word | words so far), whatever the image."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Parameter(torch.empty(config.vocabulary, config.recurrent))  # U of w(t)
        self.ur = nn.Parameter(torch.empty(config.recurrent, config.recurrent))  # U of r(t-1)
        self.wo = nn.Parameter(torch.empty(config.vocabulary, config.recurrent))  # V of eq. 1
        self.wo_bias = nn.Parameter(torch.zeros(config.vocabulary))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> SimpleRNN:
        """Draw all weights at random; returns itself."""
        self.words.normal_(generator=generator)  # wide, lest all sigmoids begin near 1/2
        bound = self.config.recurrent**-0.5
        for weight in (self.ur, self.wo):
            weight.uniform_(-bound, bound, generator=generator)
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
        states, r = [], self.initial_state(len(packed.order))
        for words in packed.inputs.split(packed.sizes):
            r = self._next(words, r[: len(words)])
            states.append(r)
        every = torch.cat(states)
        if dropout:
            every = dropout(every, dropout.shares.multimodal)
        return F.linear(every, self.wo, self.wo_bias)

    def initial_state(self, sentences: int) -> Tensor:
        """r(0): zeros, (B, R)."""
        return self.ur.new_zeros(sentences, self.config.recurrent)

    def step(self, words: Tensor, state: Tensor, terms: Tensor) -> tuple[Tensor, Tensor]:
        """One step of generation: words (B,), r(t-1) (B, R), nothing -> log P (B, V), r(t)."""
        r = self._next(words, state)
        return F.log_softmax(F.linear(r, self.wo, self.wo_bias), dim=1), r

    def _next(self, words: Tensor, r: Tensor) -> Tensor:
        return torch.sigmoid(F.embedding(words, self.words) + F.linear(r, self.ur))
