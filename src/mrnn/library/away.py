"""Folders that are not there now: their disk may be away, or mounted elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from ..errors import ImageError
from ..images.finding import Member, Picture, printable
from .catalogue import Catalogue
from .contents import State

_TRIED = 1_000  # pictures of a folder that are sought elsewhere


def away(
    catalogue: Catalogue,
    roots: Sequence[Path],
    before: Mapping[bytes, State],
    unseen: Mapping[bytes, ImageError],
) -> Iterator[tuple[Path, ImageError]]:
    """Folders that held pictures and are missing or empty now: perhaps their disk is not there.

    `before` is what was known of files, `unseen` what cannot be looked at, both by path.
    """
    for root in roots:
        key, name = os.fsencode(root), printable(root)
        error = unseen.get(key)
        if error is None and _is_empty(root):
            error = ImageError("empty", f"{name}: the folder is empty")
        if error is None or error.code not in ("empty", "missing"):
            continue
        if held := [was.digest for path, was in before.items() if key in above(path)]:
            what = f"{error}; its {len(held):,} files stay in the library, since their disk may be "
            what += f"away; {_elsewhere(catalogue, root, held)}; to take them out: "
            yield root, ImageError(error.code, f"{what}mrnn index --forget {name}")


def _elsewhere(catalogue: Catalogue, root: Path, digests: Sequence[bytes | None]) -> str:
    """Where one of these pictures lies now, or what to do if somebody knows where."""
    places = (
        place
        for digest in filter(None, digests[:_TRIED])
        for place in catalogue.places(digest)
        if root not in _file_of(place).parents and is_there(place)
    )
    if (one := next(places, None)) is None:
        return "if the folder lies elsewhere now: mrnn index THAT-FOLDER"
    return f"some are found elsewhere now, such as {printable(one)}"


def _file_of(picture: Picture) -> Path:
    return picture.shard if isinstance(picture, Member) else picture


def is_there(picture: Picture) -> bool:
    """Whether a picture's file, or the tar file that holds it, is where it was."""
    return os.path.exists(_file_of(picture))  # noqa: PTH110 - never raises


def mounted_elsewhere(catalogue: Catalogue, roots: Sequence[Path], arrived: Set[bytes]) -> int:
    """How many pictures that came in lie in other folders, too, which are not there now."""
    given = set(roots)
    others = [root for root in catalogue.roots() if root not in given] if arrived else []
    absent = [root for root in others if _is_empty(root) or not is_there(root)]
    states = (state for root in absent for state in catalogue.states(root).values())
    return len(arrived & {state.digest for state in states})


def _is_empty(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is None
    except OSError:  # no folder, or one that cannot be read
        return False


def above(key: bytes) -> Iterator[bytes]:
    """The folders above a file, and the tar file that a member lies in."""
    path, zero, _ = key.partition(b"\0")
    if zero:
        yield path
    while (end := path.rfind(b"/")) > 0:
        path = path[:end]
        yield path
    yield b"/"
