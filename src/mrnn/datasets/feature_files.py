"""Features computed elsewhere: a matrix `feats.npy` (N, D) and the N names of its pictures.

The names stand one a line in `feats.names.txt` or, where that does not exist, in `feats.txt`: as
the data set lists its pictures (`train/1.jpg`), or only the last part (`1.jpg`) where that is
unique.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import DataError, ImageError
from ..images.encoders import Encoder, features_only
from ..images.features import FeatureRows, OnProgress, are_sound
from ..images.finding import Member, Picture, printable
from . import read_lines
from .examples import ALIASES, SPLITS

_BLOCK = 1024  # rows that are looked through at a time


@dataclass(frozen=True)
class FeatureFile:
    """A matrix of features, left on the disk until rows are asked for; made by `open`."""

    names_path: Path
    matrix: np.ndarray  # (N, D) float16, 32 or 64, memory-mapped
    rows: Mapping[str, int]  # by name
    _given: dict[int, set[Picture]] = field(default_factory=dict)  # which pictures got each row

    @staticmethod
    def open(path: Path, of: str = "picture") -> FeatureFile:
        """Open `feats.npy` and its names; raises DataError. A pickle is never read.

        `of` says in messages what a row belongs to.
        """
        matrix = _read_matrix(path)
        names_path = path.with_suffix(".names.txt")
        if not names_path.exists():
            names_path = path.with_suffix(".txt")
        if not names_path.exists():
            raise DataError(
                f"{printable(names_path)}: no such file; write the name of each row's {of} "
                "there, one a line"
            )
        rows = _read_names(names_path, of)
        if len(rows) != len(matrix):
            raise DataError(
                f"{printable(names_path)}: {len(rows):,} names, but {printable(path.name)} has "
                f"{len(matrix):,} rows; write the name of each row's {of}, one a line"
            )
        return FeatureFile(names_path, matrix, rows)

    @property
    def encoder(self) -> Encoder:
        """What a model trained on these features has for an encoder: it refuses pictures."""
        return features_only(self.matrix.shape[1])

    def lookup(
        self, images: Sequence[Picture], on_progress: OnProgress = lambda done, total: None
    ) -> tuple[FeatureRows, list[ImageError | None]]:
        """Features of all images that are named here, as `features.cached_features` gives them.

        The error of an image is None, or has the code no-feature (its name is not here, or fits
        several) or bad-feature (its row holds NaN or numbers beyond fp16). Raises DataError when
        no image at all is named here.
        """
        found = [self._row(image) for image in images]
        if images and not any(isinstance(item, int) for item in found):
            name = printable(next(iter(self.rows)))
            raise DataError(
                f"{printable(self.names_path)}: no line names any of the {len(images):,} pictures; "
                f"the data has {printable(images[0])}, the file {name}; write the names as the "
                "data lists them"
            )
        errors: list[ImageError | None] = [
            item if isinstance(item, ImageError) else None for item in found
        ]
        rows = np.array([item if isinstance(item, int) else -1 for item in found], dtype=np.int64)
        self._refuse_shared(images, rows, errors)
        for start in range(0, len(rows), _BLOCK):
            block = [i for i in range(start, min(start + _BLOCK, len(rows))) if errors[i] is None]
            for i in np.array(block, dtype=np.int64)[~are_sound(self.matrix[rows[block]])]:
                errors[i] = self._error(
                    "bad-feature", images[i], f"row {rows[i]} holds NaN or numbers beyond fp16"
                )
            on_progress(min(start + _BLOCK, len(rows)), len(rows))
        sound = np.array([error is None for error in errors], dtype=bool)
        return FeatureRows(self.matrix, rows[sound]), errors

    def _row(self, image: Picture) -> int | ImageError:
        """Row by the longest ending of the picture's path that is a name, else by its last part."""
        text = f"{image.shard}/{image.name}" if isinstance(image, Member) else image.as_posix()
        for ending in _endings(text):
            if ending in self.rows:
                return self.rows[ending]
        names = self._last_parts.get(ending, [])
        if not names:
            return self._error("no-feature", image, "its name is not there")
        if len(names) > 1:
            return self._error("no-feature", image, "its name is there in several folders")
        [name] = names
        if (split := _split_of(name)) not in (None, _split_of(text) or split):
            return self._error("no-feature", image, f"its name is there in the {split} split")
        return self.rows[name]

    @cached_property
    def _last_parts(self) -> dict[str, list[str]]:
        """Names by their last part."""
        found: dict[str, list[str]] = {}
        for name in self.rows:
            found.setdefault(name.rpartition("/")[2], []).append(name)
        return found

    def _refuse_shared(
        self, images: Sequence[Picture], rows: np.ndarray, errors: list[ImageError | None]
    ) -> None:
        """Two different pictures with one row, now or before: nobody knows whose it is."""
        for image, row in zip(images, rows.tolist(), strict=True):
            if row >= 0:
                self._given.setdefault(row, set()).add(image)
        for i, row in enumerate(rows.tolist()):
            if row >= 0 and len(self._given[row]) > 1:
                what = f"row {row} fits this picture and others; name the folders, too"
                errors[i] = self._error("no-feature", images[i], what)

    def _error(self, code: str, image: Picture, what: str) -> ImageError:
        return ImageError(code, f"{printable(image)}: {printable(self.names_path)}: {what}")


def _read_matrix(path: Path) -> np.ndarray:
    wish = "; save the (N, D) matrix with np.save(FILE, np.ascontiguousarray(features))"
    try:
        matrix = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    except Exception as error:  # numpy raises nearly anything on mutated headers
        reason = printable(str(error))[:200]
        raise DataError(
            f"{printable(path)}: not a matrix in a .npy file ({reason}){wish}"
        ) from None
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise DataError(f"{printable(path)}: the shape is {matrix.shape}, not (N, D){wish}")
    if matrix.dtype.kind != "f" or matrix.dtype.itemsize not in (2, 4, 8):
        kind = printable(str(matrix.dtype))[:80]
        raise DataError(f"{printable(path)}: holds {kind}, not float16, float32 or float64{wish}")
    if not matrix.flags.c_contiguous:
        raise DataError(f"{printable(path)}: column after column (Fortran order){wish}")
    return matrix


def _read_names(path: Path, of: str) -> dict[str, int]:
    """Rows by name, in the order of the lines."""
    lines = read_lines(path)
    if not lines[-1].strip():  # the end of the last line
        lines.pop()
    rows: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        name = line.strip().removeprefix("./")
        if not name:
            raise DataError(f"{printable(path)}:{number}: an empty line; write the {of}'s name")
        if name in rows:
            raise DataError(
                f"{printable(path)}:{number}: {printable(name)} is in line {rows[name] + 1} already"
            )
        rows[name] = len(rows)
    return rows


def _split_of(name: str) -> str | None:
    """The split that the folders of a name tell, the last one that does."""
    *folders, _ = name.lower().split("/")
    told = (ALIASES.get(folder, folder) for folder in reversed(folders))
    return next((split for split in told if split in SPLITS), None)


def _endings(path: str) -> Iterator[str]:
    """a/b/c, b/c, c."""
    slash = "/"
    while slash:
        yield path
        _, slash, path = path.partition("/")
