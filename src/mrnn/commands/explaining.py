"""The command that explains sentences about photos; heavy imports inside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..config import Decoding
from ..errors import ImageError, UsageError
from ..images.finding import SUFFIXES, check_file, find_images, printable
from .beforehand import (
    require_folder,
    require_images,
    require_model,
    require_output,
    require_outside_libraries,
    unreadable,
)
from .console import emit, exit_code, note, note_left_out, progress, reporting_errors
from .file_lists import named
from .options import Beam, Device, Exclude, Json, Model, Paths, Precision

if TYPE_CHECKING:
    from ..results import Explanation

    Results = Iterator[tuple[Path, Explanation | ImageError]]

_ALTERNATIVES = 4  # words that are shown beside the one that was said
_KINDS = (".png", ".html")  # of one picture or page
_CONTENTS = "explained.html"  # leads to the pages of several


@reporting_errors
def explain(
    paths: Paths,
    sentence: Annotated[
        Optional[str],
        typer.Option(
            help="A sentence to explain, in place of the caption that the model writes.",
            metavar="TEXT",
        ),
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            help="Write a picture or a page of one photo, FILE.png or FILE.html; of several a "
            "folder with a page for each.",
            metavar="FILE|FOLDER",
        ),
    ] = None,
    beam: Beam = 1,
    prefix: Annotated[
        str, typer.Option(help="Words that the sentence begins with.", metavar="TEXT")
    ] = "",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Make heat maps from one look at the photo: a tenth of the time, less true.",
        ),
    ] = False,
    exclude: Exclude = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Say why each word was said: its probability, what it came from, and where in the picture."""
    from ..records import caption_document, explanation_document, explanation_lines

    if sentence is not None and (prefix or beam != 1):
        raise UsageError("--sentence goes with neither --prefix nor --beam")
    paths = named(paths)
    _note_sentence_among(() if sentence is not None else paths)
    found = find_images(paths, exclude or ())
    is_one = found.images == (paths[0],)  # and no folder
    places = _places(found.images, paths)
    if output is not None:
        _require_output(output, paths[0] if is_one else None, places)
    require_model(model, device, precision)
    note_left_out(found.left_out)
    require_images(found, paths)
    how = Decoding(beam=beam, prefix=prefix, alternatives=_ALTERNATIVES)
    explained = _explained(found.images, sentence, how, quick, model, device, precision)
    results: Results = zip(found.images, explained, strict=True)
    if output is not None:
        is_file = _is_file(output)
        results = _write_page(output, results) if is_file else _write_pages(output, places, results)
    total, failed = len(found.images) + len(found.errors), 0
    with progress("explaining", beside_output=True) as show:
        for done, (image, result) in enumerate(chain(found.errors, results), 1):
            if isinstance(result, ImageError):
                failed += 1
                note(f"mrnn: {result}")
                if json:
                    emit(caption_document(image, result, False))
            else:
                if json:
                    emit(explanation_document(str(image), result, False))
                elif output is None:
                    print("\n".join(explanation_lines(image, result)))
                if result.unknown:
                    note(f"not in the vocabulary: {', '.join(result.unknown)}")
            show(done, total)
    return exit_code(total - failed, failed)


def _note_sentence_among(paths: Sequence[Path]) -> None:
    """Say how a sentence is given, where a path looks like one, since nothing is called so."""
    for path in paths:
        is_word = path == Path(path.name) and path.suffix.lower() not in SUFFIXES
        if is_word and not os.path.lexists(path):
            note(f"mrnn: {printable(path)}: if it is a sentence to explain, say --sentence TEXT")
            return


def _explained(
    images: Sequence[Path],
    sentence: str | None,
    how: Decoding,
    quick: bool,
    model: str,
    device: str,
    precision: int | None,
) -> Iterator[Explanation | ImageError]:
    """What explains each image, or the error met; without a model if none can be read."""
    faults = unreadable(images)
    if faults is not None:
        yield from faults
        return
    from ..captioner import load

    captioner = load(model, device, precision)
    for image in images:
        try:
            check_file(image)
            yield captioner.explain(image, sentence, how, quick)
        except ImageError as error:
            yield error


def _is_file(output: Path) -> bool:
    """Whether one picture or page is to be written, not a folder of pages."""
    return output.suffix.lower() in _KINDS and not output.is_dir()


def _require_output(output: Path, image: Path | None, places: Sequence[str]) -> None:
    """Raise UsageError for an output that does not suit a photo, or several; DataError.

    Pages that are in a folder already may be of other photos, or the user's own: they stay.
    """
    require_outside_libraries(output)
    if image is not None and not output.is_dir():
        if not _is_file(output):
            raise UsageError(
                f"{printable(output)}: write to a name that ends with .png or .html, or into a "
                "folder that is there"
            )
        if output.exists() and image.exists() and output.samefile(image):
            raise UsageError(
                f"{printable(output)}: that is the picture itself; choose another name"
            )
        if not output.parent.is_dir():
            raise UsageError(f"{printable(output)}: there is no such folder; make it first")
        require_output(output)
    elif _is_file(output):
        raise UsageError(f"{printable(output)}: is for one photo; for several name a folder")
    else:
        require_folder(output)
    if not _is_file(output):
        for page in (output / place for place in (*places, _CONTENTS)):
            if os.path.lexists(page):
                raise UsageError(
                    f"{printable(page)}: is there already; name another folder, or take it away"
                )


def _write_page(output: Path, results: Results) -> Results:
    """Write the picture or page of the one photo; a failure takes its explanation's place."""
    for image, result in results:
        yield image, _written(output, image, result)


def _write_pages(folder: Path, places: Sequence[str], results: Results) -> Results:
    """Write a page for each photo as it passes, and at the end one that leads to them."""
    from ..explanation.contents_page import contents_page
    from ..files import write_whole

    pages: dict[str, tuple[Path, str]] = {}  # by their place in the folder
    for place, (image, result) in zip(places, results, strict=True):
        written = _written(folder / place, image, result)
        if not isinstance(written, ImageError):
            pages[place] = image, written.caption.text
        yield image, written
    if pages:
        write_whole(folder / _CONTENTS, contents_page(pages))
        note(f"written: {printable(folder / _CONTENTS)}")


def _places(images: Sequence[Path], paths: Sequence[Path]) -> list[str]:
    """Where the pages of photos go: below the folder as the photos lie below their own."""
    taken = dict.fromkeys([_CONTENTS])  # in their order
    for image in images:
        above = next((path for path in paths if path in image.parents), image.parent)
        place = image.relative_to(above).as_posix()
        names = chain([f"{place}.html"], (f"{place}-{n}.html" for n in count(2)))
        taken[next(name for name in names if name not in taken)] = None
    return list(taken)[1:]


def _written(
    output: Path, image: Path, result: Explanation | ImageError
) -> Explanation | ImageError:
    """The explanation, with its picture or page written; else the error."""
    if isinstance(result, ImageError):
        return result
    from ..explanation.page import explanation_page
    from ..explanation.picture import explanation_picture
    from ..files import write_whole

    draw = explanation_picture if output.suffix.lower() == ".png" else explanation_page
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, draw(image, result))
    except ImageError as error:
        return error
    except OSError as error:
        return ImageError("page", f"{printable(output)}: cannot be written ({error.strerror})")
    note(f"written: {printable(output)}")
    return result
