"""How sure a caption is: the chance that the word its picture speaks for most is right.

That word, the main one, is the one whose log P gains most from the picture, over the usual picture:
most often the noun. The chance is a logistic function of what it gains and of its log P, fitted to
captions of dev pictures: is it in one of their references? So it means the same for every model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .fitted import LARGEST, read_fitted
from .logistic import fit_logistic, logistic

_LEAST = dict.fromkeys(("intercept", "logprob", "gain"), -LARGEST)


@dataclass(frozen=True)
class Sureness:
    """The chance is 1 / (1 + exp(-x)), x = intercept + logprob * log P + gain * its gain."""

    intercept: float
    logprob: float  # for each nat of the main word's log P
    gain: float  # for each nat that it gains from the picture

    def chance(self, logprob: float, gain: float) -> float:
        """That a main word with this log P and gain, in nats, is right."""
        return logistic(self.intercept + self.logprob * logprob + self.gain * gain)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Sureness:
        """From an object with exactly these keys, and values that can be; raises ValueError."""
        return read_fitted(cls, "sureness", found, _LEAST)

    def to_json(self) -> dict[str, float]:
        """The JSON object that `from_json` reads."""
        return asdict(self)


def main_word(gains: Sequence[float]) -> int:
    """The place of the word that gains most; of equals the first."""
    return max(range(len(gains)), key=lambda place: gains[place])


def fit_sureness(logprobs: np.ndarray, gains: np.ndarray, is_right: np.ndarray) -> Sureness | None:
    """By maximum likelihood from main words (n,); None where all are right, or none."""
    weights = fit_logistic(np.stack([logprobs, gains], 1), is_right)
    return None if weights is None else Sureness(*np.round(weights, 4).tolist())
