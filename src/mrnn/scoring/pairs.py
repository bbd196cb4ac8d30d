"""Sentences with their images, ready for the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..images.features import FeatureRows
from ..words.packing import Corpus, Packed


@dataclass(frozen=True)
class Pairs:
    """S sentences, each with one of I images."""

    corpus: Corpus  # S sentences
    images: np.ndarray  # (S,) row of each one's image among the features
    features: np.ndarray | FeatureRows  # (I, D), any float type

    def features_of(self, chosen: np.ndarray, packed: Packed) -> np.ndarray:
        """Image features for `packed`, which holds the `chosen` sentences: (B, D) float32."""
        found = self.features[self.images[chosen[packed.order]]]
        return np.asarray(found, dtype=np.float32)
