"""Generate sentences from a step function: it knows words by index, not text or images.

A step takes the last words (N,) and a state, a tuple of tensors with N rows each, and returns
log P of every next word (N, V) with the state that follows. Log-probabilities are in nats and are
always the model's own, whatever was forbidden or however flat the sampling was.

Dimension key: B sentences (one an image), K beams, V vocabulary, T words at most and END.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import MAX_LENGTH
from ..words.text import END, PADDING, START, UNKNOWN

_FORBIDDEN = (PADDING, START, UNKNOWN)

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]


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


def greedy(
    step: Step,
    state: State,
    prefix: Sequence[int] = (),
    max_length: int = MAX_LENGTH,
    no_repeat: int = 0,
) -> list[Generated]:
    """The most probable word at each step, for all B sentences at once."""
    return _generate(step, state, lambda logp: logp.argmax(1), prefix, max_length, no_repeat)


def sample(
    step: Step,
    state: State,
    generator: torch.Generator,
    temperature: float = 1.0,
    prefix: Sequence[int] = (),
    max_length: int = MAX_LENGTH,
    no_repeat: int = 0,
) -> list[Generated]:
    """Each word drawn from P^(1/temperature), renormalised without the forbidden words."""

    def draw(logp: Tensor) -> Tensor:
        return _drawn((logp - logp.amax(1, keepdim=True)) / temperature, generator)

    return _generate(step, state, draw, prefix, max_length, no_repeat)


def beam(
    step: Step,
    state: State,
    width: int,
    n_best: int = 1,
    prefix: Sequence[int] = (),
    max_length: int = MAX_LENGTH,
    no_repeat: int = 0,
) -> list[list[Generated]]:
    """Beam search for the most probable sentences; `n_best` <= `width` for each, best first.

    A sentence may end only where END is among the `width` best continuations; sentences cut off
    at `max_length` words come after complete ones. Width 1 is greedy search.
    """
    logp, state, given = _read(step, state, prefix)
    results: list[list[Generated]] = [[] for _ in logp]
    device = logp.device
    remaining = torch.arange(len(logp), device=device)  # the sentence that each row is for
    live = _Hypotheses.start(prefix, given, width)
    finished = live.nothing()
    likely = torch.arange(2 * width, device=device) < width  # places where END may be taken
    logp = logp.repeat_interleave(width, 0)
    state = tuple(part.repeat_interleave(width, 0) for part in state)
    for length in range(len(prefix), max_length + 1):
        candidates, parents = live.extended(logp, no_repeat)
        ends = candidates.words[:, :, -1] == END
        finished = finished.merged(candidates.where(ends & likely[: ends.shape[1]]))
        if length < max_length:
            live, chosen = candidates.where(~ends).best(width)
            # Scores only fall: n best that are finished and ahead of all live ones stay so.
            over = finished.scores[:, n_best - 1] >= live.scores[:, 0]
        else:
            over = torch.ones_like(remaining, dtype=torch.bool)
        for row in torch.nonzero(over)[:, 0].tolist():
            found = finished.listed(row, len(prefix), complete=True)
            found += live.listed(row, len(prefix), complete=False)
            results[int(remaining[row])] = found[:n_best]
        if over.all():
            break
        parents = parents.gather(1, chosen)
        first = torch.arange(0, parents.numel(), width, device=device)[:, None]
        flat = (first + parents)[~over].flatten()
        remaining, live, finished = remaining[~over], live.rows(~over), finished.rows(~over)
        logp, state = step(live.words[:, :, -1].flatten(), tuple(part[flat] for part in state))
    return results


def of_lengths(
    step: Step,
    state: State,
    prefixes: Sequence[Sequence[int]],
    lengths: Sequence[int],
    generator: torch.Generator | None = None,
) -> list[tuple[int, ...]]:
    """Sentences of exactly these lengths, each after its own prefix (which counts).

    Greedy, or drawn from P with a generator. END is never taken; the `paper2014` protocol compares
    sentences of equal length.
    """
    rows, longest = len(lengths), max(lengths, default=0)
    given = torch.full((rows, longest), -1)
    for row, prefix in enumerate(prefixes):
        given[row, : len(prefix)] = torch.tensor(prefix, dtype=torch.long)[:longest]
    given = given.to(state[0].device)
    word = torch.full((rows,), START, device=state[0].device)
    words = torch.empty_like(given)
    for position in range(longest):
        logp, state = step(word, state)
        allowed = logp.index_fill(1, _words((*_FORBIDDEN, END), logp), -torch.inf)
        chosen = _drawn(allowed, generator) if generator else allowed.argmax(1)
        word = torch.where(given[:, position] < 0, chosen, given[:, position])
        words[:, position] = word
    return [tuple(row[:n]) for row, n in zip(words.tolist(), lengths, strict=True)]


@dataclass(frozen=True)
class _Hypotheses:
    """Partial or finished sentences, K a row; a score of -inf marks an empty place."""

    words: Tensor  # (B, K, T), padded
    logprobs: Tensor  # (B, K, T)
    scores: Tensor  # (B, K) sums of logprobs

    @classmethod
    def start(cls, prefix: Sequence[int], given: Tensor, width: int) -> _Hypotheses:
        """The prefix in the first of K places, the others empty."""
        words = _words(prefix, given).expand(len(given), width, -1)
        logprobs = given[:, None].expand(-1, width, -1)
        scores = given.new_full((len(given), width), -torch.inf)
        scores[:, 0] = given.sum(1)
        return cls(words, logprobs, scores)

    def nothing(self) -> _Hypotheses:
        """The same number of places, all empty."""
        return self.where(torch.zeros_like(self.scores, dtype=torch.bool))

    def where(self, mask: Tensor) -> _Hypotheses:
        """Empty all places but those of the mask (B, K)."""
        return _Hypotheses(self.words, self.logprobs, self.scores.where(mask, -torch.inf))

    def rows(self, chosen: Tensor) -> _Hypotheses:
        """Keep only some rows, by a mask (B,)."""
        return _Hypotheses(self.words[chosen], self.logprobs[chosen], self.scores[chosen])

    def extended(self, logp: Tensor, no_repeat: int) -> tuple[_Hypotheses, Tensor]:
        """The 2K best continuations by (B * K, V) log P, and the place each came from, (B, 2K).

        Among them at least K do not end.
        """
        rows, width = self.scores.shape
        vocabulary = logp.shape[1]
        allowed = _allowed(logp, self.words.flatten(0, 1), no_repeat)
        totals = (self.scores.view(-1, 1) + allowed).view(rows, width * vocabulary)
        scores, flat = totals.topk(min(2 * width, totals.shape[1]), dim=1)
        parents, words = flat // vocabulary, flat % vocabulary
        logprobs = logp.view(rows, width * vocabulary).gather(1, flat)
        before = self._gathered(parents)
        longer = torch.cat((before.words, words[:, :, None]), 2)
        return _Hypotheses(
            longer, torch.cat((before.logprobs, logprobs[:, :, None]), 2), scores
        ), parents

    def best(self, width: int) -> tuple[_Hypotheses, Tensor]:
        """The K best by score, and where they were, (B, K)."""
        chosen = self.scores.topk(width, dim=1).indices
        return self._gathered(chosen), chosen

    def merged(self, longer: _Hypotheses) -> _Hypotheses:
        """The K best of these, padded by one word, and of others one word longer."""
        words = torch.nn.functional.pad(
            self.words, (0, longer.words.shape[2] - self.words.shape[2]), value=PADDING
        )
        logprobs = torch.nn.functional.pad(self.logprobs, (0, words.shape[2] - self.words.shape[2]))
        both = _Hypotheses(
            torch.cat((words, longer.words), 1),
            torch.cat((logprobs, longer.logprobs), 1),
            torch.cat((self.scores, longer.scores), 1),
        )
        return both.best(self.scores.shape[1])[0]

    def listed(self, row: int, given: int, complete: bool) -> list[Generated]:
        """The sentences of a row, best first; `given` counts the words of the prefix."""
        found = []
        order = self.scores[row].argsort(descending=True, stable=True)
        for place in order[self.scores[row][order] > -torch.inf].tolist():
            length = int((self.words[row, place] != PADDING).sum())
            words = tuple(self.words[row, place, :length].tolist())
            logprobs = tuple(self.logprobs[row, place, :length].tolist())
            found.append(Generated(words, logprobs, complete, given))
        return found

    def _gathered(self, places: Tensor) -> _Hypotheses:
        index = places[:, :, None].expand(-1, -1, self.words.shape[2])
        words, logprobs = self.words.gather(1, index), self.logprobs.gather(1, index)
        return _Hypotheses(words, logprobs, self.scores.gather(1, places))


def _generate(
    step: Step,
    state: State,
    choose: Callable[[Tensor], Tensor],
    prefix: Sequence[int],
    max_length: int,
    no_repeat: int,
) -> list[Generated]:
    """Follow one choice a sentence and step until every sentence has ended."""
    logp, state, given = _read(step, state, prefix)
    rows = len(logp)
    words, logprobs = [_words(prefix, given).expand(rows, -1)], [given]
    ended = given.new_zeros(rows, dtype=torch.bool)
    for length in range(len(prefix), max_length + 1):
        chosen = choose(_allowed(logp, torch.cat(words, 1), no_repeat))
        words.append(chosen[:, None])
        logprobs.append(logp.gather(1, chosen[:, None]))
        ended = ended | (chosen == END)
        if ended.all() or length == max_length:
            break
        logp, state = step(chosen, state)
    all_words, all_logprobs = torch.cat(words, 1).tolist(), torch.cat(logprobs, 1).tolist()
    results = []
    for sentence, scores in zip(all_words, all_logprobs, strict=True):
        complete = END in sentence
        length = sentence.index(END) + 1 if complete else max_length
        results.append(
            Generated(tuple(sentence[:length]), tuple(scores[:length]), complete, len(prefix))
        )
    return results


def _drawn(logits: Tensor, generator: torch.Generator) -> Tensor:
    """A word a row (N,), at random, of logits (N, V); drawn where the generator is."""
    shares = torch.softmax(logits, dim=1).to(generator.device)
    return torch.multinomial(shares, 1, generator=generator)[:, 0].to(logits.device)


def _read(step: Step, state: State, prefix: Sequence[int]) -> tuple[Tensor, State, Tensor]:
    """Feed START and the prefix: log P of what follows, the state, and log P of the prefix."""
    rows = len(state[0])
    logp, state = step(torch.full((rows,), START, device=state[0].device), state)
    given = []
    for word in prefix:
        given.append(logp[:, word])
        logp, state = step(torch.full((rows,), word, device=logp.device), state)
    return logp, state, torch.stack(given, 1) if given else logp.new_zeros(rows, 0)


def _allowed(logp: Tensor, said: Tensor, no_repeat: int) -> Tensor:
    """Log P (N, V) without what is forbidden after the words said so far (N, T).

    Forbidden are signs, and what would say `no_repeat` words in a row a second time.
    """
    allowed = logp.index_fill(1, _words(_FORBIDDEN, logp), -torch.inf)
    if 0 < no_repeat <= said.shape[1]:
        runs = said.unfold(1, no_repeat, 1)  # (N, T - no_repeat + 1, no_repeat)
        last = said[:, said.shape[1] - no_repeat + 1 :]
        rows, places = (runs[:, :, :-1] == last[:, None]).all(2).nonzero(as_tuple=True)
        allowed[rows, runs[rows, places, -1]] = -torch.inf
        allowed[:, END] = logp[:, END]  # whose rows have ended go on ending
    return allowed


def _words(indices: Sequence[int], beside: Tensor) -> Tensor:
    return torch.tensor(indices, dtype=torch.long, device=beside.device)
