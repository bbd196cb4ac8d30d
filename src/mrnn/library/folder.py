"""The folder of a library: whether there is one in it, and whether there could be."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError, UsageError
from ..images.finding import printable
from .catalogue import CATALOGUE


def require_indexed(folder: Path) -> None:
    """Raise UsageError where nothing was indexed so far, and so nothing can be looked at again."""
    if not (folder / CATALOGUE).exists():
        raise UsageError(f"{printable(folder)}: no library there yet; say what to index: PATH...")


def require_own_folder(folder: Path) -> None:
    """Raise DataError for a folder that holds other files and no library; OSError."""
    entries = folder.iterdir() if folder.is_dir() else ()
    shown = any(not entry.name.startswith(".") for entry in entries)
    if shown and not (folder / CATALOGUE).exists():
        name = printable(folder)
        raise DataError(f"{name}: holds other files, and no library; name another folder")
