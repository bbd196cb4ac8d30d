"""Figures of evaluations as people read them; a dash where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .ranks import RANK_KEYS

NONE = "–"
RANKS = ("R@1", "R@5", "R@10", "Med r")  # RANK_KEYS, to be read


def number(value: float | None, decimals: int) -> str:
    """A fraction of three decimals begins with its point, as is the custom with BLEU."""
    if value is None:
        return NONE
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("0") if decimals == 3 else text


def rank(value: float | None) -> str:
    """A median rank: halves are shown."""
    return number(value, 1).removesuffix(".0")


def recalls(values: Sequence[float | None]) -> list[str]:
    """R@1, R@5, R@10 in percent and the median rank."""
    *shares, median = values
    return [*(number(share, 1) for share in shares), rank(median)]


def recalls_of(table: Mapping[str, float | None] | None) -> list[str]:
    """The same of a document's table, which may be missing."""
    return recalls([(table or {}).get(key) for key in RANK_KEYS])


def bleu(orders: Mapping[str, float | None] | None, highest: int) -> list[str]:
    """BLEU of the orders 1 to the highest, of a document's table, which may be missing."""
    return [number((orders or {}).get(str(order)), 3) for order in range(1, highest + 1)]
