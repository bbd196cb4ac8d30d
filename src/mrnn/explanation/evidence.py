"""The evidence for every word of a sentence about one picture: contributions and heat maps.

Dimension key: S input side, H parts a side, P positions, N words, D image feature, M multimodal
layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..images.encoders import Encoder
from ..model.mrnn import MRNN
from ..results import Contributions, Evidence
from ..scoring.likelihoods import image_terms
from ..words.packing import Corpus, Packed
from ..words.text import END
from .contributions import Parts, explain, position_terms
from .occlusion import occlusion_heat


def find_evidence(
    model: MRNN,
    encoder: Encoder,
    usual: np.ndarray,
    pixels: np.ndarray,
    feature: np.ndarray,
    words: Sequence[int],
    quick: bool = False,
) -> tuple[tuple[Evidence, ...], str]:
    """Why each word was said of a picture (3, S, S) with this feature (D,), and the maps' method.

    `words` ends with END unless the sentence was cut off; `usual` (M,) is the image term at the
    baseline. Maps are by occlusion; `quick` ones are of positions, where the encoder has them.
    """
    complete = words[-1:] == [END]
    packed = Corpus([words[:-1] if complete else words]).pack()
    parts = explain(model, packed, image_terms(model, feature[None]), usual)
    maps, method = _heat_maps(model, encoder, usual, pixels, feature, packed, parts, quick)
    figures = zip(
        parts.baseline.tolist(),
        parts.last_word.tolist(),
        parts.sentence.tolist(),
        parts.image.tolist(),
        [()] * len(packed.targets) if maps is None else map(_rows, maps),
        strict=True,
    )
    found = (Evidence(base, Contributions(*terms), heat) for base, *terms, heat in figures)
    return tuple(found)[: len(words)], method


def _heat_maps(
    model: MRNN,
    encoder: Encoder,
    usual: np.ndarray,
    pixels: np.ndarray,
    feature: np.ndarray,
    packed: Packed,
    parts: Parts,
    quick: bool,
) -> tuple[np.ndarray | None, str]:
    """(N, H * H) nats, or None, and how they were made."""
    if len(feature) == 0:
        return None, "none"
    if encoder.encode_positions is not None and quick:
        [positions] = encoder.encode_positions(pixels[None])
        count = len(positions)
        if math.isqrt(count) ** 2 == count > 1:  # as a square, and not all in one
            terms = position_terms(model, positions) - usual / count  # (P, M)
            return parts.gradients @ terms.T, "positions"
    return occlusion_heat(model, encoder, packed, pixels, feature), "occlusion"


def _rows(heat: np.ndarray) -> tuple[tuple[float, ...], ...]:
    side = math.isqrt(len(heat))
    return tuple(map(tuple, heat.reshape(side, side).tolist()))
