"""What a picture's own file says that it shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from mrnn.errors import ImageError
from mrnn.images.described import description_inside
from mrnn.images.xmp import Description, with_description

OURS = with_description(None, "a dog", "")
THEIRS = OURS.replace(b"mrnn:ns", b"another")


def saved(kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file, kind, **how)
    return file.getvalue()


def png_text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Description", "my dog", zip=True)
    return info


CONTENTS = {
    "JPEG": saved("JPEG", xmp=OURS),
    "PNG": saved("PNG", pnginfo=png_text()),
    "TIFF": saved("TIFF", tiffinfo={700: THEIRS}),
}


def test_one_of_the_users_goes_before_one_of_ours(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(saved("TIFF", tiffinfo={700: OURS}))
    assert description_inside(path) == Description("a dog", True)
    path.write_bytes(path.read_bytes() + THEIRS)
    assert description_inside(path) == Description("a dog", False)


def test_xmp_that_is_cut_short_is_told(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(CONTENTS["TIFF"].replace(b"</rdf:RDF>", b"</rdf:rdf>"))
    with pytest.raises(ImageError, match=r"a\.tif: its XMP is cut short"):
        description_inside(path)


@given(st.sampled_from(sorted(CONTENTS)), st.data())
@settings(max_examples=60)
def test_no_file_is_too_odd(tmp_path_factory, name, data):
    content = bytearray(CONTENTS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "odd"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        found = description_inside(path)
    except ImageError:
        return
    assert found is None or isinstance(found, Description)
