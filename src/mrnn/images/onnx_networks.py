"""Any image network in an ONNX file of the user's: what it computes.

Exporters differ: channels come first or last, batches are free or fixed, numbers have 16, 32 or 64
bits, and the output is a vector, a map of positions, or tokens, the first perhaps a class token.

Dimension key: B images, S input side, D feature, H x W = P positions, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt

import numpy as np
import onnxruntime as ort
from PIL import Image

from ..errors import BundleError
from ..onnx_sessions import open_session, rounds_floats
from .finding import printable
from .networks import Run, at_once, flatten_positions, in_parts
from .reading import Preprocessing, preprocess

_TYPES = {
    f"tensor({name})": bits for name, bits in (("float16", 16), ("float", 32), ("double", 64))
}
_INPUT = "floats of shape (batch, 3, height, width) or (batch, height, width, 3)"
_OUTPUT = "(batch, features), (batch, tokens, features) or a map of height = width"
_SAME = 1e-3  # of numbers, as far as they may differ in another batch
_BEFORE = (0, 1, 2, 5)  # tokens before those of places: class, distillation or registers
_BY_ALL = b"DynamicQuantize"  # nodes that choose their steps by the largest of all pictures
_FAR = 4  # times as many tokens as numbers of each: these may be channels
_FEWEST = 4  # places of a picture that tokens stand for
_LAST = (0, 3, 1, 2)  # axes of (B, D, H, W) where the channels come last


@dataclass(frozen=True)
class OnnxNetwork:
    """What a file computes."""

    dimension: int  # D
    preprocessing: Preprocessing  # with what was chosen
    encode: Run  # (B, 3, S, S) -> (B, D), float32
    encode_positions: Run | None  # (B, 3, S, S) -> (B, P, D), where the feature is their mean
    remark: str = ""  # what was chosen, where the description left it open


@dataclass(frozen=True)
class _Input:
    """How pictures go in."""

    name: str
    bits: int  # of its floats
    channels: int  # their axis, 1 or 3
    batch: int | None  # pictures at a time, if only so many fit


def open_network(content: bytes, how: Preprocessing, place: str) -> OnnxNetwork:
    """Open a file's content, and try it on noise; raises BundleError that begins with `place`.

    Where the answer for a picture depends on others of its batch, each is looked at alone.
    """
    try:
        session = open_session(content)
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise BundleError(f"{place}: {_reason(error)}") from None
    try:
        opened = _checked(session, how, is_joint=_BY_ALL in content)
        return _with_speed(opened) if rounds_floats(session) else opened
    except ValueError as error:
        raise BundleError(f"{place}: {error}") from None


def _with_speed(network: OnnxNetwork) -> OnnxNetwork:
    """The same with a remark."""
    slow = (
        "it is in 8 bits, but as slow as in 32: ONNX Runtime cannot make its sums so that they are "
        "right on every processor, since some of its weights share a zero point"
    )
    return replace(network, remark="; ".join(filter(None, (network.remark, slow))))


def _checked(session: ort.InferenceSession, how: Preprocessing, is_joint: bool) -> OnnxNetwork:
    inputs = _inputs(session, how)
    output = _chosen_output(session, how.output)
    noise = np.random.default_rng(0).integers(0, 256, (2, how.size, how.size, 3), dtype=np.uint8)
    noise[1] //= 8  # a dark one: networks in 8 bits may choose their steps by all of a batch
    pixels = np.stack([preprocess(Image.fromarray(picture), how) for picture in noise])
    faults = []
    for entering in inputs:
        try:
            run, found = _tried(session, entering, output, pixels, is_joint)
            break
        except Exception as error:  # shapes that do not fit, an output that is no array, ...
            faults.append(_line(error))
    else:
        raise ValueError(f"cannot be run on two pictures ({faults[0]})")
    if not np.isfinite(found).all():
        raise ValueError(f"the output {output!r} holds NaN or infinite numbers on a test picture")
    match found.shape:
        case (2, int(size)) if size and how.pooling is None:
            return OnnxNetwork(size, how, run, None)
        case (2, int(tokens), int(size)) if tokens and size:
            return _of_tokens(run, tokens, size, how, output)
        case (2, int(a), int(b), int(c)) if a and b and c and how.pooling != "class":
            last = b != c if (a == b) != (b == c) else entering.channels == 3
            if b in (a, c):
                return _of_map(run, c if last else a, how, last)
    wish = f'; "pooling" is {how.pooling!r}, which is for tokens' if how.pooling else ""
    raise ValueError(f"the output {output!r} is of shape {found.shape}; expected {_OUTPUT}{wish}")


def _tried(
    session: ort.InferenceSession,
    entering: _Input,
    output: str,
    pixels: np.ndarray,
    is_joint: bool,
) -> tuple[Run, np.ndarray]:
    """What gives the output of pictures (B, 3, S, S), and that of two; raises nearly anything.

    `is_joint`: it is known that pictures have to be alone.
    """

    def run_part(part: np.ndarray) -> np.ndarray:
        count = len(part)
        if entering.batch is not None and count < entering.batch:
            part = np.concatenate([part, part[-1:].repeat(entering.batch - count, axis=0)])
        if entering.channels == 3:
            part = part.transpose(0, 2, 3, 1)
        values = np.ascontiguousarray(part, dtype=f"float{entering.bits}")
        found: np.ndarray = session.run([output], {entering.name: values})[0]
        if found.ndim and len(found) == len(part):
            return found[:count].astype(np.float32, copy=False)
        raise ValueError(f"{len(part)} pictures give an output of shape {found.shape}")

    alone = in_parts(run_part, 1)
    expected = alone(pixels)
    if is_joint:
        return alone, expected
    together = in_parts(run_part, entering.batch or at_once())
    try:
        found = together(pixels)
    except Exception:  # the exporter has fixed the batch in the midst of the network
        return alone, expected
    tolerance = _SAME * float(np.abs(np.nan_to_num(expected)).max(initial=0))
    if np.allclose(found, expected, rtol=_SAME, atol=tolerance):
        return together, found
    return alone, expected


def _of_tokens(run: Run, tokens: int, size: int, how: Preprocessing, output: str) -> OnnxNetwork:
    """The class token, or the mean of the tokens of places: as described, or by their number."""
    before = [n for n in _BEFORE if _is_square(tokens - n)]
    pooling = how.pooling
    remark = ""
    if pooling is None:
        if _is_square(size) and tokens >= _FAR * size:
            raise ValueError(
                f"the output {printable(output)!r} is of {tokens} x {size} numbers a picture, and "
                f"these may be {size} places of {tokens} channels: export it with the channels "
                f'last, or, if it has {tokens} tokens, say "pooling" in the JSON'
            )
        if not before or (before[0] == 0 and len(before) > 1):
            raise ValueError(
                f"the output {output!r} has {tokens} tokens a picture, and it cannot be told which "
                'of them are the feature: say "pooling": "class" (the first) or "mean" in the JSON'
            )
        pooling = "class" if before[0] else "mean"
        side = isqrt(tokens - before[0])
        places = f"the output {printable(output)!r} has {tokens} tokens, of {side} x {side} places"
        remark = (
            f"{places} and {before[0]} before them: the first, the class token, is the feature; "
            'the mean of the places is with "pooling": "mean" in the JSON'
            if before[0]
            else f"{places}: their mean is the feature"
        )
    how = replace(how, pooling=pooling)
    if pooling == "class":
        return OnnxNetwork(size, how, lambda batch: run(batch)[:, 0], None, remark)
    first = min(before, default=0)
    return OnnxNetwork(
        size,
        how,
        lambda batch: run(batch)[:, first:].mean(axis=1),
        lambda batch: run(batch)[:, first:],
        remark,
    )


def _is_square(places: int) -> bool:
    """Whether so many places can be those of a square picture."""
    return places >= _FEWEST and isqrt(places) ** 2 == places


def _of_map(run: Run, size: int, how: Preprocessing, last: bool) -> OnnxNetwork:
    """The mean of the positions of a map, whose channels are its first axis or its last."""

    def positions(batch: np.ndarray) -> np.ndarray:
        found = run(batch)
        return flatten_positions(found.transpose(_LAST) if last else found)

    axes = (1, 2) if last else (2, 3)
    return OnnxNetwork(size, how, lambda batch: run(batch).mean(axis=axes), positions)


def _inputs(session: ort.InferenceSession, how: Preprocessing) -> list[_Input]:
    """How pictures may go in, the likeliest first; raises ValueError for another kind of input."""
    inputs = session.get_inputs()
    listed = ", ".join(f"{printable(i.name)} {i.type} {i.shape}" for i in inputs) or "none"
    if len(inputs) != 1 or inputs[0].type not in _TYPES or len(inputs[0].shape) != 4:
        raise ValueError(f"its inputs are {listed}; expected one, {_INPUT}")
    [entering] = inputs
    batch, *sides = (n if isinstance(n, int) else None for n in entering.shape)
    bits = _TYPES[entering.type]
    axes = [axis for axis in (1, 3) if sides[axis - 1] in (None, 3)]
    if any(sides[axis - 1] == 3 for axis in axes):
        axes = [axis for axis in axes if sides[axis - 1] == 3]
    if not axes or batch == 0:
        raise ValueError(f"its input is {listed}; expected {_INPUT}")
    fitting = [
        axis
        for axis in axes
        if all(side in (None, how.size) for i, side in enumerate(sides, 1) if i != axis)
    ]
    if not fitting:
        raise ValueError(
            f"its input is {listed}, but the size in the JSON file is {how.size}; "
            "both must be the same, and height equal width"
        )
    return [_Input(entering.name, bits, axis, batch) for axis in fitting]


def _chosen_output(session: ort.InferenceSession, name: str | None) -> str:
    outputs = session.get_outputs()
    listed = ", ".join(f"{printable(o.name)} {o.type} {o.shape}" for o in outputs)
    chosen = [o for o in outputs if name is None or o.name == name]
    if len(chosen) != 1:
        wish = "one must be named" if name is None else f"{printable(name)} is not among them"
        raise ValueError(
            f'its outputs are {listed}: {wish} in the JSON file, as in "output": "..."'
        )
    if chosen[0].type not in _TYPES:
        raise ValueError(f"its output is {listed}; expected floats, {_OUTPUT}")
    return chosen[0].name


def _reason(error: Exception) -> str:
    line = _line(error)
    if any(sign in str(error) for sign in _UNKNOWN):
        version = f"ONNX Runtime {ort.__version__}"
        return f"it has an operation that {version} cannot do ({line}); export it in another way"
    if "xternal data" in str(error):
        return (
            f"some of its weights lie in other files ({line}); export it with all weights in the "
            ".onnx file"
        )
    return f"not a network that ONNX Runtime can open ({line})"


# How ONNX Runtime says that it lacks an operation.
_UNKNOWN = (
    *("No Op registered", "is not a registered function/op", "No opset import"),
    *("Could not find an implementation", "NOT_IMPLEMENTED"),
)


def _line(error: Exception) -> str:
    return printable(str(error))[:200]
