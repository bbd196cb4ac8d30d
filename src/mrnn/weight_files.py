"""Files of weights: read whole, and as tensors of which all is checked but the values' sense."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

Shape = tuple[int, ...]

_LARGEST = 2_000_000_000  # bytes of a file that is read whole


def read_whole(path: Path) -> bytes:
    """The content of a regular file of at most 2 GB; raises ValueError."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        if path.stat().st_size > _LARGEST:
            raise ValueError("too large, more than 2 GB")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None


def from_safetensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises ValueError."""
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"not a safetensors file ({error})") from None


def to_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The same bytes for the same tensors, wherever they come from."""
    return save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})


def check_tensors(tensors: Mapping[str, Tensor], shapes: Mapping[str, Shape], said_by: str) -> None:
    """Raise ValueError unless there are just these, of these shapes, float16 or 32 and finite."""
    for name in sorted(tensors.keys() - shapes.keys()):
        raise ValueError(f"unknown key {name!r}")
    for name in sorted(shapes.keys() - tensors.keys()):
        raise ValueError(f"missing key {name!r}")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != shapes[name]:
            found = tuple(tensor.shape)
            raise ValueError(f"{name!r} has shape {found}, {said_by} says {shapes[name]}")
        if tensor.dtype not in (torch.float16, torch.float32):
            raise ValueError(f"{name!r} is {tensor.dtype}, not float16 or float32")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name!r} holds NaN or infinite numbers")


def to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors rounded to float16, on the CPU; raises ValueError where one does not fit."""
    halves = {k: v.detach().cpu().half().contiguous() for k, v in tensors.items()}
    for name, tensor in halves.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name!r} holds NaN or numbers too large for fp16")
    return halves
