"""A folder of pictures, each beside a text file of the same name with a caption a line.

The text of photo.jpg is photo.caption, photo.txt, photo.jpg.caption or photo.jpg.txt, the first
that is there: trainers of image generators keep sentences in .caption and tags in .txt.
"""

from __future__ import annotations

import filecmp
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError, UsageError
from ..images.finding import SIDECAR, SUFFIXES, printable
from .entries import Entry, Format, Found, Listing, split_of_folders
from .examples import Problem
from .lines import numbered_lines

_TEXTS = ("caption", "txt")  # kinds of text
# Texts about the folder, not about a picture.
_NOTICES = {"readme", "license", "licence", "copying", "notice", "changelog", "citation"}


def _find(listing: Listing, by_content: bool) -> list[Path]:
    """The folder, where any picture has its text beside it."""
    if not by_content:
        return []
    for inside in _walk(listing):
        if isinstance(inside, Listing) and any(_pictures(inside)[0].values()):
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
    home = "/".join(inside.folder.relative_to(data).parts)
    used: set[str] = set()
    pictures, all_texts = _pictures(inside)
    sharing: dict[str, list[str]] = {}
    for name, texts in pictures.items():
        for text in texts[:1]:
            sharing.setdefault(text, []).append(name)
    for name, texts in pictures.items():
        if texts and _differ(inside.folder, sharing[texts[0]]):
            several = " and ".join(map(printable, sharing[texts[0]]))
            what = f"{printable(texts[0])} may be of {several}, which differ; skipped"
            yield Problem(printable(inside.folder / name), what, split)
        elif texts:
            own = f"{home}/{name}" if home else name
            yield from _captions(inside.folder / texts[0], own, data, split)
            second += (f"{printable(other)} (but {printable(texts[0])})" for other in texts[1:])
        else:
            path = inside.folder / name
            what = f"no {printable(path.stem)}.txt with captions beside it; skipped"
            yield Problem(printable(path), what, split)
        used.update(texts)
    for text in all_texts:
        if text not in used and Path(text).stem.lower() not in _NOTICES:
            what = "no picture of that name beside it; skipped"
            yield Problem(printable(inside.folder / text), what, split)


def _differ(folder: Path, names: Sequence[str]) -> bool:
    """Whether several files are not copies of the same bytes."""
    first, *others = (folder / name for name in names)
    try:
        return not all(filecmp.cmp(first, other, shallow=False) for other in others)
    except OSError:
        return True


def _captions(text: Path, picture: str, data: Path, split: str | None) -> Iterator[Found]:
    place = printable(text)
    try:
        for number, line in numbered_lines(text):
            yield Entry(f"{place}:{number}", picture, (data,), (line,), split)
    except DataError as error:  # of this text alone
        yield Problem(place, f"{str(error).removeprefix(place + ': ')}; skipped", split)


def _pictures(inside: Listing) -> tuple[dict[str, list[str]], list[str]]:
    """Pictures of a folder, each with its texts, the one that counts first; and all texts."""
    pictures: dict[str, str] = {}  # with the name without suffix
    texts: dict[str, list[str]] = {}  # by that; .caption comes before .txt in a folder's order
    for name in inside.files:
        stem, _, suffix = name.rpartition(".")
        suffix = suffix.lower()
        if f".{suffix}" in SUFFIXES:
            pictures[name] = stem
        elif suffix in _TEXTS and not name.endswith(SIDECAR):
            texts.setdefault(stem, []).append(name)
    found = {name: [*texts.get(stem, ()), *texts.get(name, ())] for name, stem in pictures.items()}
    owned = {text for own in found.values() for text in own}
    alike = {
        _composed(stem): own
        for stem, own in texts.items()
        if not stem.isascii() and owned.isdisjoint(own)
    }
    for name, own in found.items():
        if alike and not own:
            own += [
                text for one in (pictures[name], name) for text in alike.get(_composed(one), ())
            ]
    return found, [text for own in texts.values() for text in own]


def _composed(name: str) -> str:
    """A name as one of the two ways to write an accent has it; systems differ in them."""
    return unicodedata.normalize("NFC", name)


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
