"""The commands on one's own photos and on the model; heavy imports inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..config import Decoding
from ..errors import DataError, ImageError, UsageError
from ..images.finding import (
    check_file,
    find_images,
    printable,
)
from .beforehand import (
    require_images,
    require_model,
    require_output,
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
    from ..results import Explanation, Match, Ranking, Score

_ALTERNATIVES = 4  # words that are shown beside the one that was said
_SCORE_HEADER = f"{'log P':>9} {'perplexity':>11} {'log ratio':>10}"


@reporting_errors
def demo(
    paths: Annotated[
        Optional[list[Path]],
        typer.Argument(help="Photos; by default samples from scikit-image.", metavar="PATH..."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "demo.html"
    ),
    exclude: Exclude = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
) -> int:
    """Caption real sample photos (or yours), rank the sentences, write demo.html."""
    found = find_images(paths if paths else sample_photos(), exclude or ())
    note_left_out(found.left_out)
    require_images(found, paths)
    require_model(model, device, precision)
    require_output(output)
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
    from .demo import run_demo

    return run_demo(load(model, device, precision), images, output)


@reporting_errors
def score(
    image: Annotated[Path, typer.Argument(help="An image.", metavar="IMAGE")],
    sentences: Annotated[list[str], typer.Argument(help="Sentences.", metavar="SENTENCE...")],
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Score sentences for an image: log P, perplexity, and log P(s|I)/P(s)."""
    require_model(model, device, precision)
    check_file(image)
    from ..captioner import load
    from ..records import score_document

    scores = load(model, device, precision).score(image, sentences)
    if json:
        emit({"image": str(image), "scores": [score_document(s) for s in scores]})
        return 0
    print(_SCORE_HEADER)
    for s in scores:
        print(_score_line(s, s.sentence))
        if s.unknown:
            note(f"not in the vocabulary: {', '.join(s.unknown)}")
    return 0


@reporting_errors
def rank_sentences(
    image: Annotated[Path, typer.Argument(help="An image.", metavar="IMAGE")],
    sentences: Annotated[
        Path, typer.Option("--sentences", help="Text file, a sentence a line, UTF-8.")
    ],
    k: Annotated[int, typer.Option("-k", help="How many to show.", metavar="N", min=1)] = 10,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Find the sentences that fit an image best, by P(s|I)/P(s)."""
    from ..records import ranking_document
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
    if json:
        emit(ranking_document(ranking, "sentence"))
    else:
        _print_ranking(ranking)
    return exit_code(len(lines), len(problems))


@reporting_errors
def rank_images(
    sentence: Annotated[str, typer.Argument(help="A sentence.", metavar="SENTENCE")],
    paths: Paths,
    k: Annotated[int, typer.Option("-k", help="How many to show.", metavar="N", min=1)] = 10,
    exclude: Exclude = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Find the images that a sentence fits best, by perplexity."""
    from ..records import ranking_document
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
        _print_ranking(ranking)
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
    from ..records import unknown_line

    captioner = load(model, device, precision)
    with progress("encoding") as on_progress:
        ranking = captioner.rank_images(sentence, images, k, on_progress)
    if ranking.unknown:
        note(unknown_line(ranking.unknown, bool(ranking.matches)))
    return ranking


@reporting_errors
def explain(
    image: Annotated[Path, typer.Argument(help="An image.", metavar="IMAGE")],
    sentence: Annotated[
        Optional[str],
        typer.Option(help="Explain this sentence, not one of the model's own.", metavar="TEXT"),
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output", "-o", help="Write a picture or a page: FILE.png, FILE.html.", metavar="FILE"
        ),
    ] = None,
    beam: Annotated[int, typer.Option(help="Beam width; 1 is greedy.", metavar="N")] = 1,
    prefix: Annotated[str, typer.Option(help="The first words.", metavar="TEXT")] = "",
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Heat maps of one look: a tenth of the time, less true."),
    ] = False,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Say why each word was said: its probability, what it came from, and where in the picture."""
    from ..records import caption_document, explanation_document, explanation_lines

    if sentence is not None and (prefix or beam != 1):
        raise UsageError("--sentence goes with neither --prefix nor --beam")
    if output is not None:
        _require_other_file(output, image)
        require_output(output)
    how = Decoding(beam=beam, prefix=prefix, alternatives=_ALTERNATIVES)
    require_model(model, device, precision)
    try:
        check_file(image)
        from ..captioner import load

        explanation = load(model, device, precision).explain(image, sentence, how, quick)
    except ImageError as error:
        if json:
            emit(caption_document(image, error, False))
        raise
    if output is not None:
        _write_explanation(output, image, explanation)
    if json:
        emit(explanation_document(str(image), explanation, False))
    elif output is None:
        print("\n".join(explanation_lines(image, explanation)))
    if explanation.unknown:
        note(f"not in the vocabulary: {', '.join(explanation.unknown)}")
    return 0


def _require_other_file(output: Path, image: Path) -> None:
    if output.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"{printable(output)}: write to a name that ends with .png or .html")
    if output.exists() and image.exists() and output.samefile(image):
        raise UsageError(f"{printable(output)}: that is the picture itself; choose another name")
    if not output.parent.is_dir():
        raise UsageError(f"{printable(output)}: there is no such folder; make it first")


def _write_explanation(output: Path, image: Path, explanation: Explanation) -> None:
    from ..explanation.page import explanation_page
    from ..explanation.picture import explanation_picture
    from ..files import write_whole

    draw = explanation_picture if output.suffix.lower() == ".png" else explanation_page
    content = draw(image, explanation)
    try:
        write_whole(output, content)
    except OSError as error:
        raise DataError(f"{printable(output)}: cannot be written ({error.strerror})") from None
    note(f"written: {printable(output)}")


@reporting_errors
def words(
    word: Annotated[Optional[str], typer.Argument(help="A word.", metavar="WORD")] = None,
    everything: Annotated[
        bool, typer.Option("--list", help="List all words that the model knows instead.")
    ] = False,
    k: Annotated[int, typer.Option("-k", help="How many.", metavar="N", min=1)] = 10,
    model: Model = "default",
    json: Json = False,
) -> int:
    """Nearest words in word embedding II, by Euclidean distance; or all words."""
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
    from .about import about

    document = about(model, device, precision)
    if json:
        emit(document)
        return 0
    for section, values in document.items():
        print(section)
        for key, value in values.items():
            shown = value if not isinstance(value, dict) else " ".join(_flat(value))
            print(f"  {key:20} {printable(str(shown))}")
    return 0


def _flat(values: dict[str, Any]) -> list[str]:
    return [
        f"{key}={value}" if not isinstance(value, dict) else f"{key}({' '.join(_flat(value))})"
        for key, value in values.items()
    ]


def _print_ranking(ranking: Ranking) -> None:
    if ranking.matches:
        print(_SCORE_HEADER)
    for match in ranking.matches:
        print(_score_line(match, match.item))


def _score_line(s: Score | Match, item: str) -> str:
    return f"{s.logprob:9.2f} {s.perplexity:11.2f} {s.log_ratio:+10.2f}  {printable(item)}"
