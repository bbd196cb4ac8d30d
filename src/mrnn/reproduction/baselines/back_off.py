"""N-gram language models that back off (Katz 1987), with counts discounted by Good and Turing.

The rows BACK-OFF GT2 and GT3 of the paper's table 1. What is seen keeps a discounted share of its
history's probability; the rest is shared out among the other words as the shorter history has them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...words.text import END, PADDING, START

_DISCOUNTED = 5  # counts up to this are discounted; higher ones are trusted (Katz 1987)

History = tuple[int, ...]


@dataclass(frozen=True)
class _Level:
    """What follows one history."""

    seen: Mapping[int, float]  # P of the words that were seen after it
    weight: float  # what the shorter history's P of all others is multiplied by


class BackOff:
    """P(word | the words before); it sums to one over the vocabulary without PADDING and START."""

    def __init__(self, sentences: Iterable[Sequence[int]], order: int, words: int) -> None:
        """From sentences of word indices without signs; `words` is V, the four signs included."""
        if order < 1:
            raise ValueError(f"an n-gram has at least one word, not {order}")
        self.order, self.words = order, words
        counts: list[dict[History, Counter[int]]] = [{} for _ in range(order)]
        for sentence in sentences:
            line = [START] * (order - 1) + [*sentence, END]
            for at in range(order - 1, len(line)):
                for length in range(order):
                    after = counts[length].setdefault(tuple(line[at - length : at]), Counter())
                    after[line[at]] += 1
        self._levels: list[dict[History, _Level]] = []
        for of_length in counts:  # shorter histories first: longer ones back off to them
            discounts = good_turing(Counter(n for c in of_length.values() for n in c.values()))
            found = {h: self._level(h, after, discounts) for h, after in of_length.items()}
            self._levels.append(found)
        every = [self._backed_off(word, ()) for word in range(words)]
        self._unigrams = np.array(every)  # (V,)
        self._unigrams[[PADDING, START]] = 0

    @property
    def size(self) -> int:
        """How many probabilities and weights are kept."""
        return sum(len(level.seen) + 1 for levels in self._levels for level in levels.values())

    def distribution(self, history: Sequence[int]) -> np.ndarray:
        """P of all words, (V,), after a history of any length; it begins with STARTs, if at all."""
        shares = self._unigrams.copy()
        context = tuple(history[max(0, len(history) - self.order + 1) :])
        for length in range(1, len(context) + 1):
            level = self._levels[length].get(context[len(context) - length :])
            if level:
                shares *= level.weight
                shares[list(level.seen)] = list(level.seen.values())
        return shares

    def logprobs(self, sentence: Sequence[int]) -> list[float]:
        """Log P of every word of a sentence and of END, in nats."""
        first = self.order - 1
        line = [START] * first + [*sentence, END]
        places = range(first, len(line))
        return [math.log(self._backed_off(line[i], tuple(line[i - first : i]))) for i in places]

    def initial_state(self, sentences: int) -> np.ndarray:
        """The words before the first, (B, order - 1)."""
        return np.full((sentences, self.order - 1), START)

    def step(self, words: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step of generation: words (B,), words before (B, order - 1) -> log P (B, V), both."""
        if self.order > 1:
            state = np.concatenate((state[:, 1:], words[:, None]), 1)
        histories = [tuple(history) for history in state.tolist()]
        shares = {history: self.distribution(history) for history in set(histories)}
        with np.errstate(divide="ignore"):  # signs that never come
            return np.log(np.stack([shares[h] for h in histories])), state

    def _backed_off(self, word: int, context: History) -> float:
        level = self._levels[len(context)].get(context)
        if level and word in level.seen:
            return level.seen[word]
        shorter = self._backed_off(word, context[1:]) if context else 1 / (self.words - 2)
        return level.weight * shorter if level else shorter

    def _level(self, history: History, after: Counter[int], discounts: Sequence[float]) -> _Level:
        total = after.total()
        seen = {w: _discount(n, discounts) * n / total for w, n in after.items()}
        left = 1 - math.fsum(seen.values())
        others = self.words - 2 - len(seen)
        if others and left < 1e-12:  # nothing was discounted: one count more, for what is unseen
            seen, left = {w: n / (total + 1) for w, n in after.items()}, 1 / (total + 1)
        if not others:
            whole = math.fsum(seen.values())
            return _Level({w: p / whole for w, p in seen.items()}, 0.0)
        if history:
            shorter = 1 - math.fsum(self._backed_off(w, history[1:]) for w in seen)
        else:
            shorter = others / (self.words - 2)
        return _Level(seen, left / shorter)


def good_turing(counts: Mapping[int, int], highest: int = _DISCOUNTED) -> list[float]:
    """What counts 1, 2, ... are multiplied by (Katz 1987, eq. 6): d of all that are discounted.

    `counts` says how many n-grams were seen 1, 2, ... times. With too little data for a count's
    discount to lie between 0 and 1, fewer counts are discounted, or none.
    """
    for last in range(highest, 0, -1):
        if counts.get(1, 0) == 0:
            break
        beyond = (last + 1) * counts.get(last + 1, 0) / counts[1]
        if beyond >= 1:
            continue
        found = []
        for r in range(1, last + 1):
            if not counts.get(r, 0):
                break
            expected = (r + 1) * counts.get(r + 1, 0) / counts[r]  # r* of Good and Turing
            found.append((expected / r - beyond) / (1 - beyond))
        if len(found) == last and all(0 < d < 1 for d in found):
            return found
    return []


def _discount(count: int, discounts: Sequence[float]) -> float:
    return discounts[count - 1] if count <= len(discounts) else 1.0
