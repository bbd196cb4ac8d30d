"""Sentences with their images, ready for the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..images.features import FeatureRows
from ..words.packing import Corpus, Packed


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


def to_tensor(features: np.ndarray, device: torch.device) -> Tensor:
    """Features of any float type as float32 on a device."""
    return torch.from_numpy(np.asarray(features, dtype=np.float32)).to(device)
