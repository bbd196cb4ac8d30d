"""The page behind `mrnn evaluate --report`: figures, published tables, plots and examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..files import write_whole
from ..images.finding import printable
from ..pages.html import Line, cards, figures_table, page, section, terms
from ..pages.plots import bar_plot, line_plot
from .figures import NONE, RANKS, bleu, number, rank, recalls, recalls_of
from .published import (
    FLICKR8K,
    LEAST_IMAGES,
    NO_TABLES,
    TOO_FEW,
    Generation,
    Retrieval,
    Tables,
    tables_of,
)
from .ranks import chance_recall, recall_curve
from .showcase import generated, images_found, sentences_found

if TYPE_CHECKING:
    from ..datasets import Example
    from .evaluation import Evaluation

_BINS = [factor * 10**power for power in range(7) for factor in (1, 2, 5)]  # last ranks of the bars
_DIRECTIONS = (("Sentences for an image", RANKS), ("Images for a sentence", RANKS))
_LABELS = ("method", "features")

Document = Mapping[str, Any]  # what `mrnn evaluate --json` prints: docs/schemas/evaluate.json


def write_report(directory: Path, evaluation: Evaluation) -> Path:
    """Write `index.html` into the directory, which is made if absent; returns its path.

    A picture that cannot be read any more is replaced by its name. Raises DataError when the page
    cannot be written.
    """
    path = directory / "index.html"
    document = evaluation.document
    introduction = (
        f"<p class='dim'>{document['images']:,} images with {document['sentences']:,} sentences. "
        "The protocol behind the figures stands at the end of the page.</p>"
    )
    title = f"mrnn on {document['signature']['data']}, {document['split']} split"
    html = page(title, introduction, filter(None, _sections(evaluation)))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(path, html)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be written ({error.strerror})") from None
    return path


def _sections(evaluation: Evaluation) -> Iterator[str]:
    document = evaluation.document
    yield _headline(document)
    yield _retrieval_table(evaluation)
    yield _generation_table(document)
    yield _plots(evaluation)
    if evaluation.text_to_image is not None:
        yield images_found(evaluation.examples, evaluation.text_to_image)
    if evaluation.image_to_text is not None:
        yield sentences_found(evaluation.examples, evaluation.image_to_text)
    if evaluation.captions:
        yield generated(evaluation.examples, evaluation.captions)
    yield _health(document)
    signature = ((name.replace("_", " "), str(v)) for name, v in document["signature"].items())
    yield section("Protocol", "", terms(signature, "facts"))
    seconds = ((name, f"{took:,.1f} s") for name, took in document["seconds"].items())
    yield section("Time taken", "", terms(seconds, "facts"))


# Figures and tables


def _headline(document: Document) -> str:
    there = recalls_of(document.get("text_to_image"))
    back = recalls_of(document.get("image_to_text"))
    scores = bleu(document.get("bleu"), 4)
    images, sentences = f"{document['images']:,}", f"{document['sentences']:,}"
    figures = (
        ("Perplexity", number(document.get("perplexity"), 2)),
        ("after the given words", number(document.get("perplexity_after_context"), 2)),
        (f"Of {images} images, R@1 in %", there[0]),
        (f"Of {images} images, Med r", there[3]),
        (f"Of {sentences} sentences, R@1 in %", back[0]),
        (f"Of {sentences} sentences, Med r", back[3]),
        ("BLEU-1", scores[0]),
        ("BLEU-4", scores[3]),
        ("ROUGE-L", number(document.get("rouge_l"), 3)),
        ("CIDEr-D", number(document.get("cider"), 3)),
        ("METEOR", number(document.get("meteor"), 3)),
        ("Distinct captions", number(document.get("distinct_captions"), 0)),
    )
    return f"<section>{terms((pair for pair in figures if pair[1] != NONE), 'tiles')}</section>"


def _retrieval_table(evaluation: Evaluation) -> str:
    document = evaluation.document
    tables, words = _published(document)
    nearest = min(100, document["images"])
    among = f"{document['images']:,} images, {document['sentences']:,} sentences"
    ours = [
        _our_line(
            document, way, (*recalls_of(document.get(there)), *recalls_of(document.get(back)))
        )
        for way, there, back in (
            ("", "image_to_text", "text_to_image"),
            ("by P(s | I) alone", "image_to_text_raw", ""),
            (f"of the {nearest} nearest images", "image_to_text_nearest_100", ""),
        )
    ]
    ours = [line for line in ours if set(line.figures) != {NONE}]
    if not ours:
        return ""
    known = [_retrieval_line(row) for row in tables.retrieval]
    later = [_retrieval_line(row) for row in tables.retrieval_later]
    blocks = [("", [_chance(evaluation.examples), *known, *ours]), ("later work", later)]
    table = figures_table(_LABELS, _DIRECTIONS, blocks)
    told = f"Recall in percent; ours among {among}"
    if known and tables.images not in (None, document["images"]):
        told += f", theirs among {tables.images:,} images: the fewer, the easier"
    return section("Retrieval", f"{told}. {words}", table)


def _generation_table(document: Document) -> str:
    tables, words = _published(document)
    perplexity = number(document.get("perplexity"), 2)
    ours = [
        _our_line(document, way, (perplexity, *bleu(figures, 4)))
        for way, figures in _bleu_readings(document).items()
    ]
    known = [_generation_line(row) for row in tables.generation]
    later = [_generation_line(row) for row in tables.generation_later]
    names = ("perplexity", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
    table = figures_table(_LABELS, [("", names)], [("", [*known, *ours]), ("later work", later)])
    note = f"{tables.note} " if known else ""
    return section("Generation", f"{note}{words}", table)


def _bleu_readings(document: Document) -> Mapping[str, Mapping[str, float] | None]:
    """BLEU by what tells it from others: one, or the four of the protocol paper2014."""
    readings = document.get("bleu_paper")
    if not readings:
        return {"": document.get("bleu")}
    return {
        f"{reading}, {references.replace('_', ' ')}": figures
        for reading, several in readings.items()
        for references, figures in several.items()
    }


def _published(document: Document) -> tuple[Tables, str]:
    """The published figures to stand beside ours, and what to mind when comparing."""
    tables = tables_of(document["signature"]["data"])
    if document["images"] < LEAST_IMAGES:
        return NO_TABLES, TOO_FEW
    words = f"Ours is of the {document['split']} split, published rows are of the test split"
    if tables is None:
        return FLICKR8K, f"{words} of Flickr8K, another data set: for orientation only."
    return tables, f"{words}."


def _our_line(document: Document, way: str, figures: Sequence[str]) -> Line:
    encoder = str(document["signature"].get("encoder", ""))
    return Line((f"ours, {way or document['split'] + ' split'}", encoder), figures, ours=True)


def _retrieval_line(row: Retrieval) -> Line:
    figures = [*recalls(row.image_to_text), *recalls(row.text_to_image)]
    return Line((row.method, row.features), figures, row.source)


def _generation_line(row: Generation) -> Line:
    orders = dict(zip("1234", row.bleu, strict=False))
    figures = (number(row.perplexity, 2), *bleu(orders, 4))
    return Line((row.method, row.features), figures, row.source)


def _chance(examples: Sequence[Example]) -> Line:
    """What a random order of these very images and sentences would reach."""
    right = np.array([len(example.sentences) for example in examples])
    images, sentences = len(right), int(right.sum())
    there = [chance_recall(right[right > 0], sentences, k) for k in (1, 5, 10)]
    back = [100 * min(k / images, 1) for k in (1, 5, 10)]
    figures = [*(number(f, 1) for f in there), NONE, *(number(f, 1) for f in back)]
    return Line(("random order", ""), [*figures, rank((images + 1) / 2)])


# Plots


def _plots(evaluation: Evaluation) -> str:
    counts = [len(example.sentences) for example in evaluation.examples]
    directions = (
        ("sentences for an image", evaluation.image_to_text, sum(counts)),
        ("images for a sentence", evaluation.text_to_image, len(counts)),
    )
    found = [
        (name, ranked.ranks, size)
        for name, ranked, size in directions
        if ranked and len(ranked.ranks)
    ]
    if not found:
        return ""
    recall = {}
    for name, ranks, size in found:
        retrieved, recalled = recall_curve(ranks, size)
        recall[name] = (retrieved.tolist(), recalled.tolist())
    plots = [line_plot("Recall", "retrieved, %", "found, %", recall, log_x=True)]
    plots += [
        bar_plot(f"Ranks of {name}", "rank, up to", "queries, %", _bars(ranks, size), " %")
        for name, ranks, size in found
    ]
    plots += _kept_plots(evaluation.document.get("two_stage") or {})
    explanation = (
        "Recall against the share of all candidates that is looked at, as in Fig. 3 of the paper; "
        "and where the right item stood, in bars that each end at the rank below them."
    )
    return section("Ranks", explanation, cards(plots))


def _bars(ranks: np.ndarray, size: int) -> list[tuple[str, float]]:
    """The share of ranks, in percent, above the bin before and up to 1, 2, 5, 10, 20, ..."""
    ends = [*(end for end in _BINS if end < size), size]
    below = [100 * float(np.mean(ranks <= end)) for end in ends]
    shares = np.diff(below, prepend=0.0)
    return [(_short(end), float(share)) for end, share in zip(ends, shares, strict=True)]


def _short(number: int) -> str:
    return f"{number / 1000:g}k" if number >= 1000 else str(number)


def _kept_plots(two_stage: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[str]:
    names = {"top1": "the best", "top10": "the best 10"}
    for direction, what in (("image_to_text", "Sentences"), ("text_to_image", "Images")):
        points = two_stage.get(direction) or ()
        if points:
            sizes = [point["candidates"] for point in points]
            curves = {name: (sizes, [p[key] for p in points]) for key, name in names.items()}
            title = f"{what} kept by the first stage"
            yield line_plot(title, "candidates", "kept, %", curves, log_x=True)


# Health


def _health(document: Document) -> str:
    health = document.get("health")
    if not health:
        return ""
    lines = [
        Line((name,), [number(perplexity, 2), *recalls_of(there), *recalls_of(back)])
        for name, perplexity, there, back in (
            (
                "the right ones",
                document.get("perplexity"),
                document.get("image_to_text"),
                document.get("text_to_image"),
            ),
            (
                "shuffled",
                health.get("perplexity_shuffled"),
                health.get("image_to_text_shuffled"),
                health.get("text_to_image_shuffled"),
            ),
        )
    ]
    table = figures_table(("pictures",), [("", ("perplexity",)), *_DIRECTIONS], [("", lines)])
    if health.get("sees_images") is None:
        return ""
    seen = "sees" if health["sees_images"] else "does not see"
    words = (
        f"The model {seen} the pictures: the figures with the right pictures, and with each "
        f"sentence given the picture of another, among {document['images']:,} images and "
        f"{document['sentences']:,} sentences."
    )
    return section("Does it look?", words, table)
