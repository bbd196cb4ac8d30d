"""Sidecars: a caption in a text file beside its picture, `photo.jpg.caption.txt`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ImageError
from ..files import write_whole
from ..images.finding import SIDECAR, printable
from ..results import Caption

_MARK = "[mrnn "  # begins the last line of every sidecar that is ours


def sidecar_of(image: Path) -> Path:
    """Where the caption of an image goes."""
    return image.with_name(image.name + SIDECAR)


def is_done(image: Path) -> bool:
    """Whether the image has a sidecar of ours."""
    return _is_ours(sidecar_of(image))


def has_caption(image: Path, caption: str) -> bool:
    """Whether the image has a sidecar of ours with this caption."""
    path = sidecar_of(image)
    return _is_ours(path) and path.read_text(encoding="utf-8").splitlines()[0] == caption


def with_sidecars(
    results: Iterable[tuple[Path, Caption | ImageError]],
) -> Iterator[tuple[Path, Caption | ImageError]]:
    """Write each caption beside its image as it passes; a failure takes the caption's place."""
    for image, result in results:
        try:
            if not isinstance(result, ImageError):
                write_sidecar(image, result.text, result.perplexity)
            yield image, result
        except ImageError as error:
            yield image, error


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


def require_sidecar(image: Path) -> None:
    """Raise ImageError where no caption of ours can be written beside an image."""
    path = sidecar_of(image)
    _require_ours(path)
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
