"""Which picture on the disk is meant by a name in a data set.

A name that no file has may be written in another way: composed of other characters, in another
case, with another suffix or none, with backslashes, as in an address (`my%20photo.jpg`), or as the
whole path on another machine, whose end counts. Only one file may fit; none outside is looked at.
"""

from __future__ import annotations

import filecmp
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from ..images.finding import SUFFIXES, printable
from .entries import leads_outside, shown, split_of_folders

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/]*/)?|[A-Za-z]:")
_MOST_PARTS = 12  # of a path on another machine: the last ones
_FEW = 100  # entries of a folder that need not be asked of the disk
_SHOWN = 3  # pictures that fit, in a message


class Located(NamedTuple):
    """Where a picture lies."""

    home: Path  # a folder of those it may lie in
    name: str  # inside it, as the disk has it
    is_exact: bool  # the name is just as it was written


class Locator:
    """Finds pictures in folders; remembers what the folders hold once it had to look."""

    def __init__(self) -> None:
        self._listed: dict[str, _Folder] = {}
        self._small: dict[Path, frozenset[str] | None] = {}  # what a folder of few entries has

    def find(self, name: str, folders: Sequence[Path], split: str | None) -> Located | str:
        """The one picture of a name, or why there is none.

        Of pictures in several folders it is that in the folder of the split, as `val2014`.
        """
        outside = leads_outside(name)
        if not outside:
            name = posixpath.normpath(name)
            top = name.partition("/")[0]
            may_have = [f for f in folders if (few := self._few(f)) is None or top in few]
            if found := [Located(f, name, True) for f in may_have if is_file(f, name)]:
                return found[0] if len(found) == 1 else _the_one(found, split, name)
        for written in _endings(name) if outside else _spellings(name):
            found = [Located(f, written, False) for f in folders if is_file(f, written)]
            if found:
                return _the_one(found, split, name)
        for written in _endings(name) if outside else _spellings(name):
            parts = written.split("/")
            for by_suffix in (True, False):
                found = [
                    Located(folder, near, False)
                    for folder in folders
                    for near in self._near(str(folder), "", parts, by_suffix)
                    if is_file(folder, near)
                ]
                if found:
                    return _the_one(found, split, name)
        if outside:
            return f"'{shown(name)}' leads outside the data folder; skipped"
        folder = next((f for f in folders if _is_folder((f / name).parent)), folders[0])
        path = f"{printable(folder)}/{shown(name)}"
        return f"no picture {path}{_refusal(folder, name)}; its captions are skipped"

    def _few(self, folder: Path) -> frozenset[str] | None:
        """All names in a folder, if they are few: looking there is quicker than asking the disk."""
        if folder not in self._small:
            names: frozenset[str] | None = None
            try:
                with os.scandir(folder) as entries:
                    first = [entry.name for entry in islice(entries, _FEW + 1)]
                    names = frozenset(first) if len(first) <= _FEW else None
            except OSError:
                pass
            self._small[folder] = names
        return self._small[folder]

    def _near(self, top: str, inside: str, parts: Sequence[str], suffix: bool) -> Iterator[str]:
        """Pictures below a folder that are called so but for case and form; or suffix, too."""
        folder = self._listed.get(f"{top}/{inside}")
        if folder is None:
            folder = self._listed[f"{top}/{inside}"] = _Folder(f"{top}/{inside}")
        if len(parts) > 1:
            for name in filter(None, folder.folders.get(_key(parts[0]), "").split("/")):
                yield from self._near(top, f"{inside}{name}/", parts[1:], suffix)
            return
        key = _key(parts[0])
        for name in filter(None, folder.pictures.get(_stem(key), "").split("/")):
            if not suffix or _key(name) == key:
                yield inside + name


class _Folder:
    """Pictures of a folder by what their names say without suffix, and its folders."""

    def __init__(self, path: str) -> None:
        self.pictures: dict[str, str] = {}  # several names with slashes between them
        self.folders: dict[str, str] = {}
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    is_folder = entry.is_dir()
                    key = _key(entry.name)
                    kept = self.folders if is_folder else self.pictures
                    key = key if is_folder else _stem(key)
                    kept[key] = f"{kept[key]}/{entry.name}" if key in kept else entry.name
        except OSError:  # it is not there, or may not be read
            pass


def innermost(located: Located, folders: Sequence[Path]) -> Located:
    """The same picture seen from the innermost folder that holds it: one place, one name."""
    if "/" not in located.name:
        return located
    path = located.home / located.name
    holding = [folder for folder in folders if folder in path.parents]
    home = max(holding, key=lambda folder: len(folder.parts), default=located.home)
    return located._replace(home=home, name=path.relative_to(home).as_posix())


def agree(one: str, other: str) -> bool:
    """Whether two names mean the same picture, if one file fits both."""
    first, second = (_key(next(iter(_spellings(name)), name)) for name in (one, other))
    if first == second:
        return True
    without = _stem(first) == first or _stem(second) == second
    return without and _stem(first) == _stem(second)


def _the_one(found: Sequence[Located], split: str | None, name: str) -> Located | str:
    """The only one; or of several that of the split's own folder, if that tells.

    Copies of the same bytes are one picture.
    """
    own = [of for of in found if split and _split_of(of) == split]
    for fitting in (found, own):
        if fitting and all(_are_same(fitting[0], of) for of in fitting[1:]):
            return fitting[0]
    listed = ", ".join(printable(of.home / of.name) for of in found[:_SHOWN])
    more = " and others" if len(found) > _SHOWN else ""
    return (
        f"several pictures could be '{shown(name)}': {shown(listed)}{more}; name one folder with "
        "--images, or give them names of their own; skipped"
    )


def _split_of(located: Located) -> str | None:
    return split_of_folders((*located.name.split("/")[:-1], located.home.name))


def _are_same(one: Located, other: Located) -> bool:
    try:
        return filecmp.cmp(one.home / one.name, other.home / other.name, shallow=False)
    except OSError:
        return False


def is_file(folder: Path, name: str) -> bool:
    """Whether a file of a name is in a folder and may be seen."""
    try:
        return os.path.isfile(f"{folder}/{name}")  # noqa: PTH113  # in a third of Path's time
    except ValueError:  # a NUL character
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # inside a folder that may not be entered
        return False


def _spellings(name: str) -> Iterator[str]:
    """A name without backslashes and signs of addresses; nothing that leads outside."""
    for written in dict.fromkeys((name, name.replace("\\", "/"), unquote(name.replace("\\", "/")))):
        if not leads_outside(written):
            yield posixpath.normpath(written)


def _endings(name: str) -> Iterator[str]:
    """The ends of a path that leads outside, the longest first."""
    for path in dict.fromkeys((name, unquote(name))):
        parts = [
            part for part in _SCHEME.sub("", path, count=1).replace("\\", "/").split("/") if part
        ]
        inside = parts[max((i + 1 for i, part in enumerate(parts) if part == ".."), default=0) :]
        inside = [part for part in inside if part != "."][-_MOST_PARTS:]
        for start in range(len(inside)):
            if not leads_outside(ending := "/".join(inside[start:])):
                yield ending


def _key(name: str) -> str:
    """A name as people read it: in one form, without case."""
    return (
        name.casefold()
        if name.isascii()
        else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    )


def _stem(key: str) -> str:
    stem, dot, suffix = key.rpartition(".")
    return stem if dot and f".{suffix}" in SUFFIXES else key


def _refusal(folder: Path, name: str) -> str:
    """Why a file cannot even be looked for, if so."""
    try:
        (folder / name).stat()
    except PermissionError as error:
        return f" ({error.strerror})"
    except (OSError, ValueError):  # ValueError: a lone surrogate
        pass
    return ""
