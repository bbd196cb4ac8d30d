"""The tables of a reproduction as a document, as Markdown, and as a page with Fig. 1 and 3."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..captioner import Captioner
from ..evaluation.figures import NONE, RANKS, bleu, number, recalls, recalls_of
from ..evaluation.published import LEAST_IMAGES, TOO_FEW, Generation, Retrieval
from ..evaluation.ranks import RANK_KEYS
from ..files import write_whole
from ..images.finding import printable
from ..pages.html import Line, cards, escape, figures_table, page, section, terms, thumbnail
from ..pages.plots import line_plot
from .paper_tables import Row, Table, name_of

_COSTS = ("numbers learned", "in 32 bits", "learned in")
_SIDE = 480  # pixels of a picture
_STYLE = ".figures td, .figures th { padding: .3rem .4rem; }"  # seventeen columns beside each other

Group = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Result:
    """A row with what was measured; both empty where nothing was run, or it failed."""

    row: Row
    figures: Mapping[str, Any]  # as `Reproduction.generation` or `.retrieval` gives them
    costs: Mapping[str, float]  # weights, seconds


@dataclass(frozen=True)
class Explained:
    """A picture as in the paper's Fig. 1."""

    image: Path
    retrieved: tuple[str, ...]
    generated: str


def explained(captioner: Captioner, image: Path, sentences: Sequence[str]) -> Explained:
    """Two sentences found for a picture, and one generated; raises ImageError."""
    ranking = captioner.rank_sentences(image, sentences, 2)
    found = tuple(match.item for match in ranking.matches)
    return Explained(image, found, captioner.caption(image).text)


def document(facts: Mapping[str, Any], tables: Mapping[Table, Sequence[Result]]) -> dict[str, Any]:
    """What `mrnn reproduce --json` prints; its keys: docs/schemas/reproduce.json."""
    return {
        **facts,
        "tables": {
            str(table.number): [
                {
                    "method": result.row.title,
                    "system": result.row.system.name if result.row.system else None,
                    "sampled": result.row.sampled,
                    "published": _published(result.row),
                    "ours": result.figures or None,
                    "weights": result.costs.get("weights"),
                    "seconds": result.costs.get("seconds"),
                }
                for result in results
            ]
            for table, results in tables.items()
        },
    }


def markdown(facts: Mapping[str, Any], tables: Mapping[Table, Sequence[Result]]) -> str:
    """The tables as Markdown, with the cost of their systems."""
    parts = []
    for table, results in tables.items():
        shown = _shown(facts, results)
        names = [f"{of}: {name}" for of, several in _groups(table, facts) for name in several]
        lines = [["method", *names]]
        lines += [[result.row.title, *_cells(table, facts, result)] for result in shown]
        parts.append(f"### {_title(table)}\n\n{_explanation(table, facts)}\n\n{_rows(lines)}")
        if sources := _sources(shown):
            listed = "".join(f"- {source}\n" for source in sources.values())
            parts.append(f"Published figures:\n\n{listed}")
    parts.append(f"### The systems\n\n{_rows([('system', *_COSTS), *_systems(tables)])}")
    return "\n".join(parts)


def write_tables(
    folder: Path,
    facts: Mapping[str, Any],
    tables: Mapping[Table, Sequence[Result]],
    pictures: Sequence[Explained],
) -> Path:
    """Write tables.json, tables.md and index.html, by number; returns the page's path."""
    ordered = {table: tables[table] for table in sorted(tables, key=lambda t: t.number)}
    write_whole(folder / "tables.json", json.dumps(document(facts, ordered), indent=1) + "\n")
    write_whole(folder / "tables.md", markdown(facts, ordered))
    write_whole(folder / "index.html", _page(facts, ordered, pictures))
    return folder / "index.html"


def _page(
    facts: Mapping[str, Any],
    tables: Mapping[Table, Sequence[Result]],
    pictures: Sequence[Explained],
) -> str:
    blocks = [
        section(_title(table), _explanation(table, facts), _table(table, facts, results))
        for table, results in tables.items()
    ]
    near = [results for table, results in tables.items() if table.near]
    blocks += [_matches(results) for results in near]
    if pictures:
        blocks.append(_figure_1(pictures))
    blocks.append(section("The systems", "", _systems_table(tables)))
    told = ("data", "split", "images", "sentences", "vocabulary", "encoder")
    settled = [(name, str(facts[name])) for name in told]
    blocks.append(section("What this is of", "", terms(settled, "facts")))
    title = f"The tables of Mao et al. 2014 on {facts['data']}, {facts['split']} split"
    words = (
        "<p class='dim'>What was published stands beside what the systems reach here: on other "
        "pictures, with other image features and words, so that rows of one table compare, "
        "and columns do not.</p>"
    )
    return page(title, words, blocks, _STYLE)


def _title(table: Table) -> str:
    return f"Table {table.number}. {table.title}"


def _explanation(table: Table, facts: Mapping[str, Any]) -> str:
    published = f"Published: {table.data}, test split. " if _compares(facts) else f"{TOO_FEW} "
    words = (
        f"{published}Ours: {facts['data']}, {facts['split']} split, image features "
        f"{facts['encoder']}. "
    )
    if table.kind == "retrieval":
        return (
            f"{words}Sentences for an image, and images for a sentence; recall in percent, ours "
            f"among {facts['images']:,} images and {facts['sentences']:,} sentences."
        )
    return words + (
        "Perplexity counts END and unknown words, from the first word, and from the sixth on as in "
        "code of 2014. BLEU by the protocol paper2014, no words given, against all references: "
        "cumulative, and of each order alone; tables.json has the other readings."
    )


def _compares(facts: Mapping[str, Any]) -> bool:
    """Whether our pictures are enough to put published figures beside ours."""
    return bool(facts["images"] >= LEAST_IMAGES)


def _shown(facts: Mapping[str, Any], results: Sequence[Result]) -> list[Result]:
    """All rows; without published figures, where they do not compare, only those that were run."""
    if _compares(facts):
        return list(results)
    return [replace(r, row=replace(r.row, published=None)) for r in results if r.row.system]


def _groups(table: Table, facts: Mapping[str, Any]) -> list[Group]:
    """The columns under their headings."""
    groups = _all_groups(table)
    return groups if _compares(facts) else [g for g in groups if not g[0].startswith("published")]


def _all_groups(table: Table) -> list[Group]:
    if table.kind == "generation":
        orders = ("B-1", "B-2", "B-3")
        ours = ("PPL", "from word 6", *orders)
        return [("published", ("PPL", *orders)), ("ours", ours), ("each order alone", orders)]
    directions = ("sentences", "images")
    return [(f"{whose}: {what}", RANKS) for whose in ("published", "ours") for what in directions]


def _cells(table: Table, facts: Mapping[str, Any], result: Result) -> list[str]:
    """The figures of a row, in the order of `_groups`."""
    shown = sum(len(names) for _, names in _groups(table, facts))
    return _all_cells(table, result)[-shown:]  # what was published comes first


def _all_cells(table: Table, result: Result) -> list[str]:
    figures, theirs = result.figures, result.row.published
    if table.kind == "generation":
        published = [NONE] * 4
        if isinstance(theirs, Generation):
            orders = dict(zip("123", theirs.bleu, strict=False))
            published = [number(theirs.perplexity, 2), *bleu(orders, 3)]
        keys = ("perplexity", "perplexity_from_word_6")
        ours = [number(figures.get(key), 2) for key in keys]
        readings = figures.get("bleu_sampled" if result.row.sampled else "bleu", {})
        readings = readings if result.row.sampled else readings.get("0", {})
        for reading in ("cumulative", "individual"):
            ours += bleu(readings.get(reading, {}).get("all_references"), 3)
        return [*published, *ours]
    found = [NONE] * 8
    if isinstance(theirs, Retrieval):
        found = [*recalls(theirs.image_to_text), *recalls(theirs.text_to_image)]
    there = "image_to_text_nearest_100" if table.near else "image_to_text"
    for direction in (there, "text_to_image"):
        found += recalls_of(figures.get(direction))
    return found


def _systems(tables: Mapping[Table, Sequence[Result]]) -> list[tuple[str, ...]]:
    """What each system cost: its title, and figures under the names of _COSTS."""
    of_all = [result for results in tables.values() for result in results if result.costs]
    every = {r.row.system: r for r in of_all if r.row.system}
    return [
        (
            system.title,
            f"{result.costs['weights'] / 1e6:,.2f} M",
            f"{4 * result.costs['weights'] / 1e6:,.1f} MB",
            f"{result.costs['seconds']:,.0f} s",
        )
        for system, result in every.items()
    ]


def _systems_table(tables: Mapping[Table, Sequence[Result]]) -> str:
    lines = [Line((title,), figures) for title, *figures in _systems(tables)]
    return figures_table(("system",), [("", _COSTS)], [("", lines)])


def _rows(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first line is its head."""
    head, *others = lines
    marks = ["---", *["--:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, marks, *others))


def _sources(results: Sequence[Result]) -> dict[str, str]:
    """Where published figures are from: by source, the methods and the source."""
    methods: dict[str, dict[str, None]] = {}  # each once
    for published in (result.row.published for result in results):
        if published:
            methods.setdefault(published.source, {})[name_of(published)] = None
    return {source: f"{'; '.join(several)}: {source}" for source, several in methods.items()}


def _table(table: Table, facts: Mapping[str, Any], results: Sequence[Result]) -> str:
    results = _shown(facts, results)
    sources = _sources(results)
    lines = [
        Line(
            (result.row.title,),
            _cells(table, facts, result),
            sources[result.row.published.source] if result.row.published else "",
        )
        for result in results
    ]
    return figures_table(("method",), _groups(table, facts), [("", lines)])


def _matches(results: Sequence[Result]) -> str:
    shares = list(range(1, 101))
    plots = []
    for key, title in (
        ("text_to_image", "Images for a sentence"),
        ("image_to_text", "Sentences for an image"),
    ):
        curves = {
            result.row.title: (shares, result.figures["matches"][key])
            for result in results
            if result.figures
        }
        plots.append(line_plot(title, "retrieved, %", "mean number of matches", curves, log_x=True))
    words = (
        "The mean number of right items among the first that are retrieved. All sentences are "
        "sought, not only those of near images."
    )
    return section("Figure 3", words, cards(plots))


def _figure_1(pictures: Sequence[Explained]) -> str:
    blocks = []
    for found in pictures:
        sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in found.retrieved)
        image = thumbnail(found.image, found.generated, _SIDE)
        blocks.append(
            f"<article>{image}<div class='text'><p class='label dim'>Retrieved</p>"
            f"<ol class='list'>{sentences}</ol><p class='label dim'>Generated</p>"
            f"<p class='said'>{escape(found.generated)}</p>"
            f"<p class='dim'>{escape(printable(found.image.name))}</p></div></article>"
        )
    words = "Two sentences that were retrieved for a picture, and one that was generated."
    return section("Figure 1", words, cards(blocks))


def _published(row: Row) -> dict[str, Any] | None:
    theirs = row.published
    if theirs is None:
        return None
    words = {"method": theirs.method, "features": theirs.features, "source": theirs.source}
    if isinstance(theirs, Generation):
        return {"perplexity": theirs.perplexity, "bleu": list(theirs.bleu), **words}
    return {
        "image_to_text": dict(zip(RANK_KEYS, theirs.image_to_text, strict=True)),
        "text_to_image": dict(zip(RANK_KEYS, theirs.text_to_image, strict=True)),
        **words,
    }
