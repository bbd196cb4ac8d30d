"""The multimodal recurrent network of `model.mrnn` with gradients: the same equations in PyTorch.

    w(t) = We Emb[word(t)] + b             word embedding II
    r(t) = ReLU(Ur r(t-1) + w(t))          eq. 2
    m(t) = g2(Vw w(t) + Vr r(t) + VI I)    eq. 3
    g2(x) = 1.7159 tanh(2x/3)              eq. 4
    P(word(t+1)) = softmax(Wo m(t) + b)

It has what learning needs, and nothing of generation and scoring: these are for `trained` models.

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
from ..model.mrnn import G2_BOUND, MRNN, model_of, shapes
from ..words.packing import Packed


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


class TrainableMRNN(nn.Module):
    """P(next word | words so far, image); weights are 0 until `initialise`, or made by `of`."""

    embedding: nn.Parameter  # (V, E)
    we: nn.Parameter  # (R, E)
    we_bias: nn.Parameter  # (R,)
    ur: nn.Parameter  # (R, R)
    vw: nn.Parameter  # (M, R)
    vw_bias: nn.Parameter  # (M,)
    vr: nn.Parameter  # (M, R)
    vi: nn.Parameter  # (M, D)
    wo: nn.Parameter  # (V, M)
    wo_bias: nn.Parameter  # (V,)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        for name, shape in shapes(config).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    @classmethod
    def of(cls, model: MRNN) -> TrainableMRNN:
        """A model as it goes on learning, from a copy of its weights."""
        network = cls(model.config)
        network.load_state_dict({n: torch.tensor(weight) for n, weight in model.weights.items()})
        return network

    def trained(self) -> MRNN:
        """The model that is used: a copy of the weights as they are, in NumPy, float32."""
        copies = {n: w.cpu().to(torch.float32, copy=True) for n, w in self.state_dict().items()}
        return model_of(self.config, {name: copy.numpy() for name, copy in copies.items()})

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> TrainableMRNN:
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
        seen = image_terms.index_select(0, on_device_of(self.wo, packed.rows))  # (N, M)
        return self.logits(self.sentence_terms(packed, dropout) + seen, dropout)

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """VI I, (B, M), from raw image features (B, D): once an image, not once a word."""
        features = F.normalize(features.to(self.vi.dtype), dim=1) * self.config.feature_norm
        if dropout:
            features = dropout(features, dropout.shares.image)
        return F.linear(features, self.vi)

    def sentence_terms(self, packed: Packed, dropout: Dropout | None = None) -> Tensor:
        """Vw w(t) + Vr r(t) of all packed words, (N, M): it needs no image."""
        w = self.word_representation(on_device_of(self.wo, packed.inputs))  # (N, R)
        if dropout:
            w = dropout(w, dropout.shares.words)
        both = torch.cat((w, recurrence(w, self.ur, packed.sizes)), 1)  # (N, 2R)
        return F.linear(both, torch.cat((self.vw, self.vr), 1), self.vw_bias)

    def word_representation(self, words: Tensor) -> Tensor:
        """w(t), (N, R), of words (N,)."""
        return F.linear(F.embedding(words, self.embedding), self.we, self.we_bias)

    def logits(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Wo g2(x) + b, (N, V), from the sum x (N, M) inside eq. 3."""
        m = g2(x)
        if dropout:
            m = dropout(m, dropout.shares.multimodal)
        return F.linear(m, self.wo, self.wo_bias)


def on_device_of(weight: Tensor, indices: np.ndarray) -> Tensor:
    """Indices of packed words as a tensor where a weight is."""
    return torch.from_numpy(indices).to(weight.device)


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
