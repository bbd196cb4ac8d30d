"""Colours as sRGB: what a file says its samples stand for, if that is something else.

    profile        ICC, by LittleCMS; also for grey, inks and CIELab
    numbers        a curve and primaries (ITU-T H.273): PNG's cICP, gAMA and cHRM, nclx of AVIF and
                   HEIC, and Adobe RGB, which cameras tell by Exif alone

Colours that a profile moves by no more than a few levels stay as they are: it is sRGB's, by another
name.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from .kinds import Unsupported

# x and y of red, green, blue and white.
Primaries = tuple[float, float, float, float, float, float, float, float]

_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)
_BT709: Primaries = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65)
_PRIMARIES: Mapping[int, Primaries] = {
    1: _BT709,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_UNSAID = 2
_SRGB, _PQ, _HLG = "sRGB", "PQ", "HLG"
# Curves of H.273. Those of television are close to sRGB's, and pictures bear their names for want
# of a better one: elsewhere, too, they are shown as sRGB.
_TRANSFERS: Mapping[int, float | str] = {
    **dict.fromkeys((1, _UNSAID, 6, 7, 11, 12, 13, 14, 15), _SRGB),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    16: _PQ,
    18: _HLG,
}
_WHITE = 203.0  # candelas a square metre of diffuse white in PQ and HLG (ITU-R BT.2408)
_USUAL_GAMMA = (0.43, 0.48)  # of gAMA: 1/2.2 is how PNG tells of sRGB to old readers
_NEAR = 3  # levels: a profile that moves no colour further is sRGB
_COLOURS = ("L", "RGB", "CMYK", "LAB")  # modes that have profiles
_AT_ONCE = 1 << 20  # pixels that are converted at once
_STEPS = 4095  # of light, when it is written as sRGB


@dataclass(frozen=True)
class Space:
    """What samples from 0 to 1 stand for: light by a curve, of these primaries."""

    transfer: float | str  # the exponent that makes light of a sample, or a name
    primaries: Primaries = _BT709

    @property
    def is_srgb(self) -> bool:
        """Whether samples may stay as they are."""
        if self.transfer != _SRGB:
            return False
        pairs = zip(self.primaries, _BT709, strict=True)
        return self.primaries is _BT709 or all(abs(a - b) < 0.005 for a, b in pairs)


SRGB = Space(_SRGB)
ADOBE_RGB = Space(563 / 256, (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65))


@dataclass(frozen=True)
class Colours:
    """What a file says its samples stand for."""

    profile: bytes | None = None  # ICC; goes before the other
    space: Space = SRGB

    def leave(self, mode: str) -> bool:
        """Whether samples of L or RGB stay as they are."""
        if self.profile is None:
            return self.space.is_srgb
        return (mode == "RGB" or _transform(self.profile, "L") is None) and _is_near(self.profile)


AS_THEY_ARE = Colours()


def coded_by(primaries: int, transfer: int) -> Space:
    """The space of two numbers of H.273; raises Unsupported for those that are not known."""
    if transfer not in _TRANSFERS or (primaries not in _PRIMARIES and primaries != _UNSAID):
        raise Unsupported(
            f"its colours are coded by primaries {primaries} and transfer {transfer} of H.273, "
            "which are not supported; save it as sRGB"
        )
    return Space(_TRANSFERS[transfer], _PRIMARIES.get(primaries, _BT709))


def coded_by_gamma(gamma: float, primaries: Primaries | None) -> Space:
    """The space of PNG's gAMA and cHRM; `gamma` 0 is none."""
    usual = not gamma or _USUAL_GAMMA[0] <= gamma <= _USUAL_GAMMA[1]
    possible = primaries is not None and _is_possible(primaries)
    return Space(_SRGB if usual else 1 / gamma, primaries if possible and primaries else _BT709)


def to_srgb(image: Image.Image, colours: Colours) -> Image.Image:
    """A picture without transparency, of 8 bits a channel, as RGB in sRGB.

    A profile that is broken, or of another kind of colours, counts for nothing.
    """
    if image.mode not in _COLOURS:
        image = image.convert("RGB")
    if colours.profile is not None:
        return _from_profile(image, colours.profile)
    if image.mode in ("L", "RGB") and not colours.leave(image.mode):
        values = np.asarray(image)
        return in_bands(
            image.size, lambda rows: _from_space(values[rows] / np.float32(255), colours.space)
        )
    return _as_usual(image)


def levels_of(samples: np.ndarray, colours: Colours) -> np.ndarray:
    """Levels of sRGB, (H, W) or (H, W, 3), of samples (H, W) or (H, W, 3) from 0 to 1."""
    if colours.leave("L" if samples.ndim == 2 else "RGB"):
        return (np.clip(samples, 0, 1) * 255 + 0.5).astype(np.uint8)
    if colours.profile is None:
        return _from_space(samples, colours.space)
    # LittleCMS is given 8 bits here; between two of their colours the way is straight.
    values = np.clip(samples, 0, 1) * np.float32(255)
    below = values.astype(np.uint8)
    share = values - below
    above = np.minimum(below, 254) + np.uint8(1)
    near, far = (
        np.asarray(_from_profile(Image.fromarray(part), colours.profile)).astype(np.float32)
        for part in (below, above)
    )
    way = share if share.ndim == 3 else share[..., None]
    return (near + (far - near) * way + 0.5).astype(np.uint8)


def in_bands(size: tuple[int, int], convert: Callable[[slice], np.ndarray]) -> Image.Image:
    """A picture of what is made of its rows, some at a time, since floats are large."""
    rows = max(1, _AT_ONCE // size[0])
    parts = [convert(slice(row, row + rows)) for row in range(0, size[1], rows)]
    return Image.fromarray(np.concatenate(parts))


def _from_space(samples: np.ndarray, space: Space) -> np.ndarray:
    light = _light(samples.astype(np.float32), space.transfer)
    if light.ndim == 2:
        light = np.repeat(light[..., None], 3, axis=2)
    elif space.primaries != _BT709:
        light = light @ _to_bt709(space.primaries).T.astype(np.float32)
    return _levels()[(np.clip(light, 0, 1) * _STEPS + 0.5).astype(np.int16)]


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image:
    if image.mode == "L" and _transform(profile, "L") is None:
        image = image.convert("RGB")  # grey pictures often carry the profile of colours
    transform = _transform(profile, image.mode)
    if transform is None or (image.mode == "RGB" and _is_near(profile)):
        return _as_usual(image)
    return _transformed(image, transform)


def _as_usual(image: Image.Image) -> Image.Image:
    """Of any colours as RGB, by what they usually are."""
    if image.mode == "LAB":
        return _transformed(
            image,
            ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB"),
        )
    return image if image.mode == "RGB" else image.convert("RGB")


def _transformed(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # noqa: S101 - it is, unless told to work in place
    return converted


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From colours of a mode to sRGB; None: the profile is not of that mode, or is broken."""
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            _srgb(),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # Optimised, the curves of grey have few steps where it is dark.
            ImageCms.Flags.BLACKPOINTCOMPENSATION
            | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE),
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=64)
def _is_near(profile: bytes) -> bool:
    """Whether a profile of RGB moves no colour of a grid by more than a few levels."""
    transform = _transform(profile, "RGB")
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    converted = None if transform is None else _transformed(Image.fromarray(colours), transform)
    return converted is None or bool(np.abs(np.asarray(converted, int) - colours).max() <= _NEAR)


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.core.CmsProfile:
    return ImageCms.createProfile("sRGB")


def _light(samples: np.ndarray, transfer: float | str) -> np.ndarray:
    """Light, 1 for white, of samples from 0 to 1."""
    if transfer == _PQ:  # SMPTE ST 2084
        root = np.clip(samples, 0, 1) ** (1 / 78.84375)
        power = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return power ** (1 / 0.1593017578125) * (10_000 / _WHITE)
    if transfer == _HLG:  # ITU-R BT.2100, on a display of 1,000 candelas
        scene = np.where(
            samples <= 0.5,
            samples**2 / 3,
            (np.exp((samples - 0.55991073) / 0.17883277) + 0.28466892) / 12,
        )
        rgb = scene if scene.ndim == 3 else scene[..., None]
        weights = np.array([0.2627, 0.6780, 0.0593] if rgb.shape[-1] == 3 else [1.0])
        brightness = np.maximum((rgb * weights).sum(-1, keepdims=True), 1e-6)
        shown = rgb * brightness**0.2 * (1000 / _WHITE)
        return (shown if scene.ndim == 3 else shown[..., 0]).astype(np.float32)
    if transfer == _SRGB:
        return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)
    return samples ** np.float32(transfer)


@lru_cache(maxsize=1)
def _levels() -> np.ndarray:
    """SRGB levels 0 to 255 of steps of light."""
    light = np.arange(_STEPS + 1) / _STEPS
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (coded * 255 + 0.5).astype(np.uint8)


def _is_possible(primaries: Primaries) -> bool:
    """Whether they span colours at all."""
    if min(primaries[1::2]) <= 0 and primaries != _PRIMARIES[10]:
        return False
    with np.errstate(all="ignore"):
        return bool(abs(np.linalg.det(_chromaticities(primaries))) > 1e-4)


def _chromaticities(primaries: Primaries) -> np.ndarray:
    red, green, blue = (
        (x, y, 1 - x - y) for x, y in zip(primaries[0:6:2], primaries[1:6:2], strict=True)
    )
    return np.array([red, green, blue]).T


def _to_xyz(primaries: Primaries) -> np.ndarray:
    x, y = primaries[6:]
    white = np.array([x / y, 1, (1 - x - y) / y])
    columns = _chromaticities(primaries)
    return columns * np.linalg.solve(columns, white)


def _to_bt709(primaries: Primaries) -> np.ndarray:
    """From light of these primaries to that of sRGB's; their white becomes white."""
    # The responses of the eye's three receptors, by which whites are made equal (Bradford).
    eye = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    given, wanted = _to_xyz(primaries), _to_xyz(_BT709)
    gains = (eye @ wanted.sum(axis=1)) / (eye @ given.sum(axis=1))
    return np.linalg.inv(wanted) @ np.linalg.inv(eye) @ np.diag(gains) @ eye @ given
