"""What is left to do with a data set: pictures without captions, and the one thing to do next."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ..images.finding import SUFFIXES, is_hidden, printable
from .examples import DataSet

FEW = 5_000  # captions, below which it pays to begin with a model that can already write
_SHOWN = 3  # pictures
_SHIPPED = "default"  # the model to begin with


def without_captions(data: DataSet, places: Iterable[Path]) -> dict[str, Any]:
    """How many pictures in some folders no caption belongs to, and the first of them."""
    folders = sorted({place.resolve() for place in places if place.is_dir()})
    tops = [f for f in folders if not any(other in f.parents for other in folders)]
    captioned: dict[Path, set[str]] = defaultdict(set)  # names by folder
    real: dict[Path, Path] = {}  # folders without links
    for example in data.examples:
        if isinstance(example.image, Path):
            folder = example.image.parent
            real.setdefault(folder, folder.resolve())
            captioned[real[folder]].add(example.image.name)
    count = 0
    examples: list[str] = []
    for folder, names in chain.from_iterable(map(_pictures, tops)):
        others = [name for name in names if name not in captioned[folder]]
        count += len(others)
        examples += [str(folder / name) for name in others[: _SHOWN - len(examples)]]
    return {"images": count, "examples": examples}


def _pictures(top: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with the names of their pictures, in order; what programs keep is passed over."""
    seen: set[Path] = set()
    for path, folders, files in os.walk(top, followlinks=True):
        folder = Path(path).resolve()
        folders[:] = sorted(f for f in folders if not is_hidden(f) and folder not in seen)
        if folder not in seen:
            seen.add(folder)
            names = (name for name in sorted(files) if not is_hidden(name))
            yield folder, [name for name in names if Path(name).suffix.lower() in SUFFIXES]


def few_captions(captions: int) -> str | None:
    """What to do with few captions, if they are few."""
    if captions >= FEW:
        return None
    return f"{captions:,} captions are few: --from {_SHIPPED} begins with a model that can write"


def next_step(reason: str | None, captions: int, arguments: Sequence[str]) -> str:
    """The one thing to do next: `reason` is why training is impossible, if so.

    `captions` counts those of train; `arguments` are those of `mrnn train`.
    """
    if reason is not None and "can be read" in reason:
        return "replace the pictures that cannot be read"
    if reason is not None:
        return "add pictures with captions, or a column `split` that says train and dev"
    start = ["--from", _SHIPPED] if captions < FEW else []
    command = printable(shlex.join(["mrnn", "train", *arguments, *start, "-o", "my-model"]))
    why = f"  # --from, since {captions:,} captions are few" if start else ""
    return f"{command}{why}"
