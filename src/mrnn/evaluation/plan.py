"""What is evaluated, and how: plain data that refuses what cannot be, before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ..config import MEMORY_GB, Decoding
from ..errors import UsageError


@dataclass(frozen=True)
class Plan:
    """What is evaluated, and how."""

    decoding: Decoding = field(default_factory=Decoding)
    protocol: Literal["coco", "paper2014"] = "coco"
    context: int = 0  # paper2014: the first words of the reference that are given
    retrieval: Literal["exact", "two-stage", "none"] = "exact"
    memory: float = MEMORY_GB * 1e9  # bytes for scoring
    health: bool = False
    meteor: bool = False
    seed: int = 1  # of the shuffled pictures, and of what is greyed at random
    faithfulness: bool = False
    quick: bool = False  # of faithfulness: maps of positions

    def __post_init__(self) -> None:
        if not 0 < self.memory < math.inf:
            raise UsageError(
                f"the memory for scoring must be above 0 and finite, not {self.memory}"
            )
        if self.seed < 0:
            raise UsageError("a seed must be at least 0")
        if self.protocol == "paper2014" and self.decoding != Decoding():
            raise UsageError("protocol paper2014 is greedy: leave out --beam and --consensus")
        if self.protocol == "paper2014" and self.meteor:
            raise UsageError("METEOR is not of protocol paper2014: leave out --meteor")
        if self.protocol == "paper2014" and self.faithfulness:
            raise UsageError("--faithfulness goes with --protocol coco")
        if self.quick and not self.faithfulness:
            raise UsageError("--quick goes with --faithfulness")
        if self.protocol != "paper2014" and self.context:
            raise UsageError("--context goes with --protocol paper2014")
