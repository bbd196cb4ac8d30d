"""The command that scores sentences for photos; heavy imports inside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..errors import ImageError, UsageError
from ..images.finding import SUFFIXES, find_images, printable
from .beforehand import require_images, require_model, require_readable, unreadable
from .console import emit, exit_code, note, note_left_out, note_problems, progress, reporting_errors
from .file_lists import named
from .options import Device, Exclude, Json, Model, Precision

if TYPE_CHECKING:
    from ..results import Score


@reporting_errors
def score(
    given: Annotated[
        list[str],
        typer.Argument(
            help="A photo, or a folder of photos, and sentences; with --sentence or --sentences "
            "any number of photos and folders. - stands for a list of them on stdin.",
            metavar="PATH SENTENCE...",
        ),
    ],
    sentence: Annotated[
        Optional[list[str]],
        typer.Option(help="A sentence to score; may be given several times.", metavar="TEXT"),
    ] = None,
    sentences: Annotated[
        Optional[Path],
        typer.Option(help="A text file of sentences to score, one a line, UTF-8.", metavar="FILE"),
    ] = None,
    exclude: Exclude = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Score sentences for photos: log P, perplexity, and log P(s|I)/P(s)."""
    from ..records import SCORE_HEADER, score_line

    paths, texts = _told_apart(given, sentence or [], sentences)
    if sentences is not None:
        require_readable(sentences)
    require_model(model, device, precision)
    paths = named(paths)
    found = find_images(paths, exclude or ())
    note_left_out(found.left_out)
    require_images(found, paths)
    problems = 0
    if sentences is not None:
        from ..datasets import read_sentences

        lines, skipped = read_sentences(sentences)
        note_problems(skipped)
        texts, problems = [*texts, *lines], len(skipped)
    results = chain(
        found.errors,
        zip(found.images, _scores(found.images, texts, model, device, precision), strict=True),
    )
    total, failed = len(found.images) + len(found.errors), 0
    is_one = found.images == (paths[0],)  # and no folder
    with progress("scoring", beside_output=True) as show:
        for done, (image, result) in enumerate(results, 1):
            if isinstance(result, ImageError):
                failed += 1
                note(f"mrnn: {result}")
            if json:
                _emit(image, result)
            elif not isinstance(result, ImageError):
                if done - failed == 1:
                    print(SCORE_HEADER)
                names = [] if is_one else [printable(image)]
                print(*names, *(score_line(s, s.sentence) for s in result), sep="\n")
            show(done, total)
    return exit_code(total - failed, failed + problems)


def _told_apart(
    given: Sequence[str], sentences: list[str], file: Path | None
) -> tuple[list[Path], list[str]]:
    """Photos and sentences; raises UsageError where there are no sentences, or no photos."""
    if sentences or file is not None:
        return [Path(path) for path in given], sentences
    path, *rest = given
    if not rest:
        raise UsageError("there are no sentences: give them after the photo, or by --sentence TEXT")
    for text in rest:
        if _names_pictures(text):
            raise UsageError(
                f"{printable(text)}: a sentence is expected after the photo; for several photos "
                "and folders give each sentence by --sentence TEXT"
            )
    return [Path(path)], rest


def _names_pictures(text: str) -> bool:
    """Whether this is hardly a sentence, but meant a photo, be it misspelt, or photos."""
    is_path = "/" in text or os.sep in text  # a folder "dog" does not make it less of a word
    return (
        text == "-" or Path(text).suffix.lower() in SUFFIXES or (is_path and os.path.lexists(text))
    )


def _scores(
    images: Sequence[Path], sentences: Sequence[str], model: str, device: str, precision: int | None
) -> Iterator[list[Score] | ImageError]:
    """The scores of all sentences for each image, or the error met; names unknown words first."""
    faults = unreadable(images)
    if faults is not None:
        yield from faults
        return
    from ..captioner import load
    from ..images.features import encode_images

    captioner = load(model, device, precision)
    for sentence in sentences:
        if unknown := captioner.unknown_words(sentence):
            note(f"not in the vocabulary: {', '.join(unknown)}")
    priors = captioner.log_priors(sentences)
    for feature in encode_images(images, captioner.encoder):
        if isinstance(feature, ImageError):
            yield feature
        else:
            yield captioner.score_feature(feature, sentences, priors)


def _emit(image: Path, result: list[Score] | ImageError) -> None:
    from ..records import caption_document, score_document

    if isinstance(result, ImageError):
        emit(caption_document(image, result, False))
    else:
        emit({"image": str(image), "scores": [score_document(s) for s in result]})
