"""The encoder of a reproduction, kept in its folder: later runs need no package and no PyTorch.

`encoder.safetensors` holds all its weights, as a bundle does; `encoder.json` says whose they are.
An ONNX file stays where it is: whoever names it has it.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import DataError
from ..files import write_whole
from ..images.encoders import Encoder, reopen_encoder
from ..images.finding import printable
from ..images.networks import SAFETENSORS, EncoderFile, network
from ..weight_files import read_whole

_FILE, _TOLD = "encoder.safetensors", "encoder.json"
_KEYS = ("name", "digest", "file")


def keep_encoder(folder: Path, encoder: Encoder) -> None:
    """Write it, unless it is there or has no file of weights; raises OSError."""
    file = encoder.file
    if file is None or file.name != SAFETENSORS or (folder / _TOLD).exists():
        return
    told = {"name": encoder.name, "digest": encoder.digest, "file": file.digest}
    write_whole(folder / _FILE, file.content)
    write_whole(folder / _TOLD, json.dumps(told, indent=1) + "\n")


def kept_encoder(folder: Path, name: str, device: str = "cpu") -> Encoder | None:
    """The encoder of this name that an earlier run has kept there; raises DataError if damaged."""
    path = folder / _TOLD
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict) or any(type(told.get(key)) is not str for key in _KEYS):
            raise ValueError("not what was written there")
        if told["name"] != name:
            return None
        file = EncoderFile.of(SAFETENSORS, read_whole(folder / _FILE), printable(folder / _FILE))
        if file.digest != told["file"]:
            raise ValueError(f"{_FILE} is another than it was")
    except ValueError as error:
        raise DataError(
            f"{printable(path)}: damaged ({error}); remove it, and it is made again"
        ) from None
    how = network(name).preprocessing
    return reopen_encoder(name, told["digest"], file, how, device)
