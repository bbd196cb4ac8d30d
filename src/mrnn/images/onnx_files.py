"""Any image network in an ONNX file of the user's.

A file `model.onnx` is described by `model.json` beside it, an object with the fields of
`Preprocessing`: {"size": 224, "mean": [123.675, 116.28, 103.53], "scale": [58.395, 57.12, 57.375]}.

Dimension key: B images, S input side, D feature, H x W = P positions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

from ..errors import BundleError
from ..onnx_sessions import open_session
from ..weight_files import read_whole
from .finding import printable
from .networks import Run, at_once, flatten_positions, in_parts
from .reading import Preprocessing, preprocess

_EXAMPLE = '{"size": 224, "mean": [123.675, 116.28, 103.53], "scale": [58.395, 57.12, 57.375]}'
_INPUT = "float32 of shape (batch, 3, height, width), the batch free or 1"
_SAME = 1e-3  # of numbers, as far as they may differ in another batch
_OUTPUT = "(batch, features) or (batch, features, height, width)"


@dataclass(frozen=True)
class OnnxNetwork:
    """What a file computes."""

    dimension: int  # D
    encode: Run  # (B, 3, S, S) -> (B, D), float32
    encode_positions: Run | None  # (B, 3, S, S) -> (B, P, D), where the output has positions


def read_onnx(path: Path) -> tuple[bytes, Preprocessing]:
    """The bytes of `model.onnx`, and what `model.json` beside it says; raises BundleError."""
    description = path.with_suffix(".json")
    try:
        content = read_whole(path)
    except ValueError as error:
        raise BundleError(f"{printable(path)}: {error}") from None
    try:
        return content, Preprocessing.from_json(json.loads(read_whole(description)))
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{printable(description)}: {printable(str(error))}; it says what the network expects, "
            f"for values 0..255, as in: {_EXAMPLE}"
        ) from None


def open_file(content: bytes, how: Preprocessing, place: str) -> OnnxNetwork:
    """Open a file's content, and try it on noise; raises BundleError that begins with `place`.

    Where the answer for a picture depends on others of its batch, each is looked at alone.
    """
    try:
        session = open_session(content)
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise BundleError(f"{place}: {_reason(error)}") from None
    try:
        return _checked(session, how)
    except ValueError as error:
        raise BundleError(f"{place}: {error}") from None


def _checked(session: ort.InferenceSession, how: Preprocessing) -> OnnxNetwork:
    single = _takes_one_image(session, how)
    output = _chosen_output(session, how.output)
    [entering] = session.get_inputs()

    def run_part(part: np.ndarray) -> np.ndarray:
        return session.run([output], {entering.name: part})[0].astype(np.float32, copy=False)

    run = in_parts(run_part, 1 if single else at_once())
    one_by_one = in_parts(run_part, 1)
    noise = np.random.default_rng(0).integers(0, 256, (2, how.size, how.size, 3), dtype=np.uint8)
    noise[1] //= 8  # a dark one: networks in 8 bits may choose their steps by all of a batch
    try:
        pixels = np.stack([preprocess(Image.fromarray(picture), how) for picture in noise])
        found, alone = run(pixels), one_by_one(pixels)
    except Exception as error:  # shapes that do not fit, an output that is no array, ...
        raise ValueError(f"cannot be run on two pictures ({_line(error)})") from None
    if found.ndim not in (2, 4) or len(found) != 2 or 0 in found.shape:
        raise ValueError(f"the output {output!r} is of shape {found.shape}; expected {_OUTPUT}")
    if not np.isfinite(found).all():
        raise ValueError(f"the output {output!r} holds NaN or infinite numbers on a test picture")
    if not np.allclose(found, alone, rtol=_SAME, atol=_SAME * float(np.abs(alone).max())):
        run = one_by_one
    if found.ndim == 2:
        return OnnxNetwork(found.shape[1], run, None)
    return OnnxNetwork(
        found.shape[1],
        lambda batch: run(batch).mean(axis=(2, 3)),
        lambda batch: flatten_positions(run(batch)),
    )


def _takes_one_image(session: ort.InferenceSession, how: Preprocessing) -> bool:
    """Whether the batch is fixed to one image; raises ValueError for an input of another kind."""
    inputs = session.get_inputs()
    listed = ", ".join(f"{printable(i.name)} {i.type} {i.shape}" for i in inputs) or "none"
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise ValueError(f"its inputs are {listed}; expected one, {_INPUT}")
    batch, channels, height, width = (n if isinstance(n, int) else None for n in inputs[0].shape)
    if batch not in (None, 1) or channels not in (None, 3):
        raise ValueError(f"its input is {listed}; expected {_INPUT}")
    if height not in (None, how.size) or width not in (None, how.size):
        raise ValueError(
            f"its input is {listed}, but the size in the JSON file is {how.size}; "
            "both must be the same, and height equal width"
        )
    return batch == 1


def _chosen_output(session: ort.InferenceSession, name: str | None) -> str:
    outputs = session.get_outputs()
    listed = ", ".join(f"{printable(o.name)} {o.type} {o.shape}" for o in outputs)
    chosen = [o for o in outputs if name is None or o.name == name]
    if len(chosen) != 1:
        wish = "one must be named" if name is None else f"{printable(name)} is not among them"
        raise ValueError(
            f'its outputs are {listed}: {wish} in the JSON file, as in "output": "..."'
        )
    if chosen[0].type not in ("tensor(float)", "tensor(float16)", "tensor(double)"):
        raise ValueError(f"its output is {listed}; expected floats, {_OUTPUT}")
    return chosen[0].name


def _reason(error: Exception) -> str:
    if "external" in str(error).lower():
        return "its weights lie in other files; export it with all weights in the .onnx file"
    return f"not a network that ONNX Runtime can open ({_line(error)})"


def _line(error: Exception) -> str:
    return printable(str(error))[:200]
