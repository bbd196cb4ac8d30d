"""Random choices of scoring, the same as those of PyTorch from the same seed.

Cards and libraries of before the wall were made with them; their figures stay what they were.
PyTorch's generator on a CPU is the Mersenne Twister, and so is NumPy's oldest one.
"""

from __future__ import annotations

import math

import numpy as np


def permutation(count: int, seed: int) -> np.ndarray:
    """The numbers from 0 to count - 1 in random order, as `torch.randperm` has them."""
    order = np.arange(count)
    for here, number in enumerate(_numbers(max(count - 1, 0), seed).tolist()):
        there = here + number % (count - here)
        order[here], order[there] = order[there], order[here]
    return order


def uniform(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers of at least 0 and below 1, float32, as `torch.rand` has them."""
    numbers = _numbers(math.prod(shape), seed) & 0xFFFFFF
    return numbers.astype(np.float32).reshape(shape) * np.float32(2**-24)


def _numbers(count: int, seed: int) -> np.ndarray:
    """Of 32 bits each."""
    generator = np.random.RandomState(seed)
    return generator.randint(0, 1 << 32, count, dtype=np.uint32)
