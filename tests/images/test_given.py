"""Pictures in memory are read as files are, or refused by name with the remedy."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given as over
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from mrnn.errors import ImageError, UsageError
from mrnn.images.given import each_given, given, require_one, require_several
from mrnn.images.reading import read_image
from odd_pictures import avif, directory, encoded, photo, png, tiff

PHOTO = photo()
PICTURE = Image.fromarray(PHOTO)
TURNED = Image.Exif()
TURNED[0x0112] = 6


def spare(pixels: np.ndarray) -> bytes:
    """A BMP with masks (BITMAPV4HEADER), whose fourth byte is said to be alpha and is 0."""
    height, width, _ = pixels.shape
    rows = np.dstack([pixels[::-1, :, ::-1], np.zeros((height, width), np.uint8)]).tobytes()
    head = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(rows), 0, 0, 0, 0)
    head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52)
    return struct.pack("<2sIHHI", b"BM", 14 + 108 + len(rows), 0, 0, 14 + 108) + head + rows


FILES = {
    "jpeg": encoded(PICTURE, "JPEG"),
    "progressive": encoded(PICTURE, "JPEG", progressive=True),
    "turned": encoded(PICTURE, "JPEG", exif=TURNED),
    "inks": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "alpha": encoded(Image.fromarray(np.dstack([PHOTO, PHOTO[..., 0]])), "PNG"),
    "spare": spare(PHOTO),
    "palette": encoded(PICTURE.convert("P"), "GIF"),
    "deep": png(PHOTO[..., 0].astype(np.uint16) * 257),
    "gamma": png(PHOTO, (b"gAMA", (100_000).to_bytes(4, "big"))),
    "avif": avif(PICTURE),
    "tiff": tiff(directory(PHOTO)),
    "floats": tiff(directory(PHOTO[..., 0] / np.float32(255))),
}


def levels(picture, name: str = "<image>", at_least: int | None = None) -> np.ndarray:
    found = given(picture, at_least, name).picture
    if isinstance(found, ImageError):
        raise found
    return np.asarray(read_image(found, at_least))


def zipped(content: bytes) -> io.BufferedIOBase:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", content)
    return zipfile.ZipFile(buffer).open("a.jpg")


@pytest.mark.parametrize("kind", FILES)
def test_the_bytes_of_a_file_are_read_as_the_file(tmp_path, kind):
    path = tmp_path / "picture"
    path.write_bytes(FILES[kind])
    wanted = levels(path)
    content = FILES[kind]
    with path.open("rb") as file:
        for same in (str(path), content, bytearray(content), memoryview(content), file):
            assert np.array_equal(levels(same), wanted)
        assert not file.closed
    spent = io.BytesIO(content)
    spent.seek(0, io.SEEK_END)
    assert np.array_equal(levels(spent), wanted)
    assert np.array_equal(levels(Simple(content)), wanted)
    with zipped(content) as member:
        assert np.array_equal(levels(member), wanted)


@pytest.mark.parametrize("kind", FILES)
def test_what_pillow_has_decoded_is_read_as_its_file(tmp_path, kind):
    """Orientation, profile, gamma, inks, transparency and depth: all that is still known."""
    wanted = levels(FILES[kind])
    image = Image.open(io.BytesIO(FILES[kind]))
    assert np.array_equal(levels(image), wanted)
    image.load()
    assert np.array_equal(levels(image), wanted)


@pytest.mark.parametrize("side", [90, 300, 900])
@pytest.mark.parametrize("kind", ["RGB", "L", "RGBA", "P", "I;16"])
def test_large_pictures_are_kept_as_small_as_a_file_would_be_read(side, kind):
    large = Image.fromarray(PHOTO[..., 0] * np.uint16(257) if kind == "I;16" else PHOTO)
    large = (large if kind == "I;16" else large.convert(kind)).resize((side, side // 2))
    wanted = levels(encoded(large, "TIFF" if kind == "I;16" else "PNG"), at_least=10)
    assert np.array_equal(levels(large, at_least=10), wanted)
    if kind in ("RGB", "RGBA"):
        assert given(large, 10).picture.content.image.height < 80


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_turned_once(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        content = encoded(PICTURE, kind, exif=exif)
        wanted = levels(content)
        assert np.array_equal(levels(Image.open(io.BytesIO(content))), wanted)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        assert np.array_equal(levels(upright), wanted)


def test_arrays_are_their_pixels():
    assert np.array_equal(levels(PHOTO), PHOTO)
    assert np.array_equal(levels(PHOTO[:, ::-1]), PHOTO[:, ::-1])  # in whatever order it lies
    grey = PHOTO[..., 0]
    wanted = np.repeat(grey[..., None], 3, 2)
    assert np.array_equal(levels(grey), wanted)
    assert np.array_equal(levels(grey[..., None]), wanted)
    clear = np.dstack([PHOTO, np.zeros_like(grey)])
    clear[0, 0, 3] = 255
    seen = levels(clear)
    assert seen[0, 0].tolist() == PHOTO[0, 0].tolist()
    assert seen[1:].min() == 255  # on white


REFUSED = {
    "has its channels first: give array.transpose": np.zeros((3, 9, 9), np.uint8),
    r"float64 .*from 0 to 1\) is white; give uint8, 255 white: if 1 is": np.eye(3),
    r"float32 .*from -1 to -1\) is white; give uint8, 255 white$": -np.ones((3, 3), np.float32),
    r"uint16 .*from 0 to 1\) is white; give uint8": np.eye(3, dtype=np.uint16),
    r"bool and shape \(3, 3\): give uint8": np.eye(3, dtype=bool),
    r"shape \(9, 9, 2\) is no picture: it must be \(H, W, 3\)": np.zeros((9, 9, 2), np.uint8),
    r"shape \(2, 9, 9, 3\) is no picture": np.zeros((2, 9, 9, 3), np.uint8),
    r"shape \(9,\) is no picture; the bytes of a file are array.tobytes": np.zeros(9, np.uint8),
    "all of it is transparent": np.zeros((9, 9, 4), np.uint8),
    "its samples are floats from 300 to 300": Image.new("F", (9, 9), 300.0),
    "no sample of its 16 bits is above 9": Image.new("I;16", (9, 9), 9),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_nobody_can_tell_is_refused(message):
    with pytest.raises(ImageError, match=f"^<image>: .*{message}") as caught:
        levels(REFUSED[message])
    assert caught.value.code == "unsupported"


class Unreadable(io.BytesIO):
    def read(self, *_):
        raise OSError("the disk is gone")


class Simple:
    """What has nothing but `read`."""

    def __init__(self, content):
        self.content = content

    def read(self):
        return self.content


WRONG = [
    ("not-an-image", "NoneType is no picture; give a path, bytes", None),
    ("not-an-image", "int is no picture", 5),
    ("not-an-image", "dict is no picture", {"bytes": b""}),
    ("not-an-image", "opened as text; open it as binary", io.StringIO("text")),
    ("not-an-image", "not an image in a known format", b"a.jpg"),
    ("not-an-image", r"read\(\) gave list, not bytes; give the bytes", Simple([1])),
    ("empty", "there are no bytes", b""),
    ("empty", "there are no bytes", io.BytesIO()),
    ("empty", "has no pixels", Image.new("RGB", (0, 4))),
    ("empty", "has no pixels", np.zeros((0, 4, 3), np.uint8)),
    ("unreadable", "cannot be read .the disk is gone", Unreadable()),
    ("damaged", "damaged or cut short", FILES["jpeg"][:-200]),
    ("damaged", "cannot be decoded", Image.open(io.BytesIO(FILES["jpeg"][:-200]))),
]


@pytest.mark.parametrize(("code", "message", "picture"), WRONG)
def test_what_cannot_be_read_is_told(code, message, picture):
    with pytest.raises(ImageError, match=message) as caught:
        levels(picture, "<images[3]>")
    assert caught.value.code == code
    assert str(caught.value).startswith("<images[3]>: ")


def test_a_closed_file_is_told(tmp_path):
    (tmp_path / "a.jpg").write_bytes(FILES["jpeg"])
    with (tmp_path / "a.jpg").open("rb") as file:
        pass
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be read") as caught:
        levels(file)
    assert caught.value.code == "unreadable"


def test_too_large_a_picture_is_refused(monkeypatch):
    monkeypatch.setattr("mrnn.images.reading.MAX_PIXELS", 100)
    for large in (PHOTO, PICTURE):
        with pytest.raises(ImageError, match="48 x 36 pixels is more than") as caught:
            levels(large)
        assert caught.value.code == "too-large"


def test_nothing_of_the_callers_is_kept_or_changed():
    """A buffer that is used again, and a file that is closed, while others still read."""
    frame, image = PHOTO.copy(), Image.open(io.BytesIO(FILES["turned"]))
    taken = [given(frame), given(frame[..., 0]), given(image)]
    wanted = [PHOTO, np.repeat(PHOTO[..., :1], 3, 2), levels(FILES["turned"])]
    frame[:] = 0
    size = image.size
    image.close()
    assert image.size == size
    for one, right in zip(taken, wanted, strict=True):
        assert np.array_equal(np.asarray(read_image(one.picture)), right)


def test_names(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(FILES["alpha"])
    with path.open("rb") as file, Image.open(path) as image:
        assert [one.name for one in each_given([path, "b.jpg", b"", file, image, None, PHOTO])] == [
            *(str(path), "b.jpg", "<images[2]>", str(path), str(path), "<images[5]>"),
            "<images[6]>",
        ]


def test_a_name_in_a_message_is_safe_to_print():
    file = io.BytesIO(b"no picture")
    file.name = "a\x1b[31m.jpg"
    with pytest.raises(ImageError, match=r"^a\\x1b\[31m\.jpg: not an image"):
        levels(file)


@pytest.mark.parametrize(
    "several", [[PHOTO], ("a.jpg", "b.jpg"), iter(["a.jpg"]), np.zeros((2, 9, 9, 3), np.uint8)]
)
def test_several_where_one_is_meant(several):
    with pytest.raises(UsageError, match=r"one image is meant, not a \w+: caption_many takes sev"):
        require_one(several, "caption_many takes several")
    require_several(several, "images")


@pytest.mark.parametrize("one", ["a.jpg", b"a.jpg", PICTURE, PHOTO, PHOTO[..., 0], io.BytesIO()])
def test_one_where_several_are_meant(one):
    """Its letters, rows or lines would be taken for pictures."""
    with pytest.raises(UsageError, match=r"images are one \w+, not several: (give \[|put it into)"):
        require_several(one, "images")
    require_one(one, "")


SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@over(arrays.arrays(st.sampled_from([np.uint8, np.uint16, np.float32, bool, np.int64]), SHAPES))
def test_any_array_is_its_pixels_or_an_error(array):
    try:
        seen = levels(array)
    except ImageError as error:
        seen = error.code
    if isinstance(seen, str):
        assert seen in ("unsupported", "empty")
        return
    assert array.dtype == np.uint8
    assert seen.shape == (*array.shape[:2], 3)
    if array.shape[2:] != (4,):
        assert np.array_equal(seen, np.broadcast_to(np.atleast_3d(array), seen.shape))


ANYTHING = st.one_of(st.none(), st.integers(), st.floats(), st.binary(), st.builds(object))


@over(st.lists(ANYTHING, max_size=4))
def test_anything_else_is_an_error_in_its_place(things):
    found = list(each_given(things))
    assert [one.name for one in found] == [f"<images[{i}]>" for i in range(len(things))]
    for one, thing in zip(found, things, strict=True):
        assert isinstance(one.picture, ImageError) == (not isinstance(thing, bytes))


@over(st.binary(max_size=30), st.integers(0, len(FILES["avif"])))
def test_mutated_bytes_are_a_picture_or_an_error(noise, at):
    for kind in ("jpeg", "alpha"):
        content = FILES[kind][:at] + noise + FILES[kind][at + len(noise) :]
        try:
            found = levels(content).ndim
        except ImageError as error:
            found = str(error)
        assert found == 3 or found.startswith("<image>: ")


@pytest.mark.parametrize("name", ["", "https://example.org/a.jpg", "http://example.org/a.jpg"])
def test_what_is_no_name_of_a_file_is_told_as_it_was_given(name):
    with pytest.raises(ImageError, match=r": (an empty name|not fetched; save it)") as found:
        levels(name)
    assert str(found.value).startswith(f"{name}: " if name else "'': ")


def test_a_closed_image_is_told_as_such():
    image = Image.open(io.BytesIO(FILES["jpeg"]))
    image.close()
    with pytest.raises(ImageError, match="closed"):
        levels(image)
