"""The JSON files of Karpathy's splits: images with their split and sentences."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..images.finding import printable
from ..words.text import join
from .documents import mentions, parse
from .entries import (
    Entry,
    Format,
    Found,
    Listing,
    identity,
    known_split,
    one_a_split,
    picture_folders,
    shown,
)
from .examples import Problem


class _Image(NamedTuple):
    id: int | str | None
    filename: Any
    filepath: Any
    split: Any
    sentences: Any


def _find(listing: Listing, by_content: bool) -> list[Path]:
    return [path for path in listing.ending(".json") if by_content and is_karpathy(path)]


def is_karpathy(path: Path) -> bool:
    """Whether a JSON file seems to be one of his."""
    return mentions(path, "images", "filename", "sentences")


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    for path, split in one_a_split(files):
        folders = picture_folders(path.parent, images)
        document = parse(path, _keep)
        if not isinstance(document, dict):
            raise DataError(f'{printable(path)}: expected a list of "images" with "sentences"')
        for number, image in enumerate(document["images"]):
            place = f"{printable(path)}: images[{number}]"
            yield from _entries(image, place, folders, split)


def _entries(
    image: object, place: str, folders: tuple[Path, ...], split_of_file: str | None
) -> Iterator[Found]:
    if not isinstance(image, _Image) or not isinstance(image.sentences, list):
        yield Problem(place, "expected an object with filename, split and sentences; skipped")
        return
    if not isinstance(image.filename, str) or not isinstance(image.filepath, str):
        yield Problem(place, "filename and filepath must be text; skipped")
        return
    split = split_of_file if image.split is None else known_split(image.split)
    if split is None and image.split is not None:
        yield Problem(place, f"unknown split '{shown(str(image.split))}'; skipped")
        return
    captions = [sentence for sentence in image.sentences if isinstance(sentence, str)]
    if len(captions) < len(image.sentences):
        yield Problem(place, "a sentence without raw text or tokens; skipped", split)
    path = posixpath.join(image.filepath, image.filename)
    yield Entry(place, path, folders, captions, split, identity=image.id)


def _keep(value: dict[str, Any]) -> object:
    if isinstance(value.get("images"), list):
        return {"images": value["images"]}
    if "filename" in value:
        fields = value["filename"], value.get("filepath", ""), value.get("split")
        return _Image(
            identity(value.get("imgid", value.get("cocoid"))), *fields, value.get("sentences")
        )
    raw, tokens = value.get("raw"), value.get("tokens")
    if isinstance(raw, str):
        return raw
    if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
        return join([token for token in tokens if token])
    return None


KARPATHY = Format(
    "Karpathy JSON", 'a JSON file of "images" with "sentences" (Karpathy)', _find, _read
)
