"""The commands that rank photos and sentences, and those on the model; heavy imports inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..errors import ImageError, UsageError
from ..images.finding import (
    check_file,
    find_images,
)
from .beforehand import (
    require_images,
    require_model,
    require_page,
    require_readable,
    unreadable,
)
from .console import (
    FAILED,
    emit,
    exit_code,
    note,
    note_left_out,
    note_problems,
    progress,
    reporting_errors,
)
from .file_lists import named
from .options import Device, Exclude, Json, Model, Paths, Precision
from .samples import sample_photos

if TYPE_CHECKING:
    from ..results import Ranking


@reporting_errors
def demo(
    paths: Annotated[
        Optional[list[Path]],
        typer.Argument(
            help="Photos and folders, - for a list of them on stdin; without any, four photos that "
            "come with scikit-image.",
            metavar="PATH...",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")] = Path(
        "demo.html"
    ),
    exclude: Exclude = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
) -> int:
    """Caption real sample photos (or yours) by a beam of 5, rank the sentences, write demo.html."""
    require_page(output)
    require_model(model, device, precision)
    paths = named(paths or ())
    found = find_images(paths or sample_photos(), exclude or ())
    note_left_out(found.left_out)
    require_images(found, paths)
    failed = len(found.errors)
    for _, error in found.errors:
        note(f"mrnn: {error}")
    faults = unreadable(found.images)
    for line in _demo(found.images, model, device, precision, output) if faults is None else faults:
        if isinstance(line, ImageError):
            note(f"mrnn: {line}")
            failed += 1
        else:
            print(line)
    return exit_code(len(found.images) + len(found.errors) - failed, failed)


def _demo(
    images: Sequence[Path], model: str, device: str, precision: int | None, output: Path
) -> Iterator[str | ImageError]:
    from ..captioner import load
    from .demo import BEAM, run_demo

    note(f"captions as mrnn caption --beam {BEAM} writes them")
    return run_demo(load(model, device, precision), images, output)


@reporting_errors
def rank_sentences(
    image: Annotated[
        Path, typer.Argument(help="The photo to find sentences for.", metavar="IMAGE")
    ],
    sentences: Annotated[
        Path,
        typer.Option(
            "--sentences", help="Text file of the sentences to choose from, one a line, UTF-8."
        ),
    ],
    k: Annotated[
        int, typer.Option("-k", help="How many of the best to show.", metavar="N", min=1)
    ] = 10,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Find the sentences that fit an image best, by P(s|I)/P(s)."""
    from ..records import ranking_document, ranking_lines, ranking_notes
    from ..results import Ranking

    require_readable(sentences)
    require_model(model, device, precision)
    try:
        check_file(image)
        from ..captioner import load
        from ..datasets import read_sentences

        lines, problems = read_sentences(sentences)
        note_problems(problems)
        ranking = load(model, device, precision).rank_sentences(image, lines, k)
    except ImageError as error:
        if json:
            failed = Ranking(str(image), (), ((str(image), error),))
            emit(ranking_document(failed, "sentence"))
        raise
    for line in ranking_notes(ranking):
        note(line)
    if json:
        emit(ranking_document(ranking, "sentence"))
    else:
        for line in ranking_lines(ranking):
            print(line)
    if not ranking.matches:  # of words that the model does not know
        return FAILED
    return exit_code(len(lines), len(problems))


@reporting_errors
def rank_images(
    sentence: Annotated[str, typer.Argument(help="What a photo shall show.", metavar="SENTENCE")],
    paths: Paths,
    k: Annotated[
        int, typer.Option("-k", help="How many of the best to show.", metavar="N", min=1)
    ] = 10,
    exclude: Exclude = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Find the images that a sentence fits best, by perplexity."""
    from ..records import ranking_document, ranking_lines
    from ..results import Ranking

    require_model(model, device, precision)
    paths = named(paths)
    found = find_images(paths, exclude or ())
    note_left_out(found.left_out)
    require_images(found, paths)
    faults = unreadable(found.images)
    if faults is None:
        ranking = _ranked(sentence, found.images, k, model, device, precision)
    else:
        ranking = Ranking(sentence, (), tuple(zip(map(str, found.images), faults, strict=True)))
    ranking = replace(
        ranking, errors=(*((str(path), error) for path, error in found.errors), *ranking.errors)
    )
    for _, error in ranking.errors:
        note(f"mrnn: {error}")
    if json:
        emit(ranking_document(ranking, "image"))
    else:
        for line in ranking_lines(ranking):
            print(line)
    tried = len(found.images) + len(found.errors)
    done = tried - len(ranking.errors)
    if done and not ranking.matches:  # of words that the model does not know
        return FAILED
    return exit_code(done, len(ranking.errors))


def _ranked(
    sentence: str,
    images: Sequence[Path],
    k: int,
    model: str,
    device: str,
    precision: int | None,
) -> Ranking:
    from ..captioner import load
    from ..records import ranking_notes

    captioner = load(model, device, precision)
    with progress("encoding") as on_progress:
        ranking = captioner.rank_images(sentence, images, k, on_progress)
    for line in ranking_notes(ranking):
        note(line)
    return ranking


@reporting_errors
def words(
    word: Annotated[
        Optional[str], typer.Argument(help="A word of the model's vocabulary.", metavar="WORD")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--list", help="List all words that the model knows, instead of those near a WORD."
        ),
    ] = False,
    k: Annotated[
        int, typer.Option("-k", help="How many of the nearest words to show.", metavar="N", min=1)
    ] = 10,
    model: Model = "default",
    json: Json = False,
) -> int:
    """Nearest words in word embedding II, by Euclidean distance; or all words.

    Words that are near are used alike in sentences: it shows what training made of a vocabulary.
    Words known from text only were placed without a picture: their neighbours look odd at times.
    """
    if everything == (word is not None):
        raise UsageError("give either a WORD or --list")
    require_model(model)
    from ..captioner import load
    from ..words.text import SIGNS

    if word is None:
        known = load(model, "cpu").vocabulary.words[len(SIGNS) :]
        if json:
            emit({"words": known})
        else:
            print("\n".join(known))
        return 0
    nearest = load(model, "cpu").nearest_words(word, k)
    if json:
        results = [{"word": text, "distance": distance} for text, distance in nearest]
        emit({"query": word, "results": results})
        return 0
    for text, distance in nearest:
        print(f"{distance:8.3f}  {text}")
    return 0


@reporting_errors
def info(
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """What a model is, what it was trained on, its scores, and what it runs on here."""
    require_model(model, device, precision)
    from .about import about, about_lines

    document = about(model, device, precision)
    if json:
        emit(document)
        return 0
    print("\n".join(about_lines(document)))
    return 0
