"""The chance that a picture found by a sentence is right; a bundle carries what it goes by.

Its log odds grow with the log-ratio, log P(s | I) - log P(s), and are less for long sentences in
large libraries: a whole sentence is right of one picture or two, however many there are, but "dog"
is right of as large a share of a large library as of a small one. So how much the number of
pictures counts hangs on how many words of the sentence say something of a picture.
`evaluation.match` makes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .fitted import LARGEST, read_fitted
from .logistic import logistic

_FIGURES = ("intercept", "log_ratio", "pictures", "one_word", "prior", "pictures_of_a_word")
_LEAST = {**dict.fromkeys(_FIGURES, -LARGEST), "log_ratio": 1 / LARGEST}


@dataclass(frozen=True)
class MatchRule:
    """What makes a picture that one search found a match, and how likely it is right."""

    threshold: float | None = None  # its log-ratio, nats; None: nobody can tell
    slope: float | None = None  # log odds for each nat; None: no chance is known

    def is_match(self, log_ratio: float) -> bool | None:
        """Whether it is more likely right than not, or stands out by the threshold of before."""
        return None if self.threshold is None else log_ratio >= self.threshold

    def chance(self, log_ratio: float) -> float | None:
        """From 0 to 1, one half at the threshold."""
        if self.threshold is None or self.slope is None:
            return None
        return logistic(self.slope * (log_ratio - self.threshold))


@dataclass(frozen=True)
class MatchChance:
    """The chance is 1 / (1 + exp(-x)); with w content words and N pictures searched it has this x.

    x = intercept + log_ratio * (log P(s | I) - log P(s)) + pictures * log N
        + (one_word + prior * log P(s) + pictures_of_a_word * log N) / w
    """

    intercept: float
    log_ratio: float  # for each nat, above 0
    pictures: float
    one_word: float
    prior: float
    pictures_of_a_word: float
    split: str  # that it was fitted on
    images: int  # distinct pictures of the split
    sentences: int  # distinct ones that were searched for, whole ones and words of them
    galleries: tuple[int, ...]  # how many pictures were searched

    @staticmethod
    def figures(
        log_ratio: np.ndarray, log_prior: np.ndarray, words: np.ndarray, pictures: np.ndarray
    ) -> np.ndarray:
        """What the chances of n found pictures go by, (n, 5), beside the intercept."""
        size = np.log(pictures)
        return np.stack([log_ratio, size, 1 / words, log_prior / words, size / words], 1)

    def rule(self, words: int, log_prior: float, pictures: int) -> MatchRule:
        """Of a sentence with so many content words (0 is as 1), of log P(s) in nats, among so many.

        Its threshold may be any number: a rare word is hardly ever right, whatever its log-ratio.
        """
        size, words = math.log(max(1, pictures)), max(1, words)
        x = self.intercept + self.pictures * size
        x += (self.one_word + self.prior * log_prior + self.pictures_of_a_word * size) / words
        return MatchRule(-x / self.log_ratio, self.log_ratio)

    def to_json(self) -> dict[str, Any]:
        """The JSON object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> MatchChance:
        """From an object with exactly these keys, and values that can be; raises ValueError."""
        return read_fitted(cls, "chance", found, _LEAST)
