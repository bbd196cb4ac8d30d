"""The multimodal recurrent neural network of Mao et al. 2014 (arXiv:1410.1090), sec. 3.

Dimension key: B sentences, N packed words, V vocabulary, E word embedding I, R word embedding II
and recurrent layer, M multimodal layer, D image feature (0 for RNN-Base, the model without image).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import DropoutShares, ModelConfig
from ..words.packing import Packed
from ..words.prefixes import PrefixTree

G2_BOUND = 1.7159


class Dropout:
    """Draws the masks of an update from a byte generator of its own.

    One byte a unit: torch draws Bernoulli numbers one after the other on a CPU, which took an
    eighth of a training step.
    """

    def __init__(self, shares: DropoutShares, seed: int | Sequence[int]) -> None:
        self.shares = shares
        self._generator = np.random.Generator(np.random.SFC64(seed))

    def __call__(self, x: Tensor, share: float) -> Tensor:
        """Zero a share of x and scale up the rest, so that its mean stays."""
        cut = round(share * 256)
        if cut == 0:
            return x
        drawn = np.frombuffer(self._generator.bytes(x.numel()), dtype=np.uint8)
        kept = torch.from_numpy(drawn >= cut).view(x.shape).to(x.device)
        return x * kept.to(x.dtype).mul_(256 / (256 - cut))


class MRNN(nn.Module):
    """P(next word | words so far, image), and its parts.

    w(t) = We Emb[word(t)]; r(t) = ReLU(Ur r(t-1) + w(t)) (eq. 2);
    m(t) = g2(Vw w(t) + Vr r(t) + VI I) (eq. 3); P = softmax(Wo m(t) + b).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocabulary, config.embedding))
        self.we = nn.Parameter(torch.empty(config.recurrent, config.embedding))
        self.we_bias = nn.Parameter(torch.zeros(config.recurrent))
        self.ur = nn.Parameter(torch.empty(config.recurrent, config.recurrent))
        self.vw = nn.Parameter(torch.empty(config.multimodal, config.recurrent))
        self.vw_bias = nn.Parameter(torch.zeros(config.multimodal))
        self.vr = nn.Parameter(torch.empty(config.multimodal, config.recurrent))
        self.vi = nn.Parameter(torch.empty(config.multimodal, config.feature))
        self.wo = nn.Parameter(torch.empty(config.vocabulary, config.multimodal))
        self.wo_bias = nn.Parameter(torch.zeros(config.vocabulary))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> MRNN:
        """Draw all weights at random (the paper leaves open how); returns itself."""
        self.embedding.normal_(0, 0.1, generator=generator)
        for weight in (self.we, self.vw, self.vr, self.vi, self.wo):
            bound = max(weight.shape[1], 1) ** -0.5
            weight.uniform_(-bound, bound, generator=generator)
        # A ReLU recurrence that starts as the identity remembers (Le, Jaitly and Hinton 2015).
        self.ur.copy_(torch.eye(self.config.recurrent))
        for bias in (self.we_bias, self.vw_bias, self.wo_bias):
            bias.zero_()
        return self

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Make the softmax flatter by a temperature above 1: it scales Wo and b for good."""
        self.wo.div_(temperature)
        self.wo_bias.div_(temperature)

    def forward(
        self, packed: Packed, image_terms: Tensor, dropout: Dropout | None = None
    ) -> Tensor:
        """Logits of the next word for all packed words, (N, V).

        `image_terms` (B, M) has a row a sentence, in the order of the sorted batch.
        """
        return self.logits(
            self.sentence_terms(packed, dropout) + image_terms.index_select(0, packed.rows), dropout
        )

    def step(self, words: Tensor, recurrent: Tensor, image_terms: Tensor) -> tuple[Tensor, Tensor]:
        """One step of generation: words (B,), r(t-1) (B, R), (B, M) -> log P (B, V), r(t)."""
        w = self.word_representation(words)
        r = F.relu(recurrent @ self.ur.T + w)
        x = F.linear(w, self.vw, self.vw_bias) + F.linear(r, self.vr) + image_terms
        return F.log_softmax(self.logits(x), dim=1), r

    def initial_state(self, sentences: int) -> Tensor:
        """r(0): zeros, (B, R)."""
        return self.ur.new_zeros(sentences, self.config.recurrent)

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """VI I, (B, M), from raw image features (B, D): once an image, not once a word."""
        features = F.normalize(features.to(self.vi.dtype), dim=1) * self.config.feature_norm
        if dropout:
            features = dropout(features, dropout.shares.image)
        return F.linear(features, self.vi)

    def sentence_terms(self, packed: Packed, dropout: Dropout | None = None) -> Tensor:
        """Vw w(t) + Vr r(t) of all packed words, (N, M): it needs no image."""
        w = self.word_representation(packed.inputs)  # (N, R)
        if dropout:
            w = dropout(w, dropout.shares.words)
        return self._joined_terms(w, recurrence(w, self.ur, packed.sizes))

    def prefix_terms(self, tree: PrefixTree) -> Tensor:
        """Vw w(t) + Vr r(t) after each of P distinct prefixes, (P, M); not for training."""
        w = self.word_representation(tree.words)  # (P, R)
        r = F.relu(w)
        start = 0
        for parents in tree.parents.split(tree.sizes):
            if start:
                level = slice(start, start + len(parents))
                r[level] = F.relu(torch.addmm(w[level], r[parents], self.ur.T))
            start += len(parents)
        return self._joined_terms(w, r)

    def _joined_terms(self, w: Tensor, r: Tensor) -> Tensor:
        return F.linear(torch.cat((w, r), 1), torch.cat((self.vw, self.vr), 1), self.vw_bias)

    @property
    def bound(self) -> float:
        """Of the multimodal layer."""
        return G2_BOUND

    def multimodal(self, sentence_terms: Tensor, image_terms: Tensor) -> Tensor:
        """m(t), (..., M), from both parts of the sum inside eq. 3."""
        return g2(sentence_terms + image_terms)

    def logits(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Wo g2(x) + b, (..., V), from the sum x (..., M) inside eq. 3."""
        m = g2(x)
        if dropout:
            m = dropout(m, dropout.shares.multimodal)
        return F.linear(m, self.wo, self.wo_bias)

    def word_representation(self, words: Tensor) -> Tensor:
        """w(t), (N, R): word embedding II."""
        return F.linear(F.embedding(words, self.embedding), self.we, self.we_bias)


def g2(x: Tensor) -> Tensor:
    """The scaled tanh of eq. 4; never beyond `G2_BOUND`."""
    return G2_BOUND * torch.tanh(x * (2 / 3))


def recurrence(w: Tensor, ur: Tensor, sizes: Sequence[int]) -> Tensor:
    """r(t) = ReLU(Ur r(t-1) + w(t)), r(0) = 0, over packed words (eq. 2): (N, R) -> (N, R)."""
    return _Recurrence.apply(w, ur, tuple(sizes))  # type: ignore[no-untyped-call]


class _Recurrence(torch.autograd.Function):
    """Full back-propagation through time; the gradient of Ur is one product, not one a step."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, ur: Tensor, sizes: tuple[int, ...]) -> Tensor:
        r = w.clone()
        back = ur.T.to(w.dtype)
        before = r[:0]
        for step in r.split(sizes):
            if len(before):
                step.addmm_(before[: len(step)], back)
            before = step.relu_()
        ctx.save_for_backward(r, ur)
        ctx.sizes = sizes
        return r

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        r, ur = ctx.saved_tensors
        weight = ur.to(r.dtype)
        into = grad * (r > 0)  # gradient at the input of ReLU, complete from the last step back
        steps = list(zip(into.split(ctx.sizes), r.split(ctx.sizes), strict=True))
        for (step, _), (earlier, r_earlier) in zip(steps[:0:-1], steps[-2::-1], strict=True):
            n = len(step)
            earlier[:n].addcmul_(step @ weight, (r_earlier[:n] > 0).to(step.dtype))
        if len(steps) < 2:
            return into, torch.zeros_like(ur), None
        previous = torch.cat([r[: len(s)] for (_, r), (s, _) in pairwise(steps)])
        return into, (into[ctx.sizes[0] :].T @ previous).to(ur.dtype), None
