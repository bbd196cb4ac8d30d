"""How the search of a library grows with it: what docs/scale.md shows.

Dimension key: Q sentences, I images, A anchors, D feature, M multimodal layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..library.image_index import CODES_FROM, ImageIndex, build_index, candidates, open_index
from ..library.vectors import Vectors, VectorStore
from ..model.arrays import highest
from ..model.mrnn import MRNN
from ..pages.plots import document, line_plot
from ..scoring.first_order import Linearised, linearise
from ..scoring.likelihoods import image_terms, log_likelihoods
from ..words.packing import Corpus
from .synthetic import synthetic_gallery

T = TypeVar("T")

CANDIDATE_COUNTS = (10, 20, 50, 100, 200, 300, 500, 1000, 2000)
_POOL = 3000  # best by first-order score, among which the exact best are sought
_TOP = 10
_PART = 100_000  # pictures made at once
_BLOCK = 8192  # vectors scored at once

Curves = dict[str, tuple[list[float], list[float]]]


@dataclass(frozen=True)
class Measured:
    """What a library of some size took, in processor time of all threads together.

    Other work on the machine does not count. With OMP_NUM_THREADS=1 there is one thread, and on a
    machine without other work the clock should say the same.
    """

    pictures: int
    linearised: np.ndarray  # (Q,) ms, which does not depend on the library
    searched: np.ndarray  # (Q,) ms
    compared: np.ndarray  # ms, when every picture is compared; of fewer sentences
    opened: float  # ms
    built: float  # s, of the codes; 0 without
    code_bytes: int
    vector_bytes: int
    first_order: float  # percent of the true first-order best that are among the candidates
    candidates: int  # by default
    kept: Mapping[int, float]  # percent of the exact top ten kept, by candidates, these included

    @property
    def total(self) -> np.ndarray:
        """A query before the candidates are ordered, (Q,) ms."""
        return self.linearised + self.searched


def write_gallery(
    model: MRNN, real: np.ndarray, count: int, folder: Path, seed: int = 1
) -> VectorStore:
    """Write the image terms of `count` pictures: real features (R, D), then synthetic ones.

    Made in parts, with seeds `seed`, `seed` + 1 and so on, so that smaller galleries are the
    beginnings of larger ones.
    """
    store = VectorStore(folder, model.config.multimodal)
    done = 0
    while done < count:
        known = len(real) if done else 0  # that stand at the beginning of every part
        gallery = synthetic_gallery(real, _PART + known, seed)[known:][: count - done]
        store.write(done, image_terms(model, gallery))
        done, seed = done + len(gallery), seed + 1
    return store


def measure(
    model: MRNN,
    corpus: Corpus,
    centres: np.ndarray,
    vectors: Vectors,
    codes: Path,
    ranked: int,
    compared: int,
) -> Measured:
    """Search for every sentence; the first `ranked` tell what is kept, `compared` the exact time.

    Codes are made at the path where `mrnn index` would make them.
    """
    built = 0.0
    if len(vectors) >= CODES_FROM:
        built, _ = _timed(partial(build_index, vectors, centres, codes))
    opened, index = _timed(partial(open_index, vectors, centres, codes))
    sentences = [Corpus([sentence]) for sentence in corpus.sentences(np.arange(len(corpus)))]
    count = candidates(len(vectors))
    index.search(linearise(model, sentences[0], centres), count)  # this one waits for the disk
    linearised, searched, queries = [], [], []
    for sentence in sentences:
        first, query = _timed(partial(linearise, model, sentence, centres))
        second, _ = _timed(partial(index.search, query, count))
        linearised.append(first)
        searched.append(second)
        queries.append(query)
    plain = open_index(vectors, centres)
    exact = [_timed(partial(plain.search, query, count))[0] for query in queries[:compared]]
    first_order, kept = _kept(model, sentences[:ranked], queries[:ranked], vectors, index)
    return Measured(
        len(vectors),
        np.array(linearised),
        np.array(searched),
        np.array(exact),
        opened,
        built / 1000,
        codes.stat().st_size if codes.exists() else 0,
        2 * len(vectors) * vectors.dimension,
        first_order,
        count,
        kept,
    )


def table(measured: Sequence[Measured]) -> str:
    """What was measured as a Markdown table, a line a size."""
    heads = [
        "pictures",
        "search, ms",
        "before candidates are ordered, ms",
        "every picture compared, ms",
        "open, ms",
        "candidates",
        "first-order best kept",
        "exact top ten kept",
        "vectors",
        "codes",
        "made in",
    ]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for m in measured:
        cells = [
            f"{m.pictures:,}",
            _times(m.searched),
            _times(m.total),
            f"{np.median(m.compared):,.0f}",
            f"{m.opened:.0f}",
            f"{m.candidates:,}",
            f"{m.first_order:.1f}%",
            f"{m.kept[m.candidates]:.1f}%",
            f"{m.vector_bytes / 1e6:,.0f} MB",
            f"{m.code_bytes / 1e6:,.1f} MB" if m.code_bytes else "-",
            f"{m.built:.1f} s" if m.built else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plots(measured: Sequence[Measured]) -> dict[str, str]:
    """The curves as SVG documents, by file name."""
    sizes = [float(m.pictures) for m in measured]
    times: Curves = {
        "in all": (sizes, [float(np.median(m.total)) for m in measured]),
        "without codes": (
            sizes,
            [float(np.median(m.linearised) + np.median(m.compared)) for m in measured],
        ),
        "to linearise": (sizes, [float(np.median(m.linearised)) for m in measured]),
    }
    counts = [float(count) for count in CANDIDATE_COUNTS]
    kept: Curves = {
        f"{m.pictures:,}": (counts, [m.kept[count] for count in CANDIDATE_COUNTS])
        for m in measured[-4:]
    }
    highest = 1.5 * max(times["in all"][1])
    drawings = {
        "scale-time.svg": line_plot(
            "Time of a query before its candidates are ordered",
            "pictures",
            "ms",
            times,
            log_x=True,
            y_range=(0, highest),
        ),
        "scale-kept.svg": line_plot(
            "Share of the exact top ten among the candidates",
            "candidates",
            "%",
            kept,
            log_x=True,
            y_range=(60, 100),
        ),
    }
    return {name: document(figure) for name, figure in drawings.items()}


def _timed(action: Callable[[], T]) -> tuple[float, T]:
    """The processor time that an action takes, ms, and its result."""
    started = time.process_time()
    result = action()
    return 1000 * (time.process_time() - started), result


def _kept(
    model: MRNN,
    sentences: Sequence[Corpus],
    queries: Sequence[Linearised],
    vectors: Vectors,
    index: ImageIndex,
) -> tuple[float, dict[int, float]]:
    """Percent of the true first-order best, and of the exact best by number of candidates.

    The exact best are those among the first-order best `_POOL`, which are found without the index.
    """
    pools = _pools(queries, vectors)  # (Q, _POOL)
    usual = candidates(len(vectors))
    first_order, kept = 0.0, dict.fromkeys((*CANDIDATE_COUNTS, usual), 0.0)
    for sentence, query, pool in zip(sentences, queries, pools, strict=True):
        exact = log_likelihoods(model, sentence, vectors[pool].astype(np.float32))[0]
        best = pool[np.argsort(-exact, kind="stable")[:_TOP]]
        for count in kept:
            kept[count] += _percent(best, index.search(query, count)[0]) / len(pools)
        found, _ = index.search(query, usual)
        first_order += _percent(pool[:usual], found) / len(pools)
    return first_order, kept


def _pools(queries: Sequence[Linearised], vectors: Vectors) -> np.ndarray:
    """The rows with the highest first-order scores of each sentence, best first: (Q, `_POOL`)."""
    together = Linearised(
        queries[0].centres,
        np.concatenate([query.values for query in queries], 1),
        np.concatenate([query.gradients for query in queries], 1),
    )
    scores = np.empty((len(queries), 0), dtype=np.float32)
    rows = np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        here = np.arange(start, min(start + _BLOCK, len(vectors)))
        found = together.scores(vectors[here].astype(np.float32))
        scores = np.concatenate([scores, found], 1)
        rows = np.concatenate([rows, np.broadcast_to(here, found.shape)], 1)
        order = highest(scores, min(_POOL, scores.shape[1]))
        scores = np.take_along_axis(scores, order, 1)
        rows = np.take_along_axis(rows, order, 1)
    return rows


def _percent(wanted: np.ndarray, found: np.ndarray) -> float:
    return 100 * float(np.isin(wanted, found).mean())


def _times(milliseconds: np.ndarray) -> str:
    """Median and 95th percentile."""
    return f"{np.median(milliseconds):.0f} ({np.quantile(milliseconds, 0.95):.0f})"
