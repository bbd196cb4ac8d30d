"""Formats by content: HEIC and JPEG XL by extras, kinds that are named, previews, animations."""

from __future__ import annotations

import io
import random
import struct
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from mrnn.errors import ImageError
from mrnn.images.boxes import read_properties
from mrnn.images.finding import SUFFIXES
from mrnn.images.formats import _size_of_jpeg_xl
from mrnn.images.kinds import kind_of
from mrnn.images.reading import decode_image
from odd_pictures import avif, directory, encoded, photo, png, refused, seen, tiff

RGB = photo()
GREY = np.asarray(Image.fromarray(RGB).convert("L"))


def mean_far(found: np.ndarray, levels: np.ndarray) -> float:
    return float(np.abs(found - levels.astype(int)).mean())


# Extras.


def heic(image: Image.Image, **options) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=95, chroma=444, **options)
    return buffer.getvalue()


def jpeg_xl(image: Image.Image, **options) -> bytes:
    pytest.importorskip("pillow_jxl")
    buffer = io.BytesIO()
    image.save(buffer, "JXL", **options)
    return buffer.getvalue()


def test_heic_whatever_its_name(tmp_path):
    assert mean_far(seen(tmp_path, heic(Image.fromarray(RGB))), RGB) < 4


def test_a_damaged_jpeg_xl_is_told_in_a_few_words(tmp_path):
    content = jpeg_xl(Image.fromarray(RGB))
    message = refused(tmp_path, content[: len(content) // 2], "damaged")
    assert message.endswith("cut short (JPEG XL: Generic Error); get a fresh copy")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_heic_is_turned_by_its_own_box_and_not_by_exif(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = heic(Image.fromarray(RGB), exif=exif.tobytes())
    box = struct.pack(">I", 9) + b"irot"
    assert lying.count(box) == 1
    at = lying.index(box) + 8
    for quarters in range(4):
        turned = lying[:at] + bytes([quarters]) + lying[at + 1 :]
        assert mean_far(seen(tmp_path, turned), np.rot90(RGB, quarters)) < 4


def test_heic_says_its_curve_by_numbers(tmp_path):
    plain = Image.fromarray(RGB)
    content = heic(plain, color_primaries=1, transfer_characteristics=13)
    assert mean_far(seen(tmp_path, content), RGB) < 4
    linear = heic(plain, color_primaries=1, transfer_characteristics=8)
    assert seen(tmp_path, linear).mean() > RGB.mean() + 20


def test_jpeg_xl(tmp_path):
    np.testing.assert_array_equal(seen(tmp_path, jpeg_xl(Image.fromarray(RGB), lossless=True)), RGB)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_jpeg_xl_is_turned_by_itself_and_not_by_exif(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    recoded = jpeg_xl(Image.fromarray(RGB), lossless=True, exif=exif.tobytes())
    np.testing.assert_array_equal(seen(tmp_path, recoded), RGB)
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(RGB), "JPEG", exif=exif))
    with Image.open(tmp_path / "a.jpg") as image:
        packed = jpeg_xl(image, lossless_jpeg=True)
        upright = np.asarray(ImageOps.exif_transpose(image), dtype=int)
    np.testing.assert_array_equal(seen(tmp_path, packed), upright)


@pytest.mark.parametrize("size", [(1, 1), (8, 16), (300, 200), (200, 300), (1920, 1080), (5000, 3)])
@pytest.mark.parametrize("container", [False, True])
def test_the_size_of_a_jpeg_xl_is_known_before_it_is_decoded(size, container, monkeypatch):
    content = jpeg_xl(Image.new("RGB", size), use_container=container, effort=1)
    assert _size_of_jpeg_xl(content) == size
    monkeypatch.setitem(sys.modules, "pillow_jxl.JpegXLImagePlugin", None)
    with pytest.raises(ImageError, match="a JPEG XL picture, for which"):
        decode_image(io.BytesIO(content), "a")


def test_a_jpeg_xl_that_is_too_large_is_not_decoded(monkeypatch):
    content = jpeg_xl(Image.new("RGB", (300, 200)))
    plugin = sys.modules["pillow_jxl.JpegXLImagePlugin"]
    monkeypatch.setattr(plugin, "JXLImageFile", lambda _: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="300 x 200 pixels is more than"):
        decode_image(io.BytesIO(content), "a", most_pixels=50_000)


@pytest.mark.parametrize(
    ("content", "module", "told"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pillow_heif", ("HEIC", "'mrnn[heif]'")),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "pillow_heif", ("HEIC", "'mrnn[heif]'")),
        (b"\xff\x0a" + bytes(40), "pillow_jxl", ("JPEG XL", "'mrnn[jxl]'")),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "pillow_jxl", ("JPEG XL", "'mrnn[jxl]'")),
    ],
)
def test_without_the_extra_the_error_holds_the_line_to_type(
    tmp_path, monkeypatch, content, module, told
):
    for name in (module, "pillow_jxl.JpegXLImagePlugin"):
        monkeypatch.setitem(sys.modules, name, None)
    message = refused(tmp_path, content)
    assert all(word in message for word in told)
    assert "pip install" in message
    assert "save it as JPEG" in message


def test_damaged_files_of_extras(tmp_path):
    source = random.Random(0)
    for content in (heic(Image.fromarray(RGB)), jpeg_xl(Image.fromarray(RGB))):
        for _ in range(60):
            changed = bytearray(content)
            for _ in range(source.randint(1, 4)):
                changed[source.randrange(len(changed))] = source.randrange(256)
            changed = changed[: source.choice([None, source.randrange(len(changed))])]
            try:
                seen(tmp_path, bytes(changed))
            except ImageError as error:
                assert str(error).startswith(f"{tmp_path / 'a'}: ")  # noqa: PT017
                assert error.code != "missing"  # noqa: PT017


def test_pictures_of_extras_are_found_in_folders():
    assert {".heic", ".heif", ".hif", ".jxl"} <= SUFFIXES


# Kinds by their first bytes.


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (b"%PDF-1.7\n", "not-an-image", "a PDF, not an image in a known format"),
        (b"8BPS\0\1" + bytes(40), "not-an-image", "a Photoshop document"),
        (b"<!DOCTYPE html><html>", "not-an-image", "a web page"),
        (b"\n <html lang='en'>", "not-an-image", "a web page"),
        (b"<?xml version='1.0'?><svg/>", "not-an-image", "an SVG drawing"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "not-an-image", "a video"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "not-an-image", "a JPEG 2000"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "unsupported", "camera raw data"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "unsupported", "camera raw data"),
        (b"FUJIFILMCCD-RAW 0201", "unsupported", "export it as JPEG"),
        (b"nothing that is known", "not-an-image", "not an image in a known format"),
    ],
)
def test_other_kinds_are_named(tmp_path, content, code, told):
    assert told in refused(tmp_path, content, code)


def test_kinds_of_files_that_are_short():
    for head in (b"", b"I", b"II*", b"\0\0\0\x18ftyp", b"\0\0\0\x18ftypmif1", b"P", b"P6"):
        kind_of(head)
    assert kind_of(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif") == "AVIF"
    assert kind_of(b"\0\0\0\x1cftypmsf1\0\0\0\0hevcmsf1") == "HEIC"
    assert kind_of(b"P5\n1 1") == "PPM"
    assert kind_of(b"Poem") is None


# Sound files of rare kinds are not called damaged.


def bitmap(bits: int, compression: int, masks=(0x3FF00000, 0xFFC00, 0x3FF)) -> bytes:
    header = struct.pack("<IiiHHIIIIII", 40, 4, 4, 1, bits, compression, 0, 0, 0, 0, 0)
    data = struct.pack("<3I", *masks) + bytes(200)
    return b"BM" + struct.pack("<IHHI", 266, 0, 0, 66) + header + data


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (bitmap(32, 3), "this kind of BMP is not supported (bitfields layout)"),
        (bitmap(24, 4), "this kind of BMP is not supported (compression (4))"),
        (bitmap(64, 0), "this kind of BMP is not supported (pixel depth (64))"),
        (tiff(directory(RGB), order=">", big=True), "BigTIFF, most significant byte first"),
        (tiff(directory(RGB, compression=50001)), "compression WebP"),
        (tiff(directory(RGB, compression=77)), "compression 77"),
        (tiff(directory(RGB, photometric=6, subsampling=(2, 2))), "YCbCr"),
        (
            tiff(directory(RGB.astype(np.uint16), photometric=2, extra=7, samples=3)),
            "RGB, 3 samples",
        ),
        (tiff(directory(RGB, bits=(10, 10, 10))), "3 samples of 10 bits"),
        (tiff(directory(GREY, photometric=32844)), "LogL"),
    ],
)
def test_sound_files_of_rare_kinds_are_named(tmp_path, content, told):
    message = refused(tmp_path, content)
    assert told in message
    assert "save it as PNG" in message
    assert "damaged" not in message


@pytest.mark.parametrize(("at", "value"), [(1, 0xC3), (1, 0xC7), (4, 12)])
def test_rare_kinds_of_jpeg_are_named(tmp_path, at, value):
    content = bytearray(encoded(Image.fromarray(RGB), "JPEG"))
    content[content.index(b"\xff\xc0") + at] = value
    message = refused(tmp_path, bytes(content))
    assert "this kind of JPEG" in message
    assert ("12 bits" in message) == (value == 12)


@pytest.mark.parametrize(
    "way", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "zstd", "lzma"]
)
def test_ways_to_compress_a_tiff(tmp_path, way):
    content = encoded(Image.fromarray(RGB), "TIFF", compression=way)
    assert mean_far(seen(tmp_path, content), RGB) < (6 if way == "jpeg" else 0.01)


@pytest.mark.parametrize("white", [255, 65535])
def test_a_palette_of_8_bits_in_16(tmp_path, white):
    """As some programs write it: for others than libtiff's tools it would be black."""
    ramp = [round(i / 255 * white) for i in range(256)]
    colours = (*ramp, *reversed(ramp), *ramp)
    told = directory(GREY, photometric=3)
    told["tags"][320] = colours
    expected = np.dstack([GREY, 255 - GREY, GREY])
    assert np.abs(seen(tmp_path, tiff(told)) - expected.astype(int)).max() <= 1


def test_bigtiff_of_the_usual_order_is_read(tmp_path):
    np.testing.assert_array_equal(seen(tmp_path, tiff(directory(RGB), big=True)), RGB)


# Several pictures in a file.

SMALL = photo(12, 9)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("inner", [0, 1])
def test_a_preview_gives_way_to_its_picture(tmp_path, big, order, inner):
    if big and order == ">":
        pytest.skip("Pillow does not read it")
    content = tiff(
        directory(SMALL, subfile=1), directory(RGB, subfile=0), order=order, big=big, inner=inner
    )
    np.testing.assert_array_equal(seen(tmp_path, content), RGB)
    deflated = tiff(
        directory(SMALL, subfile=1),
        directory(RGB, True, subfile=0),
        order=order,
        big=big,
        inner=inner,
    )
    np.testing.assert_array_equal(seen(tmp_path, deflated), RGB)


def test_pages_pyramids_and_lone_previews(tmp_path):
    pages = tiff(directory(RGB), directory(SMALL))
    np.testing.assert_array_equal(seen(tmp_path, pages), RGB)
    pyramid = tiff(directory(RGB), directory(SMALL, subfile=1), inner=1)
    np.testing.assert_array_equal(seen(tmp_path, pyramid), RGB)
    masked = tiff(directory(SMALL, subfile=1), directory(GREY, subfile=4), directory(RGB))
    np.testing.assert_array_equal(seen(tmp_path, masked), RGB)
    alone = tiff(directory(RGB, subfile=1))
    np.testing.assert_array_equal(seen(tmp_path, alone), RGB)


@pytest.mark.parametrize("inner", [0, 1])
def test_a_small_page_before_a_large_one_of_its_shape_is_a_preview(tmp_path, inner):
    few = np.ascontiguousarray(RGB[::4, ::4])
    content = tiff(directory(few), directory(RGB), inner=inner)
    np.testing.assert_array_equal(seen(tmp_path, content), RGB)
    others = [
        tiff(directory(few, subfile=0), directory(RGB)),
        tiff(directory(few), directory(np.ascontiguousarray(RGB[:, :40]))),
        tiff(directory(few), directory(np.ascontiguousarray(RGB[::2, ::2]))),
    ]
    for content in others:
        np.testing.assert_array_equal(seen(tmp_path, content), few)


@pytest.mark.parametrize(
    "content",
    [
        tiff(directory(SMALL, subfile=1, dng=1), directory(GREY, photometric=32803), inner=1),
        tiff(directory(SMALL, subfile=1), directory(GREY, photometric=32803), inner=1),
        tiff(directory(RGB, photometric=34892)),
    ],
)
def test_raw_data_are_not_taken_for_their_preview(tmp_path, content):
    message = refused(tmp_path, content)
    assert "camera raw data" in message
    assert "export it as JPEG" in message


def test_directories_in_a_circle(tmp_path):
    content = bytearray(tiff(directory(SMALL, subfile=1)))
    first = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, first)[0]
    struct.pack_into("<I", content, first + 2 + 12 * count, first)
    np.testing.assert_array_equal(seen(tmp_path, bytes(content)), SMALL)


def frames(kind: str, images: list[Image.Image], durations: list[int]) -> bytes:
    options = {"lossless": True} if kind == "WEBP" else {"disposal": 2} if kind == "GIF" else {}
    return encoded(
        images[0], kind, save_all=True, append_images=images[1:], duration=durations, **options
    )


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_that_begins_with_nothing(tmp_path, kind):
    empty = Image.new("RGBA", (48, 36), (0, 0, 0, 0))
    whole = Image.fromarray(RGB).convert("RGBA")
    faint = whole.copy()
    faint.putalpha(20 if kind != "GIF" else 255)
    shown = seen(tmp_path, frames(kind, [whole, empty], [100, 100]))
    faded = Image.fromarray(RGB // 40 + 1).convert("RGBA")
    for first in (empty, Image.new("RGBA", (48, 36), "black"), faded):
        found = seen(tmp_path, frames(kind, [first, faint, whole], [20, 20, 3000]))
        assert mean_far(found, shown) < 3


def test_an_animation_of_nothing(tmp_path):
    colours = [Image.new("RGB", (8, 8), c) for c in ("red", "lime", "blue")]
    assert seen(tmp_path, frames("WEBP", colours, [10, 10, 99]))[0, 0].tolist() == [255, 0, 0]
    empty = [Image.new("RGBA", (8, 8), (i, 0, 0, 0)) for i in range(3)]
    assert "transparent" in refused(tmp_path, frames("PNG", empty, [10, 10, 10]))


def test_the_first_frame_stays_where_it_shows_something(tmp_path):
    images = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    found = seen(tmp_path, frames("WEBP", images, [10, 5000]))
    assert mean_far(found, RGB) < 1


# Crop.


def test_a_clean_aperture_is_cut_out_before_the_picture_is_turned(tmp_path):
    whole = seen(tmp_path, avif(Image.fromarray(RGB)))
    centred = seen(tmp_path, avif(Image.fromarray(RGB), clap=(20, 1, 16, 1, 0, 1, 0, 1)))
    assert mean_far(centred, whole[10:26, 14:34]) < 6
    moved = seen(tmp_path, avif(Image.fromarray(RGB), clap=(40, 2, 16, 1, -14, 1, 10, 1)))
    assert mean_far(moved, whole[20:36, 0:20]) < 6
    content = avif(Image.fromarray(RGB), clap=(20, 1, 16, 1, -14, 1, 10, 1))
    image, size = decode_image(io.BytesIO(content), "a", at_least=4)
    assert size == (20, 16)
    assert image.width >= 8


@pytest.mark.parametrize(
    "clap", [(99, 1, 16, 1, 0, 1, 0, 1), (20, 0, 16, 1, 0, 1, 0, 1), (20, 1, 16, 1, 20, 1, 0, 1)]
)
def test_an_impossible_aperture_is_damage(tmp_path, clap):
    assert "clean aperture" in refused(tmp_path, avif(Image.fromarray(RGB), clap), "damaged")


def test_properties_of_mutated_boxes():
    source = random.Random(0)
    whole = avif(Image.fromarray(RGB), clap=(20, 1, 16, 1, 0, 1, 0, 1))
    for _ in range(2000):
        content = bytearray(whole[: source.choice([400, len(whole)])])
        for _ in range(source.randint(1, 6)):
            content[source.randrange(min(400, len(content)))] = source.choice([0, 255, 1, 40])
        try:
            read_properties(bytes(content), (48, 36))
        except OSError as error:
            assert "clean aperture" in str(error)  # noqa: PT017


def test_mutated_tiffs_of_odd_layouts(tmp_path):
    source = random.Random(0)
    seeds = [
        tiff(directory(SMALL, subfile=1), directory(RGB), inner=1),
        tiff(directory((GREY / 255).astype(np.float32), smin=0.0, smax=1.0)),
        tiff(directory(GREY.astype(np.uint16), True, most=255), big=True),
        png(RGB.astype(np.uint16), (b"sBIT", b"\x0c\x0c\x0c"), (b"cICP", b"\1\x10\0\1")),
    ]
    for content in seeds:
        places = [i for i in range(len(content)) if content[i : i + 40].count(0) > 8] or [0]
        for _ in range(50):
            changed = bytearray(content)
            for _ in range(source.randint(1, 4)):
                changed[source.choice(places)] = source.randrange(256)
            try:
                seen(tmp_path, bytes(changed))
            except ImageError as error:
                assert error.code in {"damaged", "unsupported", "not-an-image", "too-large"}  # noqa: PT017
