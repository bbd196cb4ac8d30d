"""Splits for pictures that come without: by a hash of the name, so that none moves later."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

import numpy as np

from .examples import SPLITS

NO_SPLIT = -1
GIVEN = "given by the data"
_TRAIN, _DEV, _TEST = range(len(SPLITS))
_SHARE = 0.1  # of the pictures for dev, and as many for test
_ENOUGH = 5000  # pictures of dev or test
_FEW = 5  # pictures of dev that chance must not leave out


def complete_splits(splits: np.ndarray, names: Iterable[str], seed: int) -> tuple[np.ndarray, str]:
    """Give pictures a split where the data does not, and say who chose.

    `splits` (N,) holds indices into SPLITS, or NO_SPLIT for all. Without splits, dev and test get
    a tenth of the pictures each, and 5,000 of a large set; with train but no dev, dev is such a
    part of train. Where there are two pictures or more to choose from, both get one, and dev of a
    small set gets half of its tenth at least. A picture stays where it is when others are added,
    unless it had to fill up dev, as long as there are fewer than 50,000.
    """
    given = set(splits.tolist())
    if given == {NO_SPLIT}:
        chosen, share = _by_hash(list(names), seed, with_test=True)
        return chosen, f"{share} of the pictures each for dev and test, chosen by seed {seed}"
    if _TRAIN not in given or _DEV in given:
        return splits, GIVEN
    train = [name for name, split in zip(names, splits.tolist(), strict=True) if split == _TRAIN]
    chosen, share = _by_hash(train, seed, with_test=False)
    completed = splits.copy()
    completed[splits == _TRAIN] = chosen
    return completed, f"dev: {share} of train, chosen by seed {seed}"


def _by_hash(names: list[str], seed: int, with_test: bool) -> tuple[np.ndarray, str]:
    """Splits of pictures (n,) by the place of each in [0, 1): dev, test, then train."""
    places = np.array([_place(name, seed) for name in names])
    share = min(_SHARE, _ENOUGH / max(len(names), 1))
    chosen = np.full(len(names), _TRAIN, dtype=np.int8)
    if len(names) > 1:
        if with_test:
            chosen[places < 2 * share] = _TEST
        least = min(_FEW, math.ceil(len(names) * share / 2))
        chosen[places < max(share, np.nextafter(np.sort(places)[least - 1], 1))] = _DEV
        if _TRAIN not in chosen:
            chosen[places.argmax()] = _TRAIN
    return chosen, "a tenth" if share == _SHARE else f"about {_ENOUGH:,}"


def _place(name: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
