"""XMP inside pictures: samples and all other metadata stay as they are."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngInfo

from mrnn.errors import ImageError
from mrnn.images.embedding import read_xmp, with_xmp
from mrnn.images.xmp import with_description

OURS = with_description(None, "a dog runs", "")
LONGER = with_description(None, "a dog runs in the snow", "")
THEIRS = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- theirs, of an odd length --></x:xmpmeta>'


def blocks(seed: int = 0, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, len(mode)), dtype=np.uint8)
    return Image.fromarray(values).resize((40, 30))


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or blocks()).save(file, kind, **options)
    return file.getvalue()


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x010E], tags[0x0112] = "mine", 6
    return tags.tobytes()


def png(text: bytes, zipped: bool) -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text.decode(), zip=zipped)
    info.add_text("Title", "mine")
    return saved("PNG", pnginfo=info)


ANIMATION = {"save_all": True, "append_images": [blocks(1), blocks(2)]}
PICTURES = {
    "jpeg": saved("JPEG"),
    "jpeg with exif": saved("JPEG", exif=exif(), icc_profile=b"p" * 70000, comment=b"mine"),
    "jpeg with xmp": saved("JPEG", exif=exif(), xmp=THEIRS),
    "progressive jpeg": saved("JPEG", progressive=True),
    "png": saved("PNG", exif=exif()),
    "png with xmp": png(THEIRS, zipped=False),
    "png with zipped xmp": png(THEIRS, zipped=True),
    "png with a palette": saved("PNG", blocks().convert("P"), transparency=3),
    "animated png": saved("PNG", **ANIMATION),
    "webp": saved("WEBP"),
    "lossless webp": saved("WEBP", lossless=True),
    "the smallest webp": saved("WEBP", Image.new("RGB", (1, 1)), lossless=True),
    "webp with alpha": saved("WEBP", blocks(mode="RGBA")),
    "lossless webp with alpha": saved("WEBP", blocks(mode="RGBA"), lossless=True),
    "webp with xmp": saved("WEBP", exif=exif(), xmp=THEIRS),
    "animated webp": saved("WEBP", **ANIMATION),
    "webp and more behind": saved("WEBP", exif=exif()) + b"more",
    "jpeg and more behind": saved("JPEG") + b"more",
}


def seen(content: bytes) -> list[tuple[object, ...]]:
    """All that Pillow tells of a picture, but XMP."""
    with Image.open(io.BytesIO(content)) as image:
        frames = [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(image)]
        names = {"exif", "icc_profile", "comment", "Title", "transparency", "duration", "loop"}
        info = sorted((name, str(image.info[name])) for name in names & image.info.keys())
        return [image.size, tuple(frames), tuple(info), sorted(dict(image.getexif()).items())]


def xmp_of(content: bytes) -> bytes | None:
    """What Pillow finds as XMP."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        found = image.info.get("xmp", image.info.get("XML:com.adobe.xmp"))
        return found.encode() if isinstance(found, str) else found


@pytest.mark.parametrize("name", PICTURES)
def test_a_document_is_put_in_and_nothing_else_moves(name):
    before = PICTURES[name]
    assert read_xmp(io.BytesIO(before), name) == (THEIRS if "xmp" in name else None)
    after = with_xmp(before, OURS, name)
    assert read_xmp(io.BytesIO(after), name) == OURS
    assert xmp_of(after) == OURS
    assert seen(after) == seen(before)


@pytest.mark.parametrize("name", PICTURES)
def test_it_is_replaced_to_the_byte(name):
    after = with_xmp(PICTURES[name], OURS, name)
    longer = with_xmp(after, LONGER, name)
    assert xmp_of(longer) == LONGER
    assert seen(longer) == seen(after)
    assert with_xmp(longer, OURS, name) == after


def parts(content: bytes) -> list[bytes]:
    """A file cut into its segments or chunks, and the rest; XMP and sizes of all left out."""
    if content[:2] == b"\xff\xd8":
        found, at = [], 2
        while content[at + 1] != 0xDA:
            end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            found.append(content[at:end])
            at = end
        found = [part for part in found if b"http://ns.adobe.com/xap" not in part]
    else:
        big, at = content[:4] != b"RIFF", 8 if content[1:4] == b"PNG" else 12
        found = []
        while at < len(content) - 8:
            where = slice(at, at + 4) if big else slice(at + 4, at + 8)
            size = int.from_bytes(content[where], "big" if big else "little")
            end = at + size + (12 if big else 8 + size % 2)
            found.append(content[at:end])
            at = end
        found = [p for p in found if p[:4] not in (b"XMP ", b"VP8X") and b"adobe.xmp" not in p]
    return [*found, content[at:]]


@pytest.mark.parametrize("name", PICTURES)
def test_all_other_parts_are_the_same_bytes(name):
    before = PICTURES[name]
    assert parts(with_xmp(before, OURS, name)) == parts(before)


@pytest.mark.parametrize("xmp_last", [False, True])
def test_pictures_behind_the_first_one_are_found_again(xmp_last):
    """As phones write them: the first picture tells where the others are, and its own size."""
    before = saved("MPO", save_all=True, append_images=[blocks(1)])
    if xmp_last:  # some put it behind that directory
        at = before.index(b"MPF\0") - 4
        end = at + 2 + int.from_bytes(before[at + 2 : at + 4], "big")
        body = b"http://ns.adobe.com/xap/1.0/\0" + THEIRS
        segment = struct.pack(">BBH", 0xFF, 0xE1, 2 + len(body)) + body
        directory = bytearray(before[at:end])
        entries = directory.index(struct.pack("<I", 0xB002)[:2]) + 8
        start = 8 + struct.unpack_from("<I", directory, entries)[0]
        for place, value in ((start + 4, len(segment)), (start + 24, len(segment))):
            (old,) = struct.unpack_from("<I", directory, place)
            struct.pack_into("<I", directory, place, old + value)
        before = before[:at] + bytes(directory) + segment + before[end:]
    after = with_xmp(before, OURS, "a.jpg")
    assert len(after) != len(before)
    assert seen(after)[:2] == seen(before)[:2]
    with Image.open(io.BytesIO(after)) as image:
        first, second = image.mpinfo[0xB002]
    assert first["Size"] + second["Size"] == len(after)
    assert image.n_frames == 2


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_other_kinds_are_refused_with_the_remedy(kind):
    with pytest.raises(ImageError) as caught:
        with_xmp(saved(kind), OURS, "a.jpg")
    assert caught.value.code == "unsupported"
    message = "a.jpg: nothing can be written into a file of this kind"
    assert str(caught.value) == (
        f"{message} ({kind}), only into JPEG, PNG, WebP; write a sidecar with --xmp"
    )


def test_a_jpeg_has_room_for_64_kb_without_the_padding():
    padded = OURS.replace(b'<?xpacket end="w"?>', b" " * 70000 + b'<?xpacket end="w"?>')
    assert xmp_of(with_xmp(PICTURES["jpeg"], padded, "a.jpg")) == OURS
    with pytest.raises(ImageError, match="larger than 65,504 bytes; write a sidecar") as caught:
        with_xmp(PICTURES["jpeg"], b"x" * 65505, "a.jpg")
    assert caught.value.code == "too-large"
    largest = with_xmp(PICTURES["jpeg"], b"x" * 65504, "a.jpg")
    assert read_xmp(io.BytesIO(largest), "a.jpg") == b"x" * 65504


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


PNG = PICTURES["png"]
WEBP = PICTURES["webp with xmp"]
JPEG = PICTURES["jpeg with xmp"]
EXTENDED = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"<dc:description>"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (JPEG[:40], "its segments are not in order"),
        (JPEG[:20] + b"\0" + JPEG[20:], "its segments are not in order"),
        (b"\xff\xd8\xff\xe1\0\1" + JPEG[2:], "its segments are not in order"),
        (
            JPEG[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(EXTENDED)) + EXTENDED + JPEG[2:],
            "more than 64 KB of XMP",
        ),
        (PNG[:50], "its chunks are not in order"),
        (PNG[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0") + PNG[33:], "cut short"),
        (PNG[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0zip") + PNG[33:], "damaged"),
        (
            PNG[:33]
            + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(20 << 20)))
            + PNG[33:],
            "damaged or very large",
        ),
        (
            PNG[:33] + 2 * chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>") + PNG[33:],
            "it has two XMP documents",
        ),
        (WEBP[:-10], "its chunks are not in order"),
        (WEBP[:4] + b"\xff\xff\xff\x7f" + WEBP[8:], "its chunks are not in order"),
    ],
)
def test_a_damaged_file_is_left_as_it_is(content, told):
    with pytest.raises(ImageError) as caught:
        with_xmp(content, OURS, "a.jpg")
    assert caught.value.code == "damaged"
    assert str(caught.value).startswith("a.jpg: ")
    assert told in str(caught.value)


@given(st.sampled_from(sorted(PICTURES)), st.data())
def test_what_is_mutated_is_refused_or_written_to_once_and_again(name, data):
    content = bytearray(PICTURES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content) - 1, 400)))
        content[at] = data.draw(st.integers(0, 255))
    before = bytes(content)
    try:
        after = with_xmp(before, OURS, "a.jpg")
    except ImageError:
        return
    assert read_xmp(io.BytesIO(after), "a.jpg") == OURS
    assert with_xmp(after, OURS, "a.jpg") == after
