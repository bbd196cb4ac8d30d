"""Products of one size: what a picture gives does not depend on the pictures beside it.

A matrix product rounds in another way for another number of rows or threads, in the seventh digit.
Rows are therefore multiplied in blocks of one size, on one thread, so that a picture alone, one of
a folder, and one that a server handles together with other clients' have the very same caption and
log-probabilities.

One thread is also the quickest: those of OpenBLAS wait for each other in loops, which costs a
product as small as these ten times its time where other threads decode pictures meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from ..devices import processors

ROWS = 16  # of a block; smaller ones read the weights too often, larger ones are padded too often
NUMPYS_ROWS = 8  # OpenBLAS without AVX-512 rounds the rows of a larger block in different ways


def in_blocks(
    function: Callable[..., tuple[np.ndarray, ...]], *arguments: np.ndarray, size: int = ROWS
) -> tuple[np.ndarray, ...]:
    """What a function of rows gives for arguments of N rows each, blocks of this size each time.

    Products of ONNX Runtime may have ROWS, those of NumPy `NUMPYS_ROWS`.
    """
    count = len(arguments[0])
    padded = [_padded(argument, size) for argument in arguments]
    with one_thread():
        found = [
            function(*(argument[start : start + size] for argument in padded))
            for start in range(0, len(padded[0]), size)
        ]
    return tuple(np.concatenate(parts)[:count] for parts in zip(*found, strict=True))


def one_thread() -> AbstractContextManager[object]:
    """NumPy's products on one thread; for one thread of Python at a time."""
    return _controller().limit(limits=1, user_api="blas")


def on_threads(work: Callable[..., None], parts: Sequence[tuple[Any, ...]]) -> None:
    """Call `work` for the arguments of each part, on as many threads as there are processors.

    Pays where NumPy has milliseconds of work: it lets other threads run meanwhile.
    """
    threads = min(processors(), len(parts))
    with one_thread(), ThreadPoolExecutor(max(1, threads)) as pool:
        for done in [pool.submit(work, *part) for part in parts]:
            done.result()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries: once


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
    """(N, ...) with zeros up to a multiple of a block's size, one block at least."""
    missing = -len(rows) % size if len(rows) else size
    return np.pad(rows, ((0, missing), *((0, 0),) * (rows.ndim - 1)))
