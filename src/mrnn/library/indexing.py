"""Bring a library up to date: new, changed, moved and deleted pictures.

    scanning.scan          what is there now      against    Catalogue.files    what was there
    describing.describe    what is new, read and encoded, part by part
    VectorStore.write      its vectors, forced to the disk
    Catalogue.transaction  then, as a whole, what they are of: only now they count

Killed at any moment, the next update goes on after the last transaction.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..captioner import Captioner
from ..datasets.examples import Problem
from ..errors import DataError, ImageError
from ..images.features import BATCH
from ..images.finding import Picture, printable
from ..images.formats import readers
from ..images.reading import date_of, open_picture
from ..scoring.ranking import Stage
from .away import above, away, mounted_elsewhere
from .catalogue import Catalogue
from .contents import Content, File, State
from .describing import Described, caption_vectors
from .scanning import scan
from .vectors import VectorStore

# Files, the model, whether to caption, and which contents are known: what the files are, in order,
# part by part. When the next part is asked for, the one before is safe on the disk.
Describer = Callable[
    [Sequence[File], Captioner, bool, Callable[[bytes], bool]], Iterator[Described]
]


_READERS = "readers"  # the fact that says what pictures are read by


@dataclass(frozen=True)
class Indexed:
    """What an update found and did, in files."""

    files: int  # there now
    new: int
    changed: int
    moved: int  # of the new, those that lay elsewhere before, and do no more
    deleted: int  # the moved are not among them
    read: int  # distinct pictures that were decoded
    others: Mapping[str, int]  # how many have which suffix, of no pictures; left out
    errors: tuple[tuple[Picture, ImageError], ...]  # what cannot be read, and was not told before
    problems: tuple[Problem, ...]  # members of tar files that cannot be used
    left_out: Mapping[str, int]  # entries by a program's name for them, or a pattern
    waiting: int = 0  # files that are not settled, and stay as they were known
    is_upgraded: bool = False  # whether the catalogue is of another format now


def update(
    catalogue: Catalogue,
    store: VectorStore,
    captioner: Captioner,
    roots: Sequence[Path],
    with_captions: bool,
    describe: Describer,
    stage: Stage,
    exclude: Sequence[str] = (),
    is_settled: Callable[[File], bool] = lambda file: True,
) -> Indexed:
    """Make a library tell what lies under absolute paths, but for what patterns exclude.

    A file that is not settled, such as one that is still being copied, stays as it was known.
    Raises DataError when the library cannot be written; what was done until then is kept.
    """
    before = {key: state for root in roots for key, state in catalogue.states(root).items()}
    now = scan(roots, exclude)
    unseen = {os.fsencode(path): error for path, error in now.unseen}
    unseen |= {os.fsencode(root): error for root, error in away(catalogue, roots, before, unseen)}
    waiting = {file.key for file in now.files if not is_settled(file)}
    there = {file.key: file for file in now.files if file.key not in waiting}
    for key in [key for key, file in there.items() if file.fault and _was_read(before.get(key))]:
        unseen[key] = _kept(there.pop(key))
    pending = {
        key: replace(file, fault=None)
        for key, file in there.items()
        if key not in before or not before[key].is_that_of(file)
    }
    unmarked = [there[k] for k, was in before.items() if was.ctime_ns is None and k in there]
    changed = 0
    arrived: set[bytes] = set()  # digests of new files
    read = done = 0
    with stage("indexing", "images") as on_progress:
        on_progress(0, len(pending))
        for part in describe(list(pending.values()), captioner, with_captions, catalogue.knows):
            read += _enter(catalogue, store, part)
            arrived.update(f.digest for f in part.files if f.digest and f.key not in before)
            changed += sum(
                _was_read(before.get(f.key)) and before[f.key].digest != f.digest
                for f in part.files
            )
            done += len(part.files)
            on_progress(done, len(pending))
    gone = _gone(before.keys() - there.keys() - waiting, unseen)
    with catalogue.transaction():
        catalogue.drop_files(gone)
        catalogue.put_marks(unmarked)
        catalogue.drop_roots(_lost_roots(roots, before.keys(), unseen))
    if with_captions:
        _add_captions(catalogue, store, captioner, stage)
    _add_dates(catalogue, stage)
    moved = sum(before[key].digest in arrived for key in gone)
    return Indexed(
        files=len(there),
        new=len(pending.keys() - before.keys()),
        changed=changed,
        moved=moved + mounted_elsewhere(catalogue, roots, arrived),
        deleted=len(gone) - moved,
        read=read,
        others=now.others,
        errors=(
            *((Path(os.fsdecode(p)), error) for p, error in unseen.items() if p not in gone),
            *_unreadable(catalogue, roots, {key: before.get(key) for key in pending}),
        ),
        problems=now.problems,
        left_out=now.left_out,
        waiting=len(waiting),
    )


def forget_unusable(catalogue: Catalogue, store: VectorStore) -> None:
    """Have pictures read anew whose vectors are lost, or that something else reads now."""
    if lost := store.lost(catalogue.next_row()):
        with catalogue.transaction():
            catalogue.forget_rows(lost)
        store.fill(lost)
    if catalogue.facts().get(_READERS) != (now := readers()):
        with catalogue.transaction():
            catalogue.forget_refused()
            catalogue.put_facts({_READERS: now})


def _was_read(before: State | None) -> bool:
    return before is not None and before.digest is not None


def _kept(file: File) -> ImageError:
    """Why a file cannot be looked at that could be once; a link may lead to a disk that is away."""
    why = file.fault[1] if file.fault else ""
    kept = "what the library knows of it stays"
    return ImageError("unreadable", f"{printable(file.picture)}: {why}; {kept}")


def _enter(catalogue: Catalogue, store: VectorStore, part: Described) -> int:
    """Make a part count: its vectors, then all that is known; returns how many are new."""
    first = catalogue.next_row()
    vectors = iter(part.vectors)
    kept: list[np.ndarray] = []
    new: dict[bytes, Content] = {}
    for content in part.contents:
        vector = next(vectors) if content.fault is None else None
        if content.digest in new or catalogue.knows(content.digest):  # two files of a part, say
            continue
        if vector is None:
            new[content.digest] = content
        else:
            new[content.digest] = replace(content, row=first + len(kept))
            kept.append(vector)
    if kept:
        store.write(first, np.stack(kept))
    with catalogue.transaction():
        if catalogue.next_row() != first:
            raise DataError("another machine adds to this library; let only one do so at a time")
        catalogue.add_contents(new.values(), first + len(kept))
        catalogue.put_files(part.files)
    return len(kept)


def _gone(absent: Set[bytes], unseen: Mapping[bytes, ImageError]) -> set[bytes]:
    """Which of these files are there no more; a folder that is missing may be back tomorrow."""
    unreadable = {path for path, error in unseen.items() if error.code != "missing"}
    return {key for key in absent - unreadable if unseen.keys().isdisjoint(above(key))}


def _lost_roots(
    roots: Sequence[Path], before: Set[bytes], unseen: Mapping[bytes, ImageError]
) -> set[bytes]:
    """Roots that are missing and had nothing below them: files that went, names never right."""
    missing = {path for path, error in unseen.items() if error.code == "missing"}
    missing &= set(map(os.fsencode, roots))
    return missing - {folder for key in (before if missing else ()) for folder in above(key)}


def _add_captions(
    catalogue: Catalogue, store: VectorStore, captioner: Captioner, stage: Stage
) -> None:
    """Caption the pictures that were indexed without."""
    rows = catalogue.without_caption()
    vectors = store.open(catalogue.next_row())
    with stage("captioning", "images") as on_progress:
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            captions = caption_vectors(captioner, vectors[np.array(part)])
            with catalogue.transaction():
                catalogue.set_captions(dict(zip(part, captions, strict=True)))
            on_progress(start + len(part), len(rows))


def _add_dates(catalogue: Catalogue, stage: Stage) -> None:
    """Ask the pictures that were indexed by a version before when they were taken."""
    rows = catalogue.without_date()
    if not rows:
        return
    with stage("dates", "images") as on_progress:
        for start in range(0, len(rows), BATCH):
            part = catalogue.pictures(rows[start : start + BATCH])
            dates = {row: _date(places) for row, (_, places) in part.items()}
            with catalogue.transaction():
                catalogue.set_dates({row: date for row, date in dates.items() if date is not None})
            on_progress(min(start + BATCH, len(rows)), len(rows))


def _date(places: Sequence[Picture]) -> str | None:
    """Of a picture where it lies; None where it cannot be opened today."""
    for place in places:
        with suppress(ImageError, OSError), open_picture(place) as file:
            return date_of(file)
    return None


def _unreadable(
    catalogue: Catalogue, roots: Sequence[Path], tried: Mapping[bytes, State | None]
) -> Iterator[tuple[Picture, ImageError]]:
    """The files that could not be read, of those that were tried, and why; not what was told.

    That a file could not be opened is told once, though it is tried every time.
    """
    told: set[bytes] = set()  # roots may lie in each other
    for root in roots if tried else ():
        for file, error in catalogue.unreadable(root):
            was = tried.get(file.key)
            is_told = was is not None and file.fault is not None and was.fault == error.code
            if file.key in tried and file.key not in told and not is_told:
                told.add(file.key)
                yield file.picture, error
