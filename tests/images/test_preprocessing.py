"""From pictures to encoder input, and how a bundle tells of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import shipped_encoder
from mrnn.images.features import _key
from mrnn.images.reading import Preprocessing, preprocess

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))


def test_each_channel_has_its_own_mean_and_scale():
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    pixels = preprocess(image, Preprocessing(2, (1.0, 2.0, 3.0), (3.0, 6.0, 9.0)))
    assert pixels.dtype == np.float32
    assert pixels[:, 1, 1].tolist() == [3, 3, 3]


def test_bgr_turns_the_channels_before_the_means():
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    pixels = preprocess(image, Preprocessing(2, (1.0, 2.0, 3.0), 1.0, colours="bgr"))
    assert pixels.flags.c_contiguous
    assert pixels[:, 0, 0].tolist() == [29, 18, 7]


def test_without_crop_the_whole_picture_is_squashed_as_ever():
    expected = np.asarray(NOISE.resize((24, 24), Image.Resampling.BICUBIC, reducing_gap=2.0))
    found = preprocess(NOISE, Preprocessing(24))
    by_hand = ((expected.astype(np.float32) - 127.0) / 128.0).transpose(2, 0, 1)
    np.testing.assert_array_equal(found, by_hand)


@pytest.mark.parametrize("name", ["bicubic", "bilinear"])
def test_interpolation_is_the_one_named(name):
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    expected = np.asarray(NOISE.resize((50, 50), filters[name], reducing_gap=2.0))
    found = preprocess(NOISE, Preprocessing(50, 0.0, 1.0, interpolation=name))
    np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))


@pytest.mark.parametrize("turned", [False, True])
def test_crop_keeps_the_centre(turned):
    image = Image.new("RGB", (90, 60), "white")
    image.paste((255, 0, 0), (30, 15, 60, 45))  # the middle square of half the shorter side
    image = image.transpose(Image.Transpose.ROTATE_90) if turned else image
    inside = preprocess(image, Preprocessing(10, 0.0, 1.0, crop=0.5, interpolation="bilinear"))
    assert (inside[0] == 255).all()
    assert (inside[1:, 1:-1, 1:-1] == 0).all()
    square = preprocess(image, Preprocessing(12, 0.0, 1.0, crop=1, interpolation="bilinear"))
    assert (square[1:, [0, -1]] == 255).all()
    assert (square[1:, 5:7, 5:7] == 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3)])
@pytest.mark.parametrize("crop", [None, 0.1, 0.875, 1])
def test_the_smallest_pictures(size, crop):
    pixels = preprocess(Image.new("RGB", size, "white"), Preprocessing(8, 0.0, 255.0, crop))
    assert (pixels == 1).all()


@pytest.mark.parametrize(
    ("crop", "side"), [(None, 224), (1, 224), (1.0, 224), (0.875, 256), (0.9, 249)]
)
def test_a_crop_needs_a_larger_picture(crop, side):
    assert Preprocessing(224, crop=crop).least_side == side


numbers = st.floats(0, 255, allow_nan=False)
positive = st.floats(1, 255)


@given(
    st.builds(
        Preprocessing,
        st.integers(1, 4096),
        numbers | st.tuples(numbers, numbers, numbers),
        positive | st.tuples(positive, positive, positive),
        st.none() | st.floats(0.1, 1),
        st.sampled_from(["bicubic", "bilinear"]),
        st.sampled_from(["rgb", "bgr"]),
        st.none() | st.text("a/é\n", min_size=1),
    )
)
def test_json_and_back(how):
    assert Preprocessing.from_json(json.loads(json.dumps(how.to_json()))) == how


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text("a\n\x1b"), st.lists
    ),
    st.data(),
)
def test_any_value_is_refused_in_a_line_or_taken(value, data):
    key = data.draw(st.sampled_from([*asdict(Preprocessing(8)), "more"]))
    try:
        how = Preprocessing.from_json({"size": 8, "mean": 0, "scale": 1, key: value}, "p.")
    except ValueError as error:
        assert "p." in str(error) or "impossible" in str(error)  # noqa: PT017
        assert len(str(error)) < 300  # noqa: PT017
    else:
        assert how.size > 100 or np.isfinite(preprocess(NOISE, how)).all()


def test_what_was_written_before_stays_as_it_was():
    """Bundles and feature caches of EfficientNets know three fields, and no others."""
    lite = shipped_encoder()
    assert lite.preprocessing.to_json() == {"size": 260, "mean": 127.0, "scale": 128.0}
    # The weights that run name the cache, not the file that they were published as.
    text = f'["{lite.file.digest}", {{"mean": 127.0, "scale": 128.0, "size": 260}}]'
    assert _key(lite) == f"efficientnet-lite2-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
