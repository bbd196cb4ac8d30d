"""The folder beside a model in which its training run keeps its state: `DIR.training/`."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from .errors import BundleError
from .files import write_whole
from .images import printable

_FORMAT = 1  # of a checkpoint


@dataclass(frozen=True)
class Checkpoint:
    """A training run between two updates."""

    values: Mapping[str, Any]  # plain data: where the run stands, and what it is of
    tensors: Mapping[str, Tensor]


class RunFolder:
    """The files of a training run; made by `open_run`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "config.toml"
        self.metrics = path / "metrics.jsonl"
        self.split = path / "split.tsv"
        self._checkpoint = path / "checkpoint.safetensors"

    @property
    def is_unfinished(self) -> bool:
        """Whether an interrupted run left a checkpoint here."""
        return self._checkpoint.exists()

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint, as a whole or not at all; raises BundleError."""
        values = {"format": _FORMAT, **checkpoint.values}
        tensors = {k: v.detach().cpu().contiguous() for k, v in checkpoint.tensors.items()}
        content = save_tensors(tensors, {"state": json.dumps(values)})
        try:
            write_whole(self._checkpoint, content)
        except OSError as error:
            raise BundleError(
                f"{printable(self._checkpoint)}: cannot be written ({error.strerror}); make room, "
                "then go on with --resume"
            ) from None

    def read(self) -> bytes:
        """The checkpoint as it lies on the disk, for `load`; raises BundleError."""
        try:
            return self._checkpoint.read_bytes()
        except OSError as error:
            raise self._wrong(f"cannot be read ({error.strerror})") from None

    def load(self, content: bytes) -> Checkpoint:
        """The checkpoint that `read` gave; raises BundleError when it is not one of ours."""
        try:
            tensors = load_tensors(content)
            length = int.from_bytes(content[:8], "little")
            values = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._wrong(f"not a checkpoint ({error})") from None
        if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
            raise self._wrong("made by another version")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise self._wrong("holds NaN or infinite numbers")
        return Checkpoint(values, tensors)

    def _wrong(self, what: str) -> BundleError:
        return BundleError(
            f"{printable(self._checkpoint)}: {what}; remove it and train again from the beginning"
        )

    def finish(self) -> None:
        """Remove the checkpoint: nothing is left to be done."""
        self._checkpoint.unlink(missing_ok=True)


@contextmanager
def open_run(output: Path) -> Iterator[RunFolder]:
    """The run folder of a model directory, held by a lock.

    Raises BundleError when it cannot be made, or another process trains the same model. A folder
    that was made for nothing is taken away again.
    """
    path = training_folder(output)
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise BundleError(f"{printable(path)}: cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield RunFolder(path)
    except BlockingIOError:
        raise BundleError(
            f"{printable(path)}: another process trains this model; wait for it, or name another "
            "directory"
        ) from None
    finally:
        os.close(handle)
        with suppress(OSError):  # there are files in it
            path.rmdir()


def training_folder(output: Path) -> Path:
    """Where the state of a training run is kept: beside its bundle, not in it."""
    return output.with_name(output.name + ".training")
