"""Sentences as a tree of their distinct prefixes: what two begin with is computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .packing import Packed, consecutive


@dataclass(frozen=True)
class PrefixTree:
    """The P distinct prefixes of S sentences, shortest first, and the N words that follow them.

    Prefix 0 is START alone.
    """

    words: np.ndarray  # (P,) the last word of each prefix
    parents: np.ndarray  # (P,) the prefix without it; START has itself
    sizes: tuple[int, ...]  # (T,) how many prefixes have each length
    prefixes: np.ndarray  # (N,) the prefix before each word, never falling
    targets: np.ndarray  # (N,) the word itself, END too
    sentences: np.ndarray  # (N,) the sentence it is from

    @property
    def levels(self) -> list[slice]:
        """Where the prefixes of each length lie among all."""
        return consecutive(self.sizes)


def prefix_tree(packed: Packed) -> PrefixTree:
    """The tree of packed sentences; sentences are numbered as they were given."""
    base = int(packed.inputs.max()) + 1 if len(packed.inputs) else 1
    words, parents, prefixes = [], [], []
    before = np.zeros(len(packed.order), dtype=np.int64)  # the prefix of each sentence so far
    count = 0
    for step in packed.steps:
        inputs = packed.inputs[step]
        pairs = before[: len(inputs)] * base + inputs
        distinct, which = np.unique(pairs, return_inverse=True)
        parents.append(distinct // base)
        words.append(distinct % base)
        before = count + which
        prefixes.append(before)
        count += len(distinct)
    at = _joined(prefixes)
    order = np.argsort(at, kind="stable")
    return PrefixTree(
        _joined(words),
        _joined(parents),
        tuple(map(len, words)),
        at[order],
        packed.targets[order],
        packed.order[packed.rows[order]],
    )


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])
