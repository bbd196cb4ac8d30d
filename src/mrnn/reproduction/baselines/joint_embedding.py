"""Images and sentences as vectors of one space: a pair scores their inner product.

The image side is a linear map of its feature. The sentence side is the mean of its words' vectors,
which do not learn (in the manner of DeViSE, Frome et al. 2013), or a recurrent network (in the
manner of Socher et al. 2014 and UVSE, Kiros et al. 2014). All vectors have length 1.

Of `ModelConfig`, `embedding` is the size of the joint space. Dimension key: B sentences at once, S
sentences, I images, R recurrent layer, K joint space, D image feature, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...config import ModelConfig
from ...model.arrays import relu, unit
from ...scoring.pairs import Pairs
from ...weight_files import Shape
from ...words.packing import Corpus, Packed
from ...words.text import SIGNS
from .bag_of_words import bags

_SCORED = 512  # sentences at once
_COUNTED = 4096


def averaging_shapes(config: ModelConfig) -> dict[str, Shape]:
    """What a file holds of a joint embedding that averages words."""
    c = config
    return {"image_map": (c.embedding, c.feature), "side.vectors": (c.vocabulary, c.embedding)}


def reading_shapes(config: ModelConfig) -> dict[str, Shape]:
    """What a file holds of a joint embedding that reads a sentence word by word."""
    c = config
    return {
        "image_map": (c.embedding, c.feature),
        "side.embedding": (c.vocabulary, c.recurrent),
        "side.ur": (c.recurrent, c.recurrent),
        "side.out": (c.embedding, c.recurrent),
    }


@dataclass(frozen=True, eq=False)
class AveragedWords:
    """The mean of a sentence's word vectors, which stay as they are."""

    vectors: np.ndarray  # (V, K)

    learned = 0

    def read(self, packed: Packed) -> np.ndarray:
        """Vectors (B, K) of sentences, in the sorted order; of any length."""
        total = np.zeros((len(packed.order), self.vectors.shape[1]), dtype=np.float32)
        for step in packed.steps:
            total[: step.stop - step.start] += self.vectors[packed.inputs[step]]
        return total


@dataclass(frozen=True, eq=False)
class SentenceRNN:
    """What the recurrent layer of eq. 2 holds after the last word, mapped into the joint space."""

    embedding: np.ndarray  # w(t) of words, (V, R)
    ur: np.ndarray  # (R, R)
    out: np.ndarray  # (K, R)

    @property
    def learned(self) -> int:
        """How many numbers."""
        return self.embedding.size + self.ur.size + self.out.size

    def read(self, packed: Packed) -> np.ndarray:
        """Vectors (B, K) of sentences, in the sorted order; of any length."""
        r = np.zeros((len(packed.order), len(self.ur)), dtype=np.float32)
        for step in packed.steps:  # those that have ended keep what they hold
            running = step.stop - step.start
            r[:running] = relu(r[:running] @ self.ur.T + self.embedding[packed.inputs[step]])
        return r @ self.out.T


@dataclass(frozen=True, eq=False)
class JointEmbedding:
    """A linear map of the image feature beside a sentence side."""

    config: ModelConfig
    side: AveragedWords | SentenceRNN
    image_map: np.ndarray  # (K, D)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name."""
        of_side = {f"side.{name}": weight for name, weight in vars(self.side).items()}
        return {"image_map": self.image_map, **of_side}

    @property
    def learned(self) -> int:
        """How many numbers were learned."""
        return self.image_map.size + self.side.learned

    def images(self, features: np.ndarray) -> np.ndarray:
        """Unit vectors (B, K) of features (B, D)."""
        return unit(unit(features.astype(np.float32)) @ self.image_map.T)

    def sentences(self, packed: Packed) -> np.ndarray:
        """Unit vectors (B, K) of sentences, in the sorted order."""
        return unit(self.side.read(packed))

    def scores(self, pairs: Pairs) -> np.ndarray:
        """Inner products (S, I) of all sentences with all images."""
        images = self.images(pairs.features[np.arange(len(pairs.features))])
        found = np.empty((len(pairs.corpus), len(images)), dtype=np.float32)
        for start in range(0, len(pairs.corpus), _SCORED):
            rows = np.arange(start, min(start + _SCORED, len(pairs.corpus)))
            packed = pairs.corpus.pack(rows)
            found[start + packed.order] = self.sentences(packed) @ images.T
        return found


def averaging(config: ModelConfig, **weights: np.ndarray) -> JointEmbedding:
    """The embedding with the weights that `averaging_shapes` tells."""
    return JointEmbedding(config, AveragedWords(weights["side.vectors"]), weights["image_map"])


def reading(config: ModelConfig, **weights: np.ndarray) -> JointEmbedding:
    """The embedding with the weights that `reading_shapes` tells."""
    side = SentenceRNN(weights["side.embedding"], weights["side.ur"], weights["side.out"])
    return JointEmbedding(config, side, weights["image_map"])


def word_vectors(corpus: Corpus, words: int, size: int) -> np.ndarray:
    """Vectors (V, K) of words by what else is said in their sentences; K is at most V.

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
