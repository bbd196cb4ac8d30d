"""Captioned pictures with their features: sentences and images ready for the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..datasets import Example
from ..errors import DataError, ImageError
from ..images.encoders import Encoder
from ..images.features import FeatureRows, OnProgress, cached_features
from ..images.finding import Picture
from ..scoring.pairs import Pairs
from ..words.packing import Corpus
from ..words.text import Vocabulary

# Features of all readable images, in order, and the error of each image or None.
FeatureSource = Callable[
    [Sequence[Picture], OnProgress], tuple[np.ndarray | FeatureRows, list[ImageError | None]]
]


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
