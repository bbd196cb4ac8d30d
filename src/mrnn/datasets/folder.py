"""A folder of pictures, each beside a text file of the same name with a caption a line.

The text of photo.jpg is photo.caption, photo.txt, photo.jpg.caption or photo.jpg.txt, the first
that is there: trainers of image generators keep sentences in .caption and tags in .txt.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError, UsageError
from ..images.finding import SIDECAR, SUFFIXES, printable
from .entries import Entry, Format, Found, Listing, split_of_folders
from .examples import Problem
from .lines import numbered_lines

_TEXTS = ("caption", "txt")  # kinds of text, the one that counts first
# Texts about the folder, not about a picture.
_NOTICES = {"readme", "license", "licence", "copying", "notice", "changelog", "citation"}


def _find(listing: Listing, by_content: bool) -> list[Path]:
    """The folder, where any picture has its text beside it."""
    if not by_content:
        return []
    for inside in _walk(listing):
        if isinstance(inside, Listing) and any(texts for _, texts in _pictures(inside)):
            return [listing.folder]
    return []


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    """Pictures folder by folder; folders named after splits are splits."""
    [data] = files
    if images is not None:
        raise UsageError("--images does not go with pictures that lie beside their text files")
    second: list[str] = []
    for inside in _walk(Listing.of(data)):
        if isinstance(inside, Problem):
            yield inside
        else:
            parts = inside.folder.relative_to(data).parts
            yield from _entries(data, inside, split_of_folders(parts), second)
    if second:
        what = f"{len(second):,} texts of pictures that have another are not read, as {second[0]}"
        yield Problem(printable(data), what)


def _entries(data: Path, inside: Listing, split: str | None, second: list[str]) -> Iterator[Found]:
    used: set[str] = set()
    for name, texts in _pictures(inside):
        path = inside.folder / name
        if texts:
            own = str(path.relative_to(data))
            yield from _captions(inside.folder / texts[0], own, data, split)
            second += (f"{printable(other)} (but {printable(texts[0])})" for other in texts[1:])
        else:
            what = f"no {printable(path.stem)}.txt with captions beside it; skipped"
            yield Problem(printable(path), what, split)
        used.update(texts)
    for text in inside.files:
        if _is_text(text) and text not in used and Path(text).stem.lower() not in _NOTICES:
            what = "no picture of that name beside it; skipped"
            yield Problem(printable(inside.folder / text), what, split)


def _captions(text: Path, picture: str, data: Path, split: str | None) -> Iterator[Found]:
    place = printable(text)
    try:
        for number, line in numbered_lines(text):
            yield Entry(f"{place}:{number}", picture, (data,), (line,), split)
    except DataError as error:  # of this text alone
        yield Problem(place, f"{str(error).removeprefix(place + ': ')}; skipped", split)


def _pictures(inside: Listing) -> Iterator[tuple[str, list[str]]]:
    """Pictures of a folder, each with its texts, the one that counts first."""
    texts: dict[tuple[str, str], str] = {}  # by name without suffix and by suffix
    for name in inside.files:
        if _is_text(name):
            stem, _, suffix = name.rpartition(".")
            texts[stem, suffix.lower()] = name
    alike = {
        (unicodedata.normalize("NFC", stem), kind): name for (stem, kind), name in texts.items()
    }
    for name in inside.files:
        stem, _, suffix = name.rpartition(".")
        if f".{suffix.lower()}" in SUFFIXES:
            keys = [(begin, kind) for begin in (stem, name) for kind in _TEXTS]
            own = [texts[key] for key in keys if key in texts]
            if not own and not name.isascii():  # two systems write é in two ways
                composite = ((unicodedata.normalize("NFC", begin), kind) for begin, kind in keys)
                own = [alike[key] for key in composite if key in alike]
            yield name, own


def _is_text(name: str) -> bool:
    return name.rpartition(".")[2].lower() in _TEXTS and not name.endswith(SIDECAR)


def _walk(top: Listing) -> Iterator[Listing | Problem]:
    """Every folder from the top, in order; a link to a folder is followed once."""
    seen: set[tuple[int, int]] = set()
    waiting = [top.folder]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            listing = top if folder is top.folder else Listing.of(folder)
        except (OSError, DataError):
            yield Problem(printable(folder), "the folder cannot be read; skipped")
            continue
        yield listing
        waiting += [folder / name for name in reversed(listing.folders)]


def _texts(files: Sequence[Path]) -> list[Path]:
    """Texts at the top, each of which is read or reported."""
    return Listing.of(files[0]).ending(*(f".{kind}" for kind in _TEXTS))


FOLDER = Format(
    "folder of pictures and text files",
    "photo.jpg with photo.txt or photo.caption",
    _find,
    _read,
    _texts,
)
