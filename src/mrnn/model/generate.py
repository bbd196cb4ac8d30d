"""Generate sentences from a step function: it knows words by index, not text or images.

A step takes the last words (N,) and a state, a tuple of arrays with N rows each, and returns
log P of every next word (N, V) with the state that follows. Words are chosen by what `Weigh` makes
of log P, -inf for what may not be taken; `as_likely` leaves it as it is. Log-probabilities are in
nats and are always the model's own, whatever was forbidden, weighed, or however flat the sampling
was.

Dimension key: B sentences (one an image), K beams, V vocabulary, T words at most and END.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..config import MAX_LENGTH
from ..words.text import END, PADDING, START, UNKNOWN
from .arrays import highest

_FORBIDDEN = (PADDING, START, UNKNOWN)

State = tuple[np.ndarray, ...]
Step = Callable[[np.ndarray, State], tuple[np.ndarray, State]]
# Log P (N, V) of what is allowed, and the state that came with it -> what is chosen by (N, V)
Weigh = Callable[[np.ndarray, State], np.ndarray]


def as_likely(logp: np.ndarray, state: State) -> np.ndarray:
    """Words are chosen by log P itself."""
    return logp


@dataclass(frozen=True)
class Rules:
    """How sentences begin, how long they get, and how their words are chosen."""

    prefix: Sequence[int] = ()  # the first words
    max_length: int = MAX_LENGTH  # words, the prefix included
    no_repeat: int = 0  # words in a row that no sentence says twice; 0 lets it
    once: np.ndarray | None = None  # (V,) bool: words that no sentence says twice
    weigh: Weigh = as_likely  # what words are chosen by


@dataclass(frozen=True)
class Generated:
    """A sentence by the indices of its words; END is the last if it is complete."""

    words: tuple[int, ...]
    logprobs: tuple[float, ...]  # log P of each word, nats
    complete: bool
    given: int  # how many of the first words were given

    @property
    def logprob(self) -> float:
        """Log P of the sentence, nats."""
        return sum(self.logprobs)


def greedy(step: Step, state: State, rules: Rules) -> list[Generated]:
    """The best word at each step, for all B sentences at once."""
    return _generate(step, state, rules, lambda weights: weights.argmax(1))


def sample(
    step: Step,
    state: State,
    rules: Rules,
    generator: np.random.Generator,
    temperature: float = 1.0,
) -> list[Generated]:
    """Each word drawn from P^(1/temperature), renormalised without the forbidden words."""

    def draw(weights: np.ndarray) -> np.ndarray:
        below = weights.astype(np.float64) - weights.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):  # nearly cold: all but the most probable words
            return _drawn(below / temperature, generator)

    return _generate(step, state, rules, draw)


def beam(
    step: Step, state: State, rules: Rules, width: int, n_best: int = 1
) -> list[list[Generated]]:
    """Beam search for the most probable sentences; `n_best` <= `width` for each, best first.

    A sentence may end only where END is among the `width` best continuations; sentences cut off
    at `max_length` words come after complete ones. Width 1 is greedy search. There are fewer
    sentences where `weigh` allows no more. The search ends when what is unfinished is behind; with
    weights that can be above 0 that is a rule of thumb.
    """
    prefix, max_length = rules.prefix, rules.max_length
    logp, state, given = _read(step, state, prefix)
    results: list[list[Generated]] = [[] for _ in logp]
    remaining = np.arange(len(logp))  # the sentence that each row is for
    live = _Hypotheses.start(prefix, given, width)
    finished = live.nothing()
    likely = np.arange(2 * width) < width  # places where END may be taken
    logp = logp.repeat(width, axis=0)
    state = tuple(part.repeat(width, axis=0) for part in state)
    for length in range(len(prefix), max_length + 1):
        candidates, parents = live.extended(logp, state, rules)
        ends = candidates.words[:, :, -1] == END
        finished = finished.merged(candidates.where(ends & likely[: ends.shape[1]]))
        if length < max_length:
            live, chosen = candidates.where(~ends).best(width)
            # Log P only falls: n best that are finished and ahead of all live ones stay so.
            over = finished.scores[:, n_best - 1] >= live.scores[:, 0]
        else:
            over = np.ones(len(remaining), dtype=bool)
        for row in np.flatnonzero(over).tolist():
            found = finished.listed(row, len(prefix), complete=True)
            found += live.listed(row, len(prefix), complete=False)
            results[remaining[row]] = found[:n_best]
        if over.all():
            break
        parents = np.take_along_axis(parents, chosen, 1)
        first = np.arange(0, parents.size, width)[:, None]
        flat = (first + parents)[~over].ravel()
        remaining, live, finished = remaining[~over], live.rows(~over), finished.rows(~over)
        logp, state = step(live.words[:, :, -1].ravel(), tuple(part[flat] for part in state))
    return results


def of_lengths(
    step: Step,
    state: State,
    prefixes: Sequence[Sequence[int]],
    lengths: Sequence[int],
    generator: np.random.Generator | None = None,
) -> list[tuple[int, ...]]:
    """Sentences of exactly these lengths, each after its own prefix (which counts).

    Greedy, or drawn from P with a generator. END is never taken; the `paper2014` protocol compares
    sentences of equal length.
    """
    rows, longest = len(lengths), max(lengths, default=0)
    given = np.full((rows, longest), -1)
    for row, prefix in enumerate(prefixes):
        given[row, : len(prefix)] = prefix[:longest]
    word = np.full(rows, START)
    words = np.empty_like(given)
    for position in range(longest):
        logp, state = step(word, state)
        logp = logp.copy()
        logp[:, (*_FORBIDDEN, END)] = -np.inf
        chosen = _drawn(logp, generator) if generator else logp.argmax(1)
        word = np.where(given[:, position] < 0, chosen, given[:, position])
        words[:, position] = word
    return [tuple(row[:n]) for row, n in zip(words.tolist(), lengths, strict=True)]


@dataclass(frozen=True)
class _Hypotheses:
    """Partial or finished sentences, K a row; a score of -inf marks an empty place."""

    words: np.ndarray  # (B, K, T), padded
    logprobs: np.ndarray  # (B, K, T)
    scores: np.ndarray  # (B, K) sums of what the words weigh

    @classmethod
    def start(cls, prefix: Sequence[int], given: np.ndarray, width: int) -> _Hypotheses:
        """The prefix in the first of K places, the others empty."""
        rows, length = given.shape
        words = np.broadcast_to(np.array(prefix, dtype=np.int64), (rows, width, length))
        logprobs = np.broadcast_to(given[:, None], (rows, width, length))
        scores = np.full((rows, width), -np.inf, dtype=given.dtype)
        scores[:, 0] = given.sum(1)
        return cls(words, logprobs, scores)

    def nothing(self) -> _Hypotheses:
        """The same number of places, all empty."""
        return self.where(np.zeros_like(self.scores, dtype=bool))

    def where(self, mask: np.ndarray) -> _Hypotheses:
        """Empty all places but those of the mask (B, K)."""
        scores = np.where(mask, self.scores, self.scores.dtype.type(-np.inf))
        return _Hypotheses(self.words, self.logprobs, scores)

    def rows(self, chosen: np.ndarray) -> _Hypotheses:
        """Keep only some rows, by a mask (B,)."""
        return _Hypotheses(self.words[chosen], self.logprobs[chosen], self.scores[chosen])

    def extended(
        self, logp: np.ndarray, state: State, rules: Rules
    ) -> tuple[_Hypotheses, np.ndarray]:
        """The 2K best continuations by (B * K, V) log P, and the place each came from, (B, 2K).

        Among them at least K do not end, where so many are allowed.
        """
        rows, width = self.scores.shape
        vocabulary = logp.shape[1]
        said = self.words.reshape(rows * width, self.words.shape[2])
        weights = rules.weigh(_allowed(logp, said, rules), state)
        totals = (self.scores.reshape(-1, 1) + weights).reshape(rows, width * vocabulary)
        flat = highest(totals, min(2 * width, totals.shape[1]))
        parents, words = np.divmod(flat, vocabulary)
        scores = np.take_along_axis(totals, flat, 1)
        logprobs = np.take_along_axis(logp.reshape(rows, width * vocabulary), flat, 1)
        before = self._gathered(parents)
        longer = _Hypotheses(
            np.concatenate((before.words, words[:, :, None]), 2),
            np.concatenate((before.logprobs, logprobs[:, :, None]), 2),
            scores,
        )
        return longer, parents

    def best(self, width: int) -> tuple[_Hypotheses, np.ndarray]:
        """The K best by score, and where they were, (B, K)."""
        chosen = highest(self.scores, width)
        return self._gathered(chosen), chosen

    def merged(self, longer: _Hypotheses) -> _Hypotheses:
        """The K best of these, padded by one word, and of others one word longer."""
        more = ((0, 0), (0, 0), (0, longer.words.shape[2] - self.words.shape[2]))
        both = _Hypotheses(
            np.concatenate((np.pad(self.words, more, constant_values=PADDING), longer.words), 1),
            np.concatenate((np.pad(self.logprobs, more), longer.logprobs), 1),
            np.concatenate((self.scores, longer.scores), 1),
        )
        return both.best(self.scores.shape[1])[0]

    def listed(self, row: int, given: int, complete: bool) -> list[Generated]:
        """The sentences of a row, best first; `given` counts the words of the prefix."""
        found = []
        order = np.argsort(-self.scores[row], kind="stable")
        for place in order[self.scores[row][order] > -np.inf].tolist():
            length = int((self.words[row, place] != PADDING).sum())
            words = tuple(self.words[row, place, :length].tolist())
            logprobs = tuple(self.logprobs[row, place, :length].tolist())
            found.append(Generated(words, logprobs, complete, given))
        return found

    def _gathered(self, places: np.ndarray) -> _Hypotheses:
        index = places[:, :, None]
        return _Hypotheses(
            np.take_along_axis(self.words, index, 1),
            np.take_along_axis(self.logprobs, index, 1),
            np.take_along_axis(self.scores, places, 1),
        )


def _generate(
    step: Step, state: State, rules: Rules, choose: Callable[[np.ndarray], np.ndarray]
) -> list[Generated]:
    """Follow one choice a sentence and step until every sentence has ended."""
    prefix, max_length = rules.prefix, rules.max_length
    logp, state, given = _read(step, state, prefix)
    rows = np.arange(len(logp))
    words = [np.broadcast_to(np.array(prefix, dtype=np.int64), given.shape)]
    logprobs = [given]
    ended = np.zeros(len(logp), dtype=bool)
    for length in range(len(prefix), max_length + 1):
        said = np.concatenate(words, 1)
        chosen = choose(rules.weigh(_allowed(logp, said, rules), state))
        words.append(chosen[:, None])
        logprobs.append(logp[rows, chosen][:, None])
        ended |= chosen == END
        if ended.all() or length == max_length:
            break
        logp, state = step(chosen, state)
    all_words, all_logprobs = (np.concatenate(parts, 1).tolist() for parts in (words, logprobs))
    results = []
    for sentence, scores in zip(all_words, all_logprobs, strict=True):
        complete = END in sentence
        length = sentence.index(END) + 1 if complete else max_length
        results.append(
            Generated(tuple(sentence[:length]), tuple(scores[:length]), complete, len(prefix))
        )
    return results


def _drawn(logits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A word a row (N,), at random, of logits (N, V)."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    sums = shares.cumsum(axis=1, dtype=np.float64)
    return (sums > generator.random((len(sums), 1)) * sums[:, -1:]).argmax(1)


def _read(step: Step, state: State, prefix: Sequence[int]) -> tuple[np.ndarray, State, np.ndarray]:
    """Feed START and the prefix: log P of what follows, the state, and log P of the prefix."""
    rows = len(state[0])
    logp, state = step(np.full(rows, START), state)
    given = []
    for word in prefix:
        given.append(logp[:, word])
        logp, state = step(np.full(rows, word), state)
    return logp, state, np.stack(given, 1) if given else np.zeros((rows, 0), dtype=logp.dtype)


def _allowed(logp: np.ndarray, said: np.ndarray, rules: Rules) -> np.ndarray:
    """Log P (N, V) without what is forbidden after the words said so far (N, T).

    Forbidden are signs, what would say `no_repeat` words in a row a second time, and a word of
    `once` that was said.
    """
    no_repeat = rules.no_repeat
    allowed = logp.copy()
    allowed[:, _FORBIDDEN] = -np.inf
    if rules.once is not None:
        rows, places = np.nonzero(rules.once[said])
        allowed[rows, said[rows, places]] = -np.inf
    if 0 < no_repeat <= said.shape[1]:
        runs = np.lib.stride_tricks.sliding_window_view(said, no_repeat, axis=1)
        last = said[:, said.shape[1] - no_repeat + 1 :]
        # (N, T - no_repeat + 1)
        rows, places = np.nonzero((runs[:, :, :-1] == last[:, None]).all(2))
        allowed[rows, runs[rows, places, -1]] = -np.inf
        allowed[:, END] = logp[:, END]  # whose rows have ended go on ending
    return allowed
