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
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..devices import has_int8
from ..files import write_whole
from ..images.reading import printable
from ..scoring.first_order import Linearised, nearest
from ..weight_files import to_safetensors
from .vectors import Vectors

ANCHORS = 16  # of a library: one sentence is linearised quickly at all of them
CODES_FROM = 10_000  # rows from which on codes pay
_COMPONENTS = 96
_LEAST_CANDIDATES = 100
_LOOKED_AT, _LEAST_LOOKED_AT = 4, 1500  # rows chosen by codes: for each candidate, and in all
_SAMPLE = 20_000  # rows that settle the components
_REACH = 4  # standard deviations of a component that its code can express
_CODE = 127
_LEAST_SHARE = 1e-6  # of the largest variance
_BLOCK = 4096  # rows at once
_STRIDE = 32  # of the scores that tell about where the best begin
_ROUNDING = 1e-3  # of the centres: processors differ
_CHECKED = 8  # codes that are computed again when they are opened

OnProgress = Callable[[int, int], None]  # rows done, rows in all


@dataclass(frozen=True)
class _Query:
    """What is sought: offsets[a] + slopes[a] . z for z in cell a, over |z| for cosines."""

    offsets: Tensor  # (A,)
    slopes: Tensor  # (A, M)
    is_cosine: bool = False


@dataclass(frozen=True)
class _Codes:
    """The vectors of `rows` in short, those of a cell side by side."""

    codes: Tensor  # (N, K) int8
    rows: Tensor  # (N,) int32
    lengths: Tensor  # (N,) of the vectors
    starts: Tensor  # (A + 1,) where each cell begins, and the end
    basis: Tensor  # (K, M) components, each as long as a step of its code
    centres: Tensor  # (A, M)

    def scores(self, query: _Query) -> np.ndarray:
        """About what the rows score, (N,), in their own order."""
        scores = torch.empty(len(self.codes))
        offsets = query.offsets + (query.slopes * self.centres).sum(1)
        multiply = _multiply_int8 if has_int8(scores.device) else _multiply
        for cell, slope in enumerate(query.slopes @ self.basis.T):
            inside = slice(*self.starts[cell : cell + 2].tolist())
            multiply(self.codes[inside], slope, scores[inside])
            scores[inside] += offsets[cell]
        if query.is_cosine:
            scores /= self.lengths
        return scores.numpy()


class ImageIndex:
    """The pictures of a library, ready to be searched; `note` says why that is slow, if it is."""

    def __init__(
        self,
        vectors: Vectors,
        centres: Tensor,
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
        self._dead = np.flatnonzero(dead[codes.rows.numpy()]) if codes else np.empty(0, np.int64)

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
        centres = linearised.centres.cpu()
        if linearised.values.shape[1] != 1 or not torch.equal(centres, self.centres):
            raise ValueError("the index takes one sentence, linearised at its own centres")
        slopes = linearised.gradients[:, 0].cpu()
        offsets = linearised.values[:, 0].cpu() - (slopes * centres).sum(1)
        return self._best(_Query(offsets, slopes), count)

    def nearest(self, term: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows with the highest cosine to an image term (M,), and their cosines, best first."""
        direction = torch.from_numpy(term.astype(np.float32))
        direction /= direction.norm().clamp_min(1e-12)
        slopes = direction.expand_as(self.centres)
        return self._best(_Query(torch.zeros(len(slopes)), slopes, is_cosine=True), count)

    @torch.inference_mode()
    def _best(self, query: _Query, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Who scores highest, of those that codes choose and of those without one."""
        rows = self._loose
        if self._codes:
            coarse = self._codes.scores(query)
            coarse[self._dead] = -math.inf
            wanted = max(count * _LOOKED_AT, _LEAST_LOOKED_AT)
            most = min(wanted, len(coarse) - len(self._dead))
            chosen = self._codes.rows.numpy()[_highest(coarse, most)]
            rows = np.sort(np.concatenate([chosen, rows]))
        scores = np.empty(len(rows), dtype=np.float32)
        for part in _parts(len(rows)):
            scores[part] = self._scores(rows[part], query)
        best = _highest(scores, count)
        best = best[np.argsort(-scores[best], kind="stable")]
        return rows[best].astype(np.int64), scores[best]

    def _scores(self, rows: np.ndarray, query: _Query) -> Tensor:
        terms = _terms(self._vectors, rows)
        cells = nearest(terms, self.centres)
        products = (terms @ query.slopes.T).gather(1, cells[:, None])[:, 0]
        scores = products + query.offsets[cells]
        return scores / _lengths(terms) if query.is_cosine else scores


def candidates(pictures: int) -> int:
    """How many pictures of so many the first-order score shall hand on to the exact one.

    The square root keeps 97 to 99% of the exact ten best in libraries of all sizes (docs/scale.md).
    """
    return max(_LEAST_CANDIDATES, math.isqrt(pictures))


def open_index(
    vectors: Vectors, centres: Tensor, path: Path | None = None, rows: np.ndarray | None = None
) -> ImageIndex:
    """The index of the pictures at `rows` (n,), all by default, with the codes at `path`, if any.

    Codes that do not belong to these vectors and centres (A, M) are left alone, and a note says so.
    """
    centres = centres.cpu()
    codes, note = None, ""
    if path is not None:
        try:
            codes = _read(path, vectors, centres)
        except FileNotFoundError:
            pass  # a small library has none
        except (OSError, ValueError) as error:
            why = printable(str(getattr(error, "strerror", None) or error))
            note = f"{printable(path)}: {why}; search is slower until you run mrnn index again"
    return ImageIndex(vectors, centres, rows, codes, note)


@torch.inference_mode()
def build_index(
    vectors: Vectors,
    centres: Tensor,
    path: Path,
    on_progress: OnProgress = lambda done, total: None,
) -> None:
    """Write the codes of all rows to a file, whole or not at all; raises OSError.

    Takes about 300 bytes of memory a row. Vectors must be finite.
    """
    centres = centres.cpu()
    basis = _basis(vectors, centres)
    cells = torch.empty(len(vectors), dtype=torch.int64)
    codes = torch.empty(len(vectors), len(basis), dtype=torch.int8)
    lengths = torch.empty(len(vectors))
    for part in _parts(len(vectors)):
        terms = _terms(vectors, np.arange(len(vectors))[part])
        cells[part], codes[part] = _encode(terms, basis, centres)
        lengths[part] = _lengths(terms)
        on_progress(min(part.stop, len(vectors)), len(vectors))
    rows = torch.argsort(cells, stable=True)
    counts = torch.bincount(cells, minlength=len(centres))
    found = {
        "codes": codes[rows],
        "rows": rows.int(),
        "lengths": lengths[rows],
        "starts": torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        "basis": basis,
        "centres": centres,
    }
    write_whole(path, to_safetensors(found))


def _basis(vectors: Vectors, centres: Tensor) -> Tensor:
    """Principal components (K, M) of what vectors are beside their centres, from some rows.

    Each is as long as a step of its code: codes rarely exceed what 8 bits hold.
    """
    rows = np.unique(np.linspace(0, len(vectors) - 1, _SAMPLE).astype(np.int64))
    terms = _terms(vectors, rows)
    steps = terms - centres[nearest(terms, centres)]
    variances, components = torch.linalg.eigh(steps.T @ steps / len(steps))  # rising
    largest = min(_COMPONENTS, steps.shape[1])
    least = max(1e-12, _LEAST_SHARE * float(variances[-1]))  # below there is only rounding
    deviations = variances[-largest:].clamp_min(least).sqrt()
    return (components[:, -largest:] * deviations).T.flip(0) * (_REACH / _CODE)


def _encode(terms: Tensor, basis: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Cells (n,) and codes (n, K) of vectors (n, M)."""
    cells = nearest(terms, centres)
    components = (terms - centres[cells]) @ (basis / basis.square().sum(1, keepdim=True)).T
    return cells, components.round_().clamp_(-_CODE, _CODE).to(torch.int8)


def _multiply(codes: Tensor, slope: Tensor, found: Tensor) -> None:
    """Put codes (N, K) times a slope (K,) into `found` (N,)."""
    for part in _parts(len(codes)):
        torch.mv(codes[part].float(), slope, out=found[part])


def _multiply_int8(codes: Tensor, slope: Tensor, found: Tensor) -> None:
    """The same with the slope rounded to 8 bits, for processors that have products of these."""
    step = slope.abs().max().clamp_min(1e-30) / _CODE
    rounded = (slope / step).round_().to(torch.int8)[:, None]
    found.copy_(torch._int_mm(codes, rounded)[:, 0]).mul_(step)


def _read(path: Path, vectors: Vectors, centres: Tensor) -> _Codes:
    """The codes, memory-mapped; raises OSError and ValueError.

    Whether they are codes of these vectors, a look at some of them tells.
    """
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")
    names = [field.name for field in fields(_Codes)]
    try:  # safetensors takes no path that is not UTF-8
        with path.open("rb") as file, safe_open(f"/dev/fd/{file.fileno()}", "pt") as tensors:
            if sorted(tensors.keys()) != sorted(names):
                raise ValueError("not an image index")
            codes = _Codes(**{name: tensors.get_tensor(name) for name in names})
    except SafetensorError:
        raise ValueError("damaged") from None
    if not _fits(codes, vectors.dimension):
        raise ValueError("damaged")
    if codes.centres.shape != centres.shape or not torch.allclose(
        codes.centres, centres, atol=_ROUNDING
    ):
        raise ValueError("made with another model")
    some = torch.linspace(0, len(codes.rows) - 1, _CHECKED).long()
    if len(codes.rows) > len(vectors) or not _agree(codes, some, vectors):
        raise ValueError("made for another library")
    return codes


def _agree(codes: _Codes, some: Tensor, vectors: Vectors) -> bool:
    """Whether the codes at some places (n,) are those of their vectors, but for rounding."""
    terms = _terms(vectors, codes.rows[some].numpy())
    cells, found = _encode(terms, codes.basis, codes.centres)
    inside = (codes.starts[cells] <= some) & (some < codes.starts[cells + 1])
    difference = (found.int() - codes.codes[some].int()).abs()
    return bool(inside.all() and (difference <= 1).all())


def _fits(codes: _Codes, dimension: int) -> bool:
    """Whether all tensors have the types and shapes that they shall, and rows are 0 to N - 1."""
    rows, cells = codes.rows.numel(), codes.starts.numel() - 1
    components = codes.basis.numel() // dimension
    wanted = {
        "codes": (torch.int8, (rows, components)),
        "rows": (torch.int32, (rows,)),
        "lengths": (torch.float32, (rows,)),
        "starts": (torch.int64, (cells + 1,)),
        "basis": (torch.float32, (components, dimension)),
        "centres": (torch.float32, (cells, dimension)),
    }
    if any((t.dtype, tuple(t.shape)) != wanted[name] for name, t in vars(codes).items()):
        return False
    if not rows or not 0 <= codes.rows.min() <= codes.rows.max() < rows:
        return False
    seen = np.zeros(rows, dtype=bool)
    seen[codes.rows.numpy()] = True
    starts = codes.starts.tolist()
    return (
        bool(seen.all() and codes.basis.isfinite().all() and (codes.lengths > 0).all())
        and starts == sorted(starts)
        and (starts[0], starts[-1]) == (0, rows)
    )


def _terms(vectors: Vectors, rows: np.ndarray) -> Tensor:
    """The image terms (n, M) of rows (n,), fp32."""
    return torch.from_numpy(vectors[rows]).float()


def _lengths(terms: Tensor) -> Tensor:
    return terms.norm(dim=1).clamp_min(1e-12)


def _parts(length: int) -> Iterator[slice]:
    for start in range(0, length, _BLOCK):
        yield slice(start, start + _BLOCK)


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
