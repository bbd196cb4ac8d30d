"""What looks like captions or a list of a split, and is not read, is named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..images.finding import printable
from .coco import IN_WORDS, OTHER_ANNOTATIONS, PICTURES_ALONE
from .entries import ANNOTATIONS, Format, Listing, split_of_name
from .examples import Problem
from .tables import METADATA

_TEXTS = (".txt", ".lst", ".list", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".token")
_TABLES = (".parquet", ".arrow", ".feather", ".xlsx", ".xls", ".ods")
_ENDS = (*_TEXTS, *_TABLES)
_BESIDE = (".txt", ".token", ".list")  # beside pictures these are of a picture each
_WORDS = ("caption", "metadata", "sentence", "description")
# Known to be something else, as COCO's other annotations are: lemmas, what img2dataset counts.
_OTHER_ENDS = (".lemma.token.txt", "_stats.json", f"{IN_WORDS}.json")
_LISTS = re.compile(r"(?<![a-z])(splits?|eval|train[-_ ]?val)(?![a-z])")
_INSIDE = (*METADATA, "captions.csv", "captions.tsv", "captions.json", "captions.jsonl")
_FOLDERS = (ANNOTATIONS, "splits", "split")  # beside those that are called after a split


def unused(listing: Listing, kind: Format, files: Sequence[Path]) -> Iterator[Problem]:
    """A Problem for each file of a folder that looks so and is not among the `files` of its kind.

    So do those in folders of annotations, of lists and of splits; what is read beside the files is
    asked for only where anything looks so.
    """
    names = ((name, _looks_like(name)) for name in listing.files)
    found = [(listing.folder / name, what) for name, what in names if what]
    for folder in listing.folders:
        found += _inside(listing.folder / folder)
    used = {*files, *kind.also(files)} if found else set()
    alike: dict[tuple[Path, str], list[Path]] = {}  # one problem for all in a folder below
    for path, what in found:
        if path not in used and path.parent == listing.folder:
            yield _problem(path, what, kind)
        elif path not in used:
            alike.setdefault((path.parent, what), []).append(path)
    for (_, what), paths in alike.items():
        others = f" (and {len(paths) - 1:,} others there)" if len(paths) > 1 else ""
        yield _problem(paths[0], f"{what}{others}", kind)


def _inside(folder: Path) -> list[tuple[Path, str]]:
    """What looks so in a folder; all of it is looked at where the name tells what it is for."""
    is_list = folder.name.lower() in _FOLDERS
    if not is_list and not split_of_name(folder.name):
        return _usual(folder)
    found, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for name in sorted(e.name for e in entries if e.name.lower().endswith(_ENDS)):
                what = _looks_like(name)
                if what and (is_list or not name.lower().endswith(_BESIDE)):
                    found.append((folder / name, what))
        with os.scandir(folder) as entries:
            folders = sorted(e.name for e in entries if "." not in e.name and e.is_dir())
    except OSError:  # it may not be entered
        return found
    for name in folders:
        found += _usual(folder / name)
    return found


def _usual(folder: Path) -> list[tuple[Path, str]]:
    """Captions by the usual names; whatever may not be seen is passed over."""
    paths = (folder / name for name in _INSIDE)
    return [(path, "captions") for path in paths if os.path.isfile(path)]  # noqa: PTH113


def _problem(path: Path, what: str, kind: Format) -> Problem:
    message = f"looks like {what}, but is not read: the data is taken for {kind.name}; move it away"
    return Problem(printable(path), f"{message}, or name the file to be read instead")


def _looks_like(file: str) -> str | None:
    name = file.lower()
    if not name.endswith(_ENDS):
        return None
    if name.startswith(OTHER_ANNOTATIONS) or PICTURES_ALONE in name:
        return None
    if name.endswith(_OTHER_ENDS):
        return None
    if any(word in name for word in _WORDS):
        return "captions"
    split = split_of_name(name)
    if split:
        return f"a list of the {split} split"
    return "a list of splits" if _LISTS.search(name) else None
