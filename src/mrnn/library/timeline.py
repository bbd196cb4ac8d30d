"""The pictures of a library by date and folder: to be browsed, newest first, and to be filtered."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from time import monotonic

import numpy as np

from ..errors import UsageError
from ..images.finding import Picture, printable
from .catalogue import Catalogue
from .contents import key_of

_REST = 5  # times as long as it took to read a timeline, it is not read again


@dataclass(frozen=True)
class Filter:
    """Which pictures are meant; what is None rules out none. Raises UsageError for other types.

    >>> from datetime import date
    >>> with mrnn.Library.open("photos.library", captioner) as library:
    ...     library.search("a dog", among=mrnn.Filter(until=date(1900, 1, 1))).found
    ()
    """

    since: date | None = None  # the first day, and
    until: date | None = None  # the last one that count
    folder: str | None = None  # with what lies below it, as `Dated.folders` has it

    def __post_init__(self) -> None:
        days: tuple[object, ...] = self.since, self.until
        for day in days:
            if not (day is None or isinstance(day, date)):
                raise UsageError(f"since and until are datetime.date, not {day!r}")
        folder: object = self.folder
        if not (folder is None or isinstance(folder, str)):
            raise UsageError(f"a folder is a name, as '2024/Rome', not {folder!r}")


def require_filter(among: object) -> None:
    """Raise UsageError for what is none."""
    if not isinstance(among, Filter):
        raise UsageError(f"among is a mrnn.Filter, not {among!r}; leave it out for all pictures")


EVERY = Filter()


@dataclass(frozen=True, slots=True)
class Dated:
    """A picture with its date."""

    row: int  # of the vectors
    digest: bytes  # SHA-256
    when: str  # local time, ISO 8601
    is_taken: bool  # by its Exif; otherwise its file was changed then
    folders: tuple[str, ...]  # where it lies, below what was indexed: "2024/Rome", "" at the top


class Timeline:
    """Pictures as they were at one moment, newest first."""

    def __init__(
        self,
        pictures: Iterable[Dated],
        generation: str,
        is_dated: bool,
        folder_of: Callable[[bytes], str],
    ) -> None:
        self.folder_of = folder_of  # the folder of a file, by its key, as `Dated.folders` has it
        self.generation = generation  # of the vectors: only in these are the rows right
        self.is_dated = is_dated  # whether the library keeps when pictures were taken
        self._pictures = sorted(pictures, key=lambda picture: picture.when, reverse=True)
        self._by_digest = {picture.digest: picture for picture in self._pictures}

    def of(self, digest: bytes) -> Dated | None:
        """The picture with a SHA-256, if it lies somewhere."""
        return self._by_digest.get(digest)

    def among(self, which: Filter) -> Sequence[Dated]:
        """The pictures that are meant."""
        first = which.since.isoformat() if which.since else ""
        last = f"{which.until.isoformat()}~" if which.until else "~"  # behind any time of that day
        found: Sequence[Dated] = self._pictures
        if which.since or which.until:
            found = [picture for picture in found if first <= picture.when <= last]
        if which.folder:
            found = [p for p in found if any(lies_in(f, which.folder) for f in p.folders)]
        return found

    def places(self, of_one: Sequence[Picture], which: Filter) -> list[Picture]:
        """The places of one picture, those in the folder of a filter before the others."""
        return sorted(of_one, key=lambda place: not self.is_in(place, which))

    def is_in(self, place: Picture, which: Filter) -> bool:
        """Whether a place of a picture lies in the folder of a filter."""
        return not which.folder or lies_in(self.folder_of(key_of(place)), which.folder)

    def rows(self, which: Filter) -> np.ndarray:
        """Rows of the pictures that are meant, rising."""
        return np.sort(np.array([picture.row for picture in self.among(which)], dtype=np.int64))

    @cached_property
    def months(self) -> Mapping[str, int]:
        """How many pictures are of which month, "2024-05", newest first."""
        return dict(Counter(picture.when[:7] for picture in self._pictures))

    @cached_property
    def folders(self) -> Mapping[str, int]:
        """How many pictures lie in or below which folder, by name; the top is not among them."""
        counts = Counter(
            folder
            for picture in self._pictures
            for folder in {above for place in picture.folders for above in _and_above(place)}
        )
        return {folder: counts[folder] for folder in sorted(counts, key=lambda f: f.split("/"))}


def lies_in(folder: str, above: str) -> bool:
    """Whether a folder is another one, or lies below it."""
    return folder == above or folder.startswith(f"{above}/")


def read_timeline(catalogue: Catalogue) -> Timeline:
    """The pictures of a catalogue, which is held for reading."""
    found = catalogue.dated()
    folder_of = _Folders(catalogue.roots(), {key.partition(b"\0")[0] for *_, key, _ in found})
    pictures: dict[int, Dated] = {}
    for row, digest, taken, key, mtime_ns in found:
        known = pictures.get(row)
        when = taken or _local(mtime_ns or 0)
        if known is not None and not taken:
            when = min(when, known.when)  # a copy is younger than what it was made of
        folders = dict.fromkeys((*(known.folders if known else ()), folder_of(key)))
        pictures[row] = Dated(row, digest, when, bool(taken), tuple(folders))
    generation = catalogue.facts()["vectors"]
    return Timeline(pictures.values(), generation, catalogue.tells_dates(), folder_of)


class Newest:
    """The timeline of a catalogue, read again where another process has changed that.

    While a process adds to a large library it changes all the time; then a timeline will do for a
    while that grows with the time it took to read. One of other vectors never will.
    """

    def __init__(self) -> None:
        self._kept: tuple[int, float, Timeline] | None = None  # version, until when it will do

    def of(self, catalogue: Catalogue) -> Timeline:
        """The timeline of the catalogue, always the same one."""
        with catalogue.reading():
            version, now = catalogue.version(), monotonic()
            if self._kept is not None:
                known, until, timeline = self._kept
                is_of_these = timeline.generation == catalogue.facts()["vectors"]
                if is_of_these and (known == version or now < until):
                    return timeline
            timeline = read_timeline(catalogue)
            self._kept = version, now + (1 + _REST) * (monotonic() - now), timeline
            return timeline


class _Folders:
    """Names of folders as others may see them: below what was indexed, and nothing above."""

    def __init__(self, roots: Sequence[Path], files: set[bytes]) -> None:
        tops = {key for key in map(os.fsencode, roots) if key not in files}
        self._tops = {key for key in tops if tops.isdisjoint(_parents(key))}
        self._is_one = len(self._tops) < 2
        self._names: dict[bytes, str | None] = {}  # by path; None outside of what was indexed
        self._given: Counter[str] = Counter()

    def __call__(self, key: bytes) -> str:
        """The folder of a file, by its key in the catalogue."""
        path, _, member = key.partition(b"\0")
        folder = self._named(os.path.dirname(path)) or ""  # noqa: PTH120 - of bytes
        if not member:
            return folder
        inside = PurePosixPath(os.fsdecode(member)).parent.parts
        parts = [part for part in inside if part not in ("..", ".", "/")]
        return "/".join(filter(None, (folder, _shown(path), *map(printable, parts))))

    def _named(self, path: bytes) -> str | None:
        if path not in self._names:
            self._names[path] = self._name(path)
        return self._names[path]

    def _name(self, path: bytes) -> str | None:
        if path in self._tops:
            return "" if self._is_one else self._top(path)
        above = os.path.dirname(path)  # noqa: PTH120 - of bytes
        if above == path or not above:
            return None
        name = self._named(above)
        return None if name is None else "/".join(filter(None, (name, _shown(path))))

    def _top(self, path: bytes) -> str:
        """What tells folders that were indexed apart; whose home one is, is nobody's business."""
        name = "home" if Path(os.fsdecode(path)) == Path.home() else _shown(path)
        self._given[name] += 1
        return name if self._given[name] == 1 else f"{name} ({self._given[name]})"


def _shown(path: bytes) -> str:
    return printable(os.fsdecode(path.rpartition(b"/")[2]))


def _parents(path: bytes) -> Iterator[bytes]:
    while (above := os.path.dirname(path)) != path:  # noqa: PTH120 - of bytes
        yield above
        path = above


def _and_above(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _local(mtime_ns: int) -> str:
    """A time of this machine's clock."""
    return datetime.fromtimestamp(max(mtime_ns, 0) // 10**9).isoformat()
