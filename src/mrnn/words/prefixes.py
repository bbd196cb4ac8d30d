"""Sentences as a tree of their distinct prefixes: what two begin with is computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .packing import Packed


@dataclass(frozen=True)
class PrefixTree:
    """The P distinct prefixes of S sentences, shortest first, and the N words that follow them.

    Prefix 0 is START alone.
    """

    words: Tensor  # (P,) the last word of each prefix
    parents: Tensor  # (P,) the prefix without it; START has itself
    sizes: tuple[int, ...]  # (T,) how many prefixes have each length
    prefixes: Tensor  # (N,) the prefix before each word, never falling
    targets: Tensor  # (N,) the word itself, END too
    sentences: Tensor  # (N,) the sentence it is from

    def to(self, device: torch.device) -> PrefixTree:
        """The same on another device."""
        return PrefixTree(
            self.words.to(device),
            self.parents.to(device),
            self.sizes,
            self.prefixes.to(device),
            self.targets.to(device),
            self.sentences.to(device),
        )


def prefix_tree(packed: Packed) -> PrefixTree:
    """The tree of packed sentences (on the CPU); sentences are numbered as they were given."""
    base = int(packed.inputs.max()) + 1 if len(packed.inputs) else 1
    words, parents, prefixes = [], [], []
    before = np.zeros(len(packed.order), dtype=np.int64)  # the prefix of each sentence so far
    count = 0
    for step in packed.inputs.split(packed.sizes):
        pairs = before[: len(step)] * base + step.numpy()
        distinct, which = np.unique(pairs, return_inverse=True)
        parents.append(distinct // base)
        words.append(distinct % base)
        before = count + which
        prefixes.append(before)
        count += len(distinct)
    at = torch.from_numpy(_joined(prefixes))
    order = torch.argsort(at, stable=True)
    return PrefixTree(
        torch.from_numpy(_joined(words)),
        torch.from_numpy(_joined(parents)),
        tuple(map(len, words)),
        at[order],
        packed.targets[order],
        packed.order[packed.rows[order]],
    )


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])
