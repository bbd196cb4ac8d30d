"""Hugging Face's preprocessor_config.json, as far as it says what we can do.

Its files say what an image processor does, step by step: shorter side or both sides to a size, a
square from the centre, values times a factor, minus a mean, by a deviation. Other steps are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .reading import Preprocessing

# Keys by which such a file is known.
_SIGNS = ("image_processor_type", "feature_extractor_type", "image_mean", "do_normalize")
_FILTERS = {2: "bilinear", 3: "bicubic"}  # as Pillow numbers them
# Steps that change pixels, and are not ours. Others are about tensors and batches.
_OTHER_STEPS = (
    *("do_pad", "do_flip_channel_order", "do_image_splitting", "do_thumbnail", "do_align_axis"),
    *("rescale_offset", "include_top", "do_color_quantize", "do_resize_and_center_crop"),
)
# Processors that do these steps and no others, without what their names end with.
_KNOWN = (
    *("CLIP", "ChineseCLIP", "ViT", "DeiT", "Beit", "Siglip", "Bit", "ConvNext", "Blip"),
    *("MobileNetV1", "MobileNetV2", "MobileViT", "EfficientNet", "DINOv3ViT"),
)
# Those of which a plain number as size means the shorter side; others squeeze to a square.
_BY_SHORTER = ("CLIP", "ChineseCLIP", "Bit", "MobileNetV1", "MobileNetV2", "ConvNext")
_CROPPING = ("CLIP", "ChineseCLIP")  # that cut out a square unless they are told not to
_ENDINGS = re.compile(r"(ImageProcessor(Fast|Pil)?|FeatureExtractor)$")
_UNCROPPED = 384  # pixels of a ConvNeXt's input from which nothing is cut off
_OURS = ("output", "pooling")  # keys of ours that may stand among theirs


def is_preprocessor_config(values: object) -> bool:
    """Whether JSON is of that kind, alone or inside that of a whole processor."""
    return isinstance(values, dict) and any(key in _inner(values) for key in _SIGNS)


def from_preprocessor_config(values: Mapping[str, Any]) -> Preprocessing:
    """The same in our terms; raises ValueError naming the key that cannot be followed."""
    ours = {key: values[key] for key in _OURS if key in values}
    values = _inner(values)
    named = values.get("image_processor_type", values.get("feature_extractor_type", _KNOWN[0]))
    kind = _ENDINGS.sub("", str(named))
    if kind not in _KNOWN:
        raise ValueError(f"the steps of {str(named)[:80]!r} are not known here")
    if kind in _CROPPING:
        values = {"do_center_crop": True, **values}
    for step in _OTHER_STEPS:
        if values.get(step):
            raise ValueError(f"{step!r} is no step that can be done here")
    if not values.get("do_resize", True):
        raise ValueError("'do_resize' is false, but all pictures are brought to one size here")
    resample = values.get("resample")
    if type(resample) is not int or resample not in _FILTERS:
        raise ValueError(f"'resample' is {resample!r}, not 2 or 3 (bilinear or bicubic)")
    size, crop = _size(values, keeps_shape=kind in _BY_SHORTER)
    mean, scale = _levels(values)
    found = {"size": size, "crop": crop, "mean": mean, "scale": scale}
    return Preprocessing.from_json({**found, "interpolation": _FILTERS[resample], **ours})


def _inner(values: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = values.get("image_processor")
    return inner if isinstance(inner, dict) else values


def _size(values: Mapping[str, Any], keeps_shape: bool) -> tuple[int, float | None]:
    """The side of the input, and what share of a picture's shorter side it shows; None: all.

    `keeps_shape`: a plain number is of the shorter side where a square is cut out.
    """
    size, crop = values.get("size"), values.get("crop_size")
    if isinstance(size, int):  # of the older files
        is_cut = values.get("do_center_crop") or "crop_pct" in values
        size = {"shortest_edge": size} if is_cut and keeps_shape else _square(size)
    if not isinstance(size, dict):
        raise ValueError(f"'size' is {size!r}")
    shorter = size.get("shortest_edge")
    if not values.get("do_center_crop"):
        if shorter is not None and "crop_pct" in values:  # ConvNeXt
            side = _pixels("size", shorter)
            share = values["crop_pct"] if side < _UNCROPPED else None
            if side < _UNCROPPED and (not isinstance(share, float) or not 0 < share <= 1):
                raise ValueError(f"'crop_pct' is {share!r}, not a share")
            return side, share
        if shorter is not None:
            raise ValueError("'size' keeps the shape of pictures, and no square is cut out of them")
        return _side("size", size), None
    side = _side("crop_size", _square(crop) if isinstance(crop, int) else crop)
    if shorter is None:
        if _side("size", size) == side:
            return side, None
        raise ValueError("'size' squeezes pictures before a part is cut out: not done here")
    if _pixels("size", shorter) < side:
        raise ValueError(f"'crop_size' {side} is larger than 'size' {shorter}")
    return side, side / shorter


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def _side(name: str, size: object) -> int:
    """The side of a square."""
    if not isinstance(size, dict) or size.get("height") != size.get("width"):
        raise ValueError(f"{name!r} is {size!r}, not a square")
    return _pixels(name, size.get("height"))


def _pixels(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name!r} is {value!r}, not a number of pixels")
    return value


def _levels(values: Mapping[str, Any]) -> tuple[list[float] | float, list[float] | float]:
    """Mean and scale for values 0..255."""
    factor = values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor <= 1:
        raise ValueError(f"'rescale_factor' is {factor!r}")
    if not values.get("do_normalize", True):
        return 0.0, 1 / factor
    mean, deviation = (_three(values, name) for name in ("image_mean", "image_std"))
    return [m / factor for m in mean], [d / factor for d in deviation]


def _three(values: Mapping[str, Any], name: str) -> list[float]:
    value: Any = values.get(name)
    found: list[float] = value if isinstance(value, list) else [value] * 3
    if len(found) != 3 or any(type(n) not in (int, float) for n in found):
        raise ValueError(f"{name!r} is {value!r}, not three numbers")
    return found
