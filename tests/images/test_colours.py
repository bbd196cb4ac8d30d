"""Colours that are no sRGB's, by profile or numbers: what is seen is the picture that was meant."""

from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from mrnn.images.boxes import read_properties
from mrnn.images.colour import (
    _BT709,
    ADOBE_RGB,
    Colours,
    Space,
    _to_bt709,
    _to_xyz,
    coded_by,
    levels_of,
)
from mrnn.images.given import given
from mrnn.images.kinds import Unsupported
from mrnn.images.metadata import _coded
from mrnn.images.reading import decode_image, read_image
from odd_pictures import avif, directory, encoded, photo, png, refused, seen, tiff

RGB = photo()
GREY = np.asarray(Image.fromarray(RGB).convert("L"))
SRGB_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
# In the profile's white (D50), as ICC has them.
WIDE = ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))
SRGB_50 = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
WHITE_50 = (0.9642, 1.0, 0.8249)


def light(levels: np.ndarray) -> np.ndarray:
    """Light, 0 to 1, of levels of sRGB."""
    share = levels / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def far(found: np.ndarray, levels: np.ndarray) -> float:
    return float(np.abs(found - (levels if levels.ndim == 3 else levels[..., None])).max())


def profile(gamma: float, primaries=SRGB_50, space: bytes = b"RGB ") -> bytes:
    """An ICC profile (version 2) of a power curve."""

    def xyz(value) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in value))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {b"wtpt": xyz(WHITE_50)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {
            name: xyz(v) for name, v in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
        }
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(space, b"XYZ ", b"mntr", tags)


def inks() -> bytes:
    """An ICC profile of four inks of which cyan is grey, and magenta and yellow nothing."""
    grid = []
    for corner in range(16):  # lightness falls by cyan and black, none of the others counts
        cyan, black = corner >> 3 & 1, corner & 1
        grid += [round((1 - 0.5 * cyan) * (1 - black) * 255), 128, 128]
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramps = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix
    table += ramps * 4 + bytes(grid) + ramps * 3
    return _profile(
        b"CMYK",
        b"Lab ",
        b"prtr",
        {
            b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in WHITE_50)),
            b"A2B0": table,
            b"A2B1": table,
        },
    )


def _profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, start + len(data), len(content))
        data += padded
    header = struct.pack(
        ">I4sI4s4s4s", start + len(data), bytes(4), 0x02400000, kind, space, connection
    )
    header += bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *(round(v * 65536) for v in WHITE_50))
    return header.ljust(128, b"\0") + table + data


def wide(levels: np.ndarray) -> np.ndarray:
    """Shares of the wide primaries, by gamma 1.8, of levels of sRGB."""
    to_wide = np.linalg.inv(np.array(WIDE).T) @ np.array(SRGB_50).T
    return np.clip(light(levels) @ to_wide.T, 0, 1) ** (1 / 1.8)


WIDE_PROFILE = profile(1.8, WIDE)
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = profile(2.2, (SRGB_50[1], SRGB_50[0], SRGB_50[2]))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_profile_is_followed_in_every_format(tmp_path, kind, alpha):
    shares = (wide(RGB) * 255 + 0.5).astype(np.uint8)
    image = Image.fromarray(shares)
    if alpha and kind not in ("JPEG", "AVIF"):
        image.putalpha(255)
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    options |= {"JPEG": {"quality": 100, "subsampling": 0}}
    content = encoded(image, kind, icc_profile=WIDE_PROFILE, **options.get(kind, {}))
    found = seen(tmp_path, content)
    assert np.abs(found - RGB).mean() < (4 if kind in ("JPEG", "AVIF") else 2)
    assert np.abs(shares.astype(int) - RGB).mean() > 15


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_a_profile_goes_with_what_pillow_has_decoded(tmp_path, kind):
    content = encoded(Image.fromarray(RGB), kind, icc_profile=SWAPPED)
    with Image.open(io.BytesIO(content)) as image:
        found = np.asarray(read_image(given(image).picture))
    assert np.array_equal(found, seen(tmp_path, content))
    assert not np.array_equal(found, np.asarray(image))


def test_a_profile_that_exchanges_red_and_green(tmp_path):
    content = encoded(Image.fromarray(RGB[..., [1, 0, 2]]), "PNG", icc_profile=SWAPPED)
    assert far(seen(tmp_path, content), RGB) < 12  # gamma 2.2 is not quite sRGB's


def test_srgb_by_profile_changes_no_digit(tmp_path):
    for kind in ("PNG", "JPEG", "WEBP"):
        image = Image.fromarray(RGB)
        plain = seen(tmp_path, encoded(image, kind))
        told = seen(tmp_path, encoded(image, kind, icc_profile=SRGB_PROFILE))
        np.testing.assert_array_equal(told, plain)
    deep = RGB.astype(np.uint16) * 257
    plain, told = (
        seen(tmp_path, tiff(directory(deep, **m))) for m in ({}, {"profile": SRGB_PROFILE})
    )
    np.testing.assert_array_equal(told, plain)


@pytest.mark.parametrize("content", [b"no profile", SRGB_PROFILE[:200], b"\0" * 400, inks()])
def test_a_profile_that_is_broken_or_of_other_colours_counts_for_nothing(tmp_path, content):
    found = seen(tmp_path, encoded(Image.fromarray(RGB), "TIFF", icc_profile=content))
    np.testing.assert_array_equal(found, RGB)


def test_grey_by_its_profile_or_that_of_colours(tmp_path):
    dark = (light(GREY) * 255 + 0.5).astype(np.uint8)
    for told in (profile(1.0, space=b"GRAY"), profile(1.0)):
        found = seen(tmp_path, encoded(Image.fromarray(dark), "PNG", icc_profile=told))
        assert far(found, GREY) < 8  # 8 bits are few in the dark
    with_alpha = Image.merge("LA", (Image.fromarray(dark), Image.new("L", GREY.shape[::-1], 255)))
    told = profile(1.0, space=b"GRAY")
    assert far(seen(tmp_path, encoded(with_alpha, "PNG", icc_profile=told)), GREY) < 8


@pytest.mark.parametrize("levels", [GREY, RGB], ids=["grey", "rgb"])
def test_linear_light_of_16_bits_is_converted_with_all_of_them(tmp_path, levels):
    deep = (light(levels) * 65535 + 0.5).astype(np.uint16)
    told = profile(1.0, space=b"GRAY" if levels is GREY else b"RGB ")
    assert far(seen(tmp_path, tiff(directory(deep, profile=told))), levels) <= 3
    floats = light(GREY).astype(np.float32)
    told = profile(1.0, space=b"GRAY")
    assert far(seen(tmp_path, tiff(directory(floats, profile=told))), GREY) <= 3


def test_inks_by_their_profile(tmp_path):
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    for kind in ("TIFF", "JPEG"):
        assert seen(tmp_path, encoded(cyan, kind))[0, 0].tolist() == [0, 255, 255]
        red, green, blue = seen(tmp_path, encoded(cyan, kind, icc_profile=inks()))[0, 0]
        assert max(red, green, blue) - min(red, green, blue) < 6
        assert 60 < red < 200


def test_cielab(tmp_path):
    lab = Image.merge("LAB", [Image.new("L", (4, 4), v) for v in (128, 128, 128)])
    red, green, blue = seen(tmp_path, encoded(lab, "TIFF"))[0, 0]
    assert abs(red - 119) < 4
    assert max(red, green, blue) - min(red, green, blue) < 4


def chunk_of_gamma(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


def pq(levels: np.ndarray) -> np.ndarray:
    """Shares of PQ of levels of sRGB whose white is at 203 candelas."""
    power = (light(levels) * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@pytest.mark.parametrize("levels", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("curve", "chunks"),
    [
        (light, [chunk_of_gamma(1.0)]),
        (light, [(b"cICP", bytes([1, 8, 0, 1]))]),
        (light, [chunk_of_gamma(0.4), (b"cICP", bytes([1, 8, 0, 1]))]),  # it goes before
        (pq, [(b"cICP", bytes([1, 16, 0, 1]))]),
        (lambda v: light(v) ** (1 / 1.4), [chunk_of_gamma(1 / 1.4)]),
    ],
    ids=["gAMA", "cICP", "both", "PQ", "1.4"],
)
def test_curves_of_png(tmp_path, levels, alpha, bits, curve, chunks):
    shares = curve(levels.astype(float))
    if alpha:
        shares = np.dstack([shares, np.ones(GREY.shape)])
    most = 2**bits - 1
    content = png((shares * most + 0.5).astype(f"u{bits // 8}"), *chunks)
    found = seen(tmp_path, content)
    assert np.abs(found - (levels if levels.ndim == 3 else levels[..., None])).mean() < 2
    if bits == 16:
        assert far(found, levels) <= 2


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk_of_gamma(0.45455)],
        [(b"sRGB", b"\0"), chunk_of_gamma(1.0)],
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"cICP", bytes([1, 1, 0, 1])), chunk_of_gamma(1.0)],
        [chunk_of_gamma(0)],
        [
            chunk_of_gamma(0.45455),
            (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        ],
        [(b"cHRM", bytes(32))],
    ],
)
def test_what_is_srgb_in_other_words_changes_no_digit(tmp_path, chunks):
    np.testing.assert_array_equal(seen(tmp_path, png(RGB, *chunks)), RGB)


def test_primaries_of_png(tmp_path):
    """Red and green of the file are each other's."""
    chroma = struct.pack(">8I", 31270, 32900, 30000, 60000, 64000, 33000, 15000, 6000)
    content = png(RGB[..., [1, 0, 2]], chunk_of_gamma(0.45455), (b"cHRM", chroma))
    assert far(seen(tmp_path, content), RGB) <= 2


def test_the_matrix_of_sRGB_is_the_known_one():  # noqa: N802
    np.testing.assert_allclose(_to_xyz(_BT709), SRGB_TO_XYZ, atol=2e-4)
    for space in (ADOBE_RGB, coded_by(9, 13), coded_by(11, 13)):
        np.testing.assert_allclose(_to_bt709(space.primaries).sum(axis=1), 1, atol=1e-6)


def test_hlg_and_pq_have_their_white_where_the_recommendation_says():
    def level(number: int, share: float) -> int:
        return int(
            levels_of(np.full((1, 1, 3), share), Colours(None, coded_by(1, number)))[0, 0, 0]
        )

    assert level(18, 0.75) in (254, 255)  # BT.2408: white is 75 % of HLG, 58 % of PQ
    assert level(16, 0.58) in (254, 255)
    assert level(18, 0.6) == 173
    assert level(18, 0.0) == level(16, 0.0) == 0
    assert level(18, 1.0) == level(16, 1.0) == 255


@pytest.mark.parametrize(
    "chunk", [bytes([1, 200, 0, 1]), bytes([77, 13, 0, 1]), bytes([1, 9, 0, 1])]
)
def test_colours_that_are_not_known_are_refused(tmp_path, chunk):
    message = refused(tmp_path, png(RGB, (b"cICP", chunk)))
    assert f"primaries {chunk[0]} and transfer {chunk[1]}" in message
    assert "save it as sRGB" in message


def test_samples_of_narrow_range_are_refused(tmp_path):
    message = refused(tmp_path, png(RGB, (b"cICP", bytes([1, 1, 0, 0]))))
    assert "narrow range" in message
    assert "save it as sRGB" in message


def test_numbers_of_avif(tmp_path):
    plain = seen(tmp_path, avif(Image.fromarray(RGB)))
    dark = Image.fromarray((light(RGB) * 255 + 0.5).astype(np.uint8))
    found = seen(tmp_path, avif(dark, nclx=(1, 8)))
    assert np.abs(found - plain).mean() < 12  # coded with loss where 8 bits are few
    assert np.abs(seen(tmp_path, avif(dark)) - plain).mean() > 30
    assert "transfer 10 of H.273" in refused(tmp_path, avif(dark, nclx=(1, 10)))


def test_linear_avif_of_more_bits_than_are_read_is_refused(tmp_path):
    content = avif(Image.fromarray(RGB), nclx=(1, 8))
    depth = b"pixi" + bytes(4) + b"\3\x08\x08\x08"
    assert content.count(depth) == 1
    deep = content.replace(depth, depth[:-3] + b"\x0c\x0c\x0c")
    said = read_properties(deep, (48, 36))
    assert (said.colours, said.bits) == ((1, 8), 12)
    with pytest.raises(Unsupported, match="linear light of 12 bits"):
        _coded(None, said.colours, said.bits)
    assert _coded(SRGB_PROFILE, said.colours, said.bits).profile == SRGB_PROFILE


@pytest.mark.parametrize(("said", "is_adobe"), [("R03", True), ("R98", False), (None, False)])
def test_cameras_say_adobe_rgb_by_exif_alone(tmp_path, said, is_adobe):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    inner = exif.get_ifd(0x8769)
    inner[0xA001] = 0xFFFF
    if said:
        inner[0xA005] = {1: said}
    image = Image.new("RGB", (8, 8), (60, 200, 60))
    red, _, _ = seen(tmp_path, encoded(image, "JPEG", exif=exif, quality=100))[4, 4]
    assert (red < 20) == is_adobe
    told = encoded(image, "JPEG", exif=exif, quality=100, icc_profile=SRGB_PROFILE)
    assert seen(tmp_path, told)[4, 4, 0] > 50  # a profile knows better


def test_a_space_is_srgb_if_it_is_near():
    assert Space("sRGB").is_srgb
    assert Space("sRGB", (0.6401, 0.33, 0.3, 0.6, 0.15, 0.0601, 0.3127, 0.329)).is_srgb
    assert not ADOBE_RGB.is_srgb
    assert not Space(1.0).is_srgb


def test_reduced_pictures_have_the_same_colours(tmp_path):
    big = photo(480, 360)
    shares = (wide(big) * 255 + 0.5).astype(np.uint8)
    content = encoded(Image.fromarray(shares), "PNG", icc_profile=WIDE_PROFILE)
    whole = seen(tmp_path, content)
    small = seen(tmp_path, content, at_least=40)
    assert small.shape == (90, 120, 3)
    np.testing.assert_allclose(small.mean(axis=(0, 1)), whole.mean(axis=(0, 1)), atol=3)


def test_a_profile_serves_many_threads_at_once(tmp_path):
    shares = (wide(photo(480, 360)) * 255 + 0.5).astype(np.uint8)
    content = encoded(Image.fromarray(shares), "TIFF", icc_profile=WIDE_PROFILE)

    def read(_: int) -> bytes:
        return decode_image(io.BytesIO(content), "a")[0].tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(read, range(64)))) == 1
