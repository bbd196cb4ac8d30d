"""The command that writes captions; heavy imports inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..config import MAX_LENGTH, Decoding
from ..errors import ImageError, UsageError
from ..images.finding import SIDECAR, find_images, printable, suffixes_told
from .beforehand import require_images, require_model
from .console import emit, exit_code, note, note_left_out, progress, reporting_errors
from .file_lists import named
from .options import (
    Beam,
    Consensus,
    Device,
    Exclude,
    Json,
    Model,
    NoRepeat,
    Paths,
    Precision,
    Ratio,
)
from .places import Pending, Place, XmpName, pending, written

if TYPE_CHECKING:
    from ..results import Caption


@reporting_errors
def caption(
    paths: Paths,
    beam: Beam = 1,
    n_best: Annotated[
        int, typer.Option(help="Also show the N best sentences of a beam.", metavar="N")
    ] = 0,
    consensus: Consensus = False,
    ratio: Ratio = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw words at random, by their probabilities.")
    ] = False,
    temperature: Annotated[
        Optional[float],
        typer.Option(
            help="How bold the random words of --sample are: safer below 1, bolder above.",
            metavar="T",
            show_default="1",
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="Words that the sentence begins with.", metavar="TEXT")
    ] = "",
    max_length: Annotated[
        int, typer.Option(help="Most words of a sentence.", metavar="N")
    ] = MAX_LENGTH,
    no_repeat: NoRepeat = Decoding.no_repeat,
    csv: Annotated[
        Optional[Path],
        typer.Option(
            "--csv", help="Also write a table; images that it has are done.", metavar="FILE"
        ),
    ] = None,
    sidecar: Annotated[
        bool,
        typer.Option(
            "--sidecar",
            help="Also write each caption beside its photo, photo.jpg.caption.txt; photos that "
            "have one are left out.",
        ),
    ] = False,
    sidecar_suffix: Annotated[
        Optional[str],
        typer.Option(
            "--sidecar-suffix",
            help="Also write the caption alone to a file with this suffix instead of the image's, "
            "as trainers of image generators read it.",
            metavar=".txt",
        ),
    ] = None,
    xmp: Annotated[
        bool,
        typer.Option(
            "--xmp",
            help="Also write it as description into an XMP sidecar: the one that is there, else "
            "PATH.xmp. Descriptions that are not ours stay.",
        ),
    ] = False,
    xmp_name: Annotated[
        Optional[XmpName],
        typer.Option(
            "--xmp-name",
            help="Also write it into an XMP sidecar of this name, for photo.jpg; the last is "
            "Lightroom's.",
        ),
    ] = None,
    embed: Annotated[
        bool,
        typer.Option(
            "--embed",
            help="Also write it as XMP description into the image's own file (JPEG, PNG, WebP). "
            "Descriptions that are not ours stay.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Write what is ours again, and with --sidecar-suffix any text there.",
        ),
    ] = False,
    exclude: Exclude = None,
    model: Model = "default",
    device: Device = "auto",
    precision: Precision = None,
    seed: Annotated[
        Optional[int],
        typer.Option(
            help="Number from which the random words of --sample follow.",
            metavar="N",
            show_default="1",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Write a sentence for each image."""
    from ..records import caption_document, caption_lines

    if not sample and (temperature is not None or seed is not None):
        raise UsageError("--temperature and --seed go with --sample")
    how = Decoding(
        beam=Decoding.at_least(beam, n_best, consensus),
        n_best=n_best,
        consensus=consensus,
        ratio=ratio,
        temperature=(1.0 if temperature is None else temperature) if sample else None,
        seed=1 if seed is None else seed,
        prefix=prefix,
        max_length=max_length,
        no_repeat=no_repeat,
    )
    require_model(model, device, precision)
    paths = named(paths, or_none=True)
    places = list(_places(csv, overwrite, sidecar, sidecar_suffix, xmp, xmp_name, embed))
    if overwrite and not places:
        raise UsageError(
            "--overwrite goes with --csv, --sidecar, --sidecar-suffix, --xmp or --embed"
        )
    if not paths:
        return 0
    found = find_images(paths, exclude or ())
    note_left_out(found.left_out)
    require_images(found, paths)
    if found.others:
        told = suffixes_told(found.others)
        count = sum(found.others.values())
        note(f"{count} files are not images by their suffix: left out ({told})")
    left = pending(found.images, places, overwrite)
    _note_done(left)
    results = _captions(left.images, left.faults, how, model, device, precision)
    failed = 0
    with progress("captioning", beside_output=True) as show:
        for done, (image, result) in enumerate(
            chain(found.errors, written(results, places, overwrite)), 1
        ):
            if isinstance(result, ImageError):
                failed += 1
                note(f"mrnn: {result}")
            if json:
                emit(caption_document(image, result, how.n_best > 0))
            elif not isinstance(result, ImageError):
                print(caption_lines(image, result))
            show(done, len(left.images) + len(found.errors))
    return exit_code(len(found.images) + len(found.errors) - failed, failed)


def _places(
    csv: Path | None,
    overwrite: bool,
    sidecar: bool,
    sidecar_suffix: str | None,
    xmp: bool,
    xmp_name: XmpName | None,
    embed: bool,
) -> Iterator[Place]:
    """Where captions are to be written; raises UsageError, DataError."""
    if csv == Path("-"):
        raise UsageError("--csv -: a table is a file, which can be gone on with; pipes take --json")
    if csv is not None:
        from .caption_table import caption_table

        ends = {sidecar_suffix, SIDECAR if sidecar else None, ".xmp" if xmp or xmp_name else None}
        if any(end and csv.name.lower().endswith(end.lower()) for end in ends):
            raise UsageError(
                f"--csv {printable(csv)}: files with a caption each are called so, too; choose "
                "another name"
            )
        yield caption_table(csv, overwrite)
    if sidecar:
        from .sidecars import marked_sidecars

        yield marked_sidecars()
    if sidecar_suffix is not None:
        from .sidecars import plain_sidecars

        yield plain_sidecars(sidecar_suffix)
    if xmp or xmp_name is not None:
        from .xmp_files import xmp_sidecars

        yield xmp_sidecars(xmp_name)
    if embed:
        from .xmp_files import embedded

        yield embedded()


def _note_done(left: Pending) -> None:
    if left.done:
        note(f"{left.done} images have their caption already: left out")
    if left.theirs:
        note(f"{left.theirs} images have a description that is not ours: left as they are")


def _captions(
    images: Sequence[Path],
    faults: Mapping[Path, ImageError],
    how: Decoding,
    model: str,
    device: str,
    precision: int | None,
) -> Iterator[tuple[Path, Caption | ImageError]]:
    """Each image with its caption, or the error met; no model for those that have a fault."""
    sound = [image for image in images if image not in faults]
    captions: Iterator[Caption | ImageError] = iter(())
    if sound:
        from ..captioner import load

        captions = load(model, device, precision).caption_many(sound, how)
    for image in images:
        yield image, faults[image] if image in faults else next(captions)
