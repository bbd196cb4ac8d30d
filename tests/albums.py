"""Pictures and fingerprints of families that are more or less alike, and which of them are near."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from PIL import Image

from mrnn.images.duplicates import FINGERPRINT, SIDE


def scene(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """Something with light and dark parts, large and small."""
    random = np.random.default_rng(seed)
    large = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    small = Image.fromarray(random.integers(0, 256, (45, 60, 3), dtype=np.uint8))
    enlarged = [part.resize(size, Image.Resampling.BICUBIC) for part in (large, small)]
    return Image.blend(*enlarged, alpha=0.3)


def of_grey(grey: np.ndarray) -> np.ndarray:
    """Fingerprints of different pictures with these grey values, (N, 18, 18)."""
    prints = np.zeros(len(grey), FINGERPRINT)
    prints["grey"], prints["pixels"] = grey, np.arange(len(grey))
    return prints


def slow_pairs(prints: np.ndarray) -> list[list[int]]:
    """`near_pairs` by its definition."""

    def small(grey: np.ndarray) -> np.ndarray:
        padded = np.pad(grey, 1, mode="edge")
        weights = np.outer([1, 3, 3, 1], [1, 3, 3, 1])
        places = [
            [padded[2 * y : 2 * y + 4, 2 * x : 2 * x + 4] for x in range(9)] for y in range(9)
        ]
        return np.array([[(place * weights).sum() for place in row] for row in places])

    def steps(grey: np.ndarray, places: int) -> np.ndarray:
        """To the right and downwards, from the places of both and all others."""
        right, down = np.diff(grey, axis=1), np.diff(grey, axis=0)
        return np.concatenate([right[:places].ravel(), down[:, :places].ravel()])

    grey = [p["grey"].astype(int) for p in prints]
    fine = [steps(g, 18) for g in grey]
    coarse = [steps(small(g), 8) for g in grey]

    def are_near(i: int, j: int) -> bool:
        differ = (coarse[i] > 0) != (coarse[j] > 0)
        steep = (abs(coarse[i]) > 64 * 2) | (abs(coarse[j]) > 64 * 2)
        shares = [(differ & steep).sum() / max(1, steep.sum())]
        counts = (abs(fine[i]) > 2) | (abs(fine[j]) > 2)
        disagree = (fine[i] > 0) != (fine[j] > 0)
        return (
            min((abs(fine[k]) > 2).sum() for k in (i, j)) >= 100
            and differ.sum() <= 12
            and shares[0] <= 12 / 128
            and (disagree & counts).sum() <= 0.15 * counts.sum()
        )

    return [[i, j] for i, j in combinations(range(len(prints)), 2) if are_near(i, j)]


def album(seed: int, families: int, members: int, mixed: float) -> np.ndarray:
    """Fingerprints of families of pictures that are more or less alike, in random order.

    Each picture is its family's scene with another one shining through, by `mixed` at most, and
    some noise.
    """
    random = np.random.default_rng(seed)

    def scenes(*shape: int) -> np.ndarray:
        seeds = random.integers(0, 99, shape).ravel()
        grey = [np.asarray(scene(s, (SIDE, SIDE)).convert("L")) for s in seeds]
        return np.stack(grey).reshape(*shape, SIDE, SIDE)

    share = random.uniform(0, mixed, (members, families, 1, 1))
    grey = (1 - share) * scenes(families) + share * scenes(members, families)
    grey += random.normal(0, 1, grey.shape) * random.uniform(0, 20 * mixed, share.shape)
    grey = np.clip(grey.round(), 0, 255).astype(np.uint8)
    return of_grey(random.permutation(grey.reshape(-1, SIDE, SIDE)))
