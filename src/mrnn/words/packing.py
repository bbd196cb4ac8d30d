"""Sentences as packed words: no padding is ever computed on.

A batch of sentences is sorted by length, longest first, and its words are laid out step by step:
all first words, then all second words, and so on. At step t the sentences still running are the
first `sizes[t]` ones, so a recurrence works on shrinking slices and everything else is one matrix
product over all N words of the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .text import END, START


@dataclass(frozen=True)
class Packed:
    """B sentences of T steps at most, N words in all, END counted."""

    inputs: np.ndarray  # (N,) the word before: START, w_1, ..., w_L
    targets: np.ndarray  # (N,) the word to predict: w_1, ..., w_L, END
    rows: np.ndarray  # (N,) which row of the sorted batch a word belongs to
    sizes: tuple[int, ...]  # (T,) sentences that have a word at each step, never growing
    order: np.ndarray  # (B,) the sentence at each row of the sorted batch

    @property
    def steps(self) -> list[slice]:
        """Where the words of each of the T steps lie among all."""
        return consecutive(self.sizes)

    def by_sentence(self, values: np.ndarray) -> list[np.ndarray]:
        """Cut (N, ...) values of words into a list, one array a sentence, in the given order."""
        rows = np.argsort(self.rows, kind="stable")
        lengths = np.bincount(self.rows, minlength=len(self.order))
        cut = np.split(values[rows], np.cumsum(lengths)[:-1]) if len(lengths) else []
        return [cut[row] for row in np.argsort(self.order)]


def consecutive(sizes: Sequence[int]) -> list[slice]:
    """Where parts of these sizes lie, one after the other."""
    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


class Corpus:
    """Many sentences in one flat array, from which batches are packed quickly."""

    def __init__(self, sentences: Sequence[Sequence[int]]) -> None:
        self.lengths = np.array([len(s) + 1 for s in sentences], dtype=np.int64)  # END counts
        self._starts = np.concatenate([[0], np.cumsum(self.lengths + 1)[:-1]]).astype(np.int64)
        flat = [index for s in sentences for index in (START, *s, END)]
        self._flat = np.array(flat, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def digest(self) -> bytes:
        """SHA-256 of all sentences in their order."""
        return hashlib.sha256(self._flat.tobytes()).digest()

    def sentences(self, chosen: np.ndarray) -> list[list[int]]:
        """The words of the sentences at these positions, (B,), without the signs."""
        starts, lengths = self._starts[chosen] + 1, self.lengths[chosen] - 1
        return [self._flat[s : s + n].tolist() for s, n in zip(starts, lengths, strict=True)]

    def alphabetical(self, chosen: np.ndarray) -> np.ndarray:
        """The positions (B,) again, in the order of the sentences' word indices."""
        words = self.sentences(chosen)
        return chosen[sorted(range(len(chosen)), key=words.__getitem__)]

    def distinct(self) -> tuple[Corpus, np.ndarray]:
        """Its sentences, each once and in their order, and which of them each one is, (S,)."""
        places: dict[tuple[int, ...], int] = {}
        sentences = self.sentences(np.arange(len(self)))
        which = [places.setdefault(tuple(words), len(places)) for words in sentences]
        return Corpus(list(places)), np.array(which, dtype=np.int64)

    def pack(self, chosen: np.ndarray | None = None) -> Packed:
        """Pack the sentences at these positions, (B,), or all."""
        if chosen is None:
            chosen = np.arange(len(self))
        order = np.argsort(-self.lengths[chosen], kind="stable")
        lengths = self.lengths[chosen][order]  # (B,) longest first
        steps = np.arange(lengths[0] if len(lengths) else 0)
        running = steps[:, None] < lengths  # (T, B)
        step, row = np.nonzero(running)
        at = self._starts[chosen][order][row] + step
        return Packed(
            inputs=self._flat[at],
            targets=self._flat[at + 1],
            rows=row,
            sizes=tuple(running.sum(axis=1).tolist()),
            order=order,
        )
