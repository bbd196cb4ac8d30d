"""What the systems of the tables can do: speakers give and write sentences, rankers find.

Dimension key: B sentences at once, S sentences, I images, P training images for P(s), D feature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...config import ModelConfig
from ...model.arrays import logsumexp
from ...model.generate import State, Step
from ...model.language_model import JointModel, LanguageModel
from ...model.mrnn import MRNN
from ...scoring.likelihoods import image_terms, log_likelihoods
from ...scoring.pairs import Pairs
from ...scoring.ranking import EXACT_PRIOR_SCORED, Stage, rank_all
from ...scoring.word_scores import score_words
from .back_off import BackOff
from .log_bilinear import LogBilinear, all_pairs

Scores = tuple[np.ndarray, np.ndarray]  # (S, I): orders a sentence's images; an image's sentences


class Speaker(Protocol):
    """A system that gives sentences a probability and writes them."""

    @property
    def weights(self) -> int:
        """How many numbers were learned."""

    def logprobs(self, pairs: Pairs) -> list[list[float]]:
        """Log P of every word of every sentence, END too, given its image; nats."""

    def begin(self, features: np.ndarray) -> tuple[Step, State]:
        """What `generate` needs to write a sentence for each of the features (B, D)."""


class Ranker(Protocol):
    """A system that finds sentences for an image and images for a sentence."""

    @property
    def weights(self) -> int:
        """How many numbers were learned."""

    def ranks(self, pairs: Pairs, stage: Stage) -> Scores:
        """Scores of all pairs, to be compared within a query."""


@dataclass(frozen=True)
class BackOffSpeaker:
    """An n-gram model; it sees no images."""

    model: BackOff

    @property
    def weights(self) -> int:
        """How many numbers were learned."""
        return self.model.size

    def logprobs(self, pairs: Pairs) -> list[list[float]]:
        """Log P of every word of every sentence."""
        every = pairs.corpus.sentences(np.arange(len(pairs.corpus)))
        return [self.model.logprobs(sentence) for sentence in every]

    def begin(self, features: np.ndarray) -> tuple[Step, State]:
        """Every sentence begins without a history."""

        def step(words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
            logp, history = self.model.step(words, state[0])
            return logp, (history,)

        return step, (self.model.initial_state(len(features)),)


@dataclass(frozen=True)
class NeuralSpeaker:
    """A neural language model, which sees the image unless its feature is of size 0."""

    model: LanguageModel

    @property
    def weights(self) -> int:
        """How many numbers were learned."""
        return count(self.model)

    def logprobs(self, pairs: Pairs) -> list[list[float]]:
        """Log P of every word of every sentence."""
        found = score_words(self.model, seen(pairs, self.model.config))
        return [scores.logprobs.tolist() for scores in found]

    def begin(self, features: np.ndarray) -> tuple[Step, State]:
        """Every sentence begins with its image's terms."""

        def step(words: np.ndarray, state: State) -> tuple[np.ndarray, State]:
            logp, recurrent = self.model.step(words, *state)
            return logp, (recurrent, state[1])

        visible = features[:, : self.model.config.feature]  # all of it, or nothing
        terms = self.model.image_terms(visible)
        return step, (self.model.initial_state(len(features)), terms)


@dataclass(frozen=True)
class NeuralRanker:
    """A model that ranks by likelihood (paper sec. 6), P(s) a mean over some training images."""

    model: JointModel
    prior: np.ndarray  # (P, D) features of training images
    memory: float  # bytes for scoring

    @property
    def weights(self) -> int:
        """How many numbers were learned."""
        return count(self.model)

    def ranks(self, pairs: Pairs, stage: Stage) -> Scores:
        """Scores of all pairs."""
        features = pairs.features[np.arange(len(pairs.features))]
        if isinstance(self.model, MRNN):
            terms, prior = (image_terms(self.model, each) for each in (features, self.prior))
            found = rank_all(self.model, pairs.corpus, terms, prior, True, self.memory, stage)
            return found.images, found.sentences
        sampled = np.linspace(0, len(self.prior) - 1, min(len(self.prior), EXACT_PRIOR_SCORED))
        both = np.concatenate([features, self.prior[sampled.astype(np.int64)]])
        terms = self.model.image_terms(both)
        with stage("scoring", "words") as on_progress:
            if isinstance(self.model, LogBilinear):
                scores = all_pairs(self.model, pairs.corpus, terms, on_progress)
            else:
                scores = log_likelihoods(
                    self.model, pairs.corpus, terms, self.memory, on_progress=on_progress
                )
        likelihoods, of_prior = np.split(scores, [len(features)], axis=1)
        log_prior = logsumexp(of_prior, keepdims=True) - math.log(of_prior.shape[1])
        return likelihoods, likelihoods - log_prior


@dataclass(frozen=True)
class ScoreRanker:
    """A system with one score for both directions."""

    scores: Callable[[Pairs], np.ndarray]  # (S, I)
    weights: int  # numbers that were learned

    def ranks(self, pairs: Pairs, stage: Stage) -> Scores:
        """Scores of all pairs."""
        found = self.scores(pairs)
        return found, found


def seen(pairs: Pairs, config: ModelConfig) -> Pairs:
    """The pairs as a model sees them: without images, if its feature is of size 0."""
    if config.feature:
        return pairs
    none = np.zeros((1, 0), np.float32)
    return Pairs(pairs.corpus, np.zeros(len(pairs.corpus), np.int64), none)


def count(model: LanguageModel) -> int:
    """How many numbers a network learned."""
    return sum(weights.size for weights in model.weights.values())
