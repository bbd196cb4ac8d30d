"""Captions as a reader finds them, each with its picture; those that several files repeat."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator

import numpy as np

from .entries import Entry
from .examples import Problem, Texts


class GatheredCaptions:
    """C captions in the order of the files; what an earlier file says of a picture counts once.

    Two people may say the same of a picture in one file; in two files it was copied.
    """

    def __init__(self) -> None:
        self.texts = Texts()
        self._owners = array("q")  # row of each caption's picture
        self._files = Texts()  # in order
        self._begins = array("q")  # first caption of each file
        self._dropped = np.zeros(0, dtype=np.int64)  # indices of captions
        self._prefix = "\n"  # of places in the last file; none begins so

    def come_from(self, entry: Entry) -> None:
        """Say which entry has the captions that are added next."""
        if not entry.place.startswith(self._prefix):
            self._prefix = f"{entry.file}:"
            self._files.append(entry.file)
            self._begins.append(len(self._owners))

    def append(self, caption: str, row: int) -> None:
        """Add a caption of a picture."""
        self.texts.append(caption)
        self._owners.append(row)

    def drop_repeated(self) -> Iterator[Problem]:
        """Leave out what an earlier file says of the same picture; a Problem a pair of files."""
        if len(self._files) > 1:
            again = self._again()
            self._dropped = np.fromiter(again, np.int64, len(again))
            yield from self._problems(again)

    def counts(self, pictures: int) -> np.ndarray:
        """How many captions each of N pictures has (N,)."""
        owners = np.asarray(self._owners, dtype=np.int64)
        counts = np.bincount(owners, minlength=pictures)
        return counts - np.bincount(owners[self._dropped], minlength=pictures)

    def by_picture(self) -> np.ndarray:
        """Indices of the captions that are kept (C',), picture by picture."""
        order = np.argsort(np.asarray(self._owners, dtype=np.int64), kind="stable")
        return order[~np.isin(order, self._dropped)] if len(self._dropped) else order

    def _again(self) -> dict[int, tuple[int, int]]:
        """Captions that an earlier file has of the same picture: both files."""
        owners = np.asarray(self._owners, dtype=np.int64)
        order = np.argsort(owners, kind="stable")
        begins = np.asarray(self._begins, dtype=np.int64)
        files = np.searchsorted(begins, order, side="right") - 1  # (C,) in the order of pictures
        starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
        several = np.minimum.reduceat(files, starts) < np.maximum.reduceat(files, starts)
        ends = np.append(starts, len(order))[1:]
        again: dict[int, tuple[int, int]] = {}
        for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
            first: dict[str, int] = {}
            of_picture = zip(order[start:end].tolist(), files[start:end].tolist(), strict=True)
            for caption, file in of_picture:
                earlier = first.setdefault(self.texts[caption], file)
                if self._files[earlier] != self._files[file]:
                    again[caption] = file, earlier
        return again

    def _problems(self, again: dict[int, tuple[int, int]]) -> Iterator[Problem]:
        pairs = Counter(
            (self._files[file], self._files[earlier]) for file, earlier in again.values()
        )
        for (file, earlier), count in pairs.items():
            captions = f"{count:,} captions" if count > 1 else "a caption"
            yield Problem(file, f"{captions} of {earlier} again; counted once")
