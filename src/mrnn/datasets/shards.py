"""WebDataset shards: uncompressed tar files of `key.jpg` with `key.txt` or `key.json`."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import UsageError
from ..images.finding import SUFFIXES, Member, Sieve, printable
from .cells import captions_in
from .entries import (
    CAPTION_NAMES,
    Entry,
    Format,
    Found,
    Listing,
    known_split,
    leads_outside,
    shown,
    split_of_file,
)
from .examples import Problem
from .lines import split_lines

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")  # of those
_PICKLES = {"pkl", "pickle", "pyd", "pth", "pt"}
# Between key and kind, where a key has several.
_PICTURE_WORDS = ("image", "img", "picture", "photo")
_DOCUMENT_WORDS = (*CAPTION_NAMES, "metadata", "meta", "info")
_DIGIT = re.compile(r"\d")
_LARGEST = 1 << 20  # bytes of a text
_TOO_LARGE = f"larger than {_LARGEST:,} bytes"
_GLANCE = 200  # samples that tell whether a tar file is a shard
_BLOCK = 512  # bytes of a tar file


class _Piece(NamedTuple):
    """A member, without the rest of its header."""

    name: str
    offset: int
    size: int


@dataclass
class _Sample:
    """Members of the same key."""

    pictures: list[_Piece] = field(default_factory=list)
    texts: list[_Piece] = field(default_factory=list)
    documents: list[_Piece] = field(default_factory=list)

    def members(self) -> list[_Piece]:
        """All that can be read."""
        return [*self.pictures, *self.texts, *self.documents]

    def is_whole(self) -> bool:
        """Whether there is a picture and what is said of it."""
        return bool(self.pictures and (self.texts or self.documents))

    def take(self, other: _Sample) -> None:
        """Add the members of another one."""
        self.pictures += other.pictures
        self.texts += other.texts
        self.documents += other.documents


def _find(listing: Listing, by_content: bool) -> list[Path]:
    """Shards, here or in folders of splits; by content, all tar files if any is a shard."""
    places = (listing, *listing.of_splits())
    if not by_content:
        return [path for place in places for path in place.ending(".tar", *_COMPRESSED)]
    found = [path for place in places for path in place.ending(".tar")]
    return found if any(map(_is_shard, found)) else []


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    if images is not None:
        raise UsageError("--images does not go with shards, which hold their pictures")
    ignored: Counter[str] = Counter()
    others: Counter[str] = Counter()
    apart = len({path.parent for path in files}) > 1
    for path in files:
        split = split_of_file(path) or (known_split(path.parent.name) if apart else None)
        try:
            with path.open("rb") as file:
                for sample in _samples(path, file, ignored):
                    if isinstance(sample, Problem):
                        yield sample
                    else:
                        yield _entry(path, file, sample, split, others)
        except OSError as error:
            yield Problem(printable(path), f"cannot be read ({error.strerror}); skipped")
    if ignored:
        kinds = ", ".join(f".{printable(kind)}" for kind, _ in ignored.most_common(5))
        what = f"{ignored.total():,} members of other kinds ({kinds}) are not read"
        yield Problem(printable(files[0].parent), what)
    for choice, count in others.items():
        what = f"captions of {count:,} objects are those of {choice}; rename the right key"
        yield Problem(printable(files[0].parent), f"{what} to caption")


def shard_pictures(path: Path, sieve: Sieve) -> Iterator[Member | Problem]:
    """All pictures of a tar file, captioned or not; raises OSError when it cannot be read."""
    with path.open("rb") as file:
        for member in _members(path, file, sieve):
            if isinstance(member, Problem):
                yield member
            elif Path(member.name).suffix.lower() in SUFFIXES:
                yield Member(path, member.name, member.offset_data, member.size)


def _is_shard(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return any(
                sample.is_whole()
                for sample in islice(_samples(path, file, Counter()), _GLANCE)
                if isinstance(sample, _Sample)
            )
    except OSError:
        return False


def _samples(path: Path, file: BinaryIO, ignored: Counter[str]) -> Iterator[_Sample | Problem]:
    """Members by key; those that lie apart in the shard come when all of it was seen."""
    apart: dict[str, _Sample] = {}
    for key, together in groupby(_members(path, file, Sieve()), _key):
        by_stem: dict[str, _Sample] = {}
        for member in together:
            if isinstance(member, Problem):
                yield member
                continue
            if member.name.rpartition("/")[2].startswith("."):  # hidden
                continue
            stem, _, kind = member.name.rpartition(".")
            sample = by_stem.setdefault(stem, _Sample())
            if not _put(_Piece(member.name, member.offset_data, member.size), kind, sample):
                ignored[member.name[len(key) + 1 :].lower()] += 1
        yield from _whole(key, by_stem, ignored)
        for stem, sample in by_stem.items():
            if sample.members():
                apart.setdefault(stem, _Sample()).take(sample)
    by_key: dict[str, dict[str, _Sample]] = {}
    for stem, sample in apart.items():
        by_key.setdefault(_first_part(stem), {})[stem] = sample
    for key, by_stem in by_key.items():
        yield from _whole(key, by_stem, ignored)
        yield from by_stem.values()


def _put(member: _Piece, kind: str, sample: _Sample) -> bool:
    """Add a member to its sample, if it is of a kind that is read."""
    match kind.lower():
        case "txt" | "caption":
            sample.texts.append(member)
        case "json":
            sample.documents.append(member)
        case kind if f".{kind}" in SUFFIXES:
            sample.pictures.append(member)
        case _:
            return False
    return True


def _whole(key: str, by_stem: dict[str, _Sample], ignored: Counter[str]) -> Iterator[_Sample]:
    """Take the samples out that are whole.

    The names of a sample are alike up to the last dot (`2024.05.01.jpg`), or up to the first with
    a word between (`key.image.jpg`, `key.caption.txt`). What else there is of a key that is whole
    in itself is of another kind (`key.seg.png`).
    """
    if len(by_stem) == 1 and key in by_stem and by_stem[key].is_whole():  # nearly always
        yield by_stem.pop(key)
        return
    whole = {stem: sample for stem, sample in by_stem.items() if sample.is_whole()}
    if not whole and (sample := _with_words(key, by_stem)).is_whole():
        whole[key] = sample
    yield from whole.values()
    if key in whole:
        left = {m.name for sample in by_stem.values() for m in sample.members()}
        left -= {m.name for sample in whole.values() for m in sample.members()}
        ignored.update(name[len(key) + 1 :].lower() for name in left)
        by_stem.clear()
    for stem in whole:
        by_stem.pop(stem, None)


def _with_words(key: str, by_stem: Mapping[str, _Sample]) -> _Sample:
    """What a key has with a word between, or with nothing; numbers tell one picture from others."""
    words = [(stem[len(key) + 1 :].lower(), sample) for stem, sample in by_stem.items()]
    named = [(word, sample) for word, sample in words if not _DIGIT.search(word)]
    return _Sample(
        _meant([(word, sample.pictures) for word, sample in named], _PICTURE_WORDS),
        _meant([(word, sample.texts) for word, sample in named], CAPTION_NAMES),
        _meant([(word, sample.documents) for word, sample in named], _DOCUMENT_WORDS),
    )


def _meant(found: list[tuple[str, list[_Piece]]], known: Sequence[str]) -> list[_Piece]:
    """All members, or those of a known word where there are several."""
    some = [(word, members) for word, members in found if members]
    if len(some) > 1:
        some = [(word, members) for word, members in some if word in ("", *known)] or some
    return [member for _, members in some for member in members]


def _key(member: tarfile.TarInfo | Problem) -> str:
    return "" if isinstance(member, Problem) else _first_part(member.name)


def _first_part(name: str) -> str:
    """A name up to the first dot after the folders, which is a key of WebDataset."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _members(path: Path, file: BinaryIO, sieve: Sieve) -> Iterator[tarfile.TarInfo | Problem]:
    """Regular files of a tar file that count; what is anything else, or damaged, is a Problem."""
    shard = printable(path)
    start = file.read(6)
    size = file.seek(0, 2)
    file.seek(0)
    if start.startswith(_MAGIC):
        yield Problem(
            shard, "a compressed shard, where no picture can be sought; unpack it to .tar"
        )
        return
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if member.size < 0 or not member.offset < member.offset_data <= tar.offset:
                    raise tarfile.ReadError("a negative size")
                counts = leads_outside(member.name) or sieve.takes_member(member.name)
                if counts and (fault := _fault(member)):
                    yield Problem(f"{shard}:{shown(member.name)}", f"{fault}; skipped")
                elif member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                elif counts and not member.isdir():
                    yield member
            file.seek(tar.offset)
            if file.read(_BLOCK) != bytes(_BLOCK):
                raise tarfile.ReadError("no end mark")
    except Exception as error:  # tarfile raises nearly anything on mutated files
        what = f"the shard is damaged or cut short ({shown(str(error))}); what precedes is used"
        yield Problem(shard, what)


def _fault(member: tarfile.TarInfo) -> str | None:
    if leads_outside(member.name):
        return "the name leads outside the shard"
    if member.isdir():
        return None
    if not member.isreg() or member.issparse():
        return "a link, device or sparse file"
    kind = member.name.rpartition(".")[2].lower()
    return "a pickle, which could run any code" if kind in _PICKLES else None


def _entry(
    path: Path, file: BinaryIO, sample: _Sample, split: str | None, others: Counter[str]
) -> Found:
    place = f"{printable(path)}:{shown(sample.members()[0].name)}"
    if not sample.pictures:
        what = "the shard holds no picture of that key; skipped"
        return Problem(place, what, split)
    if len(sample.pictures) > 1 or len(sample.texts) > 1:
        return Problem(place, "several pictures or texts of the same key; skipped", split)
    captions: list[str] | str = "the shard holds no text of that key"
    document = _object(file, sample.documents[0]) if sample.documents else {}
    if isinstance(document, dict) and document.get("split") is not None:
        if (told := known_split(document["split"])) is None:
            return Problem(place, f"unknown split '{shown(str(document['split']))}'; skipped")
        split = told
    if sample.texts or sample.documents:  # where both are, they say the same
        member = [*sample.texts, *sample.documents][0]
        place = f"{printable(path)}:{shown(member.name)}"
        if sample.texts:
            captions = _lines(file, member)
        else:
            captions = document if isinstance(document, str) else _captions(document, others)
    if isinstance(captions, str):
        return Problem(place, f"{captions}; skipped", split)
    picture = sample.pictures[0]
    span = picture.offset, picture.size
    return Entry(place, picture.name, (path,), captions, split, span)


def _text(file: BinaryIO, member: _Piece) -> str | None:
    """What a member says; None where that is too long."""
    if member.size > _LARGEST:
        return None
    file.seek(member.offset)
    return file.read(member.size).decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def _object(file: BinaryIO, member: _Piece) -> dict[str, object] | str:
    """The JSON object in a member, empty for anything else; or why there is none."""
    if (text := _text(file, member)) is None:
        return _TOO_LARGE
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        return "not JSON" + (f" ({shown(str(error))})" if isinstance(error, ValueError) else "")
    return document if isinstance(document, dict) else {}


def _lines(file: BinaryIO, member: _Piece) -> list[str] | str:
    """The captions of a text, one a line; or why there are none."""
    if (text := _text(file, member)) is None:
        return _TOO_LARGE
    return [line for line in split_lines(text) if line.strip()] or "the text is empty"


def _captions(document: Mapping[str, object], others: Counter[str]) -> list[str] | str:
    """The captions of an object, or why there are none; what else may be some is counted."""
    [name, *more] = [*(name for name in CAPTION_NAMES if document.get(name)), ""]
    value = document.get(name)
    captions = captions_in(value)
    if not captions or not isinstance(value, str | list):
        return f"no caption; accepted keys are {', '.join(CAPTION_NAMES)}"
    if more := [other for other in more if other and document[other] != value]:
        others[f"{name}, not {more[0]}"] += 1
    return captions if isinstance(captions, str) else list(captions)


SHARDS = Format("WebDataset shards", "*.tar of key.jpg with key.txt (WebDataset)", _find, _read)
