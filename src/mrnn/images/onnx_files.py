"""Any image network in an ONNX file of the user's: what lies on the disk.

    model.onnx         the network
    model.onnx.data    its weights, where the exporter has put them into a file beside it
    model.json         what it expects, an object with the fields of `Preprocessing`; or, in its
                       place, Hugging Face's preprocessor_config.json

What it computes is in `onnx_networks`.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import BundleError
from ..onnx_graphs import locations, with_weights
from ..weight_files import LARGEST, read_whole
from .finding import printable
from .preprocessor_config import from_preprocessor_config, is_preprocessor_config
from .reading import Preprocessing

_EXAMPLE = '{"size": 224, "mean": [123.675, 116.28, 103.53], "scale": [58.395, 57.12, 57.375]}'
_BESIDE = (".data", "_data")  # what exporters append to the network's own name
_HUGGING_FACE = "preprocessor_config.json"


def read_onnx(path: Path) -> tuple[bytes, Preprocessing]:
    """The bytes of a network with all its weights, and what it expects; raises BundleError."""
    try:
        content = read_whole(path)
        content = _with_weights_beside(path, content)
    except ValueError as error:
        raise BundleError(f"{printable(path)}: {error}") from None
    return content, _read_description(path)


def _with_weights_beside(path: Path, content: bytes) -> bytes:
    """The network with the weights of the one file beside it that may hold some of them."""
    try:
        named = {name.removeprefix("./") for name in locations(content)}
    except ValueError:  # ONNX Runtime will say what it is
        return content
    if not named:
        return content
    ours = [f"{path.name}{end}" for end in _BESIDE]
    if len(named) > 1 or not named <= set(ours):
        listed = ", ".join(printable(name)[:80] or "no file" for name in sorted(named)[:3])
        raise ValueError(
            f"its weights lie in {listed}; only {ours[0]} beside it is read: leave both files the "
            "names that they were exported with, or export it with all weights in the .onnx file"
        )
    beside = path.with_name(*named)
    try:
        if beside.exists() and beside.resolve().parent != path.resolve().parent:
            raise ValueError("a link that leads into another folder")
        weights = read_whole(beside)
        if len(content) + len(weights) > LARGEST:
            raise ValueError("too large, more than 2 GB together with the network")
        return with_weights(content, weights)
    except ValueError as error:
        raise ValueError(
            f"its weights lie in {printable(beside.name)} beside it: {printable(str(error))}; copy "
            "both files, as they were exported"
        ) from None


def _read_description(path: Path) -> Preprocessing:
    """What `model.json` says, or Hugging Face's file where there is none.

    That file lies beside the network, or one folder above where the network's is called onnx.
    """
    own, others = path.with_suffix(".json"), [path.with_name(_HUGGING_FACE)]
    if path.absolute().parent.name == "onnx":
        others.append(path.absolute().parent.parent / _HUGGING_FACE)
    there = [] if own.exists() else [other for other in others if other.exists()]
    description = [*there, own][0]
    try:
        values = json.loads(read_whole(description))
        if is_preprocessor_config(values):
            return from_preprocessor_config(values)
        return Preprocessing.from_json(values)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{printable(description)}: {printable(str(error))}; it says what the network expects, "
            f"for values 0..255, as in: {_EXAMPLE}"
        ) from None
