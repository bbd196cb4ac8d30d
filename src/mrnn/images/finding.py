"""Pictures as files: which there are, whether they can be opened, how to print where they are.

Nothing is decoded here, and neither NumPy nor Pillow is imported: the command line tells what is
missing before it loads anything.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from glob import iglob
from pathlib import Path

from ..errors import ImageError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".hif", ".jxl"}
)
_SUFFIXES_TOLD = 6
SIDECAR = ".caption.txt"  # ends the name of a caption's file beside its image
_XMP = ".xmp"  # the same of what other programs know of it
_PREVIEWS = ".lrdata"  # ends the name of a folder of previews
_DERIVED = "derivatives", ".photoslibrary"  # a folder of previews, and what its own ends with
# Folders and files that devices and programs keep among pictures, in lower case: thumbnails, waste
# bins, snapshots, what a repair of the disk found, settings.
_KEPT_BY_PROGRAMS = frozenset(
    {"@eadir", "@__thumb", "thumbs", "thumbs.db", "ehthumbs.db", "ipod photo cache"}
    | {"@tmp", "@synoresource", "_gsdata_"}
    | {"#recycle", "@recycle", "@sharebin", "$recycle.bin", "recycler", "recycled"}
    | {"network trash folder", "temporary items", "#snapshot", "~snapshot", "@recently-snapshot"}
    | {"lost+found", "system volume information", "__macosx", "desktop.ini", "picasa.ini"}
)


@dataclass(frozen=True)
class Member:
    """A picture inside another file: a tar file, an Arrow stream, a Parquet file."""

    shard: Path
    name: str  # of the member
    offset: int  # of its bytes in the shard; in a Parquet file, where none can be sought, its row
    size: int  # in bytes

    def __str__(self) -> str:
        return f"{self.shard}:{self.name}"


Picture = Path | Member


def is_hidden(name: str) -> bool:
    """Whether an entry of a folder is none of the user's pictures or folders, by its name."""
    name = name.lower()
    return name.startswith(".") or name in _KEPT_BY_PROGRAMS or name.endswith(_PREVIEWS)


@dataclass(frozen=True)
class Sieve:
    """What is left out of folders and tar files; counts what a person may want to hear of."""

    exclude: tuple[str, ...] = ()  # patterns of names, or of paths if there is a slash in them
    counts: Counter[str] = field(default_factory=Counter)  # by pattern, or by a program's name
    top: str = ""  # the absolute path of what is walked

    def at(self, top: Path) -> Sieve:
        """The same for a folder or a tar file; it counts together with this one."""
        return replace(self, top=os.path.abspath(top))  # noqa: PTH100 - links stay

    def takes(self, name: str, below: str = "") -> bool:
        """Whether an entry counts, by its name and its folder's path below the one walked."""
        if is_hidden(name) or _is_derived(name, f"{self.top}/{below}"):
            if not name.startswith("."):
                self.counts[name] += 1
            return False
        for pattern in self.exclude:
            wanted = _below(pattern, self.top) or pattern
            whole = "/" in wanted.rstrip("/")
            found = _joined(below, name) if whole else name
            wanted = wanted.removeprefix("./").strip("/")
            if found == wanted or fnmatchcase(found, wanted):
                self.counts[pattern] += 1
                return False
        return True

    def takes_member(self, name: str) -> bool:
        """Whether a member of a tar file counts: it, and all folders that its name tells."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        return all(self.takes(part, "/".join(parts[:at])) for at, part in enumerate(parts))


def _is_derived(name: str, folder: str) -> bool:
    derived, library = _DERIVED
    return name == derived and f"{library}/" in f"{folder.lower()}/"


def anchored(exclude: Sequence[str], tops: Sequence[Path]) -> list[str]:
    """Patterns, absolute where they name something below these folders from the current one."""
    found = []
    for pattern in exclude:
        path = os.path.abspath(pattern)  # noqa: PTH100 - links stay
        inside = [b for top in tops if (b := _below(path, os.path.abspath(top)))]  # noqa: PTH100
        is_path = "/" in pattern.rstrip("/") and f"/{os.path.normpath(pattern)}" not in inside
        found.append(path if inside and is_path and _names_something(path) else pattern)
    return found


def _below(path: str, top: str) -> str:
    """An absolute path or pattern from below another one on, with its slash; empty elsewhere."""
    start = f"{top.rstrip('/')}/"
    return path[len(start) - 1 :] if top and path.startswith(start) else ""


def _names_something(pattern: str) -> bool:
    try:
        return os.path.lexists(pattern) or any(iglob(pattern))  # noqa: PTH207 - of a text
    except (OSError, ValueError):  # a name too long
        return False


def _joined(below: str, name: str) -> str:
    return f"{below}/{name}" if below else name


@dataclass(frozen=True)
class FoundImages:
    """What lies under some paths."""

    images: tuple[Path, ...]
    errors: tuple[tuple[Path, ImageError], ...]  # folders that cannot be read
    others: Mapping[str, int]  # how many files in folders have which suffix; no sidecars
    left_out: Mapping[str, int]  # entries of folders, by a program's name; by pattern, also none


def find_images(
    paths: Sequence[str | os.PathLike[str]], exclude: Sequence[str] = ()
) -> FoundImages:
    """List the images under `paths` in order.

    A folder is walked recursively in sorted order; skipped are hidden entries, those that devices
    and programs keep there, and those that a pattern of `exclude` matches (`*` is any text, slashes
    too) or names, as `anchored` has it. Links to files are followed, links to folders once. What is
    named in `paths` is always listed; what lies under several of them is listed once.
    """
    images: list[Path] = []
    errors: list[tuple[Path, ImageError]] = []
    patterns = anchored(exclude, [Path(path) for path in paths])
    sieve = Sieve(tuple(patterns), Counter(dict.fromkeys(filter(None, patterns), 0)))
    others: Counter[str] = Counter()
    is_new = _is_new() if len(paths) > 1 else lambda _: True
    for given in map(Path, paths):
        if not _is_folder(given):
            if is_new(given):
                images.append(given)
            continue
        for path in filter(is_new, _walk(given, sieve.at(given), errors)):
            if path.suffix.lower() in SUFFIXES:
                images.append(path)
            elif not path.name.endswith(SIDECAR) and path.suffix.lower() != _XMP:
                others[path.suffix.lower()] += 1
    return FoundImages(tuple(images), tuple(errors), others, sieve.counts)


def _is_new() -> Callable[[Path], bool]:
    """A function that tells whether a path is none of those before, however it is written."""
    seen: set[str] = set()

    def is_new(path: Path) -> bool:
        before = len(seen)
        seen.add(os.path.abspath(path))  # noqa: PTH100 - links stay
        return len(seen) > before

    return is_new


def suffixes_told(others: Mapping[str, int]) -> str:
    """How many files have which suffix, the most frequent first, in words."""
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    told = [f"{count:,} {printable(suffix) or 'without suffix'}" for suffix, count in ordered]
    return ", ".join([*told[:_SUFFIXES_TOLD], "..."] if len(told) > _SUFFIXES_TOLD else told)


def printable(path: str | os.PathLike[str] | Member) -> str:
    """A path as text that is safe to print: undecodable bytes and control characters escaped."""
    text = str(path) if isinstance(path, Member) else os.fspath(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # Python keeps an undecodable byte as a lone surrogate
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode()


def _is_folder(path: Path | os.DirEntry[str]) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, or inside a folder that may not be entered
        return False


def _walk(top: Path, sieve: Sieve, errors: list[tuple[Path, ImageError]]) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    waiting = [(top, "", True)]  # with the path below the top; the next one last
    while waiting:
        path, below, is_folder = waiting.pop()
        if not is_folder:
            yield path
            continue
        try:
            entries = _entries(path, seen)
        except OSError as error:
            message = f"{printable(path)}: the folder cannot be read ({error.strerror})"
            errors.append((path, ImageError("unreadable", message)))
            continue
        for entry in reversed([e for e in entries if sieve.takes(e.name, below)]):
            inside = _is_folder(entry)
            waiting.append(
                (path / entry.name, _joined(below, entry.name) if inside else "", inside)
            )


def _entries(folder: Path, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """What a folder holds, in order; nothing of a folder seen."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return []
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def check_file(picture: Picture) -> None:
    """Raise ImageError unless there is a regular file with something in it."""
    name = printable(picture)
    path = picture.shard if isinstance(picture, Member) else picture
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ImageError("missing", f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise ImageError("unreadable", f"{name}: cannot be opened ({error})") from None
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not-a-file", f"{name}: not a regular file")
    if status.st_size == 0 or (isinstance(picture, Member) and picture.size == 0):
        raise ImageError("empty", f"{name}: the file is empty")
    if not os.access(path, os.R_OK):
        raise ImageError("unreadable", f"{name}: permission denied")
