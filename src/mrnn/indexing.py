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

from .captioner import Captioner
from .catalogue import Catalogue, Content, File
from .datasets.examples import Problem
from .describing import Described, caption_vectors
from .errors import ImageError
from .features import BATCH
from .images import Picture, printable
from .ranking import Stage
from .scanning import Scan, scan
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
    others: int  # no pictures by their suffix; left out
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
    before = {file.key: file for root in roots for file, _ in catalogue.files(root)}
    now = scan(roots)
    there = {f.key: f for f in now.files if f.size is not None or not _was_read(before.get(f.key))}
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
    gone = _gone(before.keys(), there, now)
    with catalogue.transaction():
        catalogue.drop_files(gone)
        catalogue.drop_roots(gone)
    if with_captions:
        _add_captions(catalogue, store, captioner, stage)
    moved = sum(before[key].digest in arrived for key in gone)
    return Indexed(
        files=len(there),
        new=len(pending.keys() - before.keys()),
        changed=sum(_was_read(before[key]) for key in pending.keys() & before.keys()),
        moved=moved,
        deleted=len(gone) - moved,
        read=read,
        others=now.others,
        errors=(*now.unseen, *_unreadable(catalogue, roots, pending.keys())),
        problems=now.problems,
    )


def _was_read(before: File | None) -> bool:
    return before is not None and before.digest is not None


def _is_same(file: File, before: File | None) -> bool:
    """Whether a file need not be opened: it was read, and looks as it did."""
    return before is not None and before.digest is not None and replace(before, digest=None) == file


def _enter(catalogue: Catalogue, store: VectorStore, part: Described) -> int:
    """Make a part count: its vectors, then all that is known; returns how many contents are new."""
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
        catalogue.add_contents(new.values(), first + len(kept))
        catalogue.put_files(part.files)
    return len(new)


def _gone(before: Set[bytes], there: Mapping[bytes, File], now: Scan) -> set[bytes]:
    """Keys of files that are there no more; not of those in folders that cannot be seen."""
    hidden = [os.fsencode(folder) for folder, _ in now.unseen]
    hidden += [key for key, file in there.items() if file.size is None]
    gone = before - there.keys()
    return {key for key in gone if not any(_is_under(key, folder) for folder in hidden)}


def _is_under(key: bytes, folder: bytes) -> bool:
    return key.startswith((folder.rstrip(b"/") + b"/", folder + b"\0"))


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
    if not tried:
        return
    for root in roots:
        for file, content in catalogue.files(root, unreadable=True):
            fault = content.fault if content else file.fault
            if file.key in tried and fault:
                yield file.picture, ImageError(fault[0], f"{printable(file.picture)}: {fault[1]}")
