"""Rows are computed once, and read again as they were."""

from __future__ import annotations

import os

import numpy as np
import pytest

from mrnn.computed_rows import ComputedRows


@pytest.fixture
def computed():
    return []


@pytest.fixture
def compute(computed):
    def compute(rows):
        for row in rows:
            computed.append(row)
            yield np.full((2, 3), row / 3, np.float16)

    return compute


def expected(rows):
    return np.stack([np.full((2, 3), row / 3, np.float16) for row in rows])


def test_rows_are_computed_once_and_stay_as_they_were(tmp_path, compute, computed):
    rows = ComputedRows(compute, tmp_path / "new")
    for wanted in ([5], [1, 5, 1], [7, 1], [5, 7]):
        assert np.array_equal(rows.of(wanted), expected(wanted))
    assert computed == [5, 1, 7]
    assert list((tmp_path / "new").iterdir()) == []  # the file has no name


@pytest.mark.parametrize("function", ["pwrite", "pread"])
def test_a_disk_that_fails_costs_only_time(tmp_path, monkeypatch, compute, computed, function):
    def fail(*_):
        raise OSError(28, "No space left on device")

    rows = ComputedRows(compute, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        for _ in range(2):
            assert np.array_equal(rows.of([1, 2]), expected([1, 2]))
    assert computed == [1, 2, 1, 2]
    for wanted in ([3, 2], [1, 2, 3]):
        assert np.array_equal(rows.of(wanted), expected(wanted))


def test_a_row_that_was_not_written_whole_is_computed_again(tmp_path, monkeypatch, compute):
    rows = ComputedRows(compute, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: 3)
        rows.of([1])
    for wanted in ([2, 1], [1, 2]):
        assert np.array_equal(rows.of(wanted), expected(wanted))


def test_a_folder_that_cannot_be_made_costs_only_time(tmp_path, compute, computed):
    (tmp_path / "file").touch()
    rows = ComputedRows(compute, tmp_path / "file" / "cache")
    for _ in range(2):
        assert np.array_equal(rows.of([4]), expected([4]))
    assert computed == [4, 4]
