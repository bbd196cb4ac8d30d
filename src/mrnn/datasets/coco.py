"""COCO captions: images and annotations in JSON, a file for each split."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..images.finding import printable
from .documents import mentions, parse
from .entries import (
    Entry,
    Format,
    Found,
    Listing,
    home_of,
    identity,
    known_split,
    one_a_split,
    picture_folders,
    shown,
    split_of_file,
)
from .examples import Problem

# In the names of files beside the captions:
OTHER_ANNOTATIONS = ("instances_", "person_keypoints_", "stuff_", "panoptic_")  # how these begin
PICTURES_ALONE = "image_info"  # of a test split, as everybody knows
IN_WORDS = "_tokenized"  # STAIR has each file again, its captions in words
# Captions that their data set itself marks as none, as VizWiz does.
_MARKS = ("is_rejected", "is_precanned")


class _Image(NamedTuple):
    id: int | str | None
    name: Any
    split: Any


class _Annotation(NamedTuple):
    image: int | str | None  # id
    caption: Any
    is_rejected: bool
    split: Any


def _find(listing: Listing, by_content: bool) -> list[Path]:
    if not by_content:
        return []
    found = listing.ending(".json") + listing.of_annotations()
    captions = [path for path in found if not path.name.startswith(OTHER_ANNOTATIONS)]
    texts = {path.name for path in captions}
    captions = [p for p in captions if p.name.replace(IN_WORDS, "") not in texts - {p.name}]
    right = [path for path in captions if is_coco(path)]
    # What is cut short, or has no captions (as test splits are released), is told.
    told = (p for p in captions if _is_captions(p) or is_list_of_pictures(p))
    told = (path for path in told if PICTURES_ALONE not in path.name)
    return [*right, *(path for path in told if path not in right)] if right else []


def is_coco(path: Path) -> bool:
    """Whether a JSON file seems to have COCO's images and captions."""
    return mentions(path, "annotations", "image_id", "caption", "file_name")


def is_list_of_pictures(path: Path) -> bool:
    """Whether a JSON file has COCO's images, and no annotations or an empty list of them."""
    is_more = any(mentions(path, word) for word in ("image_id", "caption", "captions", "sentences"))
    return mentions(path, "images", "file_name") and not is_more and not _is_captions(path)


def _is_captions(path: Path) -> bool:
    return path.name.startswith("captions_")


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    lists = [path for path in files if is_list_of_pictures(path)]
    for path in lists:
        what = "a list of pictures without annotations (captions); not read"
        yield Problem(printable(path), what, split_of_file(path))
    for path, split in one_a_split([path for path in files if path not in lists]):
        folders = picture_folders(home_of(path), images)
        document = parse(path, _keep)
        if not isinstance(document, dict):
            raise DataError(f'{printable(path)}: expected lists "images" and "annotations"')
        names: dict[int | str, str] = {}  # by id; "" where nobody knows which picture it is
        found = chain(
            _pictures(printable(path), document["images"], names, folders, split),
            _captions(printable(path), document["annotations"], names, folders, split),
        )
        own = yield from _own_splits(printable(path), document["images"], document["annotations"])
        yield from _split(found, own) if own else found


def _own_splits(
    file: str, images: Sequence[object], annotations: Sequence[object]
) -> Generator[Problem, None, dict[str, str | None]]:
    """Splits that images or their annotations tell themselves, by name; None for no known one."""
    named = {of.id: of.name for of in images if isinstance(of, _Image) and type(of.name) is str}
    told = [
        (f"{file}: images[{number}]", of.name, of.split)
        for number, of in enumerate(images)
        if isinstance(of, _Image) and of.split is not None and type(of.name) is str
    ] + [
        (f"{file}: annotations[{number}]", named[of.image], of.split)
        for number, of in enumerate(annotations)
        if isinstance(of, _Annotation) and of.split is not None and of.image in named
    ]
    own: dict[str, str | None] = {}
    for place, name, written in told:
        split = known_split(written)
        earlier = own.setdefault(name, split)
        if split is None:
            yield Problem(place, f"unknown split '{shown(str(written))}'; skipped")
        elif earlier not in (None, split):
            what = f"{shown(name)} is already in the {earlier} split, where all of it is read"
            yield Problem(place, what, split)
    return own


def _split(found: Iterable[Found], own: Mapping[str, str | None]) -> Iterator[Found]:
    """What was found, in its own split; nothing of a split that is not known."""
    for item in found:
        split = own.get(item.name, item.split) if isinstance(item, Entry) else item.split
        if split is not None or isinstance(item, Problem) or item.name not in own:
            yield item._replace(split=split) if isinstance(item, Entry) else item


def _pictures(
    file: str,
    images: Sequence[object],
    names: dict[int | str, str],
    folders: tuple[Path, ...],
    split: str | None,
) -> Iterator[Found]:
    """The pictures, whose names are filled in. An id of two names is of no picture."""
    first: dict[int | str, object] = {}
    several = {
        image.id
        for image in images
        if isinstance(image, _Image)
        and image.id is not None
        and first.setdefault(image.id, image.name) != image.name
    }
    for number, image in enumerate(images):
        place = f"{file}: images[{number}]"
        if not isinstance(image, _Image) or image.id is None or type(image.name) is not str:
            yield Problem(place, "expected an object with id and file_name; skipped", split)
        elif image.id in several:
            names[image.id] = ""
            what = f"the id {shown(str(image.id))} has several file_names; skipped"
            yield Problem(place, what, split)
        elif image.id in names:
            yield Problem(place, f"the id {shown(str(image.id))} stands twice; skipped", split)
        else:
            names[image.id] = image.name
            yield Entry(place, image.name, folders, split=split, identity=image.id)


def _captions(
    file: str,
    annotations: Sequence[object],
    names: Mapping[int | str, str],
    folders: tuple[Path, ...],
    split: str | None,
) -> Iterator[Found]:
    rejected = 0
    for number, of in enumerate(annotations):
        place = f"{file}: annotations[{number}]"
        if not isinstance(of, _Annotation) or of.image is None or type(of.caption) is not str:
            yield Problem(place, "expected an object with image_id and caption; skipped", split)
        elif of.image not in names:
            yield Problem(place, f"no image has the id {shown(str(of.image))}; skipped", split)
        elif of.is_rejected:
            rejected += 1
        elif name := names[of.image]:
            yield Entry(place, name, folders, (of.caption,), split)
    if rejected:
        what = f"{rejected:,} captions that are marked {' or '.join(_MARKS)}; skipped"
        yield Problem(file, what, split)


def _keep(value: dict[str, Any]) -> object:
    images, annotations = value.get("images"), value.get("annotations")
    if isinstance(images, list) and isinstance(annotations, list):
        return {"images": images, "annotations": annotations}
    if "caption" in value:
        is_rejected = bool(value.get(_MARKS[0]) or value.get(_MARKS[1]))
        image = identity(value.get("image_id"))
        return _Annotation(image, value["caption"], is_rejected, value.get("split"))
    if "file_name" in value:
        return _Image(identity(value.get("id")), value["file_name"], value.get("split"))
    return None


COCO = Format("COCO captions JSON", "captions_*.json (COCO)", _find, _read)
