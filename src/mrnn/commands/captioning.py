"""The command that writes captions; heavy imports inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..config import MAX_LENGTH, Decoding
from ..errors import ImageError, UsageError
from ..images.finding import check_file, find_images, suffixes_told
from .beforehand import require_images, require_model, unreadable
from .console import emit, exit_code, note, note_left_out, progress, reporting_errors
from .options import Beam, Consensus, Device, Exclude, Json, Model, NoRepeat, Precision, Ratio

if TYPE_CHECKING:
    from ..results import Caption


@reporting_errors
def caption(
    paths: Annotated[list[Path], typer.Argument(help="Photos and folders.", metavar="PATH...")],
    beam: Beam = 1,
    n_best: Annotated[
        int, typer.Option(help="Also show the N likeliest sentences of a beam.", metavar="N")
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
    sidecar: Annotated[
        bool,
        typer.Option(
            "--sidecar",
            help="Also write each caption beside its photo, photo.jpg.caption.txt; photos that "
            "have one are left out.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Write captions anew that --sidecar wrote before; other files are never touched.",
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
    from .sidecars import is_done, with_sidecars

    if not sample and (temperature is not None or seed is not None):
        raise UsageError("--temperature and --seed go with --sample")
    if overwrite and not sidecar:
        raise UsageError("--overwrite goes with --sidecar")
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
    found = find_images(paths, exclude or ())
    note_left_out(found.left_out)
    require_images(found, paths)
    images = found.images
    if found.others:
        told = suffixes_told(found.others)
        count = sum(found.others.values())
        note(f"{count} files are not images by their suffix: left out ({told})")
    if sidecar and not overwrite:
        images = tuple(image for image in images if not is_done(image))
        if len(images) < len(found.images):
            note(f"{len(found.images) - len(images)} images have a sidecar already: left out")
    results = zip(images, _captions(images, how, model, device, precision, sidecar), strict=True)
    failed = 0
    with progress("captioning", beside_output=True) as show:
        for done, (image, result) in enumerate(
            chain(found.errors, with_sidecars(results) if sidecar else results), 1
        ):
            if isinstance(result, ImageError):
                failed += 1
                note(f"mrnn: {result}")
            if json:
                emit(caption_document(image, result, how.n_best > 0))
            elif not isinstance(result, ImageError):
                print(caption_lines(image, result))
            show(done, len(images) + len(found.errors))
    return exit_code(len(found.images) + len(found.errors) - failed, failed)


def _captions(
    images: Sequence[Path],
    how: Decoding,
    model: str,
    device: str,
    precision: int | None,
    sidecar: bool,
) -> Iterator[Caption | ImageError]:
    """A caption of each image, or the error met; without a model if there is nothing to caption."""
    from .sidecars import require_sidecar

    def check(image: Path) -> None:
        check_file(image)
        if sidecar:
            require_sidecar(image)

    faults = unreadable(images, check)
    if faults is not None:
        return iter(faults)
    from ..captioner import load

    return load(model, device, precision).caption_many(images, how)
