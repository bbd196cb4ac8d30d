"""The table of speeds behind `mrnn benchmark`: ratios measured in one run on one machine."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from ..captioner import load
from ..devices import processors
from ..errors import UsageError
from ..images.encoders import DEFAULT, Encoder
from ..images.features import BATCH
from ..images.reading import preprocess, read_image
from ..library.library import Library
from ..measuring import Row, seconds, timed
from .peers import PEERS, peer_row
from .photos import MIXED, write_photos
from .processes import cold_start, memory
from .retrieval import ROWS as RETRIEVAL_ROWS
from .server import AIM, MEANING, server_row

# The rows that need PyTorch: what they mean, their aims, and the packages that they need.
_LEARNING: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "training": (
        "achieved FLOP/s over the peak of matrix products in PyTorch",
        ">= 0.65",
        ("torch",),
    ),
    "training-lstm": (
        "words/s over an LSTM captioner on sorted padded batches",
        ">= 3",
        ("torch",),
    ),
    "image-learning": (
        "pictures/s that the image network learns from, frozen blocks in 8 bits over all in floats",
        ">= 1.3",
        ("torch",),
    ),
    "encoder": (
        f"{DEFAULT} images/s over the reference network in PyTorch",
        ">= 3",
        ("torch", "efficientnet_lite_pytorch"),
    ),
    "blip": (
        "caption: images/s over BLIP-base (random weights, greedy, 12 words)",
        ">= 100",
        ("torch", "transformers"),
    ),
}


def run_rows(names: Sequence[str], data: Path | None = None) -> Iterator[Row]:
    """Measure the rows with these names, or all; raises UsageError for an unknown one.

    The retrieval rows take the dev split of `data`, or sampled sentences without.
    """
    for name in names:
        if name not in ROWS and name not in RETRIEVAL_ROWS:
            known = ", ".join([*ROWS, *RETRIEVAL_ROWS])
            raise UsageError(f"unknown row {name!r}; known: {known}")
    for name in names or [*ROWS, *RETRIEVAL_ROWS]:
        yield ROWS[name]() if name in ROWS else RETRIEVAL_ROWS[name](data)


def _folder() -> Row:
    captioner = load(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(Path(folder), 256)
        alone = _alone(captioner.encoder, paths, 3)
        whole = len(paths) / seconds(lambda: list(captioner.caption_many(paths)), 3)
    return Row(
        "folder",
        "caption a folder: images/s over 1/(1/decode + 1/encode)",
        ">= 0.85",
        whole * sum(1 / speed for speed in alone.values()),
        {"images/s": whole, **alone},
    )


def _eight_bits() -> Row:
    meaning = "image network: images/s in 8 bits over fp32, both in ONNX Runtime"
    aim = ">= 2.4 with VNNI, 1.45 with AVX2"
    whole, floats = (load(device="cpu", precision=bits).encoder for bits in (8, 32))
    side = whole.preprocessing.size
    codes = np.random.default_rng(0).integers(0, 256, (64, 3, side, side))
    pixels = ((codes - 127) / 128).astype(np.float32)
    fast, slow = (len(pixels) / seconds(partial(e.encode, pixels)) for e in (whole, floats))
    found = {"images/s": fast, "fp32 images/s": slow}
    one, other = whole.encode(pixels), floats.encode(pixels)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    found["least cosine"] = float(((one * other).sum(axis=1) / lengths).min())
    return Row("eight-bits", meaning, aim, fast / slow, found)


def _index() -> Row:
    captioner = load(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        paths = write_photos(photos, 1000, MIXED)
        before = _alone(captioner.encoder, paths, 1)
        with Library.open(Path(folder) / "library", captioner) as library:
            whole = len(paths) / timed(lambda: library.add([photos]))[0]
        after = _alone(captioner.encoder, paths, 1)  # the machine may have become slower meanwhile
    alone = {name: (speed + after[name]) / 2 for name, speed in before.items()}
    return Row(
        "index",
        "index 1,000 photos of mixed sizes, with captions: images/s over 1/(1/decode + 1/encode)",
        ">= 0.85",
        whole * sum(1 / speed for speed in alone.values()),
        {"images/s": whole, **alone},
    )


def _alone(encoder: Encoder, paths: Sequence[Path], repeats: int) -> dict[str, float]:
    """Images a second of decoding and of encoding, each on its own on all cores."""
    how = encoder.preprocessing

    def decode(path: Path) -> np.ndarray:
        return preprocess(read_image(path, how.least_side), how)

    def decode_all() -> list[np.ndarray]:
        with ThreadPoolExecutor(processors()) as pool:
            return list(pool.map(decode, paths))

    pixels = decode_all()
    batches = [np.stack(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
    return {
        "decode images/s": len(paths) / seconds(decode_all, repeats),
        "encode images/s": len(paths)
        / seconds(lambda: [encoder.encode(batch) for batch in batches], repeats),
    }


def _server() -> Row:
    if importlib.util.find_spec("uvicorn") is None:
        return Row("server", MEANING, AIM, skipped="uvicorn is not installed")
    captioner = load(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        return server_row(captioner, write_photos(Path(folder), 256))


def _learning(name: str) -> Row:
    """A row of `learning`, which is imported where PyTorch is, and for these rows only."""
    meaning, aim, packages = _LEARNING[name]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            return Row(name, meaning, aim, skipped=f"{package} is not installed")
    from .learning import MEASURES

    return Row(name, meaning, aim, *MEASURES[name]())


ROWS: Mapping[str, Callable[[], Row]] = {
    **{name: partial(_learning, name) for name in _LEARNING},
    **{name: partial(peer_row, name) for name in PEERS},
    "eight-bits": _eight_bits,
    "folder": _folder,
    "index": _index,
    "server": _server,
    "cold-start": cold_start,
    "memory": memory,
}
