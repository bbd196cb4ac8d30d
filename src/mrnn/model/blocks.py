"""Products of one size: what a picture gives does not depend on the pictures beside it.

A matrix product rounds in another way for another number of rows or threads, in the seventh digit.
Rows are therefore multiplied in blocks of one size, on one thread, so that a picture alone, one of
a folder, and one that a server handles together with other clients' have the very same caption and
log-probabilities. (A model whose sizes are no multiples of four is excepted: on some processors
its products depend on the place in the block.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import pad

ROWS = 16  # of a block; smaller ones read the weights too often, larger ones are padded too often


def in_blocks(
    function: Callable[..., tuple[Tensor, ...]], *arguments: Tensor
) -> tuple[Tensor, ...]:
    """What a function of rows gives for arguments of N rows each, on a CPU block by block."""
    if not arguments[0].is_cpu:
        return function(*arguments)
    count = len(arguments[0])
    padded = [_padded(argument) for argument in arguments]
    with one_thread():
        found = [
            function(*block)
            for block in zip(*(argument.split(ROWS) for argument in padded), strict=True)
        ]
    return tuple(torch.cat(parts)[:count] for parts in zip(*found, strict=True))


@contextmanager
def one_thread() -> Iterator[None]:
    """Products on one thread; for one thread of Python at a time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _padded(rows: Tensor) -> Tensor:
    """(N, ...) with zeros up to a multiple of ROWS, one block at least."""
    missing = -len(rows) % ROWS if len(rows) else ROWS
    return pad(rows, (*(0, 0) * (rows.dim() - 1), 0, missing))
