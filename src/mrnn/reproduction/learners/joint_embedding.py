"""The embeddings of `baselines.joint_embedding` with gradients; a hinge rank loss teaches them.

They are so small that they learn on the CPU. Dimension key: B sentences of an update, R recurrent
layer, K joint space, D image feature, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import DropoutShares, ModelConfig, TrainConfig
from ...evaluation.ranks import image_ranks, sentence_ranks
from ...scoring.pairs import Pairs
from ...training.fit import one_cycle, shuffled
from ...training.network import Dropout, recurrence
from ...weight_files import Shape
from ...words.packing import Packed
from ..baselines.joint_embedding import (
    JointEmbedding,
    averaging,
    averaging_shapes,
    reading,
    reading_shapes,
)
from .parameters import draw_uniformly

MARGIN = 0.1  # by which a right pair should score above a wrong one (Frome et al. 2013)
_BATCH = 128  # pairs of an update; those of other images in it are wrong ones
_DROPOUT = DropoutShares(words=0.3, image=0.3)

Weights = Mapping[str, nn.Parameter]  # by the names that a file has


@dataclass(frozen=True)
class TrainableEmbedding:
    """A linear map of the image feature beside a sentence side."""

    config: ModelConfig
    weights: Weights  # those that need no gradient stay as they are
    side: Callable[[Weights, Packed, Dropout | None], Tensor]  # (B, K), of any length
    embedding: Callable[..., JointEmbedding]  # of the sizes, and of weights by name

    def trained(self) -> JointEmbedding:
        """The embedding that is used, of a copy of the weights as they are."""
        copies = {name: weight.detach().numpy().copy() for name, weight in self.weights.items()}
        return self.embedding(self.config, **copies)

    def parameters(self) -> list[nn.Parameter]:
        """What learns."""
        return [weight for weight in self.weights.values() if weight.requires_grad]

    def images(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Unit vectors (B, K) of features (B, D)."""
        x = F.normalize(features, dim=1)
        x = dropout(x, dropout.shares.image) if dropout else x
        return F.normalize(F.linear(x, self.weights["image_map"]), dim=1)

    def sentences(self, packed: Packed, dropout: Dropout | None = None) -> Tensor:
        """Unit vectors (B, K) of sentences, in the sorted order."""
        return F.normalize(self.side(self.weights, packed, dropout), dim=1)


@torch.no_grad()
def averaging_words(config: ModelConfig, vectors: np.ndarray, seed: int) -> TrainableEmbedding:
    """Sentences are the mean of word vectors (V, K), which do not learn."""
    weights = _zeros(averaging_shapes(config))
    weights["side.vectors"].copy_(torch.from_numpy(vectors)).requires_grad_(False)
    draw_uniformly(weights["image_map"], torch.Generator().manual_seed(seed))
    return TrainableEmbedding(config, weights, _averaged, averaging)


@torch.no_grad()
def reading_words(config: ModelConfig, seed: int) -> TrainableEmbedding:
    """A recurrent network reads sentences."""
    weights, generator = _zeros(reading_shapes(config)), torch.Generator().manual_seed(seed)
    weights["side.embedding"].normal_(0, 0.1, generator=generator)
    weights["side.ur"].copy_(torch.eye(config.recurrent))
    for name in ("side.out", "image_map"):
        draw_uniformly(weights[name], generator)
    return TrainableEmbedding(config, weights, _read, reading)


def learned(
    network: TrainableEmbedding,
    both_ways: bool,
    train: Pairs,
    dev: Pairs,
    config: TrainConfig,
    on_progress: Callable[[int, int], None],
) -> JointEmbedding:
    """Learn by the hinge rank loss; the embedding with the best reciprocal ranks on dev.

    Sentences are ranked for an image, `both_ways` images for a sentence, too.
    """
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    best, kept = -1.0, network.trained()
    done = 0
    for epoch in range(1, config.epochs + 1):
        batches = shuffled(len(train.corpus), _BATCH, (config.seed, epoch))
        updates = config.epochs * len(batches)
        for batch in batches:
            packed = train.corpus.pack(batch)
            features = torch.from_numpy(train.features_of(batch, packed))
            images = torch.from_numpy(train.images[batch[packed.order]])
            dropout = Dropout(_DROPOUT, (config.seed, done))
            scores = network.sentences(packed, dropout) @ network.images(features, dropout).T
            wrong = images[:, None] != images[None, :]
            loss = hinge_rank_loss(scores.T, wrong)
            if both_ways:
                loss = loss + hinge_rank_loss(scores, wrong)
            optimiser.zero_grad()
            loss.backward()
            optimiser.param_groups[0]["lr"] = config.learning_rate * one_cycle(done, updates)
            optimiser.step()
            done += 1
            on_progress(done, updates)
        now = network.trained()
        scored = now.scores(dev)
        ranks = image_ranks(scored, dev.images), sentence_ranks(scored, dev.images)
        reached = sum(float(np.mean(1 / each)) for each in ranks)
        if reached > best:
            best, kept = reached, now
    return kept


def hinge_rank_loss(scores: Tensor, wrong: Tensor) -> Tensor:
    """By how much wrong items come within the margin of the right one, summed a query, in the mean.

    `scores` (B, B) has queries as rows, their right items on the diagonal; `wrong` (B, B) says
    which others are not right, too.
    """
    above = (MARGIN + scores - scores.diagonal()[:, None]).clamp_min(0)
    return (above * wrong).sum() / len(scores)


def _zeros(shapes: Mapping[str, Shape]) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}


def _averaged(weights: Weights, packed: Packed, dropout: Dropout | None) -> Tensor:
    read = F.embedding(torch.from_numpy(packed.inputs), weights["side.vectors"])  # (N, K)
    total = read.new_zeros(len(packed.order), read.shape[1])
    return total.index_add(0, torch.from_numpy(packed.rows), read)


def _read(weights: Weights, packed: Packed, dropout: Dropout | None) -> Tensor:
    """What the recurrent layer of eq. 2 holds after the last word, mapped into the joint space."""
    w = F.embedding(torch.from_numpy(packed.inputs), weights["side.embedding"])  # (N, R)
    if dropout:
        w = dropout(w, dropout.shares.words)
    r = recurrence(w, weights["side.ur"], packed.sizes)
    lengths = np.bincount(packed.rows, minlength=len(packed.order))
    ends = np.array([step.start for step in packed.steps])[lengths - 1] + np.arange(len(lengths))
    return F.linear(r[ends], weights["side.out"])
