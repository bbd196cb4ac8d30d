"""Images: every kind of file gives upright RGB or an ImageError that names file and remedy."""

from __future__ import annotations

import io
import os
import random
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrnn.errors import ImageError
from mrnn.images.finding import Member, printable
from mrnn.images.reading import (
    MAX_PIXELS,
    Preprocessing,
    decode_image,
    open_picture,
    preprocess,
    read_image,
)

WHITE, RED = (255, 255, 255), (255, 0, 0)


def refused(path: Path, code: str) -> str:
    """The message with which a file is refused."""
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert caught.value.code == code
    message = str(caught.value)
    assert message.startswith(f"{printable(path)}: ")
    assert len(message) > len(printable(path)) + 10
    assert message.isprintable()
    return message


def blocks(width: int = 40, height: int = 30) -> Image.Image:
    """Random blocks: hard to mistake for another picture, smooth enough for JPEG."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises much and holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


# What is refused, and how.


def test_missing(tmp_path):
    assert "no such file" in refused(tmp_path / "gone.jpg", "missing")


def test_inside_a_file_instead_of_a_folder(picture):
    refused(picture("a.jpg") / "b.jpg", "unreadable")


def test_empty(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert "empty" in refused(tmp_path / "a.jpg", "empty")


def test_directory(tmp_path):
    refused(tmp_path, "not-a-file")


def test_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "not-a-file")


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 300 + ".jpg"], ids=["null", "too-long"])
def test_impossible_name(tmp_path, name):
    refused(tmp_path / name, "unreadable")


def test_lone_surrogate_in_a_name(tmp_path):
    refused(tmp_path / "\ud800.jpg", "unreadable")


def test_permission_denied(picture, monkeypatch):
    path = picture("a.jpg")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "permission" in refused(path, "unreadable")


def test_loop_of_links(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "a.jpg")
    refused(tmp_path / "a.jpg", "unreadable")


@pytest.mark.parametrize(
    "content",
    [b"not a picture\n", b"\0" * 1000, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8"],
)
def test_not_an_image(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    assert "JPEG, PNG" in refused(tmp_path / "a.jpg", "not-an-image")


@pytest.mark.parametrize("kind", ["EPS", "PDF", "TGA", "PCX", "ICO", "SGI"])
def test_formats_outside_the_list_are_refused(tmp_path, kind):
    (tmp_path / "a.png").write_bytes(encoded(blocks(), kind))
    refused(tmp_path / "a.png", "not-an-image")


@pytest.mark.parametrize("size", [(10_001, 10_000), (2**31 - 1, 2**31 - 1), (MAX_PIXELS + 1, 1)])
def test_too_large_is_seen_in_the_header(tmp_path, size, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    (tmp_path / "a.png").write_bytes(png_header(*size))
    message = refused(tmp_path / "a.png", "too-large")
    assert "100 megapixels" in message
    assert "smaller copy" in message


def test_large_but_allowed_gives_no_warning(tmp_path):
    # Pillow warns from 89 megapixels on; this one is only cut short.
    (tmp_path / "a.png").write_bytes(png_header(10_000, 9_500))
    refused(tmp_path / "a.png", "damaged")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"])
@pytest.mark.parametrize("at_least", [None, 16])
def test_half_a_file_is_damaged(tmp_path, kind, at_least):
    content = encoded(blocks(200, 150), kind)
    (tmp_path / "a").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a", at_least)
    assert caught.value.code in {"damaged", "not-an-image"}
    if caught.value.code == "damaged":
        assert "get a fresh copy" in str(caught.value)


def test_name_in_the_message_is_safe_to_print(tmp_path):
    path = tmp_path / "\x1b[31mred\n.jpg"
    path.write_bytes(b"text")
    assert "\\x1b[31mred\\n.jpg" in refused(path, "not-an-image")


# What is read, and how.


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_thin_images(tmp_path, size, kind):
    (tmp_path / "a").write_bytes(encoded(Image.new("RGB", size, (10, 200, 30)), kind))
    image = read_image(tmp_path / "a", at_least=8)
    assert (image.mode, image.size) == ("RGB", size)
    pixels = preprocess(image, Preprocessing(size=8))
    assert pixels.shape == (3, 8, 8)
    assert np.ptp(pixels, axis=(1, 2)).max() < 0.01


@pytest.mark.parametrize(
    ("mode", "kind", "colour", "expected"),
    [
        ("RGB", "PNG", (1, 2, 3), (1, 2, 3)),
        ("RGB", "WEBP", RED, RED),
        ("RGB", "BMP", (1, 2, 3), (1, 2, 3)),
        ("RGB", "PPM", (1, 2, 3), (1, 2, 3)),
        ("1", "PNG", 1, WHITE),
        ("L", "PNG", 77, (77, 77, 77)),
        ("L", "JPEG", 77, (77, 77, 77)),
        ("CMYK", "JPEG", (0, 255, 255, 0), RED),
        ("CMYK", "TIFF", (0, 255, 255, 0), RED),
        ("I;16", "PNG", 0x8000, (128, 128, 128)),
        ("I;16", "PNG", 0x4100, (65, 65, 65)),
        ("I;16", "PNG", 0, (0, 0, 0)),
        ("I;16", "PNG", 0xFFFF, WHITE),
        ("I;16", "TIFF", 0x8000, (128, 128, 128)),
        ("I;16B", "TIFF", 0x8000, (128, 128, 128)),
        ("I;16", "PPM", 0x8000, (128, 128, 128)),
        ("F", "TIFF", 0.302, (77, 77, 77)),
        ("LA", "PNG", (0, 255), (0, 0, 0)),
        ("LA", "PNG", (0, 51), (204, 204, 204)),
        ("RGBA", "PNG", (255, 0, 0, 255), RED),
        ("RGBA", "PNG", (255, 0, 0, 51), (255, 204, 204)),
        ("RGBA", "WEBP", (255, 0, 0, 51), (255, 204, 204)),
        ("RGBA", "TIFF", (255, 0, 0, 51), (255, 204, 204)),
    ],
)
def test_modes(tmp_path, mode, kind, colour, expected):
    (tmp_path / "a").write_bytes(encoded(Image.new(mode, (9, 7), colour), kind))
    image = read_image(tmp_path / "a")
    assert (image.mode, image.size) == ("RGB", (9, 7))
    assert np.abs(np.asarray(image, dtype=int) - expected).max() <= 2


def test_palette_with_and_without_transparency(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.putpixel((0, 0), 2)
    for kind in ("PNG", "GIF"):
        (tmp_path / "a").write_bytes(encoded(image, kind))
        assert read_image(tmp_path / "a").getpixel((0, 0)) == (0, 255, 0)
        (tmp_path / "a").write_bytes(encoded(image, kind, transparency=2))
        read = read_image(tmp_path / "a")
        assert read.getpixel((0, 0)) == WHITE
        assert read.getpixel((1, 1)) == RED


def test_palette_with_an_alpha_of_each_colour(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    (tmp_path / "a.png").write_bytes(encoded(image, "PNG", transparency=b"\xff\x33"))
    assert read_image(tmp_path / "a.png").getpixel((1, 1)) == (255, 204, 204)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_only(tmp_path, kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 255, 0), (0, 0, 255))]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    (tmp_path / "a").write_bytes(content)
    red, green, blue = read_image(tmp_path / "a").getpixel((4, 4))
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation(tmp_path, orientation, kind):
    upright = np.asarray(blocks(80, 40))
    stored = {  # EXIF: where the 0th row and 0th column of the stored picture belong
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    image = Image.fromarray(np.ascontiguousarray(stored))
    (tmp_path / "a").write_bytes(encoded(image, kind, exif=exif, **options))
    read = np.asarray(read_image(tmp_path / "a"), dtype=int)
    assert read.shape == upright.shape
    assert np.abs(read - upright).mean() < (4 if kind == "JPEG" else 0.01)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_broken_metadata_do_not_cost_the_picture(tmp_path, kind):
    (tmp_path / "a").write_bytes(encoded(blocks(), kind, exif=b"Exif\0\0rubbish, not TIFF"))
    assert read_image(tmp_path / "a").size == (40, 30)


def test_huge_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(blocks(), "JPEG", exif=exif))
    assert read_image(tmp_path / "a.jpg").size == (30, 40)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_reduced_decoding_is_close_to_full(tmp_path, mode):
    photo = blocks(1200, 900).convert(mode)
    (tmp_path / "a.jpg").write_bytes(encoded(photo, "JPEG", quality=95))
    how = Preprocessing(size=140)
    reduced = read_image(tmp_path / "a.jpg", at_least=how.size)
    assert min(reduced.size) >= how.size
    assert reduced.width < photo.width  # or it would be no use
    full = preprocess(read_image(tmp_path / "a.jpg"), how)
    assert np.abs(preprocess(reduced, how) - full).mean() < 0.01
    assert np.abs(preprocess(reduced, how) - full).max() < 0.15


def test_reduced_decoding_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(blocks(1200, 600), "JPEG", exif=exif))
    image = read_image(tmp_path / "a.jpg", at_least=100)
    assert image.height == 2 * image.width < 1200


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_large_pictures_of_other_formats_are_reduced_too(tmp_path, mode, kind):
    photo = blocks(1200, 900).convert(mode)
    if "A" in mode:
        photo.putalpha(blocks(300, 200).convert("L").resize(photo.size))
    (tmp_path / "a").write_bytes(encoded(photo, kind))
    how = Preprocessing(size=100)
    reduced = read_image(tmp_path / "a", at_least=how.size)
    assert reduced.size == (300, 225)  # a quarter: an eighth would not be twice 100 pixels
    full = preprocess(read_image(tmp_path / "a"), how)
    assert np.abs(preprocess(reduced, how) - full).mean() < 0.01
    assert np.abs(preprocess(reduced, how) - full).max() < 0.15


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pictures_turned_after_they_were_reduced_are_those_turned_before(
    tmp_path, orientation, kind
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").write_bytes(encoded(blocks(640, 320), kind, exif=exif))
    found = read_image(tmp_path / "a", at_least=20)
    assert found == read_image(tmp_path / "a").reduce(8)


def test_a_transparent_colour_is_not_mixed_with_others(tmp_path):
    pixels = np.full((80, 80, 3), RED, dtype=np.uint8)
    pixels[::2] = (0, 255, 0)
    content = encoded(Image.fromarray(pixels), "PNG", transparency=(0, 255, 0))
    (tmp_path / "a.png").write_bytes(content)
    assert np.abs(means_of(tmp_path / "a.png", 10) - (255, 127.5, 127.5)).max() < 2


def means_of(path, at_least):
    return np.asarray(read_image(path, at_least)).mean(axis=(0, 1))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_pictures_not_much_larger_than_wanted_stay_as_they_are(tmp_path, kind):
    (tmp_path / "a").write_bytes(encoded(blocks(120, 79), kind))
    assert read_image(tmp_path / "a", at_least=40) == read_image(tmp_path / "a")


def test_path_as_text(picture):
    assert read_image(str(picture("a.jpg"))).size == (64, 48)


# Warnings: Pillow's own stay inside, everybody else's stay what they were.


@pytest.fixture
def odd_tiff(tmp_path):
    """A sound picture with a tag that claims more than the file holds, of which Pillow warns."""
    content = bytearray(encoded(blocks(), "TIFF", tiffinfo={271: "x" * 50}))
    entry = content.index(struct.pack("<HHI", 271, 2, 51))
    content[entry + 4 : entry + 8] = struct.pack("<I", 10**7)
    path = tmp_path / "odd.tif"
    path.write_bytes(content)
    return path


def test_pillow_warns_of_it(odd_tiff):
    with pytest.warns(UserWarning, match="Tag"), Image.open(odd_tiff) as image:
        image.load()


def test_warnings_of_pillow_are_kept_in(odd_tiff):
    before = list(warnings.filters)
    for action in ("error", "always"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            assert read_image(odd_tiff).size == (40, 30)
        assert not caught
    assert list(warnings.filters) == before


def test_warnings_of_pillow_are_kept_in_by_all_threads(odd_tiff, picture):
    paths = [odd_tiff, picture("a.jpg")] * 40
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert {image.mode for image in pool.map(read_image, paths)} == {"RGB"}
    assert list(warnings.filters) == before


# Fuzz.


def _seeds() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    image = blocks()
    return {
        "jpeg": encoded(image, "JPEG", exif=exif),
        "progressive": encoded(image, "JPEG", progressive=True),
        "png": encoded(image, "PNG", exif=exif),
        "palette": encoded(image.convert("P"), "PNG", transparency=3),
        "grey16": encoded(Image.new("I;16", (20, 20), 4000), "PNG"),
        "gif": encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        "tiff": encoded(image, "TIFF", exif=exif),
        "webp": encoded(image, "WEBP", exif=exif),
        "bmp": encoded(image, "BMP"),
        "ppm": encoded(image, "PPM"),
        "avif": encoded(image, "AVIF"),
    }


SEEDS = _seeds()


def image_or_error(path: Path, at_least: int | None) -> None:
    try:
        image = read_image(path, at_least)
    except ImageError as caught:
        error = caught
    else:
        assert image.mode == "RGB"
        assert 0 < image.width * image.height <= MAX_PIXELS
        return
    assert error.code in {"empty", "not-an-image", "unsupported", "too-large", "damaged"}
    assert str(error).startswith(f"{path}: ")


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_bytes(tmp_path, kind):
    source = random.Random(kind)
    path = tmp_path / "a"
    for _ in range(120):
        content = bytearray(SEEDS[kind])
        for _ in range(source.randint(1, 4)):
            reach = 300 if source.random() < 0.7 else len(content)  # headers are worth more
            content[source.randrange(min(reach, len(content)))] = source.randrange(256)
        path.write_bytes(content)
        image_or_error(path, source.choice([None, 16]))


@pytest.mark.parametrize("kind", SEEDS)
def test_truncations(tmp_path, kind):
    content = SEEDS[kind]
    path = tmp_path / "a"
    for length in sorted({*range(0, len(content), max(1, len(content) // 60)), len(content) - 1}):
        path.write_bytes(content[:length])
        image_or_error(path, 16)


def test_random_bytes_behind_every_signature(tmp_path):
    source = random.Random(0)
    path = tmp_path / "a"
    for content in SEEDS.values():
        for kept in (2, 4, 8, 16):
            path.write_bytes(content[:kept] + source.randbytes(200))
            image_or_error(path, None)


# Preprocessing.


def test_preprocess_constant_image_exactly():
    image = Image.new("RGB", (50, 20), (0, 127, 255))
    pixels = preprocess(image, Preprocessing(size=6))
    assert pixels.dtype == np.float32
    assert pixels.shape == (3, 6, 6)
    assert pixels.flags.c_contiguous
    assert (pixels[0] == np.float32(-127 / 128)).all()
    assert (pixels[1] == 0).all()
    assert (pixels[2] == 1).all()


def test_preprocess_uses_its_own_constants():
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    pixels = preprocess(image, Preprocessing(size=2, mean=10.0, scale=5.0))
    assert pixels[:, 0, 0].tolist() == [0, 2, 4]


def test_preprocess_keeps_orientation_and_range():
    image = Image.new("RGB", (90, 60))
    image.paste(RED, (0, 0, 90, 30))  # the upper half
    image.paste((0, 0, 255), (45, 0, 90, 60))  # the right half
    pixels = preprocess(image, Preprocessing(size=4))
    assert pixels.min() >= -127 / 128
    assert pixels.max() <= 1
    assert pixels[0, 0, 0] == 1
    assert pixels[2, 3, 3] == 1
    assert pixels[0, 3, 0] < 0


# Open files, and what is told beside the pixels.


def test_an_open_picture_is_its_bytes(picture, tmp_path):
    path = picture("a.png")
    content = path.read_bytes()
    shard = tmp_path / "a.tar"
    shard.write_bytes(b"x" * 10 + content + b"y" * 10)
    for place in (path, Member(shard, "a.png", 10, len(content))):
        with open_picture(place) as file:
            assert file.read() == content
            file.seek(0)
            image, size = decode_image(file, "a.png")
        assert size == image.size == (64, 48)
        assert image == read_image(path)


def test_an_open_picture_that_is_cut_short(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"x" * 10)
    cut = pytest.raises(ImageError, match=r"a\.tar:b\.png: the shard is cut short")
    with cut, open_picture(Member(tmp_path / "a.tar", "b.png", 5, 6)):
        pass


@pytest.mark.parametrize("turn", [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_size_is_of_the_whole_upright_picture(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    file = io.BytesIO(encoded(blocks(640, 360), "JPEG", exif=exif))
    image, size = decode_image(file, "a.jpg", at_least=50)
    assert size == ((640, 360) if turn < 5 else (360, 640))
    assert max(image.size) < 640
    assert (image.width > image.height) == (size[0] > size[1])


def test_the_size_of_a_turned_picture_whose_reduced_copy_is_square():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO(encoded(blocks(800, 799), "JPEG", exif=exif))
    image, size = decode_image(file, "a.jpg", at_least=50)
    assert size == (799, 800)
    assert image.width == image.height


def test_faults_bear_the_name_that_is_given():
    with pytest.raises(ImageError, match=r"^the name: not an image"):
        decode_image(io.BytesIO(b"no"), "the name")


def test_a_file_that_pillow_would_search_for_ever(tmp_path):
    path = tmp_path / "zeros.gif"
    path.write_bytes(b"GIF89a" + bytes(1_000_000))
    with pytest.raises(ImageError, match=r"zeros\.gif: .*too many pieces") as caught:
        read_image(path)
    assert caught.value.code == "damaged"
