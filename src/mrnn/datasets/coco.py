"""COCO captions: images and annotations in JSON, a file for each split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    one_a_split,
    picture_folders,
    shown,
    split_of_file,
)
from .examples import Problem

_FOLDER = "annotations"  # of the release, beside the pictures
_TOKENIZED = "_tokenized"
_OTHERS = ("instances_", "person_keypoints_")  # in it, and large


class _Image(NamedTuple):
    id: Any
    name: Any


class _Annotation(NamedTuple):
    image: Any  # id
    caption: Any


def _find(listing: Listing, by_content: bool) -> list[Path]:
    if not by_content:
        return []
    found = listing.ending(".json")
    if _FOLDER in listing.folders:
        found += Listing.of(listing.folder / _FOLDER).ending(".json")
    captions = [path for path in found if not path.name.startswith(_OTHERS)]
    texts = {path.name for path in captions}  # STAIR has each file again, its captions in words
    captions = [p for p in captions if p.name.replace(_TOKENIZED, "") not in texts - {p.name}]
    right = [path for path in captions if is_coco(path)]
    # What is cut short, or has no captions (as test splits are released), is told.
    told = (p for p in captions if _is_captions(p) or is_list_of_pictures(p))
    return [*right, *(path for path in told if path not in right)] if right else []


def is_coco(path: Path) -> bool:
    """Whether a JSON file seems to have COCO's images and captions."""
    return mentions(path, "annotations", "image_id", "caption", "file_name")


def is_list_of_pictures(path: Path) -> bool:
    """Whether a JSON file has COCO's images without annotations."""
    has_images = mentions(path, "images", "file_name") and not mentions(path, "annotations")
    return has_images and not _is_captions(path)


def _is_captions(path: Path) -> bool:
    return path.name.startswith("captions_")


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    lists = [path for path in files if is_list_of_pictures(path)]
    for path in lists:
        what = "a list of pictures without annotations (captions); not read"
        yield Problem(printable(path), what, split_of_file(path))
    for path, split in one_a_split([path for path in files if path not in lists]):
        home = path.parent.parent if path.parent.name == _FOLDER else path.parent
        folders = picture_folders(home, images, split)
        document = parse(path, _keep)
        if not isinstance(document, dict):
            raise DataError(f'{printable(path)}: expected lists "images" and "annotations"')
        names: dict[int | str, str] = {}
        for number, image in enumerate(document["images"]):
            place = f"{printable(path)}: images[{number}]"
            if not isinstance(image, _Image) or not _is_image(image):
                yield Problem(place, "expected an object with id and file_name; skipped", split)
            elif image.id in names:
                yield Problem(place, f"the id {shown(str(image.id))} stands twice; skipped", split)
            else:
                names[image.id] = image.name
                yield Entry(place, image.name, folders, split=split)
        for number, annotation in enumerate(document["annotations"]):
            place = f"{printable(path)}: annotations[{number}]"
            if not isinstance(annotation, _Annotation) or not _is_annotation(annotation):
                yield Problem(place, "expected an object with image_id and caption; skipped", split)
            elif annotation.image not in names:
                what = f"no image has the id {shown(str(annotation.image))}; skipped"
                yield Problem(place, what, split)
            else:
                name = names[annotation.image]
                yield Entry(place, name, folders, (annotation.caption,), split)


def _is_image(image: _Image) -> bool:
    return type(image.id) in (int, str) and type(image.name) is str


def _is_annotation(annotation: _Annotation) -> bool:
    return type(annotation.image) in (int, str) and type(annotation.caption) is str


def _keep(value: dict[str, Any]) -> object:
    images, annotations = value.get("images"), value.get("annotations")
    if isinstance(images, list) and isinstance(annotations, list):
        return {"images": images, "annotations": annotations}
    if "caption" in value:
        return _Annotation(value.get("image_id"), value["caption"])
    if "file_name" in value:
        return _Image(value.get("id"), value["file_name"])
    return None


COCO = Format("COCO captions JSON", "captions_*.json (COCO)", _find, _read)
