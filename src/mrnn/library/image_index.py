"""The image index: which pictures of a library have the highest first-order score.

Exactly: one pass over all vectors. Or, in a large library, by codes: the vectors' first principal
components in 8 bits choose a few thousand pictures, whose vectors are then scored themselves. So
every score that comes out is that of the whole vector; only who is looked at is approximate.
Rows that came after the codes were written are all looked at, and those that went are not.

Dimension key: N rows, A anchors, M multimodal layer, K components.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..files import write_whole
from ..images.finding import printable
from ..model.arrays import unit
from ..model.blocks import on_threads
from ..scoring.first_order import Linearised, nearest
from ..weight_files import map_safetensors, to_safetensors
from .vectors import Vectors

CODES_FROM = 10_000  # rows from which on codes pay
_COMPONENTS = 96
_LEAST_CANDIDATES = 100
_LOOKED_AT, _LEAST_LOOKED_AT = 3, 1500  # rows chosen by codes: for each candidate, and in all
_SAMPLE = 20_000  # rows that settle the components
_REACH = 4  # standard deviations of a component that its code can express
_CODE = 127
_LEAST_SHARE = 1e-6  # of the largest variance
_BLOCK = 4096  # rows at once
_CODES_AT_ONCE = 1024  # as floats these stay in the processor's cache
_CODES_A_THREAD = 1 << 15  # at once
_ROWS = 512  # whole vectors that are scored at once
_STRIDE = 32  # of the scores that tell about where the best begin
_SHORTEST = np.float32(1e-12)  # length of a vector by which is divided
_CHECKED = 2  # codes of each cell that are computed again when they are opened

OnProgress = Callable[[int, int], None]  # rows done, rows in all


@dataclass(frozen=True)
class _Query:
    """What is sought: offsets[a] + slopes[a] . z for z in cell a, over |z| for cosines."""

    offsets: np.ndarray  # (A,)
    slopes: np.ndarray  # (A, M)
    is_cosine: bool = False


@dataclass(frozen=True)
class _Codes:
    """The vectors of `rows` in short, those of a cell side by side."""

    codes: np.ndarray  # (N, K) int8
    rows: np.ndarray  # (N,) int32
    lengths: np.ndarray  # (N,) of the vectors
    starts: np.ndarray  # (A + 1,) int64, where each cell begins, and the end
    basis: np.ndarray  # (K, M) components, each as long as a step of its code
    centres: np.ndarray  # (A, M)

    def scores(self, query: _Query) -> np.ndarray:
        """About what the rows score, (N,), in their own order.

        In floats: products of 8-bit integers are hardly quicker, and round the slopes, too.
        """
        scores = np.empty(len(self.codes), dtype=np.float32)
        offsets = query.offsets + (query.slopes * self.centres).sum(axis=1)
        slopes = query.slopes @ self.basis.T  # (A, K)
        starts = self.starts.tolist()

        def score(cell: int, part: slice) -> None:
            for some in _parts(part.start, part.stop, _CODES_AT_ONCE):
                scores[some] = self.codes[some].astype(np.float32) @ slopes[cell]
            scores[part] += offsets[cell]
            if query.is_cosine:
                scores[part] /= self.lengths[part]

        on_threads(
            score,
            [
                (cell, part)
                for cell, (first, last) in enumerate(pairwise(starts))
                for part in _parts(first, last, _CODES_A_THREAD)
            ],
        )
        return scores


class ImageIndex:
    """The pictures of a library, ready to be searched; `note` says why that is slow, if it is."""

    def __init__(
        self,
        vectors: Vectors,
        centres: np.ndarray,
        rows: np.ndarray | None,
        codes: _Codes | None,
        note: str = "",
    ) -> None:
        self.note = note
        self.centres = centres if codes is None else codes.centres  # (A, M), to linearise at
        self._vectors = vectors
        self._codes = codes
        living = np.arange(len(vectors)) if rows is None else np.sort(rows)
        covered = 0 if codes is None else len(codes.rows)
        self._loose = living[np.searchsorted(living, covered) :]  # rows without a code
        dead = np.ones(covered, dtype=bool)
        dead[living[: len(living) - len(self._loose)]] = False
        self._dead = np.flatnonzero(dead[codes.rows]) if codes else np.empty(0, np.int64)

    def among(self, rows: np.ndarray) -> ImageIndex:
        """The same of these rows (n,) alone."""
        return ImageIndex(self._vectors, self.centres, rows, self._codes, self.note)

    @property
    def uncovered(self) -> int:
        """How many rows have no code, and are all looked at."""
        return len(self._loose)

    @property
    def is_approximate(self) -> bool:
        """Whether codes choose who is looked at."""
        return self._codes is not None

    def search(self, linearised: Linearised, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows with the highest first-order score of one sentence, and their scores in nats.

        (n,) and (n,), best first, of equals the first row; n is `count` where there are as many.
        The sentence is linearised at the centres of the index, else ValueError.
        """
        centres = linearised.centres
        if linearised.values.shape[1] != 1 or not np.array_equal(centres, self.centres):
            raise ValueError("the index takes one sentence, linearised at its own centres")
        slopes = linearised.gradients[:, 0]
        offsets = linearised.values[:, 0] - (slopes * centres).sum(axis=1)
        return self._best(_Query(offsets, slopes), count)

    def nearest(self, term: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows with the highest cosine to an image term (M,), and their cosines, best first."""
        [direction] = unit(term.astype(np.float32)[None])
        slopes = np.broadcast_to(direction, self.centres.shape)
        offsets = np.zeros(len(slopes), dtype=np.float32)
        return self._best(_Query(offsets, slopes, is_cosine=True), count)

    def _best(self, query: _Query, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Who scores highest, of those that codes choose and of those without one."""
        rows = self._loose
        if self._codes:
            coarse = self._codes.scores(query)
            coarse[self._dead] = -math.inf
            wanted = max(count * _LOOKED_AT, _LEAST_LOOKED_AT)
            most = min(wanted, len(coarse) - len(self._dead))
            chosen = self._codes.rows[_highest(coarse, most)]
            rows = np.sort(np.concatenate([chosen, rows]))
        scores = np.empty(len(rows), dtype=np.float32)

        def score(part: slice) -> None:
            scores[part] = self._scores(rows[part], query)

        on_threads(score, [(part,) for part in _parts(0, len(rows), _ROWS)])
        best = _highest(scores, count)
        best = best[np.argsort(-scores[best], kind="stable")]
        return rows[best].astype(np.int64), scores[best]

    def _scores(self, rows: np.ndarray, query: _Query) -> np.ndarray:
        terms = _terms(self._vectors, rows)
        cells = nearest(terms, self.centres)
        # A row at a time: what it scores does not depend on the rows beside it.
        scores = np.vecdot(terms, query.slopes[cells]) + query.offsets[cells]
        return scores / _lengths(terms) if query.is_cosine else scores


def candidates(pictures: int) -> int:
    """How many pictures of so many the first-order score shall hand on to the exact one.

    Twice the square root keeps 99% of the exact ten best in libraries of all sizes (docs/speed.md).
    """
    return max(_LEAST_CANDIDATES, math.isqrt(4 * pictures))


def open_index(
    vectors: Vectors, centres: np.ndarray, path: Path | None = None, rows: np.ndarray | None = None
) -> ImageIndex:
    """The index of the pictures at `rows` (n,), all by default, with the codes at `path`, if any.

    Codes that do not belong to these vectors are left alone, and a note says so. Others bring their
    own centres, at which to linearise; without codes the cells are those of `centres` (A, M).
    """
    codes, note = None, ""
    if path is not None:
        try:
            codes = _read(path, vectors)
        except FileNotFoundError:
            pass  # a small library has none
        except (OSError, ValueError) as error:
            why = printable(str(getattr(error, "strerror", None) or error))
            note = f"{printable(path)}: {why}; search is slower until you run mrnn index again"
    return ImageIndex(vectors, centres, rows, codes, note)


def build_index(
    vectors: Vectors,
    centres: np.ndarray,
    path: Path,
    on_progress: OnProgress = lambda done, total: None,
) -> None:
    """Write the codes of all rows to a file, whole or not at all; raises OSError.

    Takes about 300 bytes of memory a row. Vectors must be finite.
    """
    basis = _basis(vectors, centres)
    cells = np.empty(len(vectors), dtype=np.int64)
    codes = np.empty((len(vectors), len(basis)), dtype=np.int8)
    lengths = np.empty(len(vectors), dtype=np.float32)
    for part in _parts(0, len(vectors), _BLOCK):
        terms = _terms(vectors, np.arange(len(vectors))[part])
        cells[part], codes[part] = _encode(terms, basis, centres)
        lengths[part] = _lengths(terms)
        on_progress(part.stop, len(vectors))
    rows = np.argsort(cells, kind="stable")
    codes = codes[rows]  # only one of both is kept
    counts = np.bincount(cells, minlength=len(centres))
    found: dict[str, np.ndarray] = {
        "codes": codes,
        "rows": rows.astype(np.int32),
        "lengths": lengths[rows],
        "starts": np.concatenate([np.zeros(1, np.int64), counts.cumsum()]),
        "basis": basis,
        "centres": centres,
    }
    write_whole(path, to_safetensors(found))


def _basis(vectors: Vectors, centres: np.ndarray) -> np.ndarray:
    """Principal components (K, M) of what vectors are beside their centres, from some rows.

    Each is as long as a step of its code: codes rarely exceed what 8 bits hold.
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, _SAMPLE).astype(np.int64))
    terms = _terms(vectors, rows)
    steps = terms - centres[nearest(terms, centres)]
    variances, components = np.linalg.eigh(steps.T @ steps / len(steps))  # rising
    largest = min(_COMPONENTS, steps.shape[1])
    least = max(1e-12, _LEAST_SHARE * float(variances[-1]))  # below there is only rounding
    deviations = np.sqrt(np.maximum(variances[-largest:], least))
    return (components[:, -largest:] * deviations).T[::-1] * np.float32(_REACH / _CODE)


def _encode(
    terms: np.ndarray, basis: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cells (n,) and codes (n, K) of vectors (n, M)."""
    cells = nearest(terms, centres)
    scaled = basis / np.square(basis).sum(axis=1, keepdims=True)
    components = (terms - centres[cells]) @ scaled.T
    return cells, np.clip(np.rint(components), -_CODE, _CODE).astype(np.int8)


def _read(path: Path, vectors: Vectors) -> _Codes:
    """The codes, memory-mapped; raises OSError and ValueError.

    Whether they are codes of these vectors, a look at some of them tells, and nothing else: their
    centres are as good as any others, and need not be those that would be drawn today.
    """
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")
    try:
        arrays = map_safetensors(path)
    except ValueError:
        raise ValueError("damaged") from None
    if sorted(arrays) != sorted(field.name for field in fields(_Codes)):
        raise ValueError("not an image index")
    codes = _Codes(**arrays)
    if not _fits(codes, vectors.dimension):
        raise ValueError("damaged")
    if len(codes.rows) > len(vectors) or not _agree(codes, vectors):
        raise ValueError("made for another library")
    return codes


def _agree(codes: _Codes, vectors: Vectors) -> bool:
    """Whether some codes of each cell are those of their vectors, but for rounding."""
    starts, ends = codes.starts[:-1], codes.starts[1:]
    some = np.unique(np.linspace(starts, ends - 1, _CHECKED)[:, starts < ends].astype(np.int64))
    terms = _terms(vectors, codes.rows[some])
    with np.errstate(all="ignore"):  # of a damaged file any number may come out
        cells, found = _encode(terms, codes.basis, codes.centres)
    inside = (starts[cells] <= some) & (some < ends[cells])
    difference = np.abs(found.astype(np.int16) - codes.codes[some])
    return bool(inside.all() and (difference <= 1).all())


def _fits(codes: _Codes, dimension: int) -> bool:
    """Whether all arrays have the types and shapes that they shall, and rows are 0 to N - 1."""
    rows, cells = codes.rows.size, codes.starts.size - 1
    components = codes.basis.size // dimension
    wanted = {
        "codes": (np.int8, (rows, components)),
        "rows": (np.int32, (rows,)),
        "lengths": (np.float32, (rows,)),
        "starts": (np.int64, (cells + 1,)),
        "basis": (np.float32, (components, dimension)),
        "centres": (np.float32, (cells, dimension)),
    }
    if any((a.dtype, a.shape) != wanted[name] for name, a in vars(codes).items()):
        return False
    if not rows or not 0 <= codes.rows.min() <= codes.rows.max() < rows:
        return False
    seen = np.zeros(rows, dtype=bool)
    seen[codes.rows] = True
    starts = codes.starts.tolist()
    return (
        bool(seen.all() and (codes.lengths >= _SHORTEST).all())
        and bool(np.isfinite(codes.basis).all() and np.isfinite(codes.centres).all())
        and starts == sorted(starts)
        and (starts[0], starts[-1]) == (0, rows)
    )


def _terms(vectors: Vectors, rows: np.ndarray) -> np.ndarray:
    """The image terms (n, M) of rows (n,), fp32."""
    return vectors[rows].astype(np.float32)


def _lengths(terms: np.ndarray) -> np.ndarray:
    return np.maximum(np.linalg.norm(terms, axis=1), _SHORTEST)


def _parts(first: int, last: int, size: int) -> Iterator[slice]:
    for start in range(first, last, size):
        yield slice(start, min(start + size, last))


def _highest(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` highest scores, rising; of equals the first; all where fewer."""
    if count >= len(scores):
        return np.arange(len(scores))
    near = _above(scores, count)
    kept = scores[near]
    least = np.partition(kept, len(kept) - count)[len(kept) - count] if count else math.inf
    above, equal = near[kept > least], near[kept == least]
    return np.sort(np.concatenate([above, equal[: count - len(above)]]))


def _above(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions, rising, of the `count` highest scores, all that equal the last, and perhaps more.

    A sample tells about where they begin, which is quicker than to part all of them.
    """
    sample = scores[::_STRIDE]
    rank = 2 * count // _STRIDE + _STRIDE  # twice as many as wanted, and some
    if rank < len(sample):
        least = np.partition(sample, len(sample) - rank)[len(sample) - rank]
        above = np.flatnonzero(scores >= least)
        if len(above) >= count:
            return above
    return np.arange(len(scores))
