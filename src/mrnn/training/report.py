"""The page of a training run, written anew after every epoch: curves, speed, sample captions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePath

from ..datasets import Example
from ..errors import DataError
from ..files import write_whole
from ..images.finding import printable
from ..pages.html import (
    Line,
    cards,
    details,
    escape,
    figures_table,
    missing,
    page,
    section,
    terms,
    thumbnail,
)
from ..pages.plots import Curve, Mark, Range, line_plot
from .run_records import EpochRecord, Sample, latest

_PIXELS = 320  # longer side of a sample's picture
_EARLIER = 4  # captions before the newest that show at once
_CLIP = 2  # times the lowest perplexity: what lies above is cut off
_NAMES = {
    "text": "Sentences without pictures",
    "captions": "Captions of pictures",
    "encoder": "Captions, with the encoder",
    "words": "Words that captions lack, too",
}


def write_run_report(
    folder: Path,
    title: str,
    records: Sequence[EpochRecord],
    examples: Sequence[Example],
    facts: Sequence[tuple[str, str]],
    counts: Mapping[str, int] | None = None,
    ended: str = "",
) -> Path:
    """Write `report.html` into the folder, which is made if absent; returns its path.

    The arguments are those of `run_page`. The page is replaced as a whole, so that it can be looked
    at meanwhile. Raises DataError when it cannot be written.
    """
    path = folder / "report.html"
    html = run_page(title, records, examples, facts, counts, ended)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, html)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be written ({error.strerror})") from None
    return path


def run_page(
    title: str,
    records: Sequence[EpochRecord],
    examples: Sequence[Example],
    facts: Sequence[tuple[str, str]],
    counts: Mapping[str, int] | None = None,
    ended: str = "",
) -> str:
    """The page of a run as HTML.

    `examples` are those that the samples are of, found by `printable(example.image)`. `facts` are
    the configuration, each with its origin, and `counts` what there is to train on, such as
    images. `ended` is a sentence that says that training is over, or was stopped; without it the
    page says that it goes on.
    """
    records = latest(records)
    tiles = list(_tiles(records, counts or {}, ended))
    blocks = [
        f"<section>{terms(tiles, 'tiles')}</section>" if tiles else "",
        _curves(records),
        _samples(records, examples),
        _table(records),
        section("Configuration", "", terms(facts, "facts")) if facts else "",
    ]
    introduction = f"<p class='dim'>{escape(_state(records, ended))}</p>"
    return page(title, introduction, filter(None, blocks))


def sample_lines(record: EpochRecord) -> list[str]:
    """The samples of an epoch for the terminal."""
    return [
        f"    {_file_name(sample.image)}: {printable(sample.caption) or '(no words)'}  "
        f"(perplexity {sample.perplexity:.2f})"
        for sample in record.samples
    ]


def _file_name(image: str) -> str:
    return printable(PurePath(image).name)


# What stands at the top


def _state(records: Sequence[EpochRecord], ended: str) -> str:
    if not records and not ended:
        return "Training has begun; no epoch is done yet. Load the page again later."
    parts = [ended]
    if not ended:
        last = records[-1]
        parts = [
            f"Training goes on: {last.update:,} of {last.updates:,} updates were done when this "
            "page was written; load it again for a newer one."
        ]
    if best := _best(records):
        of = f" of phase {best.phase}" if len({record.phase for record in records}) > 1 else ""
        parts.append(f"The best epoch is {best.epoch}{of}.")
    return " ".join(parts)


def _tiles(
    records: Sequence[EpochRecord], counts: Mapping[str, int], ended: str
) -> Iterator[tuple[str, str]]:
    if records:
        last = records[-1]
        if best := _best(records):
            yield "Best dev perplexity", f"{best.dev_perplexity:.2f}"
        planned = max(last.epoch, round(last.updates * last.epoch / max(1, last.update)))
        yield "Epoch", str(last.epoch) if ended else f"{last.epoch} of {planned}"
        yield "Words a second", f"{_speed(last):,.0f}"
        yield "Time for training", _duration(sum(record.seconds for record in records))
        if not ended:
            yield "Time left, about", _duration(last.seconds * (planned - last.epoch))
    yield from ((name.capitalize(), f"{count:,}") for name, count in counts.items())


def _best(records: Sequence[EpochRecord]) -> EpochRecord | None:
    """The last epoch that was the best so far: its weights are kept."""
    best = [r for r in records if r.is_best and math.isfinite(r.dev_perplexity)]
    return best[-1] if best else None


def _speed(record: EpochRecord) -> float:
    """Words a second."""
    return record.words / max(record.seconds, 1e-9)


def _duration(seconds: float) -> str:
    """To be read: 45 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min"


# Curves


def _curves(records: Sequence[EpochRecord]) -> str:
    phases = [(name, list(several)) for name, several in groupby(records, lambda r: r.phase)]
    parts = []
    for name, several in phases:
        heading = f"<h3>{escape(_NAMES[name])}</h3>" if len(phases) > 1 else ""
        parts.append(heading + cards(_phase_plots(several)))
    if not parts:
        return ""
    explanation = (
        "Loss is the base-2 logarithm of perplexity. On train it is measured with dropout while "
        "the model learns, on dev without, after the epoch. The plot of perplexity leaves out "
        "what is more than twice the lowest."
    )
    return section("Curves", explanation, *parts)


def _phase_plots(records: Sequence[EpochRecord]) -> Iterator[str]:
    """Loss, perplexity and speed of one phase over its updates."""
    curves = {
        "train": _curve(records, lambda r: r.train_perplexity),
        "dev": _curve(records, lambda r: r.dev_perplexity),
    }
    curves = {name: curve for name, curve in curves.items() if curve[0]}
    across = (0.0, max(5.0, records[-1].update))  # few updates have no fractions between them
    best = _best(records)
    if curves:
        loss = {name: (x, [math.log2(value) for value in y]) for name, (x, y) in curves.items()}
        for title, unit, drawn, up in (
            ("Loss", "bits a word", loss, _extent(loss)),
            ("Perplexity", "perplexity", curves, _clipped(curves)),
        ):
            mark = _mark(best, drawn) if best else None
            yield line_plot(title, "updates", unit, drawn, x_range=across, y_range=up, mark=mark)
    speed = _curve(records, _speed)
    yield line_plot("Speed", "updates", "words/s", {"train": speed}, x_range=across)


def _curve(records: Sequence[EpochRecord], value: Callable[[EpochRecord], float]) -> Curve:
    """A value over updates, where it is finite."""
    points = [(float(r.update), value(r)) for r in records if math.isfinite(value(r))]
    return [x for x, _ in points], [y for _, y in points]


def _extent(curves: Mapping[str, Curve]) -> Range:
    values = [y for curve in curves.values() for y in curve[1]]
    return min(values), max(values)


def _clipped(curves: Mapping[str, Curve]) -> Range:
    """All values but those far above the lowest of both curves, as in a first epoch."""
    low, high = _extent(curves)
    return low, min(high, _CLIP * max(min(curve[1]) for curve in curves.values()))


def _mark(best: EpochRecord, curves: Mapping[str, Curve]) -> Mark:
    x, y = curves["dev"]
    value = y[x.index(float(best.update))]
    return best.update, value, f"best: epoch {best.epoch}, {value:.2f}"


# Sample captions


@dataclass(frozen=True)
class _Said:
    """A caption, and the epochs in a row that gave it."""

    phase: str
    first: int
    last: int
    sample: Sample  # of the last


def _samples(records: Sequence[EpochRecord], examples: Sequence[Example]) -> str:
    """A card a picture: the newest caption, what people wrote, and the captions before."""
    known = {printable(example.image): example for example in examples}
    images = dict.fromkeys([*known, *(s.image for record in records for s in record.samples)])
    if not images:
        return ""
    named = len({record.phase for record in records if record.samples}) > 1
    explanation = (
        "Pictures of the dev split, which the model does not learn from, always the same ones, "
        "with what it said of them after each epoch."
    )
    shown = (_card(image, known.get(image), _said(records, image), named) for image in images)
    return section("Sample captions", explanation, cards(shown))


def _said(records: Sequence[EpochRecord], image: str) -> list[_Said]:
    """What was said of an image, the newest first; the same caption in a row once."""
    found: list[_Said] = []
    for record in records:
        for sample in record.samples:
            if sample.image != image:
                continue
            before = found[-1] if found else None
            first = record.epoch
            if before and (before.phase, before.sample.caption) == (record.phase, sample.caption):
                first = found.pop().first
            found.append(_Said(record.phase, first, record.epoch, sample))
    return found[::-1]


def _card(image: str, example: Example | None, said: Sequence[_Said], named: bool) -> str:
    parts = []
    if said:
        newest = said[0]
        place = f"{_epochs(newest, named)} · perplexity {newest.sample.perplexity:.2f}"
        parts.append(
            f'<p class="said" dir="auto">{_words(newest)}</p><p class="dim">{escape(place)}</p>'
        )
    if example:
        items = "".join(f"<li><bdi>{escape(sentence)}</bdi></li>" for sentence in example.sentences)
        parts.append(f'<p class="dim label">people wrote</p><ul class="list">{items}</ul>')
    if said[1:]:
        parts.append('<p class="dim label">before that</p>' + _told(said[1 : _EARLIER + 1], named))
    if said[_EARLIER + 1 :]:
        rest = said[_EARLIER + 1 :]
        parts.append(details(f"and {len(rest)} more", _told(rest, named)))
    return f'<article>{_picture(image, example)}<div class="text">{"".join(parts)}</div></article>'


def _picture(image: str, example: Example | None) -> str:
    if example is None:  # a run whose data set is not at hand
        return missing(_file_name(image))
    description = next(iter(example.sentences), _file_name(image))
    return thumbnail(example.image, description, _PIXELS)


def _told(said: Sequence[_Said], named: bool) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(_epochs(one, named))}</th>'
        f'<td dir="auto">{_words(one)}</td></tr>'
        for one in said
    )
    return f'<table class="told">{rows}</table>'


def _epochs(said: _Said, named: bool) -> str:
    place = f"epoch {said.last}" if said.first == said.last else f"epochs {said.first}–{said.last}"
    return f"{said.phase}, {place}" if named else place


def _words(said: _Said) -> str:
    return escape(said.sample.caption) or "(no words)"


# The figures behind the curves


def _table(records: Sequence[EpochRecord]) -> str:
    if not records:
        return ""
    best = {_best(list(several)) for _, several in groupby(records, lambda r: r.phase)}
    columns = ("updates", "train perplexity", "dev perplexity", "temperature", "words/s", "time")
    lines = [
        Line(
            (f"{record.phase}, {record.epoch}",),
            (
                f"{record.update:,}",
                f"{record.train_perplexity:.2f}",
                f"{record.dev_perplexity:.2f}",
                f"{record.temperature:.2f}",
                f"{_speed(record):,.0f}",
                _duration(record.seconds),
            ),
            ours=record in best,
        )
        for record in records
    ]
    explanation = (
        "The best epoch of a phase is set off. Temperature: what all logits are divided by to "
        "reach the dev perplexity."
    )
    table = figures_table(("epoch",), [("", columns)], [("", lines)])
    return section("Every epoch", explanation, details(f"{len(lines):,} epochs", table))
