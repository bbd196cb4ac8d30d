"""Pictures that clients send: whatever they are, each has its answer and stops no other."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib

import pytest
from PIL import Image

from http_clients import (
    caption,
    drawn,
    live,
    problem,
    require_problem,
)
from libraries import seeing


@pytest.fixture(scope="module")
def server():
    with live(seeing()) as found:
        yield found


def bomb(width: int = 65535, height: int = 65535) -> bytes:
    start = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + start + struct.pack(">I", zlib.crc32(start))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\1\0IDAT" + bytes(256)


@pytest.mark.parametrize(
    ("content", "status", "code", "told"),
    [
        (b"", 422, "empty", "a.jpg: the file is empty"),
        (b"no picture", 415, "not-an-image", "not an image in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not-an-image", "known format"),
        (b"%PDF-1.7\n1 0 obj\n", 415, "not-an-image", "known format"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 415, "not-an-image", "known format"),
        (b"\x89PNG\r\n\x1a\n", 415, "not-an-image", "known format"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx ", 422, "unsupported", "a.jpg: camera raw data"),
        (drawn()[:500], 422, "damaged", "get a fresh copy"),
        (drawn(kind="JPEG")[:300], 422, "damaged", "damaged or cut short"),
        (bomb(), 422, "too-large", "more than 50 megapixels"),
        (bomb(10_000, 5_001), 422, "too-large", "10000 x 5001 pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_pictures_that_cannot_be_read(server, content, status, code, told):
    found = caption(server, content)
    detail = problem(found, status, "not-an-image" if status == 415 else "unreadable")
    assert told in detail
    assert [r["error"]["code"] for r in found.json()["results"]] == [code]
    # Beside others it stands in its place; the others are answered as if alone.
    good = caption(server, drawn()).json()["results"][0]
    results = caption(server, drawn(), content, drawn()).json()["results"]
    assert results == [good, {"image": "a.jpg", "error": {"code": code, "message": detail}}, good]


@pytest.mark.parametrize(
    "content",
    [
        drawn(size=(1, 1)),
        drawn(size=(1, 3000)),
        drawn(size=(3000, 1)),
        drawn("CMYK", kind="JPEG"),
        drawn("I;16"),
        drawn("RGBA"),
        drawn("P"),
        drawn("1"),
        drawn("LA", kind="WEBP"),
        drawn(exif=b"Exif\0\0" + bytes(40_000), kind="WEBP"),
    ],
    ids=("1x1", "tall", "wide", "cmyk", "16-bit", "alpha", "palette", "1-bit", "webp", "exif"),
)
def test_odd_pictures_are_captioned_as_by_the_command_line(server, content, tmp_path):
    path = tmp_path / "odd"
    path.write_bytes(content)
    [result] = caption(server, content).json()["results"]
    expected = server.captioner.caption(path)
    assert (result["caption"], result["logprob"]) == (expected.text, expected.logprob)


def test_base64_as_others_write_it(server):
    content = drawn()
    plain = base64.b64encode(content).decode()
    forms = [
        plain,
        f"data:image/png;base64,{plain}",
        f"DATA:;BASE64,{plain}",
        base64.encodebytes(content).decode(),
        plain.replace("\n", "").rstrip("="),
        base64.urlsafe_b64encode(content).decode(),
        f"  {plain[:50]}\r\n\t{plain[50:]}\n",
    ]
    answers = [server.http.post("/v1/caption", json={"image": form}).json() for form in forms]
    assert answers == [answers[0]] * len(forms)
    together = server.http.post("/v1/caption", json={"image": forms}).json()["results"]
    assert [result["caption"] for result in together] == [
        answers[0]["results"][0]["caption"]
    ] * len(forms)


def test_of_a_moving_picture_the_first_frame_counts(server):
    frames = [Image.open(io.BytesIO(drawn("P", (20, 20)))), Image.new("P", (20, 20), 5)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    moving, still = caption(server, file.getvalue(), drawn("P", (20, 20), "GIF")).json()["results"]
    assert moving == still


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(server, orientation):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    lying = Image.open(io.BytesIO(drawn(size=(16, 16))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = lying.transpose(turns[orientation]) if orientation in turns else lying
    files = [io.BytesIO(), io.BytesIO()]
    lying.save(files[0], "PNG", exif=exif)
    upright.save(files[1], "PNG")
    told, expected = caption(server, *(f.getvalue() for f in files)).json()["results"]
    assert told == expected


def test_mutated_pictures(server):
    """Whatever becomes of them: an answer or a problem, never a fault of the server's."""
    draw = random.Random(1)
    originals = [drawn(kind=kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")]
    outcomes = set()
    for i in range(60):
        content = bytearray(originals[i % len(originals)])
        for _ in range(draw.randint(1, 20)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        found = caption(server, bytes(content))
        outcomes.add(found.status_code)
        if found.status_code != 200:
            require_problem(found)
    assert outcomes == {200, 415, 422}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<b onload=alert(1)>.jpg", "<b onload=alert(1)>.jpg"),
        ("\x1b[2J.jpg", "\\x1b[2J.jpg"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("=cmd|x.jpg", "=cmd|x.jpg"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a" * 1000, "a" * 200),
    ],
)
def test_file_names_come_back_as_text(server, name, shown):
    found = caption(server, drawn(), name=name)
    assert found.headers["content-type"] == "application/json"
    assert found.json()["results"][0]["image"] == shown
    assert found.headers["x-content-type-options"] == "nosniff"
    document = caption(server, b"?", name=name).json()
    assert document["detail"].startswith(shown + ": ")


def test_sentences_come_back_as_text(server):
    odd = "<script>alert(1)</script> \x1b[2J \x00 \u202e"
    fields = {"image": base64.b64encode(drawn()).decode(), "sentence": odd}
    [result] = server.http.post("/v1/score", json=fields).json()["results"]
    assert result["scores"][0]["sentence"] == odd
    assert result["scores"][0]["unknown"]
