"""The threshold t(N) that tells a match from the best of N wrong pictures; a bundle carries it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

_MOST_NATS = 1e6


@dataclass(frozen=True)
class MatchThreshold:
    """t(N) = intercept + slope log N: the log-ratio of a match, log P(s | I) - log P(s), in nats.

    The best of N pictures reaches it for few of the sentences whose own picture is not among them.
    `match.fit_match` makes it.
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
        names = [field.name for field in fields(cls)]
        for name in sorted(found.keys() - set(names)):
            raise ValueError(f"unknown key {'match.' + name!r}")
        for name in names:
            if name not in found:
                raise ValueError(f"missing key {'match.' + name!r}")
            if not _is_possible(name, found[name]):
                raise ValueError(f"{'match.' + name!r} is {found[name]!r}, which cannot be")
        return cls(**{**found, "galleries": tuple(found["galleries"])})


def _is_possible(name: str, value: Any) -> bool:
    if name == "split":
        return type(value) is str
    if name == "galleries":
        return type(value) in (list, tuple) and len(value) > 0 and all(map(_is_count, value))
    if name in ("intercept", "slope"):
        least = -_MOST_NATS if name == "intercept" else 0
        return type(value) in (int, float) and least <= value <= _MOST_NATS
    return _is_count(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**63
