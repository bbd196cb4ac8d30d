"""Products of one size: the company of a row changes not a bit of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from mrnn.model import blocks
from mrnn.model.blocks import NUMPYS_ROWS, ROWS, in_blocks, on_threads, one_thread
from processors import OLDER, run_on

WEIGHTS = np.random.default_rng(0).normal(size=(301, 257)).astype(np.float32)
RECORDS = np.random.default_rng(1).normal(size=(70, 257)).astype(np.float32)


def product(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows @ WEIGHTS.T, rows.sum(1)


@given(st.lists(st.integers(0, 69), max_size=40))
def test_a_row_gives_the_same_bits_in_any_company(chosen):
    whole, sums = in_blocks(product, RECORDS, size=NUMPYS_ROWS)
    part, part_sums = in_blocks(product, RECORDS[chosen], size=NUMPYS_ROWS)
    assert np.array_equal(part, whole[chosen])
    assert np.array_equal(part_sums, sums[chosen])


def test_it_is_the_function_itself():
    np.testing.assert_allclose(in_blocks(product, RECORDS)[0], product(RECORDS)[0], atol=1e-4)


def test_every_block_has_the_same_number_of_rows():
    for options, size in (({}, ROWS), ({"size": 5}, 5)):
        sizes = []

        def seen(rows: np.ndarray, sizes: list[int] = sizes) -> tuple[np.ndarray]:
            sizes.append(len(rows))
            return (rows,)

        for count in (0, 1, size, size + 1):
            [found] = in_blocks(seen, RECORDS[:count], **options)
            assert np.array_equal(found, RECORDS[:count])
        assert sizes == [size] * 5


ALONE_AND_AMONG_OTHERS = """
import numpy as np
from mrnn.model.blocks import NUMPYS_ROWS, in_blocks
draw = np.random.default_rng(0)
for words, size in (301, 257), (12, 5), (512, 1280), (33, 8):
    weights = draw.normal(size=(words, size)).astype(np.float32)
    rows = draw.normal(size=(3 * NUMPYS_ROWS, size)).astype(np.float32)

    def found(rows):
        return in_blocks(lambda part: (part @ weights.T,), rows, size=NUMPYS_ROWS)[0]

    for row, among_others in zip(rows, found(rows), strict=True):
        assert np.array_equal(found(row[None])[0], among_others)
"""


@pytest.mark.parametrize("processor", OLDER)
def test_so_it_is_on_processors_with_fewer_instructions(processor):
    run_on(processor, ALONE_AND_AMONG_OTHERS)


def threads() -> list[int]:
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_products_of_blocks_run_on_one_thread_and_others_as_before():
    seen = []

    def product(rows: np.ndarray) -> tuple[np.ndarray]:
        seen.extend(threads())
        return (rows @ WEIGHTS.T,)

    with threadpool_limits(2, "blas"):
        before = threads()
        assert set(before) == {2}
        in_blocks(product, RECORDS)
        assert set(seen) == {1}
        assert threads() == before
        with pytest.raises(ZeroDivisionError), one_thread():
            raise ZeroDivisionError
        assert threads() == before


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_all_parts_are_worked_on_whatever_the_threads(monkeypatch, threads):
    monkeypatch.setattr(blocks, "processors", lambda: threads)
    done = []
    on_threads(lambda a, b: done.append(a * b), [(i, 2) for i in range(20)])
    assert sorted(done) == [2 * i for i in range(20)]
    on_threads(done.append, [])


def test_what_a_part_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        on_threads(lambda i: 1 // i, [(1,), (0,), (2,)])
