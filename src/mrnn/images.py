"""Open, validate, decode and preprocess images: the only home of pixel constants."""

from __future__ import annotations

import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError

MAX_PIXELS = 100_000_000
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif"}
)
SIDECAR = ".caption.txt"  # ends the name of a caption's file beside its image
# Everything else Pillow can open (EPS starts Ghostscript, PDF, FPX, ...) is refused.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded image to encoder input; stored in the bundle and reused as it is.

    The whole picture is squashed to a square: no part of it is lost, and Flickr8K as we
    have it was made that way.
    """

    size: int  # side of the square input, pixels
    mean: float = 127.0  # subtracted from values 0..255
    scale: float = 128.0  # divides what is left


def preprocess(image: Image.Image, how: Preprocessing) -> np.ndarray:
    """Turn an RGB image into encoder input, (3, size, size) float32."""
    squashed = image.resize((how.size, how.size), Image.Resampling.BICUBIC, reducing_gap=2.0)
    pixels = np.asarray(squashed, dtype=np.float32)  # (S, S, 3), 0..255
    return np.ascontiguousarray(((pixels - how.mean) / how.scale).transpose(2, 0, 1))


def read_image(path: str | os.PathLike[str], at_least: int | None = None) -> Image.Image:
    """Read the first frame of an image file as upright RGB.

    `at_least` lets a JPEG be decoded at a reduced scale not smaller than that many pixels a
    side. Transparency is composited on white, 16-bit values are scaled, EXIF orientation is
    applied. Raises ImageError with code missing, unreadable, not-a-file, empty, not-an-image,
    too-large or damaged.
    """
    path = Path(path)
    name = printable(path)
    check_file(path)
    try:
        with _without_warnings(), Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError("too-large", _too_large(name, width, height))
            if at_least is not None:
                image.draft("RGB", (at_least, at_least))
            return _to_rgb(_upright(image))
    except ImageError:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise ImageError("too-large", _too_large(name)) from None
    except UnidentifiedImageError:
        raise ImageError(
            "not-an-image", f"{name}: not an image in a known format (JPEG, PNG, WebP, ...)"
        ) from None
    except Exception as error:  # Pillow's readers raise nearly anything on mutated files
        raise ImageError(
            "damaged", f"{name}: the image is damaged or cut short ({error}); get a fresh copy"
        ) from None


@dataclass(frozen=True)
class FoundImages:
    """What lies under some paths."""

    images: tuple[Path, ...]
    errors: tuple[tuple[Path, ImageError], ...]  # folders that cannot be read
    others: int  # files in folders that are not images by their suffix


def find_images(paths: Sequence[str | os.PathLike[str]]) -> FoundImages:
    """List the images under `paths` in order.

    A folder is walked recursively in sorted order; hidden entries are skipped; links to files
    are followed, links to folders once. A file named explicitly is always listed.
    """
    images: list[Path] = []
    errors: list[tuple[Path, ImageError]] = []
    others = 0
    for given in map(Path, paths):
        if not _is_folder(given):
            images.append(given)
            continue
        for path in _walk(given, set(), errors):
            if path.suffix.lower() in SUFFIXES:
                images.append(path)
            elif not path.name.endswith(SIDECAR):
                others += 1
    return FoundImages(tuple(images), tuple(errors), others)


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that is safe to print: undecodable bytes and control characters escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in os.fspath(path))


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # Python keeps an undecodable byte as a lone surrogate
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, or inside a folder that may not be entered
        return False


def _walk(
    folder: Path, seen: set[tuple[int, int]], errors: list[tuple[Path, ImageError]]
) -> Iterator[Path]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        message = f"{printable(folder)}: the folder cannot be read ({error.strerror})"
        errors.append((folder, ImageError("unreadable", message)))
        return
    for entry in entries:
        if _is_folder(entry):
            yield from _walk(entry, seen, errors)
        else:
            yield entry


def check_file(path: Path) -> None:
    """Raise ImageError unless there is a regular file with something in it."""
    name = printable(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ImageError("missing", f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise ImageError("unreadable", f"{name}: cannot be opened ({error})") from None
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not-a-file", f"{name}: not a regular file")
    if status.st_size == 0:
        raise ImageError("empty", f"{name}: the file is empty")
    if not os.access(path, os.R_OK):
        raise ImageError("unreadable", f"{name}: permission denied")


_FILTERS = threading.Lock()
_PILLOW = re.compile(r"PIL\.")
_readers = 0  # threads that are reading an image


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Ignore what Pillow warns of (metadata it skips, sizes below our cap) while anyone reads.

    warnings.catch_warnings is not for threads: one would restore the filters over another's.
    """
    global _readers  # noqa: PLW0603 - guarded by the lock
    with _FILTERS:
        _readers += 1
        if _readers == 1:
            warnings.filterwarnings("ignore", module=_PILLOW.pattern)
    try:
        yield
    finally:
        with _FILTERS:
            _readers -= 1
            if not _readers:
                with suppress(ValueError):
                    cast(list[Any], warnings.filters).remove(("ignore", None, Warning, _PILLOW, 0))


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken metadata beside sound pixels
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = _from_16_bit(np.asarray(image, dtype=np.uint16))
    elif image.mode in ("I", "F"):
        values = np.asarray(image)
        # Pillow opens 16-bit PNG and PGM as I in some versions; its own conversion clips to white.
        image = _from_16_bit(values) if values.max(initial=0) > 255 else image.convert("L")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(values: np.ndarray) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 65535) / 256).astype(np.uint8))


def _too_large(name: str, width: int = 0, height: int = 0) -> str:
    size = f"{width} x {height} pixels is " if width else ""
    limit = MAX_PIXELS // 1_000_000
    return f"{name}: {size}more than {limit} megapixels; make a smaller copy"
