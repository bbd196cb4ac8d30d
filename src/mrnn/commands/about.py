"""What a model is and what it runs on: the document behind `mrnn info`."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

import torch

from ..devices import choose_device, has_bf16, processors
from ..images.reading import printable
from ..model.bundle import find_bundle, load_bundle


def about(model: str, device: str) -> dict[str, dict[str, Any]]:
    """Sections of plain values: model, encoder, training, scores, machine."""
    directory = find_bundle(model)
    bundle = load_bundle(directory)
    where = choose_device(device)
    parameters = sum(p.numel() for p in bundle.model.parameters())
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
            **bundle.encoder.preprocessing.to_json(),
        },
        "training": dict(bundle.training),
        "scores": {s["signature"]["decoding"]: s for s in bundle.scores},
        "machine": {
            "mrnn": metadata.version("mrnn"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": metadata.version("onnxruntime"),
            "device": str(where),
            "bf16": has_bf16(where),
            "processors": processors(),
        },
    }
