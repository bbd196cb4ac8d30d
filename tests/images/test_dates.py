"""When a picture was taken: what its Exif says, whatever that is."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile

from mrnn.images.reading import date_of

ORIGINAL, DIGITIZED = ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized


def photo(told: object, kind: str = "JPEG", tag: int = ORIGINAL, extra: int = 0) -> bytes:
    """A picture that says when it was taken."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif[ExifTags.Base.DateTime] = "2020:02:02 02:02:02"  # of the last change: not what is asked
    if told is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[tag] = told
        exif[ExifTags.IFD.Exif] = 0  # where that is, Pillow puts in
    file = io.BytesIO()
    Image.new("RGB", (8 + extra, 8), "teal").save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_the_date_of_every_kind_that_has_one(kind):
    assert date_of(io.BytesIO(photo("2024:05:31 14:02:03", kind))) == "2024-05-31T14:02:03"
    assert date_of(io.BytesIO(photo(None, kind))) == ""


@pytest.mark.parametrize(
    ("told", "date"),
    [
        ("2024:05:31 14:02:03\0", "2024-05-31T14:02:03"),
        (b"2024:05:31 14:02:03", "2024-05-31T14:02:03"),
        ("2024-05-31T14:02:03.25+02:00", "2024-05-31T14:02:03"),
        ("2024/5/1 4:02", "2024-05-01T04:02:00"),
        ("2024:05:31", "2024-05-31T00:00:00"),
        ("0000:00:00 00:00:00", ""),
        ("    :  :     :  :  ", ""),
        ("2024:13:31 14:02:03", ""),
        ("2024:02:30 14:02:03", ""),
        ("2024:05:31 25:02:03", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_what_cameras_and_programs_write(told, date):
    assert date_of(io.BytesIO(photo(told))) == date


def test_when_a_print_was_scanned_is_not_when_it_was_taken():
    assert date_of(io.BytesIO(photo("2015:01:01 00:00:00", tag=DIGITIZED))) == ""


def test_nothing_is_decoded(monkeypatch):
    def load(self: Image.Image) -> None:
        raise AssertionError("decoded")

    pictures = [photo("2024:05:31 14:02:03", kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    pictures.append(photo(None, "PNG"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    found = [date_of(io.BytesIO(content)) for content in pictures]
    assert found == ["2024-05-31T14:02:03"] * 4 + [""]


@given(st.data())
def test_damaged_pictures_have_a_date_or_none(data):
    content = bytearray(PHOTOS[data.draw(st.sampled_from(sorted(PHOTOS)))])
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    told = date_of(io.BytesIO(bytes(content[: data.draw(st.integers(0, len(content)))])))
    assert told == "" or (len(told) == 19 and told[10] == "T")


PHOTOS = {kind: photo("2024:05:31 14:02:03", kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")}
