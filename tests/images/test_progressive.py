"""Progressive JPEGs without details: the same pixels at an eighth of the size."""

from __future__ import annotations

import io
import random
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from mrnn.errors import ImageError
from mrnn.images.progressive import without_details
from mrnn.images.reading import decode_image

COARSE = np.random.default_rng(0).integers(0, 256, (70, 100, 3), dtype=np.uint8)
PHOTO = Image.fromarray(COARSE).resize((301, 203))


def encoded(image: Image.Image = PHOTO, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"progressive": True, "quality": 90, **options})
    return buffer.getvalue()


def eighth(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        image.draft(None, (image.width // 8, image.height // 8))
        return np.asarray(image)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(301, 203), (64, 16), (8, 9)])
@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 5}, {"quality": 30}])
def test_the_same_pixels_of_fewer_bytes(subsampling, size, options):
    content = encoded(PHOTO.crop((0, 0, *size)), subsampling=subsampling, **options)
    fewer = without_details(content)
    assert len(fewer) < len(content)
    np.testing.assert_array_equal(eighth(fewer), eighth(content))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours(mode):
    content = encoded(PHOTO.convert(mode))
    fewer = without_details(content)
    assert len(fewer) < 0.7 * len(content)
    np.testing.assert_array_equal(eighth(fewer), eighth(content))


def test_ordinary_jpegs_stay_as_they_are():
    content = encoded(progressive=False)
    assert without_details(content) == content


def test_what_follows_the_picture_stays_and_thumbnails_are_not_taken_for_it():
    exif = Image.Exif()
    exif[0x010E] = "\xff\xd9\xff\xda\xff\xc2"
    content = encoded(exif=exif) + b"more"
    fewer = without_details(content)
    assert fewer.endswith(b"\xff\xd9more")
    assert len(fewer) < len(content)
    np.testing.assert_array_equal(eighth(fewer), eighth(content))


def test_half_a_file_stays_half_a_file():
    content = encoded()
    for length in range(0, len(content), 101):
        assert without_details(content[:length]) == content[:length]


@pytest.mark.parametrize("at_least", [None, 8, 25, 26])
def test_pictures_are_read_without_details_where_these_do_not_show(monkeypatch, at_least):
    asked = []
    monkeypatch.setattr(
        "mrnn.images.decoding.without_details", lambda c: asked.append(1) or without_details(c)
    )
    content = encoded()
    found, size = decode_image(io.BytesIO(content), "a.jpg", at_least)
    assert size == (301, 203)
    assert len(asked) == (at_least in (8, 25))  # 203 pixels are 25 eighths and some
    if asked:
        np.testing.assert_array_equal(np.asarray(found), eighth(content))


def test_mutated_bytes():
    source = random.Random(0)
    whole = encoded(PHOTO.crop((0, 0, 64, 48)))
    for _ in range(1000):
        content = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            content[source.randrange(len(content))] = source.choice([0, 255, source.randrange(256)])
        assert len(without_details(bytes(content))) <= len(content)
        with suppress(ImageError):
            decode_image(io.BytesIO(content), "a.jpg", 6)
