"""What samples mean: each kind is the picture that was meant, or an error that says what is not."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mrnn.errors import ImageError
from odd_pictures import directory, encoded, photo, png, refused, seen, tiff

RGB = photo()
GREY = np.asarray(Image.fromarray(RGB).convert("L"))
_TYPES = {"u1": 255, "u2": 65535, "u4": 4294967295, "f4": 1.0}


def cast(levels: np.ndarray, kind: str, white: float | None = None) -> np.ndarray:
    """Levels 0 to 255 as other samples, whose white is that of their type."""
    white = _TYPES[kind] if white is None else white
    return (levels.astype(float) / 255 * white).astype(kind)


def far(found: np.ndarray, levels: np.ndarray) -> int:
    """How many levels two pictures are apart at most."""
    levels = levels.astype(int)
    return int(np.abs(found - (levels if levels.ndim == 3 else levels[..., None])).max())


_LAYOUTS = [
    (order, deflate, kind, channels, planar, photometric)
    for order, deflate, kind, channels, planar, photometric in itertools.product(
        "<>", (False, True), _TYPES, (1, 3), (1, 2), (0, 1, 2)
    )
    if (photometric == 2) == (channels == 3)
]


def test_every_layout_of_a_tiff_is_right_or_refused(tmp_path):
    read = 0
    for order, deflate, kind, channels, planar, photometric in _LAYOUTS:
        levels = RGB if channels == 3 else GREY
        given = 255 - levels if photometric == 0 else levels
        told = directory(cast(given, kind), deflate, planar=planar, photometric=photometric)
        try:
            found = seen(tmp_path, tiff(told, order=order))
        except ImageError as error:
            assert error.code == "unsupported"  # noqa: PT017 - the others are read
            assert "this kind of TIFF is not supported" in str(error)  # noqa: PT017
            assert kind != "u1" or (planar, photometric) == (2, 0)
        else:
            assert far(found, levels) <= 1, (order, deflate, kind, planar, photometric)
            read += 1
    assert read > 40


@pytest.mark.parametrize(("samples", "extra"), [(2, 2), (2, 1), (4, 0), (4, 1), (4, 2)])
@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("deflate", [False, True])
def test_every_kind_of_alpha_is_right_or_refused(tmp_path, samples, extra, kind, planar, deflate):
    levels = GREY[..., None] if samples == 2 else RGB
    opaque = np.dstack([levels, np.full(GREY.shape, 255, np.uint8)])
    photometric = 1 if samples == 2 else 2
    more = {"extra": extra, "planar": planar, "photometric": photometric}
    try:
        found = seen(tmp_path, tiff(directory(cast(opaque, kind), deflate, **more)))
    except ImageError as error:
        assert error.code == "unsupported"  # noqa: PT017
        grey_apart = planar == 2 and samples == 2
        raw_apart = planar == 2 and not deflate
        assert grey_apart or raw_apart or (kind, samples) == ("u2", 2)
    else:
        assert far(found, levels) <= 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("levels", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("deflate", [False, True])
def test_fewer_bits_than_there_is_room_for(tmp_path, bits, levels, deflate):
    """As cameras of microscopes write them: right where white is said, else nobody knows."""
    samples = cast(levels, "u2", 2**bits - 1)
    read = seen(tmp_path, tiff(directory(samples, deflate, most=2**bits - 1)))
    assert far(read, levels) <= 1
    depth = bytes([bits]) * (1 if levels.ndim == 2 else 3)
    assert far(seen(tmp_path, png(samples, (b"sBIT", depth))), levels) <= 1
    for content in (tiff(directory(samples, deflate)), png(samples)):
        message = refused(tmp_path, content)
        assert f"{samples.max():,} of 65,535" in message or "bits" in message
        assert "save it with 8 bits" in message
    # What occurs at most is not what white is.
    refused(tmp_path, tiff(directory(samples, deflate, most=int(2**bits * 0.9))))


def test_alpha_of_fewer_bits_is_scaled_as_the_colours_are(tmp_path):
    half = np.dstack([RGB, np.full(GREY.shape, 128, np.uint8)])
    samples = cast(half, "u2", 4095)
    found = seen(tmp_path, png(samples, (b"sBIT", bytes([12] * 4))))
    assert far(found, (RGB.astype(int) + 255) // 2) <= 2
    grey = cast(np.dstack([GREY, np.full(GREY.shape, 128, np.uint8)]), "u2", 4095)
    found = seen(tmp_path, png(grey, (b"sBIT", bytes([12, 12]))))
    assert far(found, (GREY.astype(int) + 255) // 2) <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_netpbm_says_what_white_is_unless_it_is_all_ones(tmp_path, channels):
    levels = GREY if channels == 1 else RGB
    height, width = GREY.shape
    for white, is_read in ((4095, True), (1023, True), (65535, False)):
        samples = cast(levels, "u2", min(white, 4095)).astype(">u2")
        content = f"P{5 if channels == 1 else 6} {width} {height} {white}\n".encode()
        content += samples.tobytes()
        if is_read:
            assert far(seen(tmp_path, content), levels) <= 1
        else:
            assert "65,535" in refused(tmp_path, content)
    bright = f"P{5 if channels == 1 else 6} {width} {height} 65535\n".encode()
    found = seen(tmp_path, bright + cast(levels, "u2").astype(">u2").tobytes())
    assert far(found, levels) <= 1


def test_what_is_black_is_black(tmp_path):
    black = np.zeros(GREY.shape, np.uint16)
    for content in (png(black), tiff(directory(black)), png(np.dstack([black] * 3))):
        assert seen(tmp_path, content).max() == 0


@pytest.mark.parametrize(
    ("least", "most", "more", "is_read"),
    [
        (0.0, 1.0, {}, True),
        (0.1, 0.6, {}, True),
        (0.0, 255.0, {}, False),
        (-0.1, 1.0, {}, False),
        (0.0, 255.0, {"smin": 0.0, "smax": 255.0}, True),
        (-1.0, 3.0, {"smin": -1.0, "smax": 3.0}, True),
        (0.0, 255.0, {"smin": 0.0, "smax": 100.0}, False),  # cannot be right
        (0.0, 255.0, {"smax": 255.0}, False),
    ],
)
def test_floats_have_the_range_that_is_said(tmp_path, least, most, more, is_read):
    samples = (GREY / 255 * (most - least) + least).astype(np.float32)
    content = tiff(directory(samples, **more))
    if not is_read:
        message = refused(tmp_path, content)
        assert f"floats from {samples.min():g} to {samples.max():g}" in message
        return
    levels = GREY if more else np.rint(samples * 255)
    assert far(seen(tmp_path, content), levels) <= 1


def test_floats_that_are_no_numbers(tmp_path):
    samples = (GREY / 255).astype(np.float32)
    samples[3, 4] = np.nan
    assert "not numbers" in refused(tmp_path, tiff(directory(samples)))


@pytest.mark.parametrize("kind", ["i1", "i2", "i4"])
def test_signed_samples_have_no_known_black(tmp_path, kind):
    message = refused(tmp_path, tiff(directory(GREY.astype(kind))))
    assert "signed" in message
    assert "save it as PNG" in message


def packed(samples: np.ndarray) -> np.ndarray:
    """Two samples of 12 bits in three bytes, row by row."""
    first, second = samples[:, ::2].astype(np.uint16), samples[:, 1::2].astype(np.uint16)
    parts = [first >> 4, (first & 15) << 4 | second >> 8, second & 255]
    return np.dstack(parts).astype(np.uint8).reshape(len(samples), -1)


def test_twelve_bits_without_gaps(tmp_path):
    told = directory(packed(cast(GREY, "u2", 4095)))
    told["tags"] |= {256: GREY.shape[1], 258: 12}
    assert far(seen(tmp_path, tiff(told)), GREY) <= 1
    dark = directory(packed(cast(GREY, "u2", 800)))
    dark["tags"] |= {256: GREY.shape[1], 258: 12}
    assert seen(tmp_path, tiff(dark)).max() <= 50  # white was said


def test_the_fourth_byte_of_a_bitmap_may_be_unused(tmp_path):
    height, width = GREY.shape
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIIIII4I", 108, width, -height, 1, 32, 3, 0, 0, 0, 0, 0, *masks)
    header = b"BM" + struct.pack("<IHHI", 0, 0, 0, 122) + header.ljust(108, b"\0")
    for alpha, levels in ((0, RGB), (51, 204 + RGB // 5), (255, RGB)):
        samples = np.dstack([RGB[..., ::-1], np.full(GREY.shape, alpha, np.uint8)])
        assert far(seen(tmp_path, header + samples.tobytes()), levels) <= 1


def test_a_level_of_sixteen_bits_that_is_transparent_is_white(tmp_path):
    grey = np.linspace(0, 65535, 48 * 36).astype(np.uint16).reshape(36, 48)
    plain = seen(tmp_path, png(grey))
    grey[9:18, :20] = 777
    found = seen(tmp_path, png(grey, (b"tRNS", struct.pack(">H", 777))))
    plain[9:18, :20] = 255
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_a_picture_of_which_nothing_is_seen_is_refused(tmp_path, kind):
    image = Image.fromarray(np.dstack([RGB, np.zeros(GREY.shape, np.uint8)]))
    options = {"exact": True} if kind == "WEBP" else {}
    assert "transparent" in refused(tmp_path, encoded(image, kind, **options))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_ordinary_pictures_are_what_pillow_makes_of_them(tmp_path, kind, mode):
    if (kind, mode) in (("JPEG", "P"), ("WEBP", "P")):
        mode = "CMYK" if kind == "JPEG" else "RGB"
    content = encoded(Image.fromarray(RGB).convert(mode), kind)
    (tmp_path / "b").write_bytes(content)
    with Image.open(tmp_path / "b") as image:
        plain = np.asarray(image.convert("RGB"), dtype=int)
    np.testing.assert_array_equal(seen(tmp_path, content), plain)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 65535), st.integers(1, 16), st.sampled_from([1, 3]), st.booleans(), st.booleans()
)
def test_a_brighter_file_is_never_read_darker(tmp_path_factory, most, bits, channels, told, is_png):
    """Whatever the samples: an error, or levels that go up with them."""
    folder = tmp_path_factory.mktemp("a")
    ramp = np.linspace(0, most, 64).astype(np.uint16).reshape(2, 32)
    samples = ramp if channels == 1 else np.dstack([ramp] * 3)
    if is_png:
        content = png(samples, *([(b"sBIT", bytes([bits] * channels))] if told else []))
    else:
        content = tiff(directory(samples, **({"most": 2**bits - 1} if told else {})))
    try:
        found = seen(folder, content)[..., 0].ravel()
    except ImageError as error:
        assert error.code == "unsupported"  # noqa: PT017
        assert most < 16384
    else:
        assert (np.diff(found) >= 0).all()
        assert told or found[-1] >= 63
