"""Vectors on disk: the rows that were put there, whatever else befell the files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.errors import DataError
from mrnn.library.vectors import VectorStore

M, SHARD = 3, 4


def values(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, M)).astype(np.float16)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "vectors"


@pytest.fixture
def store(folder):
    """Ten rows in shards of four."""
    store = VectorStore(folder, M, SHARD)
    store.write(0, values(10))
    return store


@given(st.lists(st.integers(1, 11), max_size=6), st.data())
@settings(max_examples=25, deadline=None)
def test_rows_come_back_as_they_were_put(parts, data):
    rows = values(sum(parts))
    with tempfile.TemporaryDirectory() as name:
        store = VectorStore(Path(name), M, SHARD)
        first = 0
        for part in parts:
            store.write(first, rows[first : first + part])
            first += part
        found = store.open(first)
        assert len(found) == first
        positions = st.lists(st.integers(0, max(first - 1, 0)), max_size=8 if first else 0)
        wanted = np.array(data.draw(positions), dtype=np.int64)
        np.testing.assert_array_equal(found[wanted], rows[wanted])
        np.testing.assert_array_equal(found[np.arange(first)], rows)
        assert store.lost(first) == []


def test_files_are_plain_numbers(store, folder):
    content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    assert content == values(10).tobytes()
    assert [path.stat().st_size for path in sorted(folder.iterdir())] == [24, 24, 12]


def test_what_a_killed_writer_left_is_written_over(store):
    store.write(6, values(9, seed=1))
    assert len(store.open(7)) == 7
    store.write(7, values(2, seed=2))
    found = store.open(9)[np.arange(9)]
    expected = np.concatenate([values(10)[:6], values(9, 1)[:1], values(2, 2)])
    np.testing.assert_array_equal(found, expected)


def test_float32_is_rounded_to_half(folder):
    store = VectorStore(folder, M, SHARD)
    store.write(0, np.full((1, M), 0.1))
    found = store.open(1)[np.array([0])]
    assert found.dtype == np.float16
    assert (found == np.float16(0.1)).all()


def test_a_reader_sees_its_rows_while_more_are_written(store):
    before = store.open(6)
    store.write(6, values(20, seed=3))
    np.testing.assert_array_equal(before[np.arange(6)], values(10)[:6])
    assert len(before) == 6


@pytest.mark.parametrize(
    ("damage", "what", "lost"),
    [
        (lambda path: path.unlink(), "missing", [range(4, 8)]),
        (lambda path: path.write_bytes(path.read_bytes()[:13]), "cut short", [range(6, 8)]),
        (lambda path: path.write_bytes(b""), "cut short", [range(4, 8)]),
    ],
)
def test_lost_rows_are_known_and_named(store, folder, damage, what, lost):
    shard = folder / "00001.f16"
    damage(shard)
    with pytest.raises(DataError) as caught:
        store.open(10)
    assert (
        str(caught.value) == f"{shard}: {what}; run mrnn index again: it computes anew what is lost"
    )
    assert len(store.open(4)) == 4
    assert store.lost(10) == lost
    store.fill(lost)
    assert store.lost(10) == []
    found = store.open(10)[np.arange(10)]
    expected = values(10)
    expected[lost[0].start : lost[0].stop] = 0
    np.testing.assert_array_equal(found, expected)


def test_several_lost_shards(store, folder):
    (folder / "00000.f16").unlink()
    (folder / "00002.f16").unlink()
    assert store.lost(10) == [range(4), range(8, 10)]
    assert store.lost(8) == [range(4)]


def test_a_shard_that_cannot_be_opened(store, folder):
    shard = folder / "00001.f16"
    shard.unlink()
    shard.mkdir()
    (shard / "x").write_bytes(b"0" * 99)
    with pytest.raises(DataError, match=r"00001.f16: cannot be read \(Is a directory\)"):
        store.open(10)


def test_nothing_is_no_file(folder):
    found = VectorStore(folder, M).open(0)
    assert len(found) == 0
    assert found[np.zeros(0, dtype=np.int64)].shape == (0, M)
    assert not folder.exists()
