"""What a model is and what it runs on: the document behind `mrnn info`, and its lines."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime

from ..captioner import load
from ..devices import processors
from ..images.finding import printable
from ..model.bundle import MEASURED
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
        "scores": _named(bundle.scores),
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


def about_lines(document: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The document to read: in words, with units, what belongs to something below it."""
    for section, values in document.items():
        yield _SECTIONS[section]
        if section != "scores":
            yield from _lines(values, 2)
        elif values:
            yield from _lines({how: _without_repeats(score) for how, score in values.items()}, 2)
        else:
            yield "  none yet; mrnn evaluate DATA --model M --record writes them"


def _named(scores: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Scores by how sentences were written; those of one way by what sets them apart, too."""
    signatures = [score["signature"] for score in scores]
    named = {}
    for signature, score in zip(signatures, scores, strict=True):
        alike = [s for s in signatures if s["decoding"] == signature["decoding"]]
        apart = [key for key in MEASURED if any(s.get(key) != alike[0].get(key) for s in alike)]
        name = [signature["decoding"], *(f"{key} {signature.get(key)}" for key in apart)]
        named["; ".join(name)] = score
    return named


def _without_repeats(score: Mapping[str, Any]) -> dict[str, Any]:
    """Figures before their signature, and of that what is not told already."""
    figures = {name: value for name, value in score.items() if name != "signature"}
    told = ("split", "images", "sentences", "decoding")
    return figures | {"signature": {k: v for k, v in score["signature"].items() if k not in told}}


def _lines(values: Mapping[str, Any], indent: int) -> Iterator[str]:
    """A line a value; several numbers that belong together share one."""
    for key, value in values.items():
        start = f"{'':{indent}}{printable(_NAMES.get(key, key.replace('_', ' ')))}"
        if isinstance(value, dict) and not all(map(_is_number, value.values())):
            yield start
            yield from _lines(value, indent + 2)
            continue
        if isinstance(value, dict):
            parts = [(k, _told(k, v)) for k, v in value.items() if v is not None]
            told = ", ".join(v if k.isdecimal() else f"{_NAMES.get(k, k)} {v}" for k, v in parts)
        else:
            told = _told(key, value)
        yield f"{start:{_WIDTH}}  {printable(told or '-')}"


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float)


_WIDTH = 32  # columns before the values
_SECTIONS = {
    "model": "Model",
    "encoder": "Image network",
    "training": "Training",
    "scores": "Scores, by how the captions were written",
    "machine": "This machine",
}
_NAMES = {
    "directory": "folder",
    "parameters": "learned numbers",
    "bytes": "size on the disk",
    "vocabulary": "words and four signs",
    "feature": "image feature",
    "feature_norm": "length of an image feature",
    "embedding": "word embedding I",
    "recurrent": "recurrent layer",
    "multimodal": "multimodal layer",
    "digest": "SHA-256 of its weights",
    "size": "side of the picture",
    "mean": "mean of its values",
    "scale": "scale of its values",
    "split_origin": "splits",
    "stopped_on": "stopped by",
    "text_sentences": "sentences without pictures",
    "config": "settings",
    "epoch": "best epoch",
    "dev_perplexity": "perplexity on dev",
    "temperature": "softmax temperature",
    "bleu": "BLEU-1 to BLEU-4",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr-D",
    "image_to_text": "sentences for an image",
    "text_to_image": "images for a sentence",
    "r1": "R@1",
    "r5": "R@5",
    "r10": "R@10",
    "med_r": "median rank",
    "l2": "L2",
    "signature": "measured with",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "python": "Python",
    "device": "runs on",
    "bf16": "multiplies bf16 (training)",
}
_SIZES = ("feature", "embedding", "recurrent", "multimodal")
_UNITS = {"precision": " bits", "size": " pixels", **dict.fromkeys(_SIZES, " numbers")}


def _told(key: str, value: Any) -> str:
    """A value in the way that people write it."""
    match value:
        case None:
            told = "not installed" if key == "torch" else "-"
        case bool():
            told = "yes" if value else "no"
        case int() if key == "bytes":
            told = f"{value / 1e6:.1f} MB"
        case int():
            told = (str(value) if key.endswith("seed") else f"{value:,}") + _UNITS.get(key, "")
        case float() if key in ("r1", "r5", "r10"):
            told = f"{value:.1f}%"
        case float():
            told = f"{value:.3f}" if key.isdecimal() else f"{value:.4g}"  # the former is BLEU
        case list() | tuple():
            told = ", ".join(_told(key, one) for one in value)
        case _:
            told = str(value)
    return told


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
