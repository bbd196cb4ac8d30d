"""Features of many images: decoding overlapped with encoding, and a cache on disk.

The cache is content-addressed: a row is found by the SHA-256 of the image file, in a folder named
after the encoder, its weights and its preprocessing. A folder holds two files that only grow,
`features.f16` (rows of D fp16 numbers) and `digests.bin` (32 bytes a row). A row counts once its
digest is complete; whatever a killed writer or a full disk left behind is cut off by the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..devices import processors
from ..errors import DataError, ImageError
from ..files import held
from .encoders import Encoder
from .finding import Picture, printable
from .given import InMemory
from .reading import Preprocessing, open_picture, preprocess, read_image

BATCH = 16  # images an encoder call
# Of a picture whose feature is not sound: the code of its error, and what is wrong with it.
UNSOUND = "bad-feature", "the image network gives NaN for it, or numbers beyond fp16"
_DIGEST = 32  # bytes
_LARGEST = float(np.finfo(np.float16).max)  # bundles and caches hold fp16

OnProgress = Callable[[int, int], None]  # images done, images in all
T = TypeVar("T")
R = TypeVar("R")


class FeatureRows:
    """Features of N images, left in the memory-mapped cache until they are asked for."""

    def __init__(self, matrix: np.ndarray, rows: np.ndarray) -> None:
        self._matrix = matrix  # (rows of the cache, D) fp16
        self._rows = rows  # (N,)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, images: np.ndarray) -> np.ndarray:
        """Features of the images at these positions, (n, D) fp16."""
        return self._matrix[self._rows[images]]


def encode_images(
    pictures: Iterable[Picture | InMemory | ImageError], encoder: Encoder
) -> Iterator[np.ndarray | ImageError]:
    """Yield the feature of each picture, (D,) float32, or the error that it met, in order.

    Threads decode the next batches while the encoder works on this one. A network of one's own may
    give numbers for a picture that nothing can be learned from: bad-feature.
    """
    items = read_ahead(pictures, partial(_named_pixels, how=encoder.preprocessing), 2 * BATCH)
    while part := list(islice(items, BATCH)):
        decoded = [item for _, item in part if isinstance(item, np.ndarray)]
        features = encoder.encode(np.stack(decoded)) if decoded else np.zeros((0, 1), np.float32)
        encoded = zip(features, are_sound(features), strict=True)
        for name, item in part:
            if isinstance(item, ImageError):
                yield item
                continue
            feature, is_sound = next(encoded)
            code, what = UNSOUND
            yield feature if is_sound else ImageError(code, f"{name}: {what}")


def are_sound(features: np.ndarray) -> np.ndarray:
    """Whether all numbers are finite, in fp16 too: (n, D) -> (n,)."""
    with np.errstate(invalid="ignore"):
        return (np.abs(features) <= _LARGEST).all(axis=1)


def read_ahead(items: Iterable[T], read: Callable[[T], R], ahead: int) -> Iterator[R]:
    """Yield what `read` makes of each item, in order; threads work on the next ones meanwhile."""
    remaining = iter(items)
    with ThreadPoolExecutor(processors()) as pool:
        waiting = deque(pool.submit(read, item) for item in islice(remaining, ahead))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(read, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()


def cached_features(
    paths: Sequence[Picture], encoder: Encoder, cache: Path, on_progress: OnProgress
) -> tuple[FeatureRows, list[ImageError | None]]:
    """Features of all readable paths, computing those that the cache folder does not hold yet.

    Also returns the error of each path, None where there is none: the features are those of the
    paths without one, in order. Interrupted at any point, the next call goes on from there.
    Raises DataError when the cache cannot be written.
    """
    if encoder.dimension == 0:  # RNN-Base looks at no image
        return FeatureRows(np.zeros((1, 0), np.float16), np.zeros(len(paths), int)), [None] * len(
            paths
        )
    store = _Store(cache / _key(encoder), encoder.dimension)
    digests = _digests(paths)
    known = store.digests()
    missing: dict[bytes, Picture] = {}
    for path, digest in zip(paths, digests, strict=True):
        if isinstance(digest, bytes) and digest not in known:
            missing.setdefault(digest, path)
    failed: dict[bytes, ImageError] = {}
    done = len(paths) - len(missing)
    on_progress(done, len(paths))
    encoded = zip(missing, encode_images(missing.values(), encoder), strict=True)
    while part := list(islice(encoded, BATCH)):
        failed |= {d: result for d, result in part if isinstance(result, ImageError)}
        store.append({d: result for d, result in part if isinstance(result, np.ndarray)})
        done += len(part)
        on_progress(done, len(paths))
    known = store.digests()
    errors = [
        d if isinstance(d, ImageError) else _error_of(path, missing.get(d), failed.get(d))
        for path, d in zip(paths, digests, strict=True)
    ]
    rows = [known[d] for d in digests if isinstance(d, bytes) and d not in failed]
    return FeatureRows(store.matrix(), np.array(rows, dtype=np.int64)), errors


def default_cache() -> Path:
    """Where features are kept unless told otherwise: $XDG_CACHE_HOME/mrnn/features."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mrnn" / "features"


class _Store:
    """The two files of one cache folder."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._features = folder / "features.f16"
        self._digests = folder / "digests.bin"
        self._row = 2 * dimension  # bytes
        self._dimension = dimension
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{printable(folder)}: cannot be made ({error.strerror})") from None

    def digests(self) -> dict[bytes, int]:
        """Rows by digest."""
        try:
            content = self._digests.read_bytes()
            last = min(len(content) // _DIGEST, self._features.stat().st_size // self._row)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DataError(
                f"{printable(self._digests)}: cannot be read ({error.strerror})"
            ) from None
        return {content[i * _DIGEST : (i + 1) * _DIGEST]: i for i in range(last)}

    def append(self, rows: dict[bytes, np.ndarray]) -> None:
        """Add rows under a lock, features before digests, both forced to the disk."""
        if not rows:
            return
        values = np.stack(list(rows.values())).astype(np.float16)
        try:
            with (
                held(self._folder, wait=True),
                self._features.open("ab") as features,
                self._digests.open("ab") as digests,
            ):
                complete = min(
                    os.fstat(digests.fileno()).st_size // _DIGEST,
                    os.fstat(features.fileno()).st_size // self._row,
                )
                features.truncate(complete * self._row)
                digests.truncate(complete * _DIGEST)
                for file, content in ((features, values.tobytes()), (digests, b"".join(rows))):
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"{printable(self._features)}: cannot be written ({error.strerror}); what was "
                "computed so far is kept; set XDG_CACHE_HOME to a disk with room"
            ) from None

    def matrix(self) -> np.ndarray:
        """All rows, (N, D) fp16, memory-mapped."""
        rows = self._features.stat().st_size // self._row if self._features.exists() else 0
        if rows == 0:
            return np.zeros((0, self._dimension), dtype=np.float16)
        shape = (rows, self._dimension)
        return np.memmap(self._features, dtype=np.float16, mode="r", shape=shape)


def _key(encoder: Encoder) -> str:
    what_runs = encoder.file.digest if encoder.file else encoder.digest
    how: list[object] = [what_runs, encoder.preprocessing.to_json()]
    if encoder.precision != 32:
        how.append(encoder.precision)
    identity = json.dumps(how, sort_keys=True)
    return f"{encoder.name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _digests(paths: Sequence[Picture]) -> list[bytes | ImageError]:
    with ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(_digest, paths))


def _digest(path: Picture) -> bytes | ImageError:
    try:
        with open_picture(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except ImageError as error:
        return error
    except OSError as error:
        return ImageError("unreadable", f"{printable(path)}: cannot be read ({error.strerror})")


def _error_of(path: Picture, tried: Picture | None, error: ImageError | None) -> ImageError | None:
    """The error met with this content, named after this path if another one was tried."""
    if error is None or tried is None or tried == path:
        return error
    return ImageError(error.code, str(error).replace(printable(tried), printable(path), 1))


def _named_pixels(
    picture: Picture | InMemory | ImageError, how: Preprocessing
) -> tuple[str, np.ndarray | ImageError]:
    """What `read_pixels` gives, and the name of the picture for messages."""
    named = picture.name if isinstance(picture, InMemory) else picture
    return "" if isinstance(named, ImageError) else printable(named), read_pixels(picture, how)


def read_pixels(
    picture: Picture | InMemory | ImageError, how: Preprocessing
) -> np.ndarray | ImageError:
    """A picture as the encoder takes it, (3, S, S), or the error that it met."""
    if isinstance(picture, ImageError):
        return picture
    try:
        return preprocess(read_image(picture, at_least=how.least_side), how)
    except ImageError as error:
        return error
