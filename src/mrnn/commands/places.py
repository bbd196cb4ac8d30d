"""Where captions go beside what is printed: sidecars, a table, the pictures themselves.

A place is looked at before a caption is made: what has one already is left out, and where none can
be written nobody waits for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ImageError
from ..images.finding import check_file

if TYPE_CHECKING:
    from ..results import Caption


class Held(Enum):
    """What a place has of an image."""

    NOTHING = "nothing"
    OURS = "ours"  # a caption that may be written again
    THEIRS = "theirs"  # a text of the user's, which never is


class XmpName(StrEnum):
    """How an XMP sidecar is called, by the example of photo.jpg."""

    FULL = "photo.jpg.xmp"
    STEM = "photo.xmp"


@dataclass(frozen=True)
class Place:
    """Somewhere to write captions to; both raise ImageError where none can be written."""

    look: Callable[[Path], Held]
    write: Callable[[Path, Caption], None]


def wants(place: Place, image: Path, overwrite: bool) -> bool:
    """Whether a caption of this image is to be written there."""
    held = place.look(image)
    return held is Held.NOTHING or (overwrite and held is Held.OURS)


@dataclass(frozen=True)
class Pending:
    """Which images are to be captioned."""

    images: tuple[Path, ...]  # with those that have a fault
    faults: dict[Path, ImageError]
    done: int  # images that have their caption
    theirs: int  # images that have a text of the user's


def pending(images: Sequence[Path], places: Sequence[Place], overwrite: bool) -> Pending:
    """Look at all places of all images."""
    left: list[Path] = []
    faults: dict[Path, ImageError] = {}
    done = theirs = 0
    for image in images:
        try:
            check_file(image)
            wanted = [wants(place, image, overwrite) for place in places]
        except ImageError as error:
            faults[image] = error
            left.append(image)
            continue
        if any(wanted) or not places:
            left.append(image)
        elif any(place.look(image) is Held.THEIRS for place in places):
            theirs += 1
        else:
            done += 1
    return Pending(tuple(left), faults, done, theirs)


def written(
    results: Iterable[tuple[Path, Caption | ImageError]], places: Sequence[Place], overwrite: bool
) -> Iterator[tuple[Path, Caption | ImageError]]:
    """Write each caption as it passes; a failure takes the caption's place."""
    for image, result in results:
        try:
            if not isinstance(result, ImageError):
                for place in places:
                    if wants(place, image, overwrite):
                        place.write(image, result)
            yield image, result
        except ImageError as error:
            yield image, error
