"""An image network in 8 bits, made of one in floats and a few training pictures.

Layer by layer, as the layers before it already are: weights are rounded, and the bias is moved
until each channel's mean over the pictures is what it was in floats (Nagel et al. 2019,
arXiv:1906.04721). The mean is where rounding does harm: without that, features have a cosine of
.993 with those in floats, with it .998.

Dimension key: B pictures, S input side, C channels, H x W positions, O outputs of a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from ..images.efficientnet import Block, Convolution
from ..images.eight_bits import CODE, LEVELS, PAIR, kinds, pair_sums, sum_of
from ..images.encoders import Encoder, whole_encoder
from ..images.features import read_ahead, read_pixels
from ..images.finding import Picture
from ..images.networks import NETWORKS, Network, read_weights
from ..images.reading import Preprocessing
from .image_network import convolved

_PICTURES = 32  # that say how large tensors become; more are no better
_AT_ONCE = 8
_LEAST = 8  # pictures; fewer, or pictures of one colour, say too little
_UP_TO_6 = np.array([6 / LEVELS, 0], dtype=np.float32)
_SAMPLE = 200_000  # of a tensor's numbers, to choose its range by
_SHARES = np.linspace(1, 0.5, 11)  # of a tensor's range; what lies beyond is cut off
_HALF = 0.501  # of a step: as far as rounding moves a weight
_MOVES = 3  # of a bias
_FARTHEST = 0.5  # that a bias is moved where ReLU6 follows


def rounded_encoder(encoder: Encoder, pictures: Sequence[Picture], seed: int) -> Encoder:
    """The encoder in 8 bits, by some of the training pictures.

    As it is where it is no EfficientNet-Lite, in 8 bits already, or where fewer than 8 pictures
    that can be read are of more than one colour.
    """
    known = NETWORKS.get(encoder.name)
    if not (known and known.blocks and encoder.file) or encoder.precision == 8:
        return encoder
    pixels = pixels_to_round_by(pictures, known.preprocessing, seed)
    if pixels is None:
        return encoder
    weights = read_weights(known, encoder.file)
    return whole_encoder(known.name, in_eight_bits(known, weights, pixels))


def pixels_to_round_by(
    pictures: Sequence[Picture], how: Preprocessing, seed: int
) -> np.ndarray | None:
    """Preprocessed pictures (B, 3, S, S), drawn at random; None where there are too few."""
    order = np.random.default_rng((seed, 4)).permutation(len(pictures))
    read = partial(read_pixels, how=how)
    drawn = read_ahead((pictures[i] for i in order), read, _PICTURES)
    sound = (p for p in drawn if isinstance(p, np.ndarray) and np.ptp(p) > 0)
    found = list(islice(sound, _PICTURES))
    return np.stack(found) if len(found) >= _LEAST else None


def unlearned(
    network: Network, whole: Mapping[str, np.ndarray], began: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The arrays of the first stages that are still the rounded weights that learning began with.

    `whole` is the network in 8 bits as it learned, `began` the weights in floats.
    """
    stages: list[Block] = []
    for stage in network.blocks:
        for c in stage.convolutions:
            step = whole[f"{c.name}.step"][:, None, None, None]
            moved = np.abs(whole[f"{c.name}.weight"] * step - began[f"{c.name}.weight"])
            if (moved > _HALF * step).any():
                return {name: whole[name] for name in kinds(stages)}
        stages.append(stage)
    return {name: whole[name] for name in kinds(stages)}


@torch.inference_mode()
def in_eight_bits(
    network: Network,
    weights: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    kept: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of a network in 8 bits (`eight_bits.kinds`), from weights in floats.

    `pixels` (B, 3, S, S) are preprocessed training pictures. Layers whose arrays are in `kept` stay
    as they are there: they had been rounded before.
    """
    found = dict(kept or {})
    exact = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
    rounded = exact
    for stage in network.blocks:
        entered = exact, rounded
        for c in stage.convolutions:
            exact, rounded = _layer(c, weights, found, exact, rounded)
        if stage.residual:
            exact, rounded = exact + entered[0], rounded + entered[1]
            name = f"{sum_of(stage)}.range"
            if name not in found:
                found[name] = _best_range(rounded)
            rounded = _in_steps(rounded, found[name])
    return {name: found[name] for name in kinds(network.blocks)}


def _layer(
    c: Convolution,
    weights: Mapping[str, np.ndarray],
    found: dict[str, np.ndarray],
    exact: Tensor,
    rounded: Tensor,
) -> tuple[Tensor, Tensor]:
    """What comes out of a layer in floats and in 8 bits; the latter's arrays join `found`."""
    weight, bias = (
        torch.tensor(weights[f"{c.name}.{part}"], dtype=torch.float32)
        for part in ("weight", "bias")
    )
    exact = _in_parts(c, exact, weight, bias)
    is_new = f"{c.name}.weight" not in found
    if is_new:
        found[f"{c.name}.weight"], found[f"{c.name}.step"] = _rounded(c, weights)
    step = found[f"{c.name}.step"][:, None, None, None]
    if not is_new:
        bias = torch.tensor(found[f"{c.name}.bias"])
    rounded = _in_parts(c, rounded, torch.from_numpy(found[f"{c.name}.weight"] * step), bias)
    if is_new:
        move = _moved(exact, rounded, c.relu6)
        found[f"{c.name}.bias"] = (bias + move).numpy()
        rounded += move[:, None, None]
    if c.relu6:
        exact, rounded = exact.clamp_(0, 6), rounded.clamp_(0, 6)
    if is_new:
        found[f"{c.name}.range"] = _UP_TO_6 if c.relu6 else _best_range(rounded)
    return exact, _in_steps(rounded, found[f"{c.name}.range"])


def _rounded(c: Convolution, weights: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers (O, I, K, K) and the step of each output (O,), so that nothing saturates."""
    weight = weights[f"{c.name}.weight"].astype(np.float32)
    bias = np.abs(weights[f"{c.name}.bias"].astype(np.float32))
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1) / CODE
    if c.groups == 1:
        for sign in (1, -1):
            # Both of a pair may be rounded up, by half a step each.
            pairs = pair_sums(sign * weight).max(axis=1) / (PAIR - 1)
            largest = np.maximum(largest, pairs)
    # A channel without weights: any step, but one that leaves its bias within 32 bits.
    step = np.maximum(np.maximum(largest, bias / 2**24), 1e-9).astype(np.float32)
    return np.rint(weight / step[:, None, None, None]).astype(np.int8), step


def _moved(exact: Tensor, rounded: Tensor, relu6: bool) -> Tensor:
    """How far to move the biases (O,) so that what comes out has the mean that it had in floats."""
    if not relu6:
        return (exact - rounded).mean(dim=(0, 2, 3))
    wanted = exact.clamp(0, 6).mean(dim=(0, 2, 3))
    move = torch.zeros_like(wanted)
    for _ in range(_MOVES):  # Newton's steps: ReLU6 lets some of a move through
        moved = rounded + move[:, None, None]
        through = ((moved > 0) & (moved < 6)).float().mean(dim=(0, 2, 3)).clamp(min=0.05)
        move += (wanted - moved.clamp(0, 6).mean(dim=(0, 2, 3))) / through
        move.clamp_(-_FARTHEST, _FARTHEST)
    return move


def _best_range(x: Tensor) -> np.ndarray:
    """Step and middle with the least squared error, on a sample of numbers of both signs."""
    flat = x.flatten()
    sample = flat[:: max(1, len(flat) // _SAMPLE)].numpy()
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 1e-3)
    tried = (_from_to(low * less, high * share) for share in _SHARES for less in _SHARES)
    return min(tried, key=partial(_error, sample))


def _from_to(low: float, high: float) -> np.ndarray:
    step = np.float32((high - low) / LEVELS)
    return np.array([step, np.rint(-low / step)], dtype=np.float32)


def _error(sample: np.ndarray, found: np.ndarray) -> float:
    step, middle = found
    rounded = (np.clip(np.rint(sample / step) + middle, 0, LEVELS) - middle) * step
    return float(np.square(rounded - sample).mean())


def _in_steps(x: Tensor, found: np.ndarray) -> Tensor:
    step, middle = map(float, found)
    return ((x / step).round_().add_(middle).clamp_(0, LEVELS).sub_(middle)).mul_(step)


def _in_parts(c: Convolution, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution of a few pictures at a time: (B, C, H, W) to the same with other sizes."""
    return torch.cat([convolved(c, weight, bias, part) for part in x.split(_AT_ONCE)])
