"""How sure a caption is: the chance that the word its picture speaks for most is right.

That word, the main one, is the one whose log P gains most from the picture, over the usual picture:
most often the noun. The chance is a logistic function of what it gains and of its log P, fitted to
captions of dev pictures: is it in one of their references? So it means the same for every model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

_STEPS = 50  # of Newton's method; it ends long before
_L2 = 1e-3  # so that separable data has an end, too
_LARGEST = 1e6


@dataclass(frozen=True)
class Sureness:
    """The chance is 1 / (1 + exp(-x)), x = intercept + logprob * log P + gain * its gain."""

    intercept: float
    logprob: float  # for each nat of the main word's log P
    gain: float  # for each nat that it gains from the picture

    def chance(self, logprob: float, gain: float) -> float:
        """That a main word with this log P and gain, in nats, is right."""
        x = self.intercept + self.logprob * logprob + self.gain * gain
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, x))))

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Sureness:
        """From an object with exactly these keys; raises ValueError."""
        names = {field.name for field in fields(cls)}
        if set(found) != names:
            raise ValueError(f"'sureness' needs the keys {', '.join(sorted(names))}")
        for name, value in found.items():
            if type(value) not in (int, float) or not abs(value) < _LARGEST:
                raise ValueError(f"{'sureness.' + name!r} is {value!r}, which cannot be")
        return cls(**found)

    def to_json(self) -> dict[str, float]:
        """The JSON object that `from_json` reads."""
        return asdict(self)


def main_word(gains: Sequence[float]) -> int:
    """The place of the word that gains most; of equals the first."""
    return max(range(len(gains)), key=lambda place: gains[place])


def fit_sureness(logprobs: np.ndarray, gains: np.ndarray, is_right: np.ndarray) -> Sureness | None:
    """By maximum likelihood from main words (n,); None where all are right, or none."""
    if not 0 < is_right.sum() < len(is_right):
        return None
    x = np.stack([np.ones_like(logprobs), logprobs, gains], 1).astype(np.float64)  # (n, 3)
    weights = np.zeros(3)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -60, 60)))
        gradient = x.T @ (is_right - p) - _L2 * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + _L2 * np.eye(3)
        step = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return Sureness(*np.round(weights, 4).tolist())
