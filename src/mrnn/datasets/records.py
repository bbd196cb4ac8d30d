"""JSON records: objects with a picture and its captions, in arrays or by the picture's name.

Arrays are what BLIP and LAVIS, LLaVA, COCO's results, AI Challenger and Label Studio have; they may
be values of an object, by split (IU X-ray), by class (NWPU-Captions), or as TextCaps and RedCaps
have them. Objects by name are kohya's metadata; captions alone by name are read, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..images.finding import printable
from .captions import is_absent
from .coco import is_coco, is_list_of_pictures
from .documents import glimpse, mentions, parse
from .entries import (
    CAPTION_NAMES,
    FOLDER_NAMES,
    MAYBE_SPLIT_NAMES,
    SPLIT_NAMES,
    Format,
    Found,
    Listing,
    column_kind,
    home_of,
    identity,
    in_folder,
    known_split,
    one_a_split,
    picture_folders,
    plain_name,
    shown,
)
from .examples import Problem
from .karpathy import is_karpathy
from .naming import Names, is_picture

# What Hugging Face's datasets and img2dataset tell of their files.
_ABOUT = ("state.json", "dataset_info.json", "dataset_dict.json", "_stats.json")
_ID = "image_id"
_IMAGE_KEYS = (  # the first whose picture is there counts
    *("image", "file_name", "filename", "image_path", "image_name", "image_file"),
    *("file", "path", "img", "photo", "picture", "images"),
)
_CAPTION_KINDS = (*CAPTION_NAMES, "caption_str", "report")  # the last are TextCaps' and IU X-ray's
_CHATS = ("conversations", "messages")
_SPLIT_KEYS = (*SPLIT_NAMES, "set_name")
_SPEAKERS = {"human": True, "user": True, "gpt": False, "assistant": False}  # and whether they ask
_MOST_KEYS = 100  # of an object that tells of one picture


class _Keys(NamedTuple):
    """Which key of an object is which."""

    images: tuple[str, ...] = ()
    id: str = ""  # of the picture
    folder: str = ""
    captions: tuple[str, ...] = ()
    split: str = ""
    maybe: tuple[str, ...] = ()  # which may tell the split, too
    others: tuple[str, ...] = ()  # which may be captions, too

    def is_chat(self) -> bool:
        """Whether the captions are conversations."""
        return bool(self.captions) and self.captions[0] in _CHATS


class _Row(NamedTuple):
    """What an object tells of a picture; values as they stand there."""

    images: tuple[Any, ...]  # names of one picture, or a list of names of several
    captions: tuple[Any, ...]
    split: Any
    keys: _Keys
    identity: int | str | None = None  # of the picture


class _Turn(NamedTuple):
    """What somebody says in a conversation."""

    is_question: bool
    text: Any


def _find(listing: Listing, by_content: bool) -> list[Path]:
    found = [path for path in listing.ending(".json") if not path.name.endswith(_ABOUT)]
    found += listing.of_annotations()
    if not by_content:
        return found
    others = [path for path in found if not is_coco(path) and not is_karpathy(path)]
    # Beside COCO's captions, ids with captions are what some model said.
    ids_count = len(others) == len(found)
    return [path for path in others if _has_rows(path, ids_count)]


def _has_rows(path: Path, ids_count: bool) -> bool:
    rows = [row for _, row in _rows(glimpse(path, _keep)) if isinstance(row, _Row)]
    return any(ids_count or not all(type(i) is int for i in row.images) for row in rows)


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    for path, split in _parts(files):
        names = Names(picture_folders(home_of(path), images))
        count = chats = 0
        others: dict[str, str] = {}
        for where, row in _rows(parse(path, _keep, with_repeated=_is_by_name(path))):
            count += 1
            place = f"{printable(path)}: {where}"
            if isinstance(row, _Row) and row.keys.others:
                others.setdefault(f"{row.keys.captions[0]}, not {row.keys.others[0]}", place)
            if isinstance(row, _Row) and row.keys.is_chat() and len(_answers(row)) != 1:
                chats += 1
            else:
                yield from _entries(place, row, names, split)
        if not count:
            raise DataError(f"{printable(path)}: {_refusal(path)}")
        for choice, place in others.items():
            what = f"captions are those of {shown(choice)}; rename the right key to caption"
            yield Problem(place, what, split)
        if chats:
            what = (
                f"{chats:,} conversations of several questions or pictures are not read; what is "
                "taken for a caption is the answer to the only question about one picture"
            )
            yield Problem(printable(path), what, split)


def _parts(files: Sequence[Path]) -> list[tuple[Path, str | None]]:
    """Files with their splits; RedCaps has one a subreddit and year."""
    if all(mentions(path, "subreddit", "image_id") for path in files):
        return [(path, None) for path in files]
    return one_a_split(files)


def _is_by_name(path: Path) -> bool:
    """Whether a file begins with an object by the pictures' names, which may stand twice in it."""
    begun = glimpse(path, _keep)
    return isinstance(begun, dict) and any(map(_texts, islice(begun.values(), 1)))


def _refusal(path: Path) -> str:
    if is_list_of_pictures(path):
        return "a list of pictures without annotations (captions); name a file that has them"
    if mentions(path, "images", "annotations", "image_id") and not mentions(path, "caption"):
        return "its annotations are no captions; name a file that has them"
    return (
        "neither Karpathy's JSON (images with sentences) nor COCO's (images and annotations), nor "
        "objects with a picture and its captions"
    )


def _rows(document: object) -> Iterator[tuple[str, object]]:
    """What should be rows, with their places; nothing where no row is."""
    if isinstance(document, list):
        if any(isinstance(row, _Row) and row.images for row in document):
            yield from ((f"[{number}]", row) for number, row in enumerate(document))
    elif isinstance(document, dict):
        shared = _in_several_classes(document)
        for key, value in document.items():
            place = f"[{shown(repr(key))}]"
            if isinstance(value, _Row) and not value.images and _texts([*value.captions]):
                yield place, value._replace(images=(key,))
            elif is_picture(key) and _texts(value):
                yield place, _Row((key,), (value,), None, _Keys())
            elif isinstance(value, list):
                for where, row in _rows(value):
                    yield f"{shown(key)}{where}", _grouped(row, key, shared)


def _in_several_classes(document: dict[str, Any]) -> set[str]:
    """Names that rows under several keys have."""
    first: dict[str, str] = {}
    rows = ((key, row) for key, value in document.items() for row in _listed(value))
    named = ((key, name) for key, row in rows for name in row.images if isinstance(name, str))
    return {name for key, name in named if first.setdefault(name, key) != key}


def _listed(value: object) -> Iterator[_Row]:
    if isinstance(value, list):
        yield from (row for row in value if isinstance(row, _Row))


def _grouped(row: object, key: str, shared: Collection[str]) -> object:
    """A row of an array by split, or by class: the class may be the folder of its pictures.

    It must be where another class has that name, too.
    """
    if not isinstance(row, _Row):
        return row
    if known_split(key):
        return row if row.split is not None else row._replace(split=key)
    inside = [f"{key}/{name}" for name in row.images if _is_name(name)]
    if row.identity is not None:
        return row._replace(images=(*inside, *row.images))
    plain = (name for name in row.images if not isinstance(name, str) or name not in shared)
    return row._replace(images=(*inside, *plain), identity=key)


def _entries(place: str, row: object, names: Names, split: str | None) -> Iterator[Found]:
    if not isinstance(row, _Row):
        yield Problem(place, "expected an object with a picture and its captions; skipped", split)
        return
    if row.split is not None and not is_absent(str(row.split)[:40]):
        split = known_split(row.split)
        if split is None:
            yield Problem(place, f"unknown split '{shown(str(row.split))}'; skipped")
            return
    captions = _answers(row) if row.keys.is_chat() else _texts([*row.captions])
    if captions is None:
        yield Problem(place, "a caption that is not text; skipped", split)
        return
    several = next((value for value in row.images if isinstance(value, list)), None)
    pictures = [(one,) for one in several] if several is not None else [row.images]
    for spellings in pictures:
        if spellings and all(map(_is_name, spellings)):
            yield names.entry(place, spellings, captions, split, row.identity)
        else:
            yield Problem(place, "no name of a picture; skipped", split)


def _is_name(value: object) -> bool:
    return type(value) is int or (isinstance(value, str) and bool(value.strip()))


def _texts(value: object) -> list[str] | None:
    """All captions in a value, which may be lists and objects within lists; None for others."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, _Row):
        value = [*value.captions]
    if not isinstance(value, list):
        return None
    parts = [_texts(part) for part in value]
    return None if None in parts else [text for part in parts if part for text in part]


def _answers(row: _Row) -> list[str]:
    """What is said of one picture, if that is one question and its answer."""
    found = [turn for turns in row.captions if isinstance(turns, list) for turn in turns]
    turns = [turn for turn in found if isinstance(turn, _Turn)]
    if [turn.is_question for turn in turns] != [True, False]:
        return []
    if any(isinstance(image, list) and len(image) > 1 for image in row.images):
        return []
    return _texts(turns[1].text) or []


def _keep(value: dict[str, Any]) -> object:
    if len(value) > _MOST_KEYS:
        return value
    keys = _keys(tuple(value))
    if keys.captions and not any(map(_is_array_of_rows, value.values())):
        captions = tuple(value[key] for key in keys.captions if value[key] is not None)
        split = value.get(keys.split) if keys.split else _maybe_split(value, keys.maybe)
        own = identity(value[keys.id]) if keys.id and keys.images else None
        return _Row(_images(value, keys), captions, split, keys, own)
    who = value.get("from", value.get("role"))
    if isinstance(who, str) and who in _SPEAKERS:
        return _Turn(_SPEAKERS[who], value.get("value", value.get("content")))
    if isinstance(task := value.get("data"), dict) and "annotations" in value:
        return _Row(_images(task, _keys(tuple(task))), tuple(_results(value)), None, _Keys())
    return value


def _maybe_split(value: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first value of some keys that is a word of a split."""
    words = (value[name] for name in names)
    return next((w for w in words if isinstance(w, str) and known_split(w)), None)


def _is_array_of_rows(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(v, _Row) and v.images for v in value[:1])


def _images(value: Mapping[str, Any], keys: _Keys) -> tuple[Any, ...]:
    """What a picture is called; Label Studio's columns have any names: what reads as one counts."""
    if "subreddit" in value and isinstance(value.get("image_id"), str):
        return (f"{value['subreddit']}/{value['image_id']}.jpg",)
    found = [value[key] for key in keys.images if value[key] is not None]
    # An id beside a name is no second name: any other picture may be called by that number.
    if named := [one for one in found if type(one) is not int]:
        folder = value.get(keys.folder)
        return tuple(in_folder(folder, one) if isinstance(one, str) else one for one in named)
    if found or value.get(keys.id) is not None:
        return tuple(found) or (value[keys.id],)
    found = [v for v in value.values() if is_picture(v)]
    return tuple(found) if len(found) == 1 else ()


def _results(task: Mapping[str, Any]) -> Iterator[_Row]:
    """Texts of the annotations of a task of Label Studio."""
    for annotation in _objects(task["annotations"]):
        if not annotation.get("was_cancelled"):
            values = (result.get("value") for result in _objects(annotation.get("result")))
            yield from (value for value in values if isinstance(value, _Row))


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


@lru_cache(maxsize=100)
def _keys(names: tuple[str, ...]) -> _Keys:
    plain = {plain_name(name): name for name in names}
    images = tuple(plain[name] for name in _IMAGE_KEYS if name in plain)
    [folder, *_] = [*(plain[name] for name in FOLDER_NAMES if name in plain), ""]
    [split, *_] = [*(plain[name] for name in _SPLIT_KEYS if name in plain), ""]
    maybe = tuple(plain[name] for name in MAYBE_SPLIT_NAMES if name in plain)
    kinds = {
        kind: found
        for kind in (*_CAPTION_KINDS, *_CHATS)
        if (found := tuple(name for name in names if column_kind(name) == kind))
    }
    [captions, *others] = [*kinds.values(), ()]
    identifier = plain.get(_ID, "")
    return _Keys(images, identifier, folder, captions, split, maybe, sum(others, ()))


RECORDS = Format(
    "JSON records", 'a .json array of objects with "image" and "caption"', _find, _read
)
