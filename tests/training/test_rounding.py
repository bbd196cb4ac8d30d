"""Image networks in 8 bits, made of those in floats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mrnn.errors import BundleError
from mrnn.images.efficientnet import Convolution
from mrnn.images.eight_bits import CODE, PAIR, as_floats, check, kinds, pair_sums
from mrnn.images.encoders import Encoder, features_only, open_encoder, whole_encoder
from mrnn.images.networks import Network, network, read_weights, read_whole_numbers
from mrnn.images.reading import Preprocessing
from mrnn.training import rounding
from mrnn.training.image_network import TrainableEncoder
from mrnn.training.rounding import in_eight_bits, pixels_to_round_by, rounded_encoder, unlearned
from whole_networks import SIDE, drawn, stages

LITE = "efficientnet-lite0"


def small() -> Network:
    return Network("small", stages(), 7, Preprocessing(SIDE), lambda kind: b"", has_positions=True)


def weights_of(seed: int = 0) -> dict[str, np.ndarray]:
    """Floats that lie on no grid of steps."""
    draw = np.random.default_rng(seed)
    return {
        name: (draw.normal(size=shape) * ((2 / np.prod(shape[1:])) ** 0.5 if shape[1:] else 0.3))
        .astype(np.float32)
        for name, shape in small().shapes.items()
    }  # fmt: skip


def noise(count: int, seed: int = 0) -> np.ndarray:
    codes = np.random.default_rng(seed).integers(0, 256, (count, 3, SIDE, SIDE))
    return ((codes - 127) / 128).astype(np.float32)


@pytest.fixture
def photos(tmp_path):
    """Pictures of soft colours, as files."""

    def make(count: int, plain: int = 0) -> list:
        paths = [tmp_path / f"{i}.png" for i in range(count)]
        for i, path in enumerate(paths):
            coarse = np.random.default_rng(i).integers(0, 256, (7, 7, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((240, 240), Image.Resampling.BICUBIC)
            (Image.new("RGB", (240, 240)) if i < plain else picture).save(path)
        return paths

    return make


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-6, 1e3), st.integers(1, 9), st.sampled_from([1, 3]))
def test_rounded_weights_never_saturate_and_lie_within_half_a_step(seed, scale, inputs, kernel):
    draw = np.random.default_rng(seed)
    c = Convolution("c", "", inputs, 4, kernel)
    weights = {
        "c.weight": (draw.standard_cauchy(c.weight_shape) * scale).astype(np.float32),
        "c.bias": draw.normal(size=4).astype(np.float32),
    }
    weights["c.weight"][0] = 0  # a dead channel
    codes, step = rounding._rounded(c, weights)
    assert codes.dtype == np.int8
    assert (step > 0).all()
    assert codes.min() >= -CODE
    assert max(pair_sums(s * codes.astype(int)).max() for s in (1, -1)) <= PAIR
    missed = np.abs(codes * step[:, None, None, None] - weights["c.weight"])
    assert (missed <= 0.501 * step[:, None, None, None]).all()


def test_a_rounded_network_gives_nearly_the_same_features():
    weights, found = weights_of(), small()
    arrays = in_eight_bits(found, weights, noise(24))
    check(arrays, stages())
    assert list(arrays) == list(kinds(stages()))
    expected = TrainableEncoder(found, weights).features(noise(9, 1)).numpy()
    run = TrainableEncoder(found, as_floats(arrays, stages()), whole=arrays)
    run.parameters(1)  # the others run in 8 bits
    got = run.features(noise(9, 1)).detach().numpy()
    lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((got * expected).sum(axis=1) / lengths).min() > 0.99


def test_means_are_what_they_were():
    """The bias makes good what rounding moves: without that, means are off many times as far."""
    weights, found = weights_of(3), small()
    pixels = noise(32)
    expected = TrainableEncoder(found, weights).positions(pixels).numpy().mean(axis=(0, 2, 3))
    arrays = in_eight_bits(found, weights, pixels)

    def missed(arrays) -> float:
        floats = TrainableEncoder(found, as_floats(arrays, stages()))
        return np.abs(floats.positions(pixels).numpy().mean(axis=(0, 2, 3)) - expected).max()

    plain = {n: weights[n] if n.endswith(".bias") else a for n, a in arrays.items()}
    assert missed(arrays) < 0.02
    assert missed(arrays) < missed(plain)


def test_kept_layers_stay_as_they_are():
    weights, found = weights_of(), small()
    before = in_eight_bits(found, weights, noise(16))
    kept = {name: before[name] for name in kinds(stages()[:2])}
    moved = weights | {"wide.weight": weights["wide.weight"] * 1.5}
    after = in_eight_bits(found, moved, noise(16, 7), kept)
    for name in kept:
        assert np.array_equal(before[name], after[name])
    assert not np.array_equal(before["wide.step"], after["wide.step"])
    assert not np.array_equal(before["back.bias"], after["back.bias"])


def test_what_did_not_learn_is_found_by_its_weights():
    weights, found = weights_of(), small()
    arrays = in_eight_bits(found, weights, noise(16))
    assert unlearned(found, arrays, weights).keys() == arrays.keys()
    moved = weights | {"wide.weight": weights["wide.weight"] + 0.3}
    assert list(unlearned(found, arrays, moved)) == list(kinds(stages()[:2]))
    moved = weights | {"stem.weight": weights["stem.weight"] + 0.3}
    assert unlearned(found, arrays, moved) == {}


def test_the_same_pictures_give_the_same_bits():
    weights, found = weights_of(), small()
    one, other = (in_eight_bits(found, weights, noise(16)) for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("pixels", [np.zeros((8, 3, SIDE, SIDE), np.float32), noise(1)])
def test_even_poor_pictures_give_a_sound_network(pixels):
    """They are not asked for, but nothing of them is NaN."""
    check(in_eight_bits(small(), weights_of(), pixels), stages())


# Encoders


def test_an_encoder_is_rounded_by_some_of_the_pictures(photos):
    encoder = open_encoder(LITE)
    found = rounded_encoder(encoder, photos(10), 1)
    assert (found.precision, found.name) == (8, LITE)
    assert found.digest == found.file.digest != encoder.digest
    pixels = pixels_to_round_by(photos(12), encoder.preprocessing, 2)
    one, other = found.encode(pixels), encoder.encode(pixels)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    assert ((one * other).sum(axis=1) / lengths).min() > 0.97
    assert rounded_encoder(found, photos(10), 1) is found  # it is in 8 bits already
    weights = read_weights(network(LITE), encoder.file)
    assert unlearned(network(LITE), _arrays(found), weights).keys() == _arrays(found).keys()


def _arrays(encoder: Encoder) -> dict[str, np.ndarray]:
    return read_whole_numbers(network(encoder.name), encoder.file)


@pytest.mark.parametrize(("count", "plain"), [(0, 0), (1, 0), (7, 0), (10, 3), (9, 9)])
def test_too_few_pictures_of_more_than_one_colour_leave_it_in_floats(photos, count, plain):
    encoder = open_encoder(LITE)
    assert rounded_encoder(encoder, photos(count, plain), 1) is encoder


def test_pictures_that_cannot_be_read_are_passed_over(photos):
    paths = photos(9)
    paths[4].write_bytes(b"no picture")
    found = pixels_to_round_by(paths, Preprocessing(32), 1)
    assert found.shape == (8, 3, 32, 32)


def test_other_encoders_stay_as_they_are(photos):
    for encoder in (features_only(5), open_encoder("none")):
        assert rounded_encoder(encoder, photos(9), 1) is encoder


def test_arrays_that_could_not_be_opened_again_make_no_encoder():
    arrays = drawn(network(LITE).blocks, 0)
    del arrays["_conv_head.step"]
    with pytest.raises(BundleError, match=r"missing key '_conv_head\.step'"):
        whole_encoder(LITE, arrays)
