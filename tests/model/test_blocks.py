"""Products of one size: the company of a row changes not a bit of it."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mrnn.model.blocks import ROWS, in_blocks, one_thread

WEIGHTS = torch.from_numpy(np.random.default_rng(0).normal(size=(301, 257)).astype(np.float32))
RECORDS = torch.from_numpy(np.random.default_rng(1).normal(size=(70, 257)).astype(np.float32))


def product(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return rows @ WEIGHTS.T, rows.sum(1)


@given(st.lists(st.integers(0, 69), max_size=40))
def test_a_row_gives_the_same_bits_in_any_company(chosen):
    whole, sums = in_blocks(product, RECORDS)
    part, part_sums = in_blocks(product, RECORDS[chosen])
    assert torch.equal(part, whole[chosen])
    assert torch.equal(part_sums, sums[chosen])


def test_it_is_the_function_itself():
    torch.testing.assert_close(in_blocks(product, RECORDS)[0], product(RECORDS)[0])


def test_every_block_has_the_same_number_of_rows():
    sizes = []

    def seen(rows: torch.Tensor) -> tuple[torch.Tensor]:
        sizes.append(len(rows))
        return (rows,)

    for count in (0, 1, ROWS, ROWS + 1):
        [found] = in_blocks(seen, RECORDS[:count])
        assert torch.equal(found, RECORDS[:count])
    assert set(sizes) == {ROWS}


def test_the_number_of_threads_is_restored_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
