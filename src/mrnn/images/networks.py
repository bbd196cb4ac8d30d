"""The networks of encoders that we know layer by layer: their architectures, and how they run.

Dimension key: B images, S input side, D feature, H x W = P positions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
from onnxruntime import InferenceSession

from ..devices import processors
from ..errors import BundleError, UsageError
from ..onnx_graphs import stored_name
from ..onnx_sessions import open_session
from ..weight_files import check_arrays, view_safetensors
from . import alexnet, efficientnet, eight_bits
from .efficientnet import Block
from .reading import Preprocessing

SAFETENSORS, ONNX = "encoder.safetensors", "encoder.onnx"  # names in a bundle
_TOGETHER = 4  # pictures: more are no quicker, and take 20 MB each
_IN_ALL = 16  # pictures on all threads, or one a thread

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class EncoderFile:
    """An encoder's weights, or the whole of it, as a bundle carries them."""

    name: str  # in the bundle: SAFETENSORS or ONNX
    content: bytes = field(repr=False)
    digest: str  # SHA-256 of the content, hexadecimal
    place: str = field(default="", compare=False)  # where it was read from, for messages

    @staticmethod
    def of(name: str, content: bytes, place: str = "") -> EncoderFile:
        """With its digest."""
        return EncoderFile(name, content, hashlib.sha256(content).hexdigest(), place or name)


class Stage(Protocol):
    """A few layers of a network."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the weights by their names."""


@dataclass(frozen=True)
class Network:
    """An architecture without weights; its feature is the last stage's mean over positions."""

    name: str
    stages: tuple[Stage, ...]
    dimension: int  # D
    preprocessing: Preprocessing
    # "pixels" to "feature" and, where there are any, "positions", for weights of a kind
    onnx_graph: Callable[[str], bytes]
    has_positions: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all weights by their names."""
        return {name: shape for stage in self.stages for name, shape in stage.shapes.items()}

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its stages where all of them can run in 8 bits, none where they cannot."""
        blocks = tuple(stage for stage in self.stages if isinstance(stage, Block))
        return blocks if len(blocks) == len(self.stages) else ()


NETWORKS: Mapping[str, Network] = {
    **{
        name: Network(
            name,
            efficientnet.blocks(size),
            efficientnet.FEATURE,
            Preprocessing(size=size.input),
            partial(efficientnet.onnx_graph, size),
            has_positions=True,
        )
        for name, size in efficientnet.SIZES.items()
    },
    "alexnet": Network(
        "alexnet",
        alexnet.LAYERS,
        alexnet.FEATURE,
        alexnet.PREPROCESSING,
        alexnet.onnx_graph,
        has_positions=False,
    ),
}


def network(name: str) -> Network:
    """The architecture of an encoder that we know layer by layer; raises BundleError."""
    if name not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise BundleError(f"no weights can be had or trained for the encoder {name!r}; for {known}")
    return NETWORKS[name]


def read_weights(network: Network, file: EncoderFile) -> dict[str, np.ndarray]:
    """All weights of a network as floats, from a bundle's file; raises BundleError."""
    arrays = _arrays(network, file)
    return eight_bits.as_floats(arrays, network.blocks) if _are_whole(arrays) else arrays


def read_whole_numbers(network: Network, file: EncoderFile) -> dict[str, np.ndarray] | None:
    """The arrays of a network in 8 bits; None where the file has floats. Raises BundleError."""
    arrays = _arrays(network, file)
    return arrays if _are_whole(arrays) else None


def _are_whole(arrays: Mapping[str, np.ndarray]) -> bool:
    return any(name.endswith(".step") for name in arrays)


def _arrays(network: Network, file: EncoderFile) -> dict[str, np.ndarray]:
    try:
        arrays = view_safetensors(file.content)
        if network.blocks and _are_whole(arrays):
            eight_bits.check(arrays, network.blocks)
        else:
            check_arrays(arrays, network.shapes, network.name)
    except ValueError as error:
        raise BundleError(f"{file.place}: {error}; get a fresh copy of the bundle") from None
    return arrays


def open_known(
    network: Network, file: EncoderFile, device: str, precision: int | None = None
) -> tuple[Run, Run | None, int]:
    """What gives features and, where there are any, positions, in ONNX Runtime; and the bits.

    8 bits where `precision` is None and the file and the device have them. It is opened when the
    first picture comes: a search by words needs none. Raises BundleError, and UsageError for 8 bits
    that are not to be had.
    """
    arrays = _arrays(network, file)
    is_whole = _are_whole(arrays)
    if precision == 8 and not (is_whole and device == "cpu"):
        why = "runs on the CPU only" if is_whole else "was not made of this image network"
        raise UsageError(f"--precision 8 {why}; leave it out, or give --precision 32")
    if is_whole and device == "cpu" and precision != 32:
        how = network.preprocessing
        bindings = eight_bits.bindings(arrays, network.blocks, how)
        make = partial(eight_bits.onnx_graph, network.blocks, how.size)
        return *_feature_and_positions(network, opened_later(make, bindings)), 8
    floats = eight_bits.as_floats(arrays, network.blocks) if is_whole else arrays
    kind = np.result_type(*floats.values())  # float16, or float32 if any of them is
    bindings = {
        stored_name(name): weight.astype(kind, copy=False) for name, weight in floats.items()
    }
    make = partial(network.onnx_graph, kind.name)
    return *_feature_and_positions(network, opened_later(make, bindings, device)), 32


def opened_later(
    graph: Callable[[], bytes], bindings: Mapping[str, np.ndarray], device: str = "cpu"
) -> Callable[[str], Run]:
    """What gives an output of a network, by its name, in sessions that the first pictures open."""
    sessions: dict[int, InferenceSession] = {}

    def session(threads: int) -> InferenceSession:
        if threads not in sessions:
            sessions[threads] = open_session(graph(), bindings, device, threads)
        return sessions[threads]

    def run(output: str) -> Run:
        def run_on(threads: int) -> Run:
            opened = session(threads)
            return lambda pixels: opened.run([output], {"pixels": pixels})[0]

        def run_whole(pixels: np.ndarray) -> np.ndarray:
            return run_on(1)(pixels)

        return shared_out(run_on) if device == "cpu" else run_whole

    return run


def _feature_and_positions(network: Network, run: Callable[[str], Run]) -> tuple[Run, Run | None]:
    at_positions = run("positions")

    def positions(pixels: np.ndarray) -> np.ndarray:
        return flatten_positions(at_positions(pixels))

    return run("feature"), positions if network.has_positions else None


def shared_out(run_on: Callable[[int], Run]) -> Run:
    """Few pictures four at a time, all threads at these; many in parts, with a thread for each.

    Threads that work on pictures of their own never wait for one another. `run_on` gives what runs
    on so many threads.
    """

    def run(pixels: np.ndarray) -> np.ndarray:
        threads = processors()
        if threads == 1 or len(pixels) < threads:
            return in_parts(run_on(threads), _TOGETHER)(pixels)
        each = min(_TOGETHER, max(1, _IN_ALL // threads))
        count = threads * math.ceil(len(pixels) / (threads * each))
        parts = np.array_split(pixels, min(count, len(pixels)))
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(run_on(1), parts)))

    return run


def at_once() -> int:
    """How many pictures processors shall look at together: more are no quicker, 20 MB each."""
    return max(_TOGETHER, processors())


def in_parts(run: Run, together: int) -> Run:
    """The same of so many pictures at a time."""

    def run_parts(pixels: np.ndarray) -> np.ndarray:
        parts = np.split(pixels, range(together, len(pixels), together))
        return np.concatenate([run(part) for part in parts])

    return run_parts


def flatten_positions(positions: np.ndarray) -> np.ndarray:
    """(B, D, H, W) -> (B, P, D)."""
    images, dimension, rows, columns = positions.shape
    return positions.reshape(images, dimension, rows * columns).transpose(0, 2, 1)
