"""The protocol `paper2014`: a sentence as long as each reference, and BLEU in all its readings.

How Kiros et al. 2014 and the paper measure generation: every model says exactly as many words as
the reference has, of which the first may be given; END and the unknown word are not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..model.generate import State, Step, of_lengths
from ..scoring.pairs import Pairs
from ..scoring.word_scores import to_perplexity
from ..words.text import Vocabulary
from .metrics import Words, paper_bleu

_BATCH = 100  # sentences generated at once

# Which images (B,), the first words that are given, and how many words: sentences as long.
Write = Callable[[np.ndarray, Sequence[Words], Sequence[int]], list[list[str]]]


def bleu_figures(
    write: Write,
    pairs: Pairs,
    references: Sequence[Sequence[Words]],
    context: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, dict[str, dict[str, float]]]:
    """BLEU of a sentence for each reference, of which the first `context` words are given.

    `references` are by image, in the order of the pairs. The keys are those of `paper_bleu`.
    """
    own = [sentence for every in references for sentence in every]
    sentences: list[list[str]] = []
    for start in range(0, len(own), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(own)))
        given = [own[row][:context] for row in rows]
        sentences += write(pairs.images[rows], given, [len(own[row]) for row in rows])
        on_progress(len(sentences), len(own))
    return paper_bleu(sentences, own, [references[image] for image in pairs.images])


def perplexity_from(logprobs: Sequence[Sequence[float]], context: int) -> float | None:
    """Perplexity of all words after the first `context` ones; None where there is none.

    `logprobs` holds log P of every word of every sentence, END too, in nats.
    """
    after = [logprob for sentence in logprobs for logprob in sentence[context:]]
    return to_perplexity(sum(after), len(after)) if after else None


def written(
    step: Step,
    state: State,
    vocabulary: Vocabulary,
    given: Sequence[Words],
    lengths: Sequence[int],
    generator: np.random.Generator | None = None,
) -> list[list[str]]:
    """Sentences of these lengths, each after its own first words, which are returned as given.

    The most probable word each time; drawn at random with a generator.
    """
    indices = [[vocabulary.index(word) for word in words] for words in given]
    found = of_lengths(step, state, indices, lengths, generator)
    texts = [vocabulary.decode(words) for words in found]
    pairs = zip(given, texts, strict=True)
    return [[*words, *text[len(words) :]][: len(text)] for words, text in pairs]
