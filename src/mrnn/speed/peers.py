"""The rows of `mrnn benchmark` that compare our encoder with the image sides of larger models.

All run in ONNX Runtime, with the same options and as many threads. Each measurement has a process
of its own, which tells how much memory it held; they go by turns, so that all meet the machine's
better and worse minutes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..captioner import load
from ..images.encoders import DEFAULT
from ..images.networks import Run
from ..measuring import Row
from .processes import most_held, run_command
from .vision_transformers import BLIP, CLIP, PRECISIONS, VisionTransformer, open_transformer

# Whose they are, the networks, and what ratio is aimed at.
PEERS: Mapping[str, tuple[str, VisionTransformer, str]] = {
    "blip-image": ("BLIP-base's image side, ViT-B/16 at 384", BLIP, ">= 20"),
    "clip-image": ("CLIP's image side, ViT-B/32 at 224", CLIP, ">= 2"),
}

_OURS = "ours"
_BATCHES = (1, 4, 8, 16)  # each network is taken at the one that suits it best
_SECONDS = 2.0  # of each measurement, or one batch
_POWERCAP = Path("/sys/class/powercap")
# The counters of whole processors: their parts have two colons.
_COUNTERS = "intel-rapl:?"
_CHILD = """
import json, sys
from mrnn.speed.peers import measure
name, network, batch, least = sys.argv[1:]
print(json.dumps(measure(name, network, int(batch), float(least))))
"""

Figures = dict[str, float]  # with units in the names


def peer_row(name: str) -> Row:
    """Our encoder beside a peer in both precisions: images a second, MB, and joules if told."""
    whose, _, aim = PEERS[name]
    networks = (_OURS, *PRECISIONS)
    best: dict[str, Figures] = {}
    for batch in _BATCHES:
        for network in networks:
            found = {**_measured(name, network, batch), "images at once": batch}
            if network not in best or found["images/s"] > best[network]["images/s"]:
                best[network] = found
    energy = "" if _joules() is not None else "; of energy the machine does not tell"
    return Row(
        name,
        f"{DEFAULT} images/s over {whose} (random weights), the better of fp32 and 8 bits{energy}",
        aim,
        best[_OURS]["images/s"] / max(best[p]["images/s"] for p in PRECISIONS),
        {
            unit if network == _OURS else f"{network} {unit}": value
            for network in networks
            for unit, value in best[network].items()
        },
    )


def measure(name: str, network: str, batch: int, least: float) -> Figures:
    """What one network does with batches of random pictures, for at least so many seconds."""
    run, side = _opened(name, network)
    draw = np.random.default_rng(0)
    pixels = draw.standard_normal((batch, 3, side, side), dtype=np.float32)
    run(pixels)  # warms up
    before, started = _joules(), time.perf_counter()
    images, took = 0, 0.0
    while not images or took < least:
        run(pixels)
        images, took = images + batch, time.perf_counter() - started
    after = _joules()
    found = {"images/s": images / took}
    with suppress(OSError):  # only Linux tells
        found["MB"] = most_held(os.getpid())
    if before is not None and after is not None and after > before:  # they begin anew at times
        found["J an image"] = (after - before) / images
    return found


def _measured(name: str, network: str, batch: int) -> Figures:
    """What `measure` finds in a process of its own."""
    command = [sys.executable, "-c", _CHILD, name, network, str(batch), str(_SECONDS)]
    found: Figures = json.loads(run_command(command))
    return found


def _opened(name: str, network: str) -> tuple[Run, int]:
    """A network, and the side of its pictures in pixels."""
    if network == _OURS:
        encoder = load(device="cpu").encoder
        return encoder.encode, encoder.preprocessing.size
    _, how, _ = PEERS[name]
    return open_transformer(how, network), how.size


def _joules() -> float | None:
    """What the processors have used since some time, all programs together; None: not told."""
    try:
        counters = [path / "energy_uj" for path in _POWERCAP.glob(_COUNTERS)]
        return sum(int(path.read_text()) for path in counters) / 1e6 if counters else None
    except (OSError, ValueError):
        return None
