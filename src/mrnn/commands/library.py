"""The commands on a photo library; heavy imports inside."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..devices import require_device, require_precision
from ..errors import DataError, ImageError, MrnnError, UsageError
from ..images.finding import Member, check_file, printable
from .beforehand import (
    has_library,
    require_library,
    require_library_place,
    require_model,
    require_page,
)
from .console import (
    FAILED,
    INTERRUPTED,
    emit,
    exit_code,
    note,
    note_left_out,
    progress,
    reporting_errors,
)
from .file_lists import named
from .options import EXCLUDE, Device, Json, LibraryFolder, LibraryModel, Precision, default_model

if TYPE_CHECKING:
    from ..library.indexing import Describer, Indexed
    from ..library.library import Library
    from ..library.timeline import Filter

_SHOWN = 20  # errors that are printed one by one
_NEAR = 5  # folders that are named where one is not known
_ALIKE = 4  # files with the same error are told of together


@reporting_errors
def index(
    library: LibraryFolder,
    paths: Annotated[
        Optional[list[Path]],
        typer.Argument(
            help="Folders, photos and tar files to take in, - for a list of them on stdin; without "
            "any, all that were before.",
            metavar="PATH...",
        ),
    ] = None,
    captions: Annotated[
        bool,
        typer.Option(
            "--captions/--no-captions", help="Write a caption for each photo, which searches show."
        ),
    ] = True,
    sidecar: Annotated[
        bool,
        typer.Option(
            "--sidecar", help="Also write each caption beside its photo, photo.jpg.caption.txt."
        ),
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Read all photos anew, for another --model, say.")
    ] = False,
    exclude: Annotated[
        Optional[list[str]],
        typer.Option(
            "--exclude",
            help=f"{EXCLUDE} The library remembers them until others are given; '' ends that.",
            metavar="GLOB",
        ),
    ] = None,
    problems: Annotated[
        bool,
        typer.Option(
            "--problems",
            help="Only list the files that cannot be read, of all or those below PATH.",
        ),
    ] = False,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="Take what lies below PATH out of the library; the files themselves stay.",
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on until Ctrl-C: take in what comes, changes and goes within seconds.",
        ),
    ] = False,
    ray: Annotated[
        Optional[str],
        typer.Option(
            "--ray",
            help="Have a Ray cluster read the photos: auto, HOST:PORT, ray://HOST:PORT, or local.",
            metavar="ADDRESS",
        ),
    ] = None,
    model: LibraryModel = None,
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Make a library of pictures to search, or bring it up to date."""
    if sidecar and not captions:
        raise UsageError("--sidecar does not go with --no-captions")
    if forget and not paths:
        raise UsageError("--forget needs the PATHs to take out")
    updates = rebuild or sidecar or not captions or exclude is not None or watch or ray is not None
    if problems and (forget or updates):
        raise UsageError("--problems only lists; it goes with PATHs and --json alone")
    if forget and updates:
        raise UsageError("--forget only takes out; it goes with PATHs and --json alone")
    paths = named(paths or ())
    if problems:
        require_library(library)
        return _list_unreadable(library, paths, json)
    if forget:
        require_library(library)
        return _forget(library, paths, json)
    model = _model(library, model)
    _require_model(model, device, precision)
    require_library_place(library, paths)
    how: dict[str, Any] = {"paths": paths, "captions": captions, "rebuild": rebuild}
    how |= {"describer": _describer(library, ray), "stage": progress, "exclude": exclude}
    with _open(library, model, device, precision) as opened:
        if watch:
            return _watch(opened, how, paths, sidecar, json)
        return _tell(opened, opened.add(**how), paths, sidecar, json)


def _tell(
    library: Library,
    done: Indexed,
    paths: list[Path] | None,
    sidecar: bool,
    json: bool,
    is_news: bool = False,
) -> int:
    """Write the sidecars that are wished, and say what was done; returns an exit code.

    News are of a library that is watched: a line with the time.
    """
    from ..library.records import indexed_document, indexed_lines, watched_line

    errors: list[tuple[str, MrnnError]] = [(str(place), error) for place, error in done.errors]
    errors += [(p.place, DataError(f"{p.place}: {p.message}")) for p in done.problems]
    errors += _write_sidecars(library, paths) if sidecar else ()
    counts = library.catalogue.counts()
    _note(library.path, done, errors)
    if json:
        emit(indexed_document(library.path, counts, done, errors))
    elif is_news:
        print(watched_line(counts, done, datetime.now().astimezone()))
    else:
        print("\n".join(indexed_lines(library.path, counts, done)))
    return exit_code(counts["pictures"], len(errors))


def _watch(
    library: Library, how: dict[str, Any], paths: list[Path] | None, sidecar: bool, json: bool
) -> int:
    """Tell of each update that does something, until Ctrl-C; returns an exit code."""
    from ..library.watching import watch

    is_begun, fault = False, ""
    try:
        for done in watch(library, **how):
            if isinstance(done, DataError):  # it is tried again and again, and told once
                if str(done) != fault:
                    note(f"mrnn: {done}; tried again until it works")
                fault = str(done)
                continue
            fault = ""
            if not is_begun or done.new or done.changed or done.deleted or done.errors:
                _tell(library, done, paths, sidecar, json, is_news=is_begun)
                sys.stdout.flush()
            if not is_begun:
                copied = f"; {done.waiting:,} files that are still being copied come next"
                note(f"watching for changes, until Ctrl-C{copied if done.waiting else ''}")
            is_begun = True
    except KeyboardInterrupt:
        if not is_begun:
            raise
        note("watching is over")  # as it should be
    return INTERRUPTED


@reporting_errors
def search(
    library: LibraryFolder,
    sentence: Annotated[
        Optional[str], typer.Argument(help="What the photos shall show.", metavar="SENTENCE")
    ] = None,
    like: Annotated[
        Optional[Path], typer.Option(help="Look for photos like this one, instead of a SENTENCE.")
    ] = None,
    k: Annotated[
        int, typer.Option("-k", help="How many of the best to show.", metavar="N", min=1)
    ] = 10,
    since: Annotated[
        Optional[str],
        typer.Option(help="Only photos of this day and later, as 2024-05-31.", metavar="DAY"),
    ] = None,
    until: Annotated[
        Optional[str], typer.Option(help="Only photos of this day and before.", metavar="DAY")
    ] = None,
    folder: Annotated[
        Optional[str],
        typer.Option(
            help="Only photos in and below this folder: its path, or its name from the folder "
            "that was indexed on.",
            metavar="FOLDER",
        ),
    ] = None,
    output: Annotated[
        Optional[Path],
        typer.Option(
            "--output",
            "-o",
            help="Also write an HTML page with the photos, which can be sent.",
            metavar="FILE",
        ),
    ] = None,
    model: LibraryModel = None,
    device: Device = "auto",
    precision: Precision = None,
    json: Json = False,
) -> int:
    """Find the pictures of a library that a sentence fits best."""
    if (sentence is None) == (like is None):
        raise UsageError("give either a sentence or --like PHOTO")
    first, last = _day("--since", since), _day("--until", until)
    if output is not None:
        require_page(output)
    _require_model(model, device, precision)
    require_library(library)
    if like is not None:
        check_file(like)
    from ..files import write_whole
    from ..library.records import contact_sheet, search_document, search_lines, search_notes

    with _open(library, model, device, precision) as opened:
        among = _filter(opened, first, last, folder)
        results = opened.like(like, k, among) if like else opened.search(sentence or "", k, among)
        roots = opened.catalogue.roots()
    if json:
        emit(search_document(results))
    else:
        for line in search_lines(results):
            print(line)
    for line in search_notes(results):
        note(line)
    if output is not None:
        try:
            title = f"Like {printable(like.name)}" if like else results.query
            write_whole(output, contact_sheet(results, roots, title))
        except OSError as error:
            raise DataError(f"{printable(output)}: cannot be written ({error.strerror})") from None
        note(f"page: {printable(output)}")
    return FAILED if results.unknown and results.pictures and not results.found else 0


def _day(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise UsageError(f"{option} takes a day, as 2024-05-31, not {text!r}") from None


def _filter(opened: Library, since: date | None, until: date | None, folder: str | None) -> Filter:
    """Which pictures of a library are meant."""
    from ..library.scanning import absolute
    from ..library.timeline import EVERY, Filter

    if since is None and until is None and folder is None:
        return EVERY
    timeline = opened.timeline()
    if (since or until) and not timeline.is_dated:
        note(
            "this library does not tell when its photos were taken, but when their files were "
            "changed; mrnn index brings it up to date"
        )
    if folder is None:
        return Filter(since, until)
    [path] = absolute(folder)
    name = folder.strip("/")
    if name not in timeline.folders:
        name = timeline.folder_of(os.fsencode(path / "photo"))
    if not name and path in opened.catalogue.roots():  # the one folder that all lie in
        return Filter(since, until)
    if name not in timeline.folders:
        names = list(timeline.folders)
        near = get_close_matches(folder, names, _NEAR) or names[:_NEAR]
        meant = f"; it has {', '.join(near)}" if near else ""
        raise UsageError(f"no photos of the library lie in a folder {folder!r}{meant}")
    return Filter(since, until, name)


def _told(errors: Sequence[tuple[str, MrnnError]]) -> Iterator[str]:
    """The errors to read: files with the same one together, then the first of the others."""
    reasons = [str(error).removeprefix(f"{printable(place)}: ") for place, error in errors]
    counts = Counter(reasons)
    seen: set[str] = set()
    shown = 0
    for (place, error), reason in zip(errors, reasons, strict=True):
        count = counts[reason]
        if count < _ALIKE:
            if shown < _SHOWN:
                yield str(error)
            shown += 1
        elif reason not in seen:
            seen.add(reason)
            yield f"{count:,} files, the first of them {printable(place)}: {reason}"
    if shown > _SHOWN:
        yield f"and {shown - _SHOWN:,} more; --json lists all"
    elif seen:
        yield "--json lists all"


def _require_model(model: str | None, device: str, precision: int | None) -> None:
    """Raise what is wrong with them; without a model the library has its own."""
    require_device(device)
    require_precision(precision)
    if model is not None:
        require_model(model)


def _model(library: Path, model: str | None) -> str | None:
    """The model that is asked for; none where the library has its own."""
    return model if model or has_library(library) else default_model()


def _open(library: Path, model: str | None, device: str, precision: int | None) -> Library:
    from ..captioner import load
    from ..library.library import Library

    captioner = load(model, device, precision) if model else None
    return Library.open(library, captioner, device, precision)


def _describer(library: Path, address: str | None) -> Describer:
    """Who reads the pictures: this process, or a cluster."""
    if address is None:
        from ..library.describing import describe

        return describe
    from ..library.jobs import INCOMING, on_ray

    return on_ray(address, library / INCOMING)


def _note(library: Path, done: Indexed, errors: Sequence[tuple[str, MrnnError]]) -> None:
    """What a person should know of an update beside its figures."""
    note_left_out(done.left_out)
    if done.is_upgraded:
        note(f"{printable(library)}: brought up to date; older versions cannot open it any more")
    for line in _told(errors):
        note(f"mrnn: {line}")


def _list_unreadable(library: Path, paths: Sequence[Path] | None, json: bool) -> int:
    """What the catalogue knows to be unreadable; no model is opened, and no picture."""
    from ..library.library import Library
    from ..library.records import unreadable_document

    with Library.open(library) as opened:
        errors = opened.unreadable(paths or ())
        strange = [path for path in paths or () if not opened.knows(path)]
    for path in strange:
        note(f"mrnn: {printable(path)}: nothing of it is in the library")
    if json:
        emit(unreadable_document(library, [(str(place), error) for place, error in errors]))
    else:
        for _, error in errors:
            print(error)
    return FAILED if strange else 0


def _forget(library: Path, paths: Sequence[Path], json: bool) -> int:
    with _open(library, None, "auto", None) as opened:
        count = opened.remove(paths)
        left = opened.catalogue.counts()["files"]
    if json:
        emit({"library": str(library), "forgotten": count, "files": left})
        return 0
    print(f"{printable(library)}: {count:,} files taken out, {left:,} left")
    return 0


def _write_sidecars(library: Library, paths: list[Path] | None) -> Iterator[tuple[str, ImageError]]:
    """Write the captions that files do not have beside them; yields what fails, by file."""
    from ..library.away import is_there
    from .sidecars import has_caption, write_sidecar

    given = [Path(os.path.abspath(path)) for path in paths or ()]  # noqa: PTH100 - links stay
    roots = given or library.catalogue.roots()
    for root in roots:
        for file, content in library.files(root):
            if isinstance(file.picture, Member) or content is None or content.caption is None:
                continue
            text, perplexity = content.caption
            if is_there(file.picture) and not has_caption(file.picture, text):
                try:
                    write_sidecar(file.picture, text, perplexity)
                except ImageError as error:
                    yield str(file.picture), error
