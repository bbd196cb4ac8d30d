"""Rows are computed once, and read again as they were."""

from __future__ import annotations

import numpy as np
import pytest

from mrnn.computed_rows import ComputedRows
from mrnn.errors import DataError


def test_rows_are_computed_once_and_stay_as_they_were(tmp_path):
    computed = []

    def compute(row):
        computed.append(row)
        return np.full((2, 3), row / 3, np.float16)

    rows = ComputedRows(compute, tmp_path)
    for wanted in ([5], [1, 5, 1], [7, 1], [5, 7]):
        assert np.array_equal(rows.of(wanted), np.stack([compute(row) for row in wanted]))
        del computed[-len(wanted) :]
    assert computed == [5, 1, 7]
    assert list(tmp_path.iterdir()) == []  # the file has no name


def test_a_row_that_could_not_be_written_whole_is_computed_again(tmp_path, monkeypatch):
    rows = ComputedRows(lambda row: np.full(4, row, np.float16), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", lambda *_: 3)
        assert rows.of([1]).tolist() == [[1.0] * 4]
    assert rows.of([2, 1]).tolist() == [[2.0] * 4, [1.0] * 4]
    assert rows.of([1, 2]).tolist() == [[1.0] * 4, [2.0] * 4]


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    rows = ComputedRows(lambda row: np.zeros(4), tmp_path)
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(DataError, match=rf"{tmp_path}: .*No space left.*XDG_CACHE_HOME"):
        rows.of([0])


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=rf"{tmp_path}/file/cache: a temporary file cannot be made"):
        ComputedRows(lambda row: np.zeros(4), tmp_path / "file" / "cache")
