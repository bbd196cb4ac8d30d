"""Files of weights: read whole, and as arrays of which all is checked but the values' sense."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

Shape = tuple[int, ...]

_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "<i1", "I32": "<i4", "I64": "<i8"}
LARGEST = 2_000_000_000  # bytes of a file that is read whole


def read_whole(path: Path) -> bytes:
    """The content of a regular file of at most 2 GB; raises ValueError."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        if path.stat().st_size > LARGEST:
            raise ValueError("too large, more than 2 GB")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None


def from_safetensors(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file; raises ValueError."""
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a safetensors file ({error})") from None


def view_safetensors(content: bytes) -> dict[str, np.ndarray]:
    """The same without a copy: the arrays cannot be written to."""
    return _views(np.frombuffer(content, dtype=np.uint8))


def map_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, left on the disk until they are looked at.

    safetensors itself opens no path that is not UTF-8. Raises OSError and ValueError.
    """
    try:
        content = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    except ValueError as error:
        raise ValueError(f"not a safetensors file ({error})") from None
    return _views(content)


def _views(content: np.ndarray) -> dict[str, np.ndarray]:
    try:
        start = 8 + int.from_bytes(content[:8].tobytes(), "little")
        header = json.loads(content[8:start].tobytes())
        names = [name for name in header if name != "__metadata__"]
        return {name: _view(content[start:], **header[name]) for name in names}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a safetensors file ({error})") from None


def _view(
    content: np.ndarray, dtype: str, shape: Sequence[int], data_offsets: tuple[int, int]
) -> np.ndarray:
    """One array of many bytes; raises what not fitting values raise."""
    first, last = data_offsets
    if not 0 <= first <= last <= len(content):
        raise ValueError("cut short")
    if min(shape, default=0) < 0:
        raise ValueError("a side of negative length")
    return content[first:last].view(_TYPES[dtype]).reshape(shape)


def to_safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The same bytes for the same arrays, wherever they come from."""
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def check_names(arrays: Mapping[str, np.ndarray], expected: Mapping[str, object]) -> None:
    """Raise ValueError unless there are just these."""
    for name in sorted(arrays.keys() - expected.keys()):
        raise ValueError(f"unknown key {name!r}")
    for name in sorted(expected.keys() - arrays.keys()):
        raise ValueError(f"missing key {name!r}")


def check_arrays(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Shape], said_by: str
) -> None:
    """Raise ValueError unless there are just these, of these shapes, float16 or 32 and finite."""
    check_names(arrays, shapes)
    for name, array in arrays.items():
        if array.shape != shapes[name]:
            raise ValueError(f"{name!r} has shape {array.shape}, {said_by} says {shapes[name]}")
        if array.dtype not in (np.float16, np.float32):
            raise ValueError(f"{name!r} is {array.dtype}, not float16 or float32")
        if not np.isfinite(array).all():
            raise ValueError(f"{name!r} holds NaN or infinite numbers")


def to_half(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All arrays rounded to float16; raises ValueError where a number does not fit."""
    with np.errstate(over="ignore"):
        halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    for name, array in halves.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name!r} holds NaN or numbers too large for fp16")
    return halves
