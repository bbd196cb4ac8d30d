"""Captions of image terms: how a model is asked for its words, and what it makes of them.

Dimension key: B images, M multimodal layer.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from .config import Decoding
from .errors import UsageError
from .model.blocks import in_blocks
from .model.bundle import Bundle
from .model.generate import Generated, Rules, State, Step, beam, greedy, sample
from .model.guidance import by_ratio, said_once, shares
from .model.stepping import quick_step
from .results import Caption, Word
from .scoring.pairs import Pairs
from .scoring.trust import Trust
from .scoring.word_scores import score_words, sentence_words, to_perplexity
from .words.packing import Corpus
from .words.text import Vocabulary, join


class Writer:
    """What writes the captions of a model."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.model = bundle.model
        self.vocabulary: Vocabulary = bundle.vocabulary

    @cached_property
    def trust(self) -> Trust:
        """How far captions can be trusted."""
        return Trust(self.bundle)

    def require(self, how: Decoding) -> list[int]:
        """The prefix by its words' indices; raises UsageError for what this model cannot do."""
        if how.consensus and self.bundle.consensus is None:
            raise UsageError(
                "this model has no consensus: it does not know how training images were described "
                "(models without images, and those of older versions, do not); use another"
            )
        words = self.vocabulary.tokenise(how.prefix)
        for word in words:
            if word not in self.vocabulary:
                raise UsageError(f"the model does not know the word {word!r} of the prefix")
        if len(words) > how.max_length:
            raise UsageError(f"the prefix is longer than the {how.max_length} words allowed")
        return [self.vocabulary.index(word) for word in words]

    def write(
        self, terms: np.ndarray, how: Decoding, prefix: list[int], generator: np.random.Generator
    ) -> list[Caption]:
        """A caption for each of the image terms (B, M), after a prefix that `require` gave."""
        ratio, rules = self.ratio(how), Rules(prefix, how.max_length, how.no_repeat)
        state = self._initial(terms, shares(ratio, self.trust.strangeness(terms)))
        if ratio:
            once = said_once(self.vocabulary, self.bundle.training["sentences"])
            weigh = by_ratio(self.model, self.trust.usual_term, across=how.width > 1)
            rules = replace(rules, once=once, weigh=weigh)
        if how.temperature is not None:
            found = [[s] for s in sample(self._step, state, rules, generator, how.temperature)]
        elif how.width == 1:
            found = [[s] for s in greedy(self._step, state, rules)]
        else:
            wanted = how.width if how.consensus else max(how.n_best, 1)
            found = beam(self._step, state, rules, how.width, wanted)
        if how.consensus:
            assert self.bundle.consensus is not None  # noqa: S101 - so says `require`
            order = self.bundle.consensus.ordered
            found = [order(term, several) for term, several in zip(terms, found, strict=True)]
        captions = [[self._caption(sentence) for sentence in sentences] for sentences in found]
        return [replace(c[0], n_best=tuple(c[: how.n_best])) for c in captions]

    def begin(self, terms: np.ndarray) -> tuple[Step, State]:
        """What `model.generate` needs to write a sentence for each of the image terms (B, M)."""
        return self._step, self._initial(terms)

    def ratio(self, how: Decoding) -> float:
        """The c of `model.guidance` by which captions are generated.

        For a beam the model's own is halved: it finds what a ratio favours more surely.
        """
        if how.ratio is not None:
            return how.ratio
        return self.bundle.ratio / 2 if how.width > 1 else self.bundle.ratio

    def given(self, sentence: str, feature: np.ndarray) -> Caption:
        """A sentence of the caller's, as a caption of an image with this feature (D,)."""
        corpus = Corpus([self.vocabulary.encode(sentence)])
        [scored] = score_words(self.model, Pairs(corpus, np.zeros(1, np.int64), feature[None]))
        words = sentence_words(self.vocabulary, sentence, scored)
        text = join(self.vocabulary.tokenise(sentence))
        logprob = sum(word.logprob for word in words)
        return Caption(text, logprob, to_perplexity(logprob, len(words)), True, words)

    def _initial(self, terms: np.ndarray, ratios: np.ndarray | None = None) -> State:
        """r(0), the image terms, each one's c of `guidance` and the sentence's part of eq. 3."""
        each = np.zeros(len(terms), dtype=np.float32) if ratios is None else ratios
        return self.model.initial_state(len(terms)), terms, each[:, None], np.zeros_like(terms)

    def _step(self, words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        recurrent, terms, ratio, _ = state
        logp, recurrent, of_sentence = in_blocks(quick_step(self.model), words, recurrent, terms)
        return logp, (recurrent, terms, ratio, of_sentence)

    def _caption(self, sentence: Generated) -> Caption:
        texts = self.vocabulary.decode(sentence.words)
        words = tuple(
            Word(text, p, i < sentence.given, captions=self.vocabulary.captions_with(text))
            for i, (text, p) in enumerate(zip(texts, sentence.logprobs, strict=True))
        )
        spoken = texts[:-1] if sentence.complete else texts
        return Caption(
            join(spoken),
            sentence.logprob,
            to_perplexity(sentence.logprob, len(words)),
            sentence.complete,
            words,
        )
