"""Images and sentences as vectors of one space, learned with a hinge rank loss.

The image side is a linear map of its feature. The sentence side is the mean of its words' vectors,
which do not learn (in the manner of DeViSE, Frome et al. 2013), or a recurrent network (in the
manner of Socher et al. 2014 and UVSE, Kiros et al. 2014). All vectors have length 1; a pair scores
its inner product.

Dimension key: B sentences of an update, S sentences, I images, E vector of a word, R recurrent
layer, K joint space, D image feature, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import DropoutShares
from ...evaluation.ranks import image_ranks, sentence_ranks
from ...model.mrnn import Dropout, recurrence
from ...scoring.pairs import Pairs, to_tensor
from ...training.fit import one_cycle, shuffled
from ...words.packing import Corpus, Packed
from ...words.text import SIGNS
from .bag_of_words import bags

MARGIN = 0.1  # by which a right pair should score above a wrong one (Frome et al. 2013)
_BATCH = 128  # pairs of an update; those of other images in it are wrong ones
_DROPOUT = DropoutShares(words=0.3, image=0.3)
_SCORED = 512  # sentences at once
_COUNTED = 4096


class AveragedWords(nn.Module):
    """The mean of a sentence's word vectors (V, K), which stay as they are."""

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__()
        self.vectors = nn.Buffer(torch.from_numpy(vectors))
        self.size = vectors.shape[1]

    def forward(self, packed: Packed, dropout: Dropout | None = None) -> Tensor:
        """Vectors (B, K) of sentences, in the sorted order."""
        total = self.vectors.new_zeros(len(packed.order), self.size)
        return total.index_add(0, packed.rows, self.vectors[packed.inputs])


class SentenceRNN(nn.Module):
    """What the recurrent layer of eq. 2 holds after the last word, mapped into the joint space."""

    def __init__(self, words: int, embedding: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(words, size))
        self.ur = nn.Parameter(torch.eye(size))
        self.out = nn.Parameter(torch.empty(embedding, size))
        self.size = embedding
        with torch.no_grad():
            self.embedding.normal_(0, 0.1, generator=generator)
            self.out.uniform_(-(size**-0.5), size**-0.5, generator=generator)

    def forward(self, packed: Packed, dropout: Dropout | None = None) -> Tensor:
        """Vectors (B, K) of sentences, in the sorted order."""
        w = F.embedding(packed.inputs, self.embedding)
        if dropout:
            w = dropout(w, dropout.shares.words)
        r = recurrence(w, self.ur, packed.sizes)
        sizes = torch.tensor(packed.sizes)
        rows = torch.arange(len(packed.order))
        lengths = (sizes[None, :] > rows[:, None]).sum(1)
        return F.linear(r[(sizes.cumsum(0) - sizes)[lengths - 1] + rows], self.out)


class JointEmbedding(nn.Module):
    """A linear map of the image feature beside a sentence side; `both_ways` tells how it learns."""

    def __init__(
        self,
        sentences: AveragedWords | SentenceRNN,
        feature: int,
        both_ways: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.side, self.both_ways = sentences, both_ways
        self.image_map = nn.Parameter(torch.empty(sentences.size, feature))
        with torch.no_grad():
            self.image_map.uniform_(-(feature**-0.5), feature**-0.5, generator=generator)

    def images(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Unit vectors (B, K) of features (B, D)."""
        x = F.normalize(features, dim=1)
        x = dropout(x, dropout.shares.image) if dropout else x
        return F.normalize(F.linear(x, self.image_map), dim=1)

    def sentences(self, packed: Packed, dropout: Dropout | None = None) -> Tensor:
        """Unit vectors (B, K) of sentences, in the sorted order."""
        return F.normalize(self.side(packed, dropout), dim=1)

    @torch.inference_mode()
    def scores(self, pairs: Pairs) -> np.ndarray:
        """Inner products (S, I) of all sentences with all images."""
        device = self.image_map.device
        images = self.images(to_tensor(pairs.features[np.arange(len(pairs.features))], device))
        found = torch.empty(len(pairs.corpus), len(images))
        for start in range(0, len(pairs.corpus), _SCORED):
            rows = np.arange(start, min(start + _SCORED, len(pairs.corpus)))
            packed = pairs.corpus.pack(rows)
            found[start + packed.order] = self.sentences(packed) @ images.T
        return found.numpy()


def learn(
    model: JointEmbedding,
    train: Pairs,
    dev: Pairs,
    epochs: int,
    rate: float,
    seed: int,
    on_progress: Callable[[int, int], None],
) -> None:
    """Learn by the hinge rank loss; keeps the weights with the best reciprocal ranks on dev."""
    weights = list(model.parameters())
    optimiser = torch.optim.Adam(weights, fused=True)
    best, kept = -1.0, model.state_dict()
    done = 0
    for epoch in range(1, epochs + 1):
        batches = shuffled(len(train.corpus), _BATCH, (seed, epoch))
        for batch in batches:
            packed = train.corpus.pack(batch)
            features = train.features_of(batch, packed, weights[0].device)
            images = torch.from_numpy(train.images[batch[packed.order.numpy()]])
            dropout = Dropout(_DROPOUT, (seed, done))
            scores = model.sentences(packed, dropout) @ model.images(features, dropout).T
            wrong = images[:, None] != images[None, :]
            loss = hinge_rank_loss(scores.T, wrong)
            if model.both_ways:
                loss = loss + hinge_rank_loss(scores, wrong)
            optimiser.zero_grad()
            loss.backward()
            optimiser.param_groups[0]["lr"] = rate * one_cycle(done, epochs * len(batches))
            optimiser.step()
            done += 1
            on_progress(done, epochs * len(batches))
        scored = model.scores(dev)
        ranks = image_ranks(scored, dev.images), sentence_ranks(scored, dev.images)
        reached = sum(float(np.mean(1 / each)) for each in ranks)
        if reached > best:
            best, kept = reached, deepcopy(model.state_dict())
    model.load_state_dict(kept)


def hinge_rank_loss(scores: Tensor, wrong: Tensor) -> Tensor:
    """By how much wrong items come within the margin of the right one, summed a query, in the mean.

    `scores` (B, B) has queries as rows, their right items on the diagonal; `wrong` (B, B) says
    which others are not right, too.
    """
    above = (MARGIN + scores - scores.diagonal()[:, None]).clamp_min(0)
    return (above * wrong).sum() / len(scores)


def word_vectors(corpus: Corpus, words: int, size: int) -> np.ndarray:
    """Vectors (V, E) of words by what else is said in their sentences.

    Positive pointwise mutual information, factored (Levy and Goldberg 2014): DeViSE's come from a
    skip-gram model of an encyclopaedia, which we do not have offline.
    """
    together = np.zeros((words, words))
    for start in range(0, len(corpus), _COUNTED):
        rows = np.arange(start, min(start + _COUNTED, len(corpus)))
        said = bags(Corpus(corpus.sentences(rows)), words)
        together += said.T @ said
    np.fill_diagonal(together, 0)
    alone = together.sum(1).clip(1)
    with np.errstate(divide="ignore"):
        information = np.log(together * together.sum() / np.outer(alone, alone)).clip(0)
    values, vectors = np.linalg.eigh(information)
    found = vectors[:, -size:] * np.sqrt(values[-size:].clip(0))
    found[: len(SIGNS)] = 0
    return found.astype(np.float32)
