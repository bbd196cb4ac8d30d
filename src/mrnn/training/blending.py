"""An image network that has learned, drawn back to where it began.

Both ends of a network's learning are joined by a path of good networks, and halfway it knows the
pictures it began with and those it learned from (Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..images.encoders import Encoder, encoder_of, whole_encoder
from ..images.finding import Picture
from ..images.networks import EncoderFile, Network, network, read_weights, read_whole_numbers
from .rounding import in_eight_bits, pixels_to_round_by, unlearned


def drawn_back(
    name: str,
    began: EncoderFile,
    learned: EncoderFile,
    share: float,
    pictures: Sequence[Picture],
    seed: int,
) -> Encoder:
    """The encoder `share` of the way from one file to the other; in 8 bits if it learned so.

    Layers that did not learn stay as they are; the others are rounded by some of the pictures.
    """
    known = network(name)
    weights = blended(known, began, learned, share)
    whole = read_whole_numbers(known, learned)
    if whole is None:
        return encoder_of(name, weights)
    pixels = pixels_to_round_by(pictures, known.preprocessing, seed)
    if pixels is None:
        return encoder_of(name, weights)
    kept = unlearned(known, whole, read_weights(known, began))
    return whole_encoder(name, in_eight_bits(known, weights, pixels, kept))


def blended(
    network: Network, began: EncoderFile, learned: EncoderFile, share: float
) -> dict[str, np.ndarray]:
    """The weights between those of two files, `share` of the way to what was learned."""
    first, last = read_weights(network, began), read_weights(network, learned)
    return {
        name: weight.astype(np.float32) * (1 - share) + last[name].astype(np.float32) * share
        for name, weight in first.items()
    }
