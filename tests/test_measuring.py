"""The clock of the benchmark, and its lines."""

from __future__ import annotations

import pytest

from mrnn import measuring
from mrnn.measuring import Row, gemm_flops, seconds, timed


@pytest.mark.parametrize(("repeats", "runs"), [(1, 1), (2, 3), (5, 6)])
def test_a_first_run_does_not_count_unless_it_is_the_only_one(repeats, runs):
    seen = []
    assert seconds(lambda: seen.append(1), repeats) >= 0
    assert len(seen) == runs


def test_medians_are_measured(monkeypatch):
    clock = iter([0, 9, 10, 11, 20, 22])  # 9, 1 and 2 seconds
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    assert seconds(lambda: None, 3) == 2


def test_an_action_is_timed_once(monkeypatch):
    clock = iter([3, 7.5])
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    assert timed(lambda: "done") == (4.5, "done")


def test_the_best_of_all_matrix_products_counts(monkeypatch):
    """Sides of 10 and 20, five products each: 2,000 and 16,000 operations."""
    took = iter([4, 3, 2, 3, 4, 8, 8, 4, 9, 9])  # seconds
    monkeypatch.setattr(measuring, "_GEMM_SIDES", (10, 20))
    monkeypatch.setattr(measuring, "timed", lambda action: (next(took), action()))
    sides = []
    assert gemm_flops(lambda side: lambda: sides.append(side)) == 16_000 / 4
    assert sides == [10] * 5 + [20] * 5


def test_lines_of_rows():
    row = Row("scoring", "words/s", ">= 1.7", 2.5, {"words/s": 12345.678})
    assert row.line() == "scoring           2.50  (aim >= 1.7) words/s: words/s 1.235e+04"
    assert Row("a", "b", "c", skipped="no GPU").line() == "a              skipped: no GPU"
