"""The server under attack: over real connections, every fault has its answer and hurts nobody."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from http_clients import (
    Live,
    answer,
    connect,
    everything,
    head,
    held,
    live,
    post,
    problem,
    require_problem,
    talk,
)
from libraries import seeing
from mrnn.library import Library
from mrnn.server import Access, Limits

LIMITS = Limits(requests=8, items=4, sentences=5, characters=60, beam=5, bytes=8_000_000)
SHORT = Limits(requests=2, bytes=300_000, sending=0.3, seconds=20)
FORM = "multipart/form-data; boundary=b"
QUIET = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With a library of one picture, and room enough."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "photo.png").write_bytes(drawn())
    captioner = seeing()
    with Library.open(folder / "library", captioner) as library:
        library.add([folder / "photo.png"])
        with live(captioner, library, LIMITS) as found:
            yield found


@pytest.fixture(scope="module")
def strict():
    """In a hurry, and with two places only."""
    with live(seeing(), limits=SHORT) as found:
        yield found


def drawn(mode: str = "RGB", size: tuple[int, int] = (40, 30), kind: str = "PNG", **how) -> bytes:
    draw = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    if mode == "I;16":
        Image.fromarray(draw[..., 0].astype(np.uint16) * 256).save(file, kind)
    else:
        Image.fromarray(draw).convert(mode).save(file, kind, **how)
    return file.getvalue()


def form(name: str, content: bytes, field: str = "image") -> bytes:
    opening = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return opening.encode() + content + b"\r\n--b--\r\n"


def caption(server: Live, *contents: bytes, name: str = "a.jpg", **fields) -> httpx.Response:
    files = [("image", (name, content)) for content in contents]
    return server.http.post("/v1/caption", files=files, data=fields)


def require_works(server: Live) -> None:
    """No place is taken, and a good request is answered."""
    server.until("mrnn_serving", 0)
    found = caption(server, drawn())
    assert found.status_code == 200, found.text
    assert found.json()["results"][0]["words"]


# Pictures


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


# Bodies


@pytest.mark.parametrize(
    ("kind", "content", "status", "code"),
    [
        ("text/plain", b"hello", 415, "unsupported"),
        ("application/x-www-form-urlencoded", b"image=a", 415, "unsupported"),
        ("image/jpeg", drawn(kind="JPEG"), 415, "unsupported"),
        ("", b"hello", 415, "unsupported"),
        ("<script>" * 50, b"hello", 415, "unsupported"),
        ("application/json", b"", 422, "invalid"),
        ("application/json", b"{", 422, "invalid"),
        ("application/json", b"[]", 422, "invalid"),
        ("application/json", b"null", 422, "invalid"),
        ("application/json", b"NaN", 422, "invalid"),
        ("application/json", b"\xff\xfe{\0}\0", 422, "invalid"),
        ("application/json", b'{"image": ' + b"[" * 10**6, 422, "invalid"),
        ("application/json", b'{"image": ' + b'{"a":' * 10**5 + b"1" + b"}" * (10**5 + 1),
         422, "invalid"),
        ("application/json", b'{"image": "R0lG", "prefix": "\\ud800"}', 422, "invalid"),
        ("application/json", b'{"image": ' + b"9" * 10**5 + b"}", 422, "invalid"),
        ("application/json", b'{"image": "R0lG", "beam": 1e999}', 422, "invalid"),
        ("application/json", b'{"image": "R0lG", "seed": ' + b"9" * 4000 + b"}", 422, "invalid"),
        ("application/json", b'{"image": "R0lG", "temperature": NaN}', 422, "invalid"),
        ("application/json", b'{"image": [' + b'"",' * 10**5 + b'""]}', 422, "invalid"),
        ("application/json", b'{"image": [' + b"1," * 10**6 + b"1]}", 422, "invalid"),
        ("application/json", b"{" + b",".join(b'"%d":1' % i for i in range(10**5)) + b"}",
         422, "invalid"),
        ("multipart/form-data", b"hello", 400, "malformed"),
        ("multipart/form-data; boundary=", b"hello", 400, "malformed"),
        (FORM, b"hello", 400, "malformed"),
        (FORM, b"", 422, "invalid"),
        (FORM, b"--b\r\n\r\nno name\r\n--b--\r\n", 400, "malformed"),
        (FORM, form("a.jpg", drawn(), "picture"), 422, "invalid"),
        (FORM, form("a.jpg", drawn(), "<b>" * 1000), 422, "invalid"),
        (FORM, form("a" * 10**4, b""), 400, "malformed"),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--b--\r\n',
         422, "invalid"),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="prefix"\r\n\r\n' + b"a" * 10**6,
         413, "too-large"),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="sentence"\r\n\r\na\r\n' * 10**5,
         413, "too-large"),
        (FORM, form("a.jpg", b"")[:-7] * 10**4, 413, "too-large"),
        (FORM, b"--b\r\n" + b"X-A: b\r\n" * 10**5, 400, "malformed"),
    ],
)  # fmt: skip
def test_bodies_that_make_no_sense(server, kind, content, status, code):
    found = talk(server.port, post("/v1/caption", content, kind))
    detail = problem(found, status, code)
    assert len(detail) < 1000
    require_works(server)


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ("caption", {"image": "?!"}, "should be base64"),
        ("caption", {"image": "a"}, "should be base64"),
        ("caption", {"image": "é"}, "should be base64"),
        ("caption", {"image": "http://127.0.0.1:9/a.jpg"}, "should be base64"),
        ("caption", {"image": "R0lG", "colour": "red"}, "colour: Extra inputs"),
        ("caption", {"image": "R0lG", "beam": "wide"}, "beam: "),
        ("caption", {"image": "R0lG", "beam": True, "seed": {}}, "seed: "),
        ("caption", {"image": "R0lG", "beam": 0}, "greater than or equal to 1"),
        ("caption", {"image": "R0lG", "beam": 6}, "beam: 6 is more than the 5 allowed"),
        ("caption", {"image": "R0lG", "n_best": 10**9}, "more than the 5 allowed"),
        ("caption", {"image": "R0lG", "seed": -1}, "seed: "),
        ("caption", {"image": "R0lG", "max_length": 10**6}, "max_length: "),
        ("caption", {"image": ["R0lG"] * 5}, "pictures: 5 is more than the 4 allowed"),
        ("caption", {"picture": ["0" * 64] * 5}, "pictures: 5 is more than the 4 allowed"),
        ("caption", {"picture": "../../etc/passwd"}, "picture.0: "),
        ("caption", {"image": "R0lG", "prefix": "a" * 61}, "61 is more than the 60 allowed"),
        ("caption", {}, "image: send one picture at least"),
        ("explain", {"image": "R0lG", "sentence": ["a", "b"]}, "sentence: "),
        ("score", {"image": "R0lG"}, "sentence: Field required"),
        ("score", {"image": "R0lG", "sentence": []}, "sentence: "),
        ("score", {"image": "R0lG", "sentence": [""]}, "sentence.0: "),
        ("score", {"image": "R0lG", "sentence": ["a"] * 6}, "sentences: 6 is more than the 5"),
        ("score", {"image": "R0lG", "sentence": "a" * 61}, "characters of a sentence: 61"),
        ("rank", {"image": "R0lG", "sentence": "a", "of": "mice"}, "of: "),
        ("rank", {"image": "R0lG", "sentence": "a", "k": 0}, "k: "),
        ("search", {"query": "a", "k": 10**9}, "k: 1,000,000,000 is more than the 100"),
        ("search", {"query": "a", "image": "R0lG"}, "either a query or one picture"),
        ("search", {"query": "a" * 61}, "characters of a sentence: 61"),
        ("search", {}, "either a query or one picture"),
    ],
)
def test_fields_that_are_not_as_they_should_be(server, path, fields, told):
    found = server.http.post(f"/v1/{path}", json=fields)
    detail = problem(found, 422, "invalid")
    assert told in detail
    assert "R0lG" not in detail  # what was sent is not sent back


NAMES = st.sampled_from(
    ["image", "picture", "beam", "n_best", "temperature", "seed", "prefix", "sentence", "of", "k",
     "query", "max_length", "alternatives", "x"]
)  # fmt: skip
PIXEL = base64.b64encode(drawn(size=(1, 1))).decode()
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([PIXEL, "a dog", "0" * 64, 1, 2, 5, 0.5]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ROUTES = st.sampled_from(["caption", "explain", "score", "rank", "search"])


def test_a_client_cannot_fill_the_log(server, caplog):
    content = form("a.png", drawn(size=(2, 2)))
    for wrong in (content.replace(b"--b", b"-b"), content.replace(b"Content", b"\0"), content[:-9]):
        talk(server.port, post("/v1/caption", wrong, FORM))
        talk(server.port, post("/v1/caption", wrong, FORM)[:-5])  # and it leaves
    for odd in (b"\0\r\n\r\n", head("GET /web/%00 HTTP/1.1"), head("GET / HTTP/1.1", host="X: y")):
        talk(server.port, odd)
    require_works(server)
    told = [r.getMessage() for r in caplog.records if r.name != "httpx"]
    assert told == ["Invalid HTTP request received."] * len(told)  # a line each, of uvicorn's


def require_answer_or_problem(found: httpx.Response) -> None:
    if found.status_code != 200:
        assert 400 <= found.status_code < 500
        require_problem(found)


@QUIET
@given(ROUTES, st.dictionaries(NAMES, VALUES, max_size=6) | VALUES, st.booleans())
def test_any_json(server, route, document, seen):
    if seen and isinstance(document, dict):
        document["image"] = PIXEL
    content = json.dumps(document).encode()  # NaN, Infinity and lone surrogates among them
    found = server.http.post(
        f"/v1/{route}", content=content, headers={"Content-Type": "application/json"}
    )
    require_answer_or_problem(found)


TEXTS = b"".join(
    b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % pair
    for pair in ((b"sentence", b"a dog"), (b"k", b"1"), (b"sentence", b"the cat"))
)
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=4) | st.sampled_from(
        [b"\r\n", b"--b", b"--b--", b'"', b";", b"Content-Disposition: ", b"name=", b"\0"]
    )),
    max_size=6,
)  # fmt: skip


@QUIET
@given(ROUTES, EDITS, st.sampled_from([FORM, FORM + "b", 'multipart/form-data; boundary="b"']))
def test_forms_with_anything_in_the_wrong_place(server, route, edits, kind):
    content = TEXTS + form("a.png", drawn(size=(2, 2)))
    for place, dropped, added in edits:
        start = int(place * len(content))
        content = content[:start] + added + content[start + dropped :]
    found = server.http.post(f"/v1/{route}", content=content, headers={"Content-Type": kind})
    require_answer_or_problem(found)


# How much, and how slowly


def test_ten_gigabytes_declared(strict):
    """Refused for what it says: not one byte of it is waited for."""
    found = talk(
        strict.port, head("POST /v1/caption HTTP/1.1", "Content-Length: 10000000000",
                          f"Content-Type: {FORM}", "Expect: 100-continue")
    )  # fmt: skip
    assert "300,000 bytes" in problem(found, 413, "too-large")
    with connect(strict.port) as connection:
        connection.sendall(head("POST /v1/caption HTTP/1.1", "Content-Length: 10000000000"))
        problem(answer(connection), 413, "too-large")
    require_works(strict)


def test_chunks_without_end(strict):
    """Cut off at the limit, whatever it is told to be, and however much comes after."""
    opening = form("a.jpg", b"")[:-9]
    start = head("POST /v1/caption HTTP/1.1", f"Content-Type: {FORM}", "Transfer-Encoding: chunked")
    chunk = b"%x\r\n%s\r\n" % (50_000, bytes(50_000))
    with connect(strict.port) as connection:
        connection.sendall(start + b"%x\r\n%s\r\n" % (len(opening), opening))
        sent = 0
        with suppress(ConnectionError):
            while sent < 10**9:
                connection.sendall(chunk)
                sent += len(chunk)
    assert sent < 40 * SHORT.bytes  # most of it lies in the system's buffers
    with connect(strict.port) as connection:
        connection.sendall(start + b"%x\r\n%s\r\n" % (len(opening), opening) + chunk * 7)
        problem(answer(connection), 413, "too-large")
    require_works(strict)


def test_a_body_that_is_longer_than_declared_is_cut_there(server):
    whole = post("/v1/caption", form("a.png", drawn()), FORM)
    assert talk(server.port, whole + b"x" * 100).status == 200
    require_works(server)


def test_a_slow_body_is_given_up_and_others_are_served_meanwhile(strict):
    start = head("POST /v1/caption HTTP/1.1", f"Content-Type: {FORM}", "Content-Length: 9999")
    with connect(strict.port) as connection:
        connection.sendall(start + form("a.jpg", b"")[:-9])
        strict.until("mrnn_serving", 1)
        assert caption(strict, drawn()).status_code == 200
        assert "within 0.3 s" in problem(answer(connection), 408, "too-slow")
    require_works(strict)


@pytest.mark.parametrize("content", [b"", b"POST /v1/caption HTTP/1.1\r\nHost: loc"])
def test_silent_connections_are_closed(strict, content):
    with connect(strict.port) as connection:
        connection.sendall(content)
        assert caption(strict, drawn()).status_code == 200
        assert answer(connection).status == 0
    require_works(strict)


def test_a_client_that_leaves_in_the_middle_of_its_body(strict):
    start = head("POST /v1/caption HTTP/1.1", f"Content-Type: {FORM}", "Content-Length: 9999")
    for _ in range(5):
        with connect(strict.port) as connection:
            connection.sendall(start + form("a.jpg", b"")[:-9])
    require_works(strict)


# Who asks, and how


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("Host: evil.example", 421),
        ("Host: localhost.evil.example", 421),
        ("Host: 127.0.0.1@evil.example", 421),
        ("Host: ", 421),
        ("Host: localhost:", 200),
        ("Host: LOCALHOST:99", 200),
        ("Host: [::1]:8000", 200),
        ("Host: localhost\r\nHost: localhost", 400),
        ("X-Forwarded-Host: localhost", 400),  # none at all
        ("Host: evil.example\r\nX-Forwarded-Host: localhost", 421),
    ],
)
def test_hosts(server, host, status):
    found = talk(server.port, head("GET /v1/model HTTP/1.1", host=host))
    assert found.status == status
    if status == 421:
        problem(found, 421, "wrong-host")


def test_pages_of_other_sites(server):
    for origin in ("https://evil.example", "null", "http://localhost.evil.example", "file://"):
        found = talk(server.port, head("GET /v1/model HTTP/1.1", f"Origin: {origin}"))
        problem(found, 403, "other-origin")
        assert "access-control-allow-origin" not in found.headers
    own = talk(server.port, head("GET /v1/model HTTP/1.1", "Origin: http://localhost"))
    assert own.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/pictures/..%2f..%2fetc%2fpasswd",
        "/v1/pictures/../../../etc/passwd",
        "/v1/pictures/%2e%2e",
        "/v1/pictures/" + "0" * 64,
        "/v1/pictures/" + "0" * 63 + "%00",
        "/v1/pictures/" + "A" * 64,
        "/v1/pictures/" + "0" * 5000,
        "/v1/pictures/" + "0" * 64 + "?side=99999999999999999999",
        "/web/../app.py",
        "/web/%2e%2e/app.py",
        "/web/..%2fapp.py",
        "/web/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/web//etc/passwd",
        "/web/index.html%00.js",
        "/web/" + "a" * 5000,
        "/web/",
        "/web",
        "/openapi.json/..%2f",
        "//evil.example/",
        "/%ff%fe",
        "/v1",
    ],
)
def test_paths_that_lead_nowhere(server, path):
    found = talk(server.port, head(f"GET {path} HTTP/1.1"))
    assert found.status in (404, 422)
    require_problem(found)
    assert b"root:" not in found.body
    assert b"import" not in found.body


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("HEAD /v1/model HTTP/1.1", 405),
        ("OPTIONS /v1/caption HTTP/1.1", 405),
        ("DELETE /v1/caption HTTP/1.1", 405),
        ("BREW /v1/caption HTTP/1.1", 405),
        ("GET /v1/caption HTTP/1.1", 405),
        ("POST / HTTP/1.1", 405),
    ],
)
def test_other_methods(server, line, status):
    found = talk(server.port, head(line))
    assert found.status == status
    if line.startswith("HEAD"):
        assert found.body == b""
    else:
        problem(found, status, "method-not-allowed")
        assert found.headers["allow"]


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\xff\r\n\r\n",
        b"GET\r\n\r\n",
        head("GET / HTTP/1.1", *(f"X-{i}: {'a' * 90}" for i in range(2000))),
        head("GET / HTTP/1.1", "X-Long: " + "a" * 10**6),
        head("POST /v1/caption HTTP/1.1", "Content-Length: -1"),
        head("POST /v1/caption HTTP/1.1", "Content-Length: 5", "Content-Length: 6"),
        head("POST /v1/caption HTTP/1.1", "Transfer-Encoding: chunked") + b"zz\r\n",
        head("GET / HTTP/1.1", "X\0Y: a"),
    ],
    ids=range(8),
)
def test_what_is_not_http_is_refused(server, content):
    assert talk(server.port, content).status in (0, 400, 431)
    require_works(server)


def test_headers_that_answer_nothing(server):
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")  # fmt: skip
    assert talk(server.port, head("GET /livez HTTP/1.1", *upgrade)).status == 200
    odd = talk(server.port, head("GET /livez HTTP/1.1", "X-Request-ID: <b>"))
    assert "<" not in odd.headers["x-request-id"]
    range_ = talk(server.port, head("GET / HTTP/1.1", "Range: bytes=-99999999999999,5-2,x"))
    assert range_.status in (200, 400, 416)
    require_works(server)


def test_requests_one_behind_the_other(server):
    first = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    second = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(server.port) as connection:
        connection.sendall(first + second + head("GET /livez HTTP/1.1"))
        content = everything(connection)
    statuses = re.findall(rb"HTTP/1.1 (\d+)", content)
    assert statuses == [b"200", b"404", b"200"]


@pytest.mark.parametrize("sent", ["", "Bearer", "bearer abcdefghijklmnop", "Bearer abc",
                                  "Bearer ABCDEFGHIJKLMNOP", "Basic abcdefghijklmnop",
                                  "Bearer abcdefghijklmnop ", "Bearer \xe9"])  # fmt: skip
def test_a_key_is_a_key(sent):
    with live(seeing(), limits=SHORT, access=Access(key="abcdefghijklmnop")) as server:
        line = "GET /v1/model HTTP/1.1"
        found = talk(server.port, head(line, f"Authorization: {sent}"))
        if sent.strip() == "Bearer abcdefghijklmnop":  # blanks at the end are not part of a header
            assert found.status == 200
            return
        problem(found, 401, "key-needed")
        assert found.headers["www-authenticate"] == "bearer"
        assert talk(server.port, head("GET /web/%2e%2e/v1/model HTTP/1.1")).status in (401, 404)
        assert talk(server.port, head("GET /metrics HTTP/1.1")).status == 401
        assert talk(server.port, head("GET /openapi.json HTTP/1.1")).status == 401
        assert talk(server.port, head("GET /livez HTTP/1.1")).status == 200


# When the model is busy, or fails


def together(server: Live, *contents: bytes) -> list:
    """Futures of captions, asked for at the same time by clients of their own."""
    pool = ThreadPoolExecutor(len(contents))
    asked = [pool.submit(caption, server, content) for content in contents]
    pool.shutdown(wait=False)
    return asked


def test_when_it_is_full_clients_are_sent_away_and_then_served(strict):
    with held(strict.captioner, "caption_pixels") as (begun, go):
        served = together(strict, drawn(), drawn())
        assert begun.wait(20)
        strict.until("mrnn_serving", SHORT.requests)
        for _ in range(3):
            found = caption(strict, drawn())
            assert "2 requests are being served" in problem(found, 429, "queue-full")
            assert int(found.headers["retry-after"]) >= 1
        assert strict.http.get("/readyz").status_code == 503
        assert strict.http.get("/livez").status_code == 200
        assert strict.http.get("/").status_code == 200
        go.set()
        assert [future.result().status_code for future in served] == [200, 200]
    assert strict.http.get("/readyz").status_code == 200
    require_works(strict)


def test_an_answer_that_takes_too_long():
    with live(seeing(), limits=Limits(seconds=0.2)) as server:
        with held(server.captioner, "caption_pixels") as (begun, _):
            detail = problem(caption(server, drawn()), 503, "timeout")
            assert "more than 0.2 s" in detail
            assert begun.is_set()
            # Those that wait behind it are given up too, and never done.
            problem(caption(server, drawn()), 503, "timeout")
        server.until("mrnn_queue", 0)
        require_works(server)


def test_a_client_that_leaves_before_the_answer(strict):
    with held(strict.captioner, "caption_pixels") as (begun, go):
        with connect(strict.port) as connection:
            connection.sendall(post("/v1/caption", form("a.png", drawn()), FORM))
            assert begun.wait(20)
        go.set()
    require_works(strict)


def test_a_fault_of_the_model_is_told_without_its_trace(server, caplog, monkeypatch):
    def fail(*args):
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr(server.captioner, "caption_pixels", fail)
    found = caption(server, drawn())
    detail = problem(found, 500, "internal")
    assert "secret" not in found.text
    assert "log" in detail
    [record] = [r for r in caplog.records if r.name == "mrnn.server"]
    assert found.headers["x-request-id"] in record.getMessage()
    assert "secret of the inside" in str(record.exc_info)
    monkeypatch.undo()
    require_works(server)


def test_one_poisoned_picture_hurts_nobody_else(server, monkeypatch):
    """Clients whose pictures are captioned together: one is a fault, the others are answered."""
    real = server.captioner.caption_pixels
    begun, go = threading.Event(), threading.Event()
    sizes = []

    def careful(pixels, how):
        sizes.append(len(pixels))
        begun.set()
        assert go.wait(20)
        if any(p.std() == 0 for p in pixels):
            raise RuntimeError("poisoned")
        return real(pixels, how)

    blank = io.BytesIO()
    Image.new("RGB", (9, 9)).save(blank, "PNG")
    [expected] = caption(server, drawn()).json()["results"]
    monkeypatch.setattr(server.captioner, "caption_pixels", careful)
    [first] = together(server, drawn())
    assert begun.wait(20)
    asked = together(server, drawn(), blank.getvalue(), drawn())
    server.until("mrnn_queue", 3)
    go.set()
    found = [future.result() for future in (first, *asked)]
    assert [f.status_code for f in found] == [200, 200, 500, 200]
    assert [f.json()["results"] for f in found if f.status_code == 200] == [[expected]] * 3
    assert sizes == [1, 3, 1, 1, 1]
    problem(found[2], 500, "internal")
