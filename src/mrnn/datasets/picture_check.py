"""What `mrnn check` says of the pictures: which cannot be read, which are there twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from ..devices import processors
from ..errors import ImageError
from ..images.duplicates import (
    FINGERPRINT,
    connected,
    fingerprint,
    first_copies,
    is_even,
    near_pairs,
)
from ..images.finding import Picture, printable
from ..images.reading import read_image
from . import SPLITS, DataSet, Problem

SHOWN = 5  # groups of a split, and pictures of a group
_SIDE = 64  # pixels: a JPEG may be decoded at a scale not smaller than this
_AT_ONCE = 256  # pictures


@dataclass(frozen=True)
class Pictures:
    """Fingerprints of the R pictures that can be read, and the problems of the others."""

    rows: np.ndarray  # (R,) position in the data
    prints: np.ndarray  # (R,) of FINGERPRINT
    problems: list[Problem]


@dataclass(frozen=True)
class _Twins:
    """Which of R pictures are the same or nearly so."""

    copies: dict[int, list[int]]  # by the first picture with the same pixels, where it has twins
    near: list[tuple[int, int]]  # pairs of such first ones
    complete: bool  # whether all near pairs were found


def look_at(data: DataSet, on_progress: Callable[[int, int], None]) -> Pictures:
    """Decode every picture once, in threads; only its fingerprint is kept."""
    count = len(data.examples)
    prints = np.zeros(count, FINGERPRINT)
    readable = np.zeros(count, dtype=bool)
    problems = []
    seen = _in_threads(example.image for example in data.examples)
    for row, (picture, result) in enumerate(seen):
        if isinstance(result, ImageError):
            place = printable(picture)
            message = f"{str(result).removeprefix(f'{place}: ')}; its captions are skipped"
            problems.append(Problem(place, message, data.examples[row].split))
        else:
            prints[row], readable[row] = result, True
        on_progress(row + 1, count)
    return Pictures(np.flatnonzero(readable), prints[readable], problems)


def picture_figures(data: DataSet, splits: np.ndarray, pictures: Pictures) -> dict[str, Any]:
    """Copies and near copies inside each split, and those of a held-out picture in another split.

    `splits` (I,) are indices into SPLITS.
    """
    twins = _find_twins(pictures.prints)
    of = splits[pictures.rows]  # (R,)

    def name(picture: int) -> str:
        return str(data.examples[int(pictures.rows[picture])].image)

    leaked = [
        {
            "split": SPLITS[of[picture]],
            "image": name(picture),
            "other_split": SPLITS[of[other]],
            "other": name(other),
            "kind": kind,
        }
        for picture, other, kind in _leakage(twins, of)
    ]
    return {
        "read": len(pictures.rows),
        "unreadable": len(pictures.problems),
        "even": int(is_even(pictures.prints).sum()),
        "copies": {split: _groups(twins, of, s, name) for s, split in enumerate(SPLITS)},
        "leakage": leaked,
        "all_near_found": twins.complete,
    }


def _in_threads(pictures: Iterable[Picture]) -> Iterator[tuple[Picture, np.ndarray | ImageError]]:
    remaining = iter(pictures)
    with ThreadPoolExecutor(processors()) as pool:
        while chunk := list(islice(remaining, _AT_ONCE)):
            yield from zip(chunk, pool.map(_fingerprint, chunk), strict=True)


def _fingerprint(picture: Picture) -> np.ndarray | ImageError:
    try:
        return fingerprint(read_image(picture, at_least=_SIDE))
    except ImageError as error:
        return error


def _find_twins(prints: np.ndarray) -> _Twins:
    first = first_copies(prints)
    distinct = np.flatnonzero(first == np.arange(len(first)))
    pairs, complete = near_pairs(prints[distinct])
    near = distinct[pairs]
    of_twins = (np.bincount(first, minlength=len(first)) > 1)[first] | np.isin(first, near)
    copies: dict[int, list[int]] = defaultdict(list)
    for picture in np.flatnonzero(of_twins).tolist():
        copies[int(first[picture])].append(picture)
    return _Twins(dict(copies), [(a, b) for a, b in near.tolist()], complete)


def _groups(
    twins: _Twins, of: np.ndarray, split: int, name: Callable[[int], str]
) -> dict[str, Any]:
    """Groups of pictures of one split that are the same, and of those that are near."""
    own = {
        first: inside
        for first, members in twins.copies.items()
        if (inside := [m for m in members if of[m] == split])
    }
    near = connected((a, b) for a, b in twins.near if a in own and b in own)

    def figures(groups: Sequence[Sequence[int]]) -> dict[str, Any]:
        return {
            "groups": len(groups),
            "pictures": sum(map(len, groups)),
            "examples": [[name(p) for p in group[:SHOWN]] for group in groups[:SHOWN]],
        }

    return {
        "same": figures([inside for inside in own.values() if len(inside) > 1]),
        "near": figures([sorted(chain(*(own[first] for first in group))) for group in near]),
    }


def _leakage(twins: _Twins, of: np.ndarray) -> list[tuple[int, int, str]]:
    """Each held-out picture with the first one of every earlier split that is the same or near."""
    found: dict[tuple[int, int], tuple[int, str]] = {}  # by picture and the other split

    def add(pictures: Iterable[int], others: Sequence[int], kind: str) -> None:
        firsts = {int(of[other]): other for other in reversed(others)}
        for picture in pictures:
            for split, other in firsts.items():
                if split < of[picture]:
                    found.setdefault((picture, split), (other, kind))

    for members in twins.copies.values():
        if len(members) > 1:
            add(members, members, "same")
    for a, b in twins.near:
        add(twins.copies[a], twins.copies[b], "near")
        add(twins.copies[b], twins.copies[a], "near")
    return [(picture, *found[picture, split]) for picture, split in sorted(found)]
