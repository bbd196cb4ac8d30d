"""What the rows of `mrnn benchmark` share: a row, a clock, the processor's own speed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

REPEATS = 5  # of each measurement; medians are compared
_GEMM_SIDES = (2048, 4096)

Product = Callable[[int], Callable[[], object]]  # readies one of two square matrices of a side


@dataclass(frozen=True)
class Row:
    """One measured ratio, or why it was skipped."""

    name: str
    meaning: str
    aim: str
    ratio: float | None = None
    parts: Mapping[str, float] | None = None  # what was divided, with units in the names
    skipped: str = ""

    def line(self) -> str:
        """The row as a line of text."""
        if self.ratio is None:
            return f"{self.name:14} skipped: {self.skipped}"
        parts = ", ".join(f"{name} {value:,.4g}" for name, value in (self.parts or {}).items())
        return f"{self.name:14} {self.ratio:7.2f}  (aim {self.aim}) {self.meaning}: {parts}"


def seconds(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of an action, after one run that does not count (none for a single one)."""
    if repeats > 1:
        action()
    return statistics.median(timed(action)[0] for _ in range(repeats))


def timed(action: Callable[[], T]) -> tuple[float, T]:
    """The time that an action takes once, and its result."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def gemm_flops(product: Product) -> float:
    """FLOP/s of the best square matrix product, of some library in some precision."""
    return max(_gemm_flops(side, product(side)) for side in _GEMM_SIDES)


def _gemm_flops(side: int, product: Callable[[], object]) -> float:
    return 2 * side**3 / min(timed(product)[0] for _ in range(REPEATS))
