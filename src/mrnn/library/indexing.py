"""Bring a library up to date: new, changed, moved and deleted pictures.

    scanning.scan          what is there now      against    Catalogue.files    what was there
    describing.describe    what is new, read and encoded, part by part
    VectorStore.write      its vectors, forced to the disk
    Catalogue.transaction  then, as a whole, what they are of: only now they count

Killed at any moment, the next update goes on after the last transaction.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..captioner import Captioner
from ..datasets.examples import Problem
from ..errors import DataError, ImageError
from ..images.features import BATCH
from ..images.finding import Picture, printable
from ..scoring.ranking import Stage
from .catalogue import Catalogue, Content, File, State
from .describing import Described, caption_vectors
from .scanning import scan
from .vectors import VectorStore

# Files, the model, whether to caption, and which contents are known: what the files are, in order,
# part by part. When the next part is asked for, the one before is safe on the disk.
Describer = Callable[
    [Sequence[File], Captioner, bool, Callable[[bytes], bool]], Iterator[Described]
]


@dataclass(frozen=True)
class Indexed:
    """What an update found and did, in files."""

    files: int  # there now
    new: int
    changed: int
    moved: int  # of the new, those that lay elsewhere before
    deleted: int  # the moved are not among them
    read: int  # distinct pictures that were decoded
    others: Mapping[str, int]  # how many have which suffix, of no pictures; left out
    errors: tuple[tuple[Picture, ImageError], ...]  # what was tried and cannot be read
    problems: tuple[Problem, ...]  # members of tar files that are left out


def update(
    catalogue: Catalogue,
    store: VectorStore,
    captioner: Captioner,
    roots: Sequence[Path],
    with_captions: bool,
    describe: Describer,
    stage: Stage,
) -> Indexed:
    """Make a library tell what lies under absolute paths.

    Raises DataError when it cannot be written; what was done until then is kept.
    """
    before = {key: state for root in roots for key, state in catalogue.states(root).items()}
    now = scan(roots)
    unseen = {os.fsencode(path): error for path, error in now.unseen}
    unseen |= {os.fsencode(root): error for root, error in _emptied(roots, before)}
    there = {file.key: file for file in now.files}
    pending = {key: f for key, f in there.items() if not _is_same(f, before.get(key))}
    arrived: set[bytes] = set()  # digests of new files
    read = done = 0
    with stage("indexing", "images") as on_progress:
        on_progress(0, len(pending))
        for part in describe(list(pending.values()), captioner, with_captions, catalogue.knows):
            read += _enter(catalogue, store, part)
            arrived.update(f.digest for f in part.files if f.digest and f.key not in before)
            done += len(part.files)
            on_progress(done, len(pending))
    gone = _gone(before.keys() - there.keys(), unseen)
    with catalogue.transaction():
        catalogue.drop_files(gone)
        catalogue.drop_roots(_lost_roots(roots, before.keys(), unseen))
    if with_captions:
        _add_captions(catalogue, store, captioner, stage)
    moved = sum(before[key][-1] in arrived for key in gone)
    return Indexed(
        files=len(there),
        new=len(pending.keys() - before.keys()),
        changed=sum(_was_read(before[key]) for key in pending.keys() & before.keys()),
        moved=moved,
        deleted=len(gone) - moved,
        read=read,
        others=now.others,
        errors=(
            *((Path(os.fsdecode(p)), error) for p, error in unseen.items() if p not in gone),
            *_unreadable(catalogue, roots, pending.keys()),
        ),
        problems=now.problems,
    )


def _was_read(before: State | None) -> bool:
    return before is not None and before[-1] is not None


def _is_same(file: File, before: State | None) -> bool:
    """Whether a file need not be opened: it was read, and looks as it did."""
    return before is not None and _was_read(before) and file.state[:-1] == before[:-1]


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


def _emptied(roots: Sequence[Path], before: Collection[bytes]) -> Iterator[tuple[Path, ImageError]]:
    """Folders without anything in them that held pictures: perhaps their disk is not there."""
    for root in roots:
        if _is_empty(root):
            count = sum(os.fsencode(root) in _above(key) for key in before)
            if count:
                name = printable(root)
                message = (
                    f"{name}: the folder is empty; its {count:,} files stay in the library, since "
                    f"their disk may be away; to take them out: mrnn index --forget {name}"
                )
                yield root, ImageError("empty", message)


def _is_empty(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is None
    except OSError:  # no folder, or one that cannot be read
        return False


def _gone(absent: Set[bytes], unseen: Mapping[bytes, ImageError]) -> set[bytes]:
    """Which of these files are there no more; a folder that is missing may be back tomorrow."""
    unreadable = {path for path, error in unseen.items() if error.code != "missing"}
    return {key for key in absent - unreadable if unseen.keys().isdisjoint(_above(key))}


def _lost_roots(
    roots: Sequence[Path], before: Set[bytes], unseen: Mapping[bytes, ImageError]
) -> set[bytes]:
    """Roots that are missing and had nothing below them: files that went, names never right."""
    missing = {path for path, error in unseen.items() if error.code == "missing"}
    missing &= set(map(os.fsencode, roots))
    return missing - {folder for key in (before if missing else ()) for folder in _above(key)}


def _above(key: bytes) -> Iterator[bytes]:
    """The folders above a file, and the tar file that a member lies in."""
    path, zero, _ = key.partition(b"\0")
    if zero:
        yield path
    while (end := path.rfind(b"/")) > 0:
        path = path[:end]
        yield path
    yield b"/"


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


def _unreadable(
    catalogue: Catalogue, roots: Sequence[Path], tried: Collection[bytes]
) -> Iterator[tuple[Picture, ImageError]]:
    """The files that could not be read, of those that were tried, and why."""
    told: set[bytes] = set()  # roots may lie in each other
    for root in roots if tried else ():
        for file, content in catalogue.files(root, unreadable=True):
            fault = content.fault if content else file.fault
            if file.key in tried and file.key not in told and fault:
                told.add(file.key)
                message = f"{printable(file.picture)}: {printable(fault[1])}"
                yield file.picture, ImageError(fault[0], message)
