"""What a model is and what it runs on: the document behind `mrnn info`."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime

from ..captioner import load
from ..devices import processors
from ..images.finding import printable
from ..model.directory import find_bundle


def about(model: str, device: str, precision: int | None) -> dict[str, dict[str, Any]]:
    """Sections of plain values: model, encoder, training, scores, machine."""
    directory = find_bundle(model)
    captioner = load(model, device, precision)
    bundle = captioner.bundle
    parameters = sum(weight.size for weight in bundle.model.weights.values())
    size = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
    return {
        "model": {
            "directory": printable(directory),
            "kind": "m-RNN" if bundle.model.config.feature else "RNN-Base",
            "parameters": parameters,
            "bytes": size,
            **asdict(bundle.model.config),
        },
        "encoder": {
            "name": bundle.encoder.name,
            "digest": bundle.encoder.digest,
            "file": bundle.encoder_file and bundle.encoder_file.name,
            "precision": captioner.encoder.precision,
            **bundle.encoder.preprocessing.to_json(),
        },
        "training": dict(bundle.training),
        "scores": {s["signature"]["decoding"]: s for s in bundle.scores},
        "machine": {
            "mrnn": metadata.version("mrnn"),
            "python": platform.python_version(),
            "torch": _version("torch"),
            "onnxruntime": onnxruntime.__version__,  # whose package may be onnxruntime-gpu
            "device": captioner.device,
            "bf16": _has_bf16(),
            "processors": processors(),
        },
    }


def _version(package: str) -> str | None:
    """What is installed of a package; None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _has_bf16() -> bool | None:
    """Whether the processor multiplies bf16 numbers, which quickens learning; None if unknown."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:  # not on Linux
        return None
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
