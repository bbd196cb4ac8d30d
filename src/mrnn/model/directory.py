"""Where a model lies: found before anything that reads it is imported."""

from __future__ import annotations

from pathlib import Path

from ..config import SHIPPED
from ..errors import BundleError
from ..images.finding import printable

_BUNDLES = Path(__file__).parents[1] / "bundles"


def find_bundle(name: str) -> Path:
    """Directory of a shipped bundle ("default", "plain"), or the path itself.

    A folder of one's own with such a name is "./plain".
    """
    if name in SHIPPED:
        return _BUNDLES / name
    return Path(name)


def require_directory(directory: Path) -> None:
    """Raise BundleError where there is no model directory."""
    if not directory.is_dir():
        shipped = ", ".join(SHIPPED)
        raise BundleError(
            f"{printable(directory)}: no such model directory (shipped models: {shipped})"
        )
