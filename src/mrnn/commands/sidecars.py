"""Sidecars: a caption in a text file beside its picture, `photo.jpg.caption.txt`.

Those have a mark, by which ours are known. Trainers of image generators read `photo.txt`, the
caption alone: there nobody can tell whose it is.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..errors import ImageError, UsageError
from ..files import write_whole
from ..images.finding import SIDECAR, SUFFIXES, printable
from ..results import Caption
from .namesakes import WITH_XMP, namesakes
from .places import Held, Place

_MARK = "[mrnn "  # begins the last line of every sidecar that is ours
_LONGEST = 1 << 20  # bytes of a text that is a caption, somebody else's too
# Of files beside pictures that are texts, but no captions: settings of programs, data, pages.
_DATA = frozenset(
    {".json", ".jsonl", ".xml", ".csv", ".tsv", ".html", ".htm", ".svg", ".yaml", ".yml", ".toml"}
    | {".aae", ".pp3", ".dop", ".arp", ".ini", ".py", ".db", ".sqlite", ".npy", ".npz", ".zip"}
)


def sidecar_of(image: Path) -> Path:
    """Where the caption of an image goes."""
    return image.with_name(image.name + SIDECAR)


def has_caption(image: Path, caption: str) -> bool:
    """Whether the image has a sidecar of ours with this caption."""
    path = sidecar_of(image)
    return _is_ours(path) and path.read_text(encoding="utf-8").splitlines()[0] == caption


def marked_sidecars() -> Place:
    """Sidecars that say that they are ours."""

    def look(image: Path) -> Held:
        path = sidecar_of(image)
        _require_ours(path)
        _require_folder(path)
        return Held.OURS if os.path.lexists(path) else Held.NOTHING

    def write(image: Path, caption: Caption) -> None:
        write_sidecar(image, caption.text, caption.perplexity)

    return Place(look, write)


def plain_sidecars(suffix: str) -> Place:
    """Sidecars `photo.txt` that hold the caption alone; raises UsageError for a suffix."""
    if not suffix.startswith(".") or "/" in suffix or os.sep in suffix or suffix.endswith("."):
        raise UsageError(f"--sidecar-suffix {printable(suffix)}: it begins with a dot, as .txt")
    if (taken := _taken(suffix.lower())) is not None:
        raise UsageError(f"--sidecar-suffix {printable(suffix)}: {taken}")
    others = namesakes(SUFFIXES)

    def look(image: Path) -> Held:
        path = image.with_suffix(suffix)
        if sharing := others(image):
            raise ImageError(
                "sidecar",
                f"{printable(path)}: would be of {printable(image.name)} and of "
                f"{', '.join(map(printable, sharing))}; rename or remove one of them",
            )
        _require_folder(path)
        if not os.path.lexists(path):
            return Held.NOTHING
        if path.is_symlink() or not path.is_file() or path.samefile(image):
            what = "is a link, no file, or the image itself"
            raise ImageError("sidecar", f"{printable(path)}: {what}; left as it is")
        if not _is_text(path):
            raise ImageError("sidecar", f"{printable(path)}: is no plain text; left as it is")
        return Held.OURS

    def write(image: Path, caption: Caption) -> None:
        path = image.with_suffix(suffix)
        try:
            write_whole(path, f"{caption.text}\n")
        except OSError as error:
            raise _unwritable(path, error.strerror) from None

    return Place(look, write)


def _taken(suffix: str) -> str | None:
    """What files with this suffix are, if they are no captions."""
    last = suffix[suffix.rindex(".") :]
    if last in WITH_XMP:
        return "that is how pictures and films are called"
    if last == ".xmp":
        return "XMP is not plain text; that is --xmp"
    if suffix.endswith(SIDECAR):
        return "that is how the files of --sidecar are called"
    return "such files hold other data; choose another, as .txt" if last in _DATA else None


def _is_text(path: Path) -> bool:
    """Whether a file holds what a caption may be replaced in: a short text."""
    try:
        content = path.read_bytes() if path.stat().st_size <= _LONGEST else b"\0"
        text = content.decode()
    except (OSError, UnicodeDecodeError):
        return False
    return all(c.isprintable() or c.isspace() for c in text.removeprefix("\ufeff"))


def write_sidecar(image: Path, caption: str, perplexity: float) -> None:
    """Write the caption, replacing our own sidecar but no other file; raises ImageError."""
    from importlib import metadata  # takes half as long as NumPy

    path = sidecar_of(image)
    _require_ours(path)
    text = f"{caption}\n{_MARK}{metadata.version('mrnn')}, perplexity {perplexity:.2f}]\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise _unwritable(path, error.strerror) from None


def _require_folder(path: Path) -> None:
    if not os.access(path.parent, os.W_OK):
        raise _unwritable(path, os.strerror(errno.EACCES))


def _require_ours(path: Path) -> None:
    if os.path.lexists(path) and not _is_ours(path):
        raise ImageError("sidecar", f"{printable(path)}: exists and is not ours; left as it is")


def _unwritable(path: Path, reason: str | None) -> ImageError:
    return ImageError("sidecar", f"{printable(path)}: cannot be written ({reason})")


def _is_ours(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file():
            return False
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return len(lines) == 2 and lines[1].startswith(_MARK)
