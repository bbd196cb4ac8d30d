"""preprocessor_config.json: what each step means in our terms, and which cannot be followed.

The files are in the shapes that transformers 4.20 to 5.24 write; the same steps, done by its image
processors, gave the same pixels, to a fraction of a pixel where a square is cut out.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.images.preprocessor_config import from_preprocessor_config, is_preprocessor_config
from mrnn.images.reading import Preprocessing

CLIP = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_convert_rgb": True,
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.4, 0.5, 0.6],
    "image_processor_type": "CLIPImageProcessorFast", "image_std": [0.2, 0.3, 0.4], "resample": 3,
    "rescale_factor": 1 / 255, "size": {"shortest_edge": 256},
}  # fmt: skip
VIT = {
    "do_normalize": True, "do_resize": True, "feature_extractor_type": "ViTFeatureExtractor",
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 224,
}  # fmt: skip
CONVNEXT = {**VIT, "image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875}
OLD = {**VIT, "size": 256, "crop_size": 224, "do_center_crop": True}
HALF = (127.5, 127.5, 127.5)
SEEN_PART = Preprocessing(224, (102.0, 127.5, 153.0), (51.0, 76.5, 102.0), 0.875)
SQUEEZED = Preprocessing(224, HALF, HALF, None, "bilinear")


def rounded(how: Preprocessing) -> Preprocessing:
    mean, scale = (tuple(round(n, 6) for n in channels) for channels in (how.mean, how.scale))
    return replace(how, mean=mean, scale=scale)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (CLIP, SEEN_PART),
        ({"image_processor": CLIP, "tokenizer": 1}, SEEN_PART),
        ({**CLIP, "size": 224, "crop_size": 224}, replace(SEEN_PART, crop=1.0)),
        ({**CLIP, "size": {"height": 224, "width": 224}}, replace(SEEN_PART, crop=None)),
        (
            {**{k: v for k, v in CLIP.items() if k != "do_center_crop"}, "size": 224},
            replace(SEEN_PART, crop=1.0),
        ),
        ({**CLIP, "size": 256, "image_processor_type": "BitImageProcessor"}, SEEN_PART),
        (VIT, SQUEEZED),
        ({**VIT, "size": {"height": 384, "width": 384}}, replace(SQUEEZED, size=384)),
        (CONVNEXT, replace(SQUEEZED, crop=0.875)),
        ({**CONVNEXT, "size": {"shortest_edge": 384}}, replace(SQUEEZED, size=384)),
        ({**VIT, "do_rescale": False, "image_mean": 127.5, "image_std": 127.5}, SQUEEZED),
        ({**VIT, "output": "last"}, replace(SQUEEZED, output="last")),
    ],
)
def test_steps_in_our_terms(values, expected):
    assert is_preprocessor_config(values)
    assert rounded(from_preprocessor_config(values)) == expected


def test_values_that_are_only_scaled():
    how = from_preprocessor_config({**VIT, "do_normalize": False})
    assert (how.mean, how.scale) == (0, pytest.approx(255))


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({**CLIP, "resample": 0}, "'resample' is 0, not 2 or 3 (bilinear or bicubic)"),
        ({**CLIP, "resample": None}, "'resample' is None"),
        ({**CLIP, "do_resize": False}, "'do_resize' is false"),
        ({**CLIP, "do_pad": True}, "'do_pad' is no step that can be done here"),
        ({**CLIP, "image_processor_type": "LevitImageProcessor"}, "the steps of 'LevitImage"),
        ({**CLIP, "do_center_crop": False}, "'size' keeps the shape of pictures"),
        ({**CLIP, "size": {"height": 256, "width": 256}}, "'size' squeezes pictures before"),
        ({**OLD, "feature_extractor_type": "DeiTFeatureExtractor"}, "'size' squeezes pictures"),
        ({**OLD, "feature_extractor_type": "BeitFeatureExtractor"}, "'size' squeezes pictures"),
        ({**CLIP, "size": {"height": 224, "width": 256}}, "not a square"),
        ({**CLIP, "size": {"shortest_edge": 200}}, "'crop_size' 224 is larger than 'size' 200"),
        ({**CLIP, "size": {"shortest_edge": "224"}}, "'size' is '224', not a number of pixels"),
        ({**CLIP, "size": "224"}, "'size' is '224'"),
        ({**CLIP, "crop_size": None}, "'crop_size' is None, not a square"),
        ({**CLIP, "image_std": [0.1, 0.2]}, "'image_std' is [0.1, 0.2], not three numbers"),
        ({**CLIP, "image_mean": None}, "'image_mean' is None, not three numbers"),
        ({**CLIP, "image_std": [0, 1, 1]}, "impossible preprocessing"),
        ({**CLIP, "rescale_factor": "1/255"}, "'rescale_factor' is '1/255'"),
        ({**CLIP, "size": {"shortest_edge": 9000}, "crop_size": 9000}, "impossible preprocessing"),
        ({**CONVNEXT, "crop_pct": 2.0}, "'crop_pct' is 2.0, not a share"),
        ({**CONVNEXT, "crop_pct": None}, "'crop_pct' is None, not a share"),
        ({**CLIP, "pooling": "sum"}, "'pooling' is 'sum'"),
    ],
)
def test_steps_that_cannot_be_followed_are_named(values, what):
    with pytest.raises(ValueError, match=re.escape(what)):
        from_preprocessor_config(values)


def test_ours_is_not_taken_for_theirs():
    for values in ({"size": 224, "mean": 1, "scale": 1}, {}, [], None, [CLIP], 3):
        assert not is_preprocessor_config(values)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["height", "width", "shortest_edge"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from([CLIP, VIT, CONVNEXT]), st.data())
def test_whatever_it_holds_is_refused_or_followed(values, data):
    changed = dict(values)
    for key in data.draw(st.lists(st.sampled_from(sorted(CLIP | CONVNEXT)), max_size=3)):
        changed[key] = data.draw(ANYTHING)
    try:
        how = from_preprocessor_config(changed)
    except ValueError as error:
        assert str(error)  # noqa: PT017
    else:
        assert 0 < how.size <= 4096
