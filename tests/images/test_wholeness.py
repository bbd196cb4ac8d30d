"""Files of which a part never arrived are damaged; sound ones of every kind are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mrnn.images import jpeg
from odd_pictures import encoded, photo, refused, seen

NOISE = np.random.default_rng(0).integers(-20, 21, (240, 320, 3))
PHOTO = Image.fromarray(np.clip(photo(320, 240).astype(int) + NOISE, 0, 255).astype(np.uint8))
MISSING = "a part of its samples is missing"

JPEGS = {
    "best": {"quality": 100, "subsampling": 0},
    "usual": {"quality": 75},
    "optimised": {"quality": 90, "optimize": True},
    "poor": {"quality": 20},
    "restarts": {"quality": 85, "restart_marker_blocks": 7},
    "progressive": {"quality": 85, "progressive": True},
}


def half_zeros(content: bytes, kept: int) -> bytes:
    """The second half as zeros, but for the last bytes."""
    half = len(content) // 2
    end = content[len(content) - kept :] if kept else b""
    return content[:half] + bytes(len(content) - half - kept) + end


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kept", [0, 2, 50])
def test_jpegs_whose_second_half_is_zeros(tmp_path, kind, mode, kept):
    content = encoded(PHOTO.convert(mode), "JPEG", **JPEGS[kind])
    message = refused(tmp_path, half_zeros(content, kept), "damaged")
    assert MISSING in message or "truncated" in message or "broken data stream" in message
    assert "get a fresh copy" in message


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("at_least", [16, 60])
def test_they_are_seen_at_every_scale(tmp_path, kind, at_least):
    content = encoded(PHOTO.resize((960, 720)), "JPEG", **JPEGS[kind])
    assert seen(tmp_path, content, at_least).shape[2] == 3
    with pytest.raises(Exception, match="damaged"):
        seen(tmp_path, half_zeros(content, 2), at_least)


@pytest.mark.parametrize("kind", ["best", "usual", "optimised", "restarts", "progressive"])
def test_a_page_of_zeros_within(tmp_path, kind):
    content = encoded(PHOTO.resize((960, 720)), "JPEG", **JPEGS[kind])
    third = len(content) // 3
    refused(tmp_path, content[:third] + bytes(4096) + content[third + 4096 :], "damaged")


@pytest.mark.parametrize(
    ("kind", "options"),
    [("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {}), ("PNG", {}), ("GIF", {})],
)
@pytest.mark.parametrize("kept", [0, 30])
def test_other_formats(tmp_path, kind, options, kept):
    content = encoded(PHOTO, kind, **options)
    message = refused(tmp_path, half_zeros(content, kept), "damaged")
    assert MISSING in message or kind in ("PNG", "GIF")


UNCODED = [("BMP", "RGB"), ("BMP", "L"), ("TIFF", "RGB"), ("TIFF", "CMYK"), ("TIFF", "L"),
           ("TIFF", "I;16"), ("PPM", "RGB"), ("PPM", "L")]  # fmt: skip


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode != "I;16":
        return image.convert(mode)
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize(("kind", "mode"), UNCODED)
def test_samples_that_are_not_coded(tmp_path, kind, mode):
    content = encoded(in_mode(PHOTO, mode), kind)
    seen(tmp_path, content)
    for cut in (-300, 100, 377):
        half = len(content) // 2 + cut
        message = refused(tmp_path, content[:half] + bytes(len(content) - half), "damaged")
        assert MISSING in message


@pytest.mark.parametrize(("kind", "mode"), UNCODED)
def test_black_parts_are_whole(tmp_path, kind, mode):
    black = Image.new("RGB", PHOTO.size)
    lower, upper, margin, stepped = black.copy(), black.copy(), black.copy(), black.copy()
    lower.paste(PHOTO.crop((0, 0, 320, 120)))
    upper.paste(PHOTO.crop((0, 0, 320, 120)), (0, 120))
    margin.paste(PHOTO.crop((0, 0, 200, 100)), (40, 70))
    stepped.paste(PHOTO.crop((0, 0, 320, 90)))
    stepped.paste(PHOTO.crop((0, 0, 200, 60)), (0, 90))
    turned = PHOTO.rotate(5, expand=True)
    disc = Image.composite(PHOTO, black, Image.radial_gradient("L").resize(PHOTO.size).point(
        lambda distance: 255 * (distance < 80)))  # fmt: skip
    for image in (black, lower, upper, margin, stepped, turned, disc):
        seen(tmp_path, encoded(in_mode(image, mode), kind))


def test_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(PHOTO).save(buffer, quality=90)
    refused(tmp_path, half_zeros(buffer.getvalue(), 30), "damaged")


def sheets(size: tuple[int, int]) -> list[Image.Image]:
    """Pictures with large parts that are easily coded."""
    white, grey = Image.new("RGB", size, "white"), Image.new("RGB", size, (13, 77, 200))
    part = white.copy()
    part.paste(PHOTO.resize((size[0] // 2, size[1] // 2)), (0, 0))
    rows = np.indices(size[::-1]).sum(0) // 8 % 2 * 255
    squares = Image.fromarray(rows.astype(np.uint8)).convert("RGB")
    return [white, grey, part, part.rotate(180), squares]


@pytest.mark.parametrize("size", [(1, 1), (9, 7), (320, 200), (901, 703)])
def test_even_pictures_are_whole(tmp_path, size):
    for image in sheets(size) if size[0] > 1 else [Image.new("RGB", size, "white")]:
        for options in JPEGS.values():
            seen(tmp_path, encoded(image, "JPEG", **options))
            seen(tmp_path, encoded(image.convert("L"), "JPEG", **options))
        others = [("WEBP", {"method": 0}), ("WEBP", {"lossless": True, "method": 0})]
        for kind, options in [*others, ("AVIF", {"speed": 10})] if size[0] < 400 else others:
            seen(tmp_path, encoded(image, kind, **options))


@pytest.mark.parametrize("kind", JPEGS)
def test_what_follows_the_picture_does_not_matter(tmp_path, kind):
    content = encoded(PHOTO, "JPEG", **JPEGS[kind])
    plain = seen(tmp_path, content)
    for more in (bytes(9000), content, b"\xff\xd9", b"motion" * 100):
        np.testing.assert_array_equal(seen(tmp_path, content + more), plain)


def test_bytes_that_fill_before_the_end_do_not_matter(tmp_path):
    content = encoded(PHOTO, "JPEG")
    plain = seen(tmp_path, content)
    for fill in (b"\xff" * 5000, bytes(60)):
        np.testing.assert_array_equal(seen(tmp_path, content[:-2] + fill + b"\xff\xd9"), plain)


def test_a_lost_restart_is_damage(tmp_path):
    content = encoded(PHOTO, "JPEG", restart_marker_blocks=5)
    at = content.index(b"\xff\xd3")
    refused(tmp_path, content[:at] + content[at + 2 :], "damaged")


def test_scans_of_a_progressive_picture_that_is_never_finished(tmp_path):
    content = encoded(PHOTO, "JPEG", progressive=True)
    scans = list(jpeg.scans(content))
    assert len(scans) > 6
    headers = [content.rindex(b"\xff\xda", 0, scan.start) for scan in scans]
    refused(tmp_path, content[: headers[-1]] + b"\xff\xd9", "damaged")
    refused(tmp_path, content[: headers[1]] + b"\xff\xd9", "damaged")


def test_scans_in_turn(tmp_path):
    """A picture of one scan a component, as some cameras write it."""
    content = encoded(PHOTO, "JPEG", subsampling=0)
    [scan] = jpeg.scans(content)
    assert scan.is_all
    assert scan.end == len(content) - 2
    assert not len(scan.restarts)
    assert list(jpeg.scans(b"\xff\xd8")) == list(jpeg.scans(b"")) == []
    assert list(jpeg.scans(content[:200])) == []
