"""The threshold t(N) of older bundles: it tells a match from the best of N wrong pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .fitted import LARGEST, read_fitted

_LEAST = {"intercept": -LARGEST, "slope": 0.0}


@dataclass(frozen=True)
class MatchThreshold:
    """t(N) = intercept + slope log N: the log-ratio of a match, log P(s | I) - log P(s), in nats.

    The best of N pictures reaches it for few of the sentences whose own picture is not among them.
    Nothing makes it any more: newer bundles have `chance.MatchChance`.
    """

    intercept: float  # nats
    slope: float  # nats for each factor e, 0 or more
    percentile: int  # of the sentences without their picture find less
    split: str  # that it was fitted on
    images: int  # distinct pictures of the split
    sentences: int  # distinct ones, drawn from the split
    galleries: tuple[int, ...]  # their sizes N

    def at(self, images: int) -> float:
        """t(N) of a search among so many pictures, one at least."""
        return self.intercept + self.slope * math.log(max(1, images))

    def to_json(self) -> dict[str, Any]:
        """The JSON object that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> MatchThreshold:
        """From an object with exactly these keys, and values that can be; raises ValueError."""
        return read_fitted(cls, "match", found, _LEAST)
