"""What a model is and what it runs on: the document behind `mrnn info`."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

import torch

from .bundle import find_bundle, load_bundle
from .devices import choose_device, has_bf16
from .images import printable


def about(model: str, device: str) -> dict[str, dict[str, Any]]:
    """Sections of plain values: model, encoder, training, scores, machine."""
    directory = find_bundle(model)
    bundle = load_bundle(directory)
    where = choose_device(device)
    parameters = sum(p.numel() for p in bundle.model.parameters())
    size = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
    best = bundle.scores[-1] if bundle.scores else None
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
            **asdict(bundle.encoder.preprocessing),
        },
        "training": dict(bundle.training),
        "scores": {
            "perplexity": best["perplexity"] if best else None,
            "bleu": best["bleu"] if best else None,
            "distinct_captions": best["distinct_captions"] if best else None,
            "signature": best["signature"] if best else None,
        },
        "machine": {
            "mrnn": metadata.version("mrnn"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": metadata.version("onnxruntime"),
            "device": str(where),
            "bf16": has_bf16(where),
            "processors": len(os.sched_getaffinity(0)),
        },
    }
