"""Sentences with their images, ready for the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .datasets import Example
from .encoders import Encoder
from .errors import DataError, ImageError
from .features import FeatureRows, OnProgress, cached_features
from .images import Picture
from .packing import Corpus, Packed
from .text import Vocabulary

# Features of all readable images, in order, and the error of each image or None.
FeatureSource = Callable[
    [Sequence[Picture], OnProgress], tuple[np.ndarray | FeatureRows, list[ImageError | None]]
]


@dataclass(frozen=True)
class Pairs:
    """S sentences, each with one of I images."""

    corpus: Corpus  # S sentences
    images: np.ndarray  # (S,) row of each one's image among the features
    features: np.ndarray | FeatureRows  # (I, D), any float type

    def features_of(self, chosen: np.ndarray, packed: Packed, device: torch.device) -> Tensor:
        """Image features for `packed`, which holds the `chosen` sentences: (B, D) float32.

        `packed` is still on the CPU; the features go to `device`.
        """
        return to_tensor(self.features[self.images[chosen[packed.order.numpy()]]], device)


def encoded_by(encoder: Encoder, cache: Path) -> FeatureSource:
    """Features that an encoder computes, kept in a cache folder."""
    return lambda images, on_progress: cached_features(images, encoder, cache, on_progress)


def read_pairs(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    source: FeatureSource,
    on_progress: OnProgress,
) -> tuple[Pairs, list[Example], list[ImageError]]:
    """Find the features of all images, and encode all sentences, of some examples.

    Returns the pairs, the examples whose image could be read (in the order of the features), and
    the errors of the others. Raises DataError when no image can be read.
    """
    features, found = source([example.image for example in examples], on_progress)
    readable = [e for e, error in zip(examples, found, strict=True) if error is None]
    errors = [error for error in found if error is not None]
    if not readable:
        raise DataError(f"none of the {len(examples)} images can be read; the first: {errors[0]}")
    sentences = [vocabulary.encode(s) for e in readable for s in e.sentences]
    images = np.repeat(np.arange(len(readable)), [len(e.sentences) for e in readable])
    return Pairs(Corpus(sentences), images, features), readable, errors


def to_tensor(features: np.ndarray, device: torch.device) -> Tensor:
    """Features of any float type as float32 on a device."""
    return torch.from_numpy(np.asarray(features, dtype=np.float32)).to(device)
