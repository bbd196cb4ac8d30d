"""Captions as `dc:description` in XMP: in a sidecar, or in the picture's own file.

Sidecars have one of two names: photo.jpg.xmp (digiKam, darktable, immich), or photo.xmp
(Lightroom), which a picture shares with all others of its stem.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import ImageError
from ..files import write_whole
from ..images.embedding import has_iptc_caption, read_xmp, with_xmp
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
        document = _read(path)
        found = None if document is None else read_description(document, printable(path))
        _require_writable(path, path.parent)
        with suppress(ImageError):
            if found is None and _inside(image) is Held.THEIRS:  # which a sidecar would hide
                return Held.THEIRS
        return _held(found)

    def write(image: Path, caption: Caption) -> None:
        path = _sidecar(image, name, others)
        text = with_description(_read(path), caption.text, printable(path))
        _write(path, lambda: _replace(path, text))

    return Place(look, write)


def embedded() -> Place:
    """The pictures' own files, whose mode and dates stay; a link's target, not the link."""

    def look(image: Path) -> Held:
        held = _inside(image)
        path = image.resolve()
        _require_writable(path, path, path.parent)
        return held

    def write(image: Path, caption: Caption) -> None:
        name = printable(image)
        with open_picture(image) as file:
            content = file.read()
            file.seek(0)
            document = read_xmp(file, name)
        content = with_xmp(content, with_description(document, caption.text, name), name)
        _write(image, lambda: write_whole(image.resolve(), content, keep=True))

    return Place(look, write)


def _held(found: Description | None) -> Held:
    if found is None:
        return Held.NOTHING
    return Held.OURS if found.is_ours else Held.THEIRS


def _inside(image: Path) -> Held:
    """What the picture's own file says; raises ImageError where that cannot be told."""
    name = printable(image)
    with open_picture(image) as file:
        document = read_xmp(file, name)
        found = None if document is None else read_description(document, name)
        if found is None and has_iptc_caption(file):
            return Held.THEIRS
    return _held(found)


def _sidecar(image: Path, name: XmpName | None, others: Namesakes) -> Path:
    """Where the description of an image is, or is to be; raises ImageError for a shared file."""
    full, stem = (_spelt(start) for start in (image, image.with_suffix("")))
    if name is XmpName.FULL or (name is None and os.path.lexists(full)):
        return full
    sharing = others(image)
    whole = image.with_suffix("")  # of photo.jpg.png it is another one's whole name
    if whole.suffix.lower() in WITH_XMP and whole.is_file():
        sharing = [whole.name, *sharing]
    if name is XmpName.STEM and sharing:
        raise _of_other(stem, image, f"is shared with {', '.join(map(printable, sharing))}")
    if not os.path.lexists(stem):
        return stem if name is XmpName.STEM else full
    document = None if sharing else _read(stem)
    is_ours = document is not None and not is_of_other_file(document, image.suffix)
    if name is XmpName.STEM and not is_ours:
        raise _of_other(stem, image, "says that it is of a file with another suffix")
    return stem if is_ours else full


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
    if path.is_symlink() or not path.is_file():
        raise ImageError("sidecar", f"{printable(path)}: is a link or no file; left as it is")
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)  # more is refused
    except OSError as error:
        raise ImageError(
            "sidecar", f"{printable(path)}: cannot be read ({error.strerror})"
        ) from None


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
