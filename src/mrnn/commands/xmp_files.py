"""Captions as `dc:description` in XMP: in a sidecar, or in the picture's own file.

Sidecars have one of two names: photo.jpg.xmp (digiKam, darktable, immich), or photo.xmp
(Lightroom), which a picture shares with all others of its stem.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import ImageError
from ..files import write_whole
from ..images.described import description_inside
from ..images.embedding import read_xmp, with_xmp
from ..images.finding import printable
from ..images.reading import open_picture
from ..images.xmp import LARGEST, Description, is_of_other_file, read_description, with_description
from ..results import Caption
from .namesakes import WITH_XMP, Namesakes, namesakes
from .places import Held, Place, XmpName

_SUFFIXES = (".xmp", ".XMP")


def xmp_sidecars(name: XmpName | None) -> Place:
    """XMP sidecars: of that name, or the one that is there, photo.jpg.xmp where there is none."""
    others = namesakes(WITH_XMP)

    def look(image: Path) -> Held:
        path = _sidecar(image, name, others)
        if os.path.lexists(path) and path.is_symlink():
            raise _no_file(path)
        _require_writable(path, path.parent)
        return _held(_description(path), _told(image, others))

    def write(image: Path, caption: Caption) -> None:
        path = _sidecar(image, name, others)
        text = with_description(_read(path), caption.text, printable(path))
        _write(path, lambda: _replace(path, text))

    return Place(look, write)


def embedded() -> Place:
    """The pictures' own files, whose mode and dates stay; a link's target, not the link."""
    others = namesakes(WITH_XMP)

    def look(image: Path) -> Held:
        with open_picture(image) as file:
            read_xmp(file, printable(image))  # is it of a kind that takes one?
        path = image.resolve()
        _require_writable(path, path, path.parent)
        told = _told(image, others)
        return _held(told[0], told)

    def write(image: Path, caption: Caption) -> None:
        name = printable(image)
        with open_picture(image) as file:
            content = file.read()
            file.seek(0)
            document = read_xmp(file, name)
        content = with_xmp(content, with_description(document, caption.text, name), name)
        _write(image, lambda: write_whole(image.resolve(), content, keep=True))

    return Place(look, write)


def _told(image: Path, others: Namesakes) -> list[Description | None]:
    """What all that speaks of an image alone says of it: its own file, then its sidecars.

    Raises ImageError where that cannot be told.
    """
    full, stem = _spelt(image), _spelt(image.with_suffix(""))
    own = [full] if _why_not_own(stem, image, others) else [full, stem]
    return [description_inside(image), *map(_description, own)]


def _held(found: Description | None, told: list[Description | None]) -> Held:
    """What a place has that says `found`; a text of the user's counts wherever it is."""
    if any(description is not None and not description.is_ours for description in told):
        return Held.THEIRS
    return Held.NOTHING if found is None else Held.OURS


def _description(path: Path) -> Description | None:
    """What a sidecar says, if it is there."""
    document = _read(path)
    return None if document is None else read_description(document, printable(path))


def _sidecar(image: Path, name: XmpName | None, others: Namesakes) -> Path:
    """Where the description of an image is, or is to be; raises ImageError for a shared file."""
    full, stem = _spelt(image), _spelt(image.with_suffix(""))
    if name is XmpName.FULL or (name is None and os.path.lexists(full)):
        return full
    if name is None and not os.path.lexists(stem):
        return full
    why = _why_not_own(stem, image, others)
    if why is None:
        return stem
    if name is XmpName.STEM:
        raise _of_other(stem, image, why)
    return full


def _why_not_own(stem: Path, image: Path, others: Namesakes) -> str | None:
    """Why a sidecar of the stem is not, or would not be, of the image alone."""
    sharing = others(image)
    whole = image.with_suffix("")  # of photo.jpg.png it is another one's whole name
    if whole.suffix.lower() in WITH_XMP and whole.is_file():
        sharing = [whole.name, *sharing]
    if sharing:
        return f"is shared with {', '.join(map(printable, sharing))}"
    document = _read(stem)
    if document is not None and is_of_other_file(document, image.suffix):
        return "says that it is of a file with another suffix"
    return None


def _of_other(path: Path, image: Path, why: str) -> ImageError:
    return ImageError(
        "sidecar",
        f"{printable(path)}: not written for {printable(image.name)}, since it {why}; --xmp-name "
        f"{XmpName.FULL.value} keeps them apart",
    )


def _spelt(start: Path) -> Path:
    """The sidecar that is there, in small or capital letters; else the former."""
    names = [start.with_name(start.name + suffix) for suffix in _SUFFIXES]
    return next((path for path in names if os.path.lexists(path)), names[0])


def _read(path: Path) -> bytes | None:
    if not os.path.lexists(path):
        return None
    if not path.is_file():
        raise _no_file(path)
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)  # more is refused
    except OSError as error:
        raise ImageError(
            "sidecar", f"{printable(path)}: cannot be read ({error.strerror})"
        ) from None


def _no_file(path: Path) -> ImageError:
    return ImageError("sidecar", f"{printable(path)}: is a link or no file; left as it is")


def _replace(path: Path, text: bytes) -> None:
    """Write a sidecar anew, or in the place of another one with its mode and owner."""
    is_there = path.exists()
    write_whole(path, text, keep=is_there)
    if is_there:
        os.utime(path)  # programs read it again when it is newer


def _require_writable(path: Path, *needed: Path) -> None:
    if not all(os.access(needs, os.W_OK) for needs in needed):
        raise _unwritable(path, os.strerror(errno.EACCES))


def _write(path: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        raise _unwritable(path, error.strerror) from None


def _unwritable(path: Path, reason: str | None) -> ImageError:
    return ImageError("sidecar", f"{printable(path)}: cannot be written ({reason})")
