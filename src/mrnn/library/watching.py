"""Keep a library up to date as pictures come and go.

Folders are looked through again and again. What a system tells of changes would come sooner, but
not from disks of other machines, nor of very many folders. A pause grows with what a look costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ..errors import DataError
from .contents import File
from .indexing import Indexed
from .library import Library
from .scanning import scan

PAUSE = 5.0  # seconds between two looks, at least
_SHARE = 20  # times as long as a look is the pause, at least


def watch(
    library: Library,
    wait: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
    **how: Any,
) -> Iterator[Indexed | DataError]:
    """Bring a library up to date, then whenever something has changed; yields what was done.

    `how` is what the first `Library.add` is given; later ones look at all that was added. A file is
    read when it looks as it did a pause before: one that is still being copied is waited for. After
    the first time an error is yielded, and it is tried again. It ends when `wait` raises.
    """
    began = now()
    yield library.add(**how, is_settled=lambda file: _is_old(file, began))
    how |= {"paths": (), "rebuild": False, "exclude": None}
    done: dict[bytes, File] = {}  # what the library knows
    before: dict[bytes, File] = {}  # what the last look found
    while True:
        news: Indexed | DataError | None = None
        start = time.monotonic()
        try:
            try:
                there = _look(library)
            finally:
                took = time.monotonic() - start  # without the update that may follow
            settled = {key: file for key, file in there.items() if before.get(key) == file}
            # What is gone counts a pause later, too: it may have been moved to what is new.
            stays = {key: file for key, file in done.items() if key in there or key in before}
            before = there
            if done != stays | settled:
                news = library.add(**how, is_settled=partial(_is_among, settled))
                done = stays | settled
        except DataError as error:
            news = error
        if news is not None:
            yield news
        wait(max(PAUSE, _SHARE * took))


def _is_old(file: File, now: float) -> bool:
    """Whether a file has not changed for a pause, by the clock."""
    changed = max(file.mtime_ns or 0, file.ctime_ns or 0) / 1e9
    return changed + PAUSE < now


def _is_among(settled: Mapping[bytes, File], file: File) -> bool:
    return settled.get(file.key) == file


def _look(library: Library) -> dict[bytes, File]:
    catalogue = library.catalogue
    return {file.key: file for file in scan(catalogue.roots(), catalogue.exclude()).files}
