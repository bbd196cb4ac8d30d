"""Photographs for those who have none at hand: four of those that come with scikit-image."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import DependencyError

_SAMPLES = ("astronaut.png", "camera.png", "motorcycle_left.png", "chelsea.png")


def sample_photos() -> list[Path]:
    """Where they lie; raises DependencyError without the package.

    It is found, not imported, so that nothing that it needs itself need be there.
    """
    found = find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise DependencyError(
            "the sample photos come with scikit-image; type: pip install --no-deps scikit-image, "
            "or name photos of your own"
        )
    return [Path(found.submodule_search_locations[0], "data", name) for name in _SAMPLES]
