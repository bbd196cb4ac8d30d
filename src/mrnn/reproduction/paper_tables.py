"""The paper's tables: for each row the published figures, and the system that is run for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..evaluation.published import FLICKR8K, FLICKR30K, IAPR_TC12, Generation, Retrieval
from .systems import (
    BAG_OF_WORDS,
    CHANCE,
    DEVISE,
    GT2,
    GT3,
    LBL,
    M_RNN,
    MLBL_B,
    MLBL_F,
    RNN_BASE,
    SENTENCE_RNN,
    SIMPLE_RNN,
    System,
)

Kind = Literal["generation", "retrieval"]
Published = Generation | Retrieval


@dataclass(frozen=True)
class Row:
    """A row: what was published, what can be run, or both."""

    title: str
    published: Published | None = None
    system: System | None = None
    sampled: bool = False  # words drawn at random, not the most probable


@dataclass(frozen=True)
class Table:
    """A table of the paper."""

    number: int
    title: str
    data: str  # of the published figures
    kind: Kind
    rows: tuple[Row, ...]
    near: bool = False  # sentences are sought among those of the 100 nearest images

    @property
    def systems(self) -> list[System]:
        """Those that can be run, each once."""
        return list(dict.fromkeys(row.system for row in self.rows if row.system))


def _of(rows: tuple[Published, ...], method: str) -> Published:
    """The published row of a method; raises StopIteration where there is none."""
    return next(row for row in rows if row.method == method)


def name_of(published: Published) -> str:
    """The method of published figures, with its image features if it sees images."""
    method = published.method.removesuffix(", the paper")
    return method if published.features in ("", "none") else f"{method}, {published.features}"


def _retrieval(published: tuple[Published, ...]) -> tuple[Row, ...]:
    """Tables 3 and 4: published rows, and those that can be run."""
    systems = {"DeViSE": DEVISE, "m-RNN, the paper": M_RNN}
    *others, ours = [_row(p, systems.get(p.method)) for p in published]
    unpublished = (
        Row("sentence RNN, hinge rank loss", None, SENTENCE_RNN),
        Row("bag of words", None, BAG_OF_WORDS),
    )
    return (Row("Random", None, CHANCE), *others, *unpublished, ours)


def _row(published: Published, system: System | None) -> Row:
    return Row(system.title if system else name_of(published), published, system)


_IAPR = IAPR_TC12.generation

TABLE_1 = Table(
    1,
    "Generation",
    "IAPR TC-12",
    "generation",
    (
        Row("BACK-OFF GT2", None, GT2),
        Row("BACK-OFF GT3", None, GT3),
        Row("LBL", None, LBL),
        Row("LBL, updated in a footnote", _of(_IAPR, "LBL, updated")),
        Row("MLBL-B", None, MLBL_B),
        Row("MLBL-F", None, MLBL_F),
        Row("MLBL-F, updated in a footnote", _of(_IAPR, "MLBL-F, updated")),
        Row("simple RNN (eq. 1)", None, SIMPLE_RNN),
        Row("RNN-Base", None, RNN_BASE),
        Row("m-RNN", _of(_IAPR, "m-RNN, the paper"), M_RNN),
        Row("m-RNN, words drawn (sec. 6)", None, M_RNN, sampled=True),
    ),
)
TABLE_2 = Table(
    2,
    "Retrieval; sentences only of the 100 nearest images",
    "IAPR TC-12",
    "retrieval",
    (
        Row("bag of words", None, BAG_OF_WORDS),
        Row("MLBL-B", None, MLBL_B),
        Row("MLBL-F", None, MLBL_F),
        Row("m-RNN", _of(IAPR_TC12.retrieval, "m-RNN, the paper"), M_RNN),
    ),
    near=True,
)
TABLE_3 = Table(3, "Retrieval", "Flickr8K", "retrieval", _retrieval(FLICKR8K.retrieval))
TABLE_4 = Table(4, "Retrieval", "Flickr30K", "retrieval", _retrieval(FLICKR30K.retrieval))
TABLE_5 = Table(
    5,
    "Generation",
    "Flickr8K, in the last row Flickr30K",
    "generation",
    (
        Row("RNN-Base", _of(FLICKR8K.generation, "RNN-Base, the paper"), RNN_BASE),
        Row("m-RNN", _of(FLICKR8K.generation, "m-RNN, the paper"), M_RNN),
        Row("m-RNN on Flickr30K", _of(FLICKR30K.generation, "m-RNN, the paper")),
    ),
)
TABLES = (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5)
