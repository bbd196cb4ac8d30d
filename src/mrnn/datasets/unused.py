"""What looks like captions or a list of a split, and is not read, is named."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..images.finding import printable
from .entries import Format, Listing, split_of_name
from .examples import Problem

_TEXTS = (".txt", ".lst", ".list", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".token")
_TABLES = (".parquet", ".arrow", ".feather", ".xlsx", ".xls", ".ods")
_WORDS = ("caption", "metadata", "sentence", "description")
# Known to be something else: COCO's other annotations, lemmas, what img2dataset counts, and what
# STAIR has in words beside the captions.
_OTHERS = ("instances_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_OTHER_ENDS = (".lemma.token.txt", "_stats.json", "_tokenized.json")
_INSIDE = ("metadata.jsonl", "metadata.csv", "metadata.parquet")  # of a folder that is a split


def unused(listing: Listing, kind: Format, files: Sequence[Path]) -> Iterator[Problem]:
    """A Problem for each file of a folder that looks so and is not among the `files` of its kind.

    What is read beside those is asked for only where anything looks so.
    """
    names = ((name, _looks_like(name)) for name in listing.files)
    found = [(listing.folder / name, what) for name, what in names if what]
    inside = (listing.folder / folder / name for folder in listing.folders for name in _INSIDE)
    # Whatever may not be seen is passed over.
    found += [(path, "captions") for path in inside if os.path.isfile(path)]  # noqa: PTH113
    used = {*files, *kind.also(files)} if found else set()
    yield from (_problem(path, what, kind) for path, what in found if path not in used)


def _problem(path: Path, what: str, kind: Format) -> Problem:
    message = f"looks like {what}, but is not read: the data is taken for {kind.name}; move it away"
    return Problem(printable(path), f"{message}, or name the file to be read instead")


def _looks_like(file: str) -> str | None:
    name = file.lower()
    if not name.endswith((*_TEXTS, *_TABLES)):
        return None
    if name.startswith(_OTHERS) or name.endswith(_OTHER_ENDS):
        return None
    if any(word in name for word in _WORDS):
        return "captions"
    split = split_of_name(name)
    return f"a list of the {split} split" if split else None
