"""Pictures described: all that a library keeps of them, made batch by batch.

    file -> SHA-256 -> decoded            threads, two batches ahead; a known content is not decoded
         -> Encoder.encode -> VI I        a vector of M numbers, rounded to fp16
         -> a caption of that vector

What comes out depends on the pictures alone, not on who else is in the batch: a process of its own
and the workers of a cluster make the same library. (Image networks in floats may differ in the last
digits of a vector.)

Dimension key: n new pictures of a batch, M multimodal layer.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from ..captioner import Captioner
from ..errors import ImageError
from ..images.features import BATCH, UNSOUND, are_sound, read_ahead
from ..images.finding import printable
from ..images.reading import Preprocessing, date_of, decode_image, open_picture, preprocess
from .contents import Content, File

_LARGEST = 1 << 30  # bytes: no picture that we decode is as large


@dataclass(frozen=True)
class Described:
    """A batch of files, and the contents among them that were looked at; no rows yet."""

    files: list[File]
    contents: list[Content]
    vectors: np.ndarray  # (n, M) fp16, of the contents without a fault, in their order


def describe(
    files: Iterable[File],
    captioner: Captioner,
    with_captions: bool,
    is_known: Callable[[bytes], bool],
) -> Iterator[Described]:
    """Read files, batch by batch, in order; contents known by their digest are not decoded.

    A picture that cannot be read becomes a fault, of its content where that has a digest.
    """
    read = partial(_read, how=captioner.encoder.preprocessing, is_known=is_known)
    items = read_ahead(files, read, 2 * BATCH)
    while part := list(islice(items, BATCH)):
        part, vectors = _with_vectors(captioner, part)
        captions = iter(caption_vectors(captioner, vectors) if with_captions else ())
        contents = [
            item.content
            if item.pixels is None
            else replace(item.content, caption=next(captions, None))
            for item in part
            if item.content is not None
        ]
        yield Described([item.file for item in part], contents, vectors)


def caption_vectors(captioner: Captioner, vectors: np.ndarray) -> list[tuple[str, float]]:
    """Greedy captions of vectors (n, M), with their perplexities."""
    if not len(vectors):
        return []
    captions = captioner.caption_terms(vectors.astype(np.float32), sure=False)
    return [(caption.text, caption.perplexity) for caption in captions]


@dataclass(frozen=True)
class _Read:
    file: File
    content: Content | None = None  # where it was looked at
    pixels: np.ndarray | None = None  # where it could be read


def _read(file: File, how: Preprocessing, is_known: Callable[[bytes], bool]) -> _Read:
    try:
        content = _bytes(file)
    except (ImageError, OSError) as error:
        return _Read(replace(file, fault=_fault(file, error)))
    digest = hashlib.sha256(content).digest()
    file = replace(file, digest=digest)
    if is_known(digest):
        return _Read(file)
    try:
        name = printable(file.picture)
        image, size = decode_image(io.BytesIO(content), name, how.least_side)
    except ImageError as error:
        fault = _fault(file, error)
        if error.code == "unreadable":  # no fault of what is in it
            return _Read(replace(file, digest=None, fault=fault))
        return _Read(file, Content(digest, fault=fault))
    taken = date_of(io.BytesIO(content))
    return _Read(file, Content(digest, size=size, taken=taken), preprocess(image, how))


def _bytes(file: File) -> bytes:
    """All bytes of a file, read once: what is decoded is what has the digest, come what may."""
    with open_picture(file.picture) as stream:
        if stream.seek(0, os.SEEK_END) > _LARGEST:
            name = printable(file.picture)
            raise ImageError("too-large", f"{name}: larger than {_LARGEST:,} bytes")
        stream.seek(0)
        return stream.read()


def _fault(file: File, error: ImageError | OSError) -> tuple[str, str]:
    if isinstance(error, OSError):
        return "unreadable", f"cannot be read ({error.strerror})"
    return error.code, str(error).removeprefix(f"{printable(file.picture)}: ")


def _with_vectors(captioner: Captioner, part: Sequence[_Read]) -> tuple[list[_Read], np.ndarray]:
    """A batch, and the image terms (n, M) fp16 of those that have pixels.

    Where the network gives no numbers that can be kept, a fault takes the place of the pixels.
    """
    pixels = [item.pixels for item in part if item.pixels is not None]
    if not pixels:
        return list(part), np.zeros((0, captioner.model.config.multimodal), dtype=np.float16)
    features = captioner.encoder.encode(np.stack(pixels))
    sound = are_sound(features)
    told = iter(sound)
    kept = [
        item
        if item.pixels is None or item.content is None or next(told)
        else _Read(item.file, Content(item.content.digest, fault=UNSOUND))
        for item in part
    ]
    return kept, captioner.terms_of_features(features[sound]).astype(np.float16)
