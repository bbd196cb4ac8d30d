"""Products of one size: the company of a row changes not a bit of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mrnn.model.blocks import ROWS, in_blocks

WEIGHTS = np.random.default_rng(0).normal(size=(301, 256)).astype(np.float32)
RECORDS = np.random.default_rng(1).normal(size=(70, 256)).astype(np.float32)


def product(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows @ WEIGHTS.T, rows.sum(1)


@given(st.lists(st.integers(0, 69), max_size=40))
def test_a_row_gives_the_same_bits_in_any_company(chosen):
    whole, sums = in_blocks(product, RECORDS)
    part, part_sums = in_blocks(product, RECORDS[chosen])
    assert np.array_equal(part, whole[chosen])
    assert np.array_equal(part_sums, sums[chosen])


def test_it_is_the_function_itself():
    np.testing.assert_allclose(in_blocks(product, RECORDS)[0], product(RECORDS)[0], atol=1e-4)


def test_every_block_has_the_same_number_of_rows():
    sizes = []

    def seen(rows: np.ndarray) -> tuple[np.ndarray]:
        sizes.append(len(rows))
        return (rows,)

    for count in (0, 1, ROWS, ROWS + 1):
        [found] = in_blocks(seen, RECORDS[:count])
        assert np.array_equal(found, RECORDS[:count])
    assert set(sizes) == {ROWS}
