"""A folder of pictures, each beside a text file of the same name with a caption a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError, UsageError
from ..images.finding import SIDECAR, SUFFIXES, printable
from .entries import Entry, Format, Found, Listing, split_of_folders
from .examples import Problem
from .lines import numbered_lines

# Texts about the folder, not about a picture.
_NOTICES = {"readme", "license", "licence", "copying", "notice", "changelog", "citation"}


def _find(listing: Listing, by_content: bool) -> list[Path]:
    """The folder, where any picture has its text beside it."""
    if not by_content:
        return []
    for inside in _walk(listing):
        if isinstance(inside, Listing):
            pictures, texts = _by_stem(inside.files)
            if texts.keys() & set(pictures.values()):
                return [listing.folder]
    return []


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    """Pictures folder by folder; folders named after splits are splits."""
    [data] = files
    if images is not None:
        raise UsageError("--images does not go with pictures that lie beside their text files")
    for inside in _walk(Listing.of(data)):
        if isinstance(inside, Problem):
            yield inside
        else:
            parts = inside.folder.relative_to(data).parts
            yield from _entries(data, inside, split_of_folders(parts))


def _entries(data: Path, inside: Listing, split: str | None) -> Iterator[Found]:
    pictures, texts = _by_stem(inside.files)
    for name, stem in pictures.items():
        path = inside.folder / name
        if stem in texts:
            own = str(path.relative_to(data))
            yield from _captions(inside.folder / texts[stem], own, data, split)
        else:
            what = f"no {printable(stem)}.txt with captions beside it; skipped"
            yield Problem(printable(path), what, split)
    for stem in sorted(texts.keys() - set(pictures.values())):
        if stem.lower() not in _NOTICES:
            what = "no picture of that name beside it; skipped"
            yield Problem(printable(inside.folder / texts[stem]), what, split)


def _captions(text: Path, picture: str, data: Path, split: str | None) -> Iterator[Found]:
    place = printable(text)
    try:
        for number, line in numbered_lines(text):
            yield Entry(f"{place}:{number}", picture, (data,), (line,), split)
    except DataError as error:  # of this text alone
        yield Problem(place, f"{str(error).removeprefix(place + ': ')}; skipped", split)


def _by_stem(names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Pictures with their names without suffix, and texts by theirs."""
    pictures, texts = {}, {}
    for name in names:
        stem, _, suffix = name.rpartition(".")
        if f".{suffix.lower()}" in SUFFIXES:
            pictures[name] = stem
        elif suffix.lower() == "txt" and not name.endswith(SIDECAR):
            texts[stem] = name
    return pictures, texts


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
    return Listing.of(files[0]).ending(".txt")


FOLDER = Format(
    "folder of pictures and text files", "photo.jpg with photo.txt", _find, _read, _texts
)
