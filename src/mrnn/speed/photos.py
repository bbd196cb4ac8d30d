"""Made photographs, about as heavy to decode as real ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image

ORDINARY = (500, 375)  # pixels
MIXED = (ORDINARY, (1024, 768), (375, 500), (1600, 1200), (640, 480), (3000, 4000))


def write_photos(
    folder: Path, count: int, sizes: Sequence[tuple[int, int]] = (ORDINARY,)
) -> list[Path]:
    """Write JPEGs of these sizes in pixels, by turns; list them."""
    draw = np.random.default_rng(0)
    paths = []
    for i, size in zip(range(count), cycle(sizes), strict=False):
        coarse = Image.fromarray(draw.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        path = folder / f"{i:04}.jpg"
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(path)
    return paths
