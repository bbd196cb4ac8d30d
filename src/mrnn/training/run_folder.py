"""The folder beside a model in which its training run keeps its state: `DIR.training/`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ..errors import BundleError, UsageError
from ..files import LOCK, held, write_whole
from ..images.finding import printable
from ..model.bundle import require_replaceable

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
        self.encoder = path / "encoder.safetensors"  # as the last phase sees pictures
        self._checkpoint = path / "checkpoint.safetensors"
        self._finished = path / "finished.json"

    @property
    def is_unfinished(self) -> bool:
        """Whether an interrupted run left a checkpoint here."""
        return self._checkpoint.exists()

    @property
    def is_finished(self) -> bool:
        """Whether a run came to its end here."""
        return self._finished.exists() and not self.is_unfinished

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint, as a whole or not at all; raises BundleError."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in checkpoint.tensors.items()}
        values = json.dumps({"format": _FORMAT, **checkpoint.values})
        content = save_tensors(tensors, {"state": values, "digest": _digest(values, tensors)})
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
            header = json.loads(content[8 : 8 + length])["__metadata__"]
            is_whole = header["digest"] == _digest(header["state"], tensors)
            values = json.loads(header["state"])
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._wrong(f"not a checkpoint ({error})") from None
        if not is_whole or values.pop("format", None) != _FORMAT:
            raise self._wrong("damaged, or made by another version")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise self._wrong("holds NaN or infinite numbers")
        return Checkpoint(values, tensors)

    def _wrong(self, what: str) -> BundleError:
        return BundleError(
            f"{printable(self._checkpoint)}: {what}; remove {printable(self.path)} and the model "
            "beside it, and train again from the beginning"
        )

    def finish(self, identity: Mapping[str, Any]) -> None:
        """Leave a mark that the run came to its end, and remove the checkpoint."""
        write_whole(self._finished, json.dumps(identity) + "\n")
        self._checkpoint.unlink(missing_ok=True)
        self.encoder.unlink(missing_ok=True)


def _digest(values: str, tensors: Mapping[str, Tensor]) -> str:
    hasher = hashlib.sha256(values.encode())
    for name in sorted(tensors):
        hasher.update(name.encode() + tensors[name].numpy().tobytes())
    return hasher.hexdigest()


@contextmanager
def open_run(output: Path) -> Iterator[RunFolder]:
    """The run folder of a model directory, held by a lock.

    Raises UsageError for a path without a name, BundleError when it cannot be made, is somebody
    else's, or another process trains the same model. A folder that was made for nothing is taken
    away again.
    """
    if not output.name:
        raise UsageError(f"{printable(output)}: not the name of a new directory")
    folder = RunFolder(training_folder(output))
    path = folder.path
    with ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            is_held = stack.enter_context(held(path))
        except OSError as error:
            raise BundleError(f"{printable(path)}: cannot be written ({error.strerror})") from None
        if not is_held:
            raise BundleError(
                f"{printable(path)}: another process trains this model; wait for it, or name "
                "another directory"
            )
        visible = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        if visible and not folder.metrics.exists() and not folder.is_unfinished:
            raise BundleError(
                f"{printable(path)}: holds other files, and would be the folder of this training; "
                "name another directory"
            )
        try:
            yield folder
        finally:
            with suppress(OSError):
                if [entry.name for entry in path.iterdir()] == [LOCK]:
                    (path / LOCK).unlink()
                    path.rmdir()


def require_free(output: Path, resume: bool) -> None:
    """Raise BundleError unless the output may be written, or gone on with.

    To be asked while the run folder is held: what another process is at looks interrupted.
    """
    folder = RunFolder(training_folder(output))
    if folder.is_unfinished and not resume:
        raise BundleError(
            f"{printable(folder.path)}: holds an interrupted training; go on with --resume, or "
            f"remove it and {printable(output)}"
        )
    if os.path.lexists(output) and not (folder.is_unfinished or (resume and folder.is_finished)):
        why = "exists, and its training left nothing to go on from" if resume else "exists"
        raise BundleError(f"{printable(output)}: {why}; name another directory, or remove it")
    require_replaceable(output)


def training_folder(output: Path) -> Path:
    """Where the state of a training run is kept: beside its bundle, not in it."""
    return output.with_name(output.name + ".training")
