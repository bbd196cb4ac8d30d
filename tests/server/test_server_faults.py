"""The server under attack: over real connections, every fault has its answer and hurts nobody."""

from __future__ import annotations

import base64
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from http_clients import (
    FORM,
    Live,
    answer,
    caption,
    connect,
    drawn,
    form,
    head,
    held,
    live,
    post,
    problem,
    require_problem,
    require_works,
    stocked,
    talk,
)
from libraries import seeing
from mrnn.server import Limits

LIMITS = Limits(requests=8, items=4, sentences=5, characters=60, beam=5, bytes=8_000_000)
SHORT = Limits(requests=2, bytes=300_000, sending=1, seconds=20)
pytestmark = pytest.mark.filterwarnings(  # Starlette leaves the file of a part without end open
    "ignore:Unclosed file <tempfile.Spooled:ResourceWarning"
)
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
    with stocked(tmp_path_factory.mktemp("faults"), LIMITS) as found:
        yield found


@pytest.fixture(scope="module")
def strict():
    """In a hurry, and with two places only."""
    with live(seeing(), limits=SHORT) as found:
        yield found


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
    "content",
    [
        b'{"image": [' + b"1," * 10**6 + b"1]}",
        b"{" + b",".join(b'"%d":1' % i for i in range(10**5)) + b"}",
    ],
    ids=("list", "fields"),
)
def test_long_json_is_refused_before_each_value_is_looked_at(server, content):
    detail = problem(talk(server.port, post("/v1/caption", content)), 422, "invalid")
    assert detail == "the body: more values than a request can use"


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ("caption", {"image": "?!"}, "should be base64"),
        ("caption", {"image": "a"}, "should be base64"),
        ("caption", {"image": "é"}, "should be base64"),
        ("caption", {"image": "data:image/jpeg;base64"}, "data:image/jpeg;base64,..."),
        ("caption", {"image": "data:image/svg+xml,%3Csvg/%3E"}, "data:image/jpeg;base64,..."),
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


def test_a_client_cannot_fill_the_log(strict, caplog):
    content = form("a.png", drawn(size=(2, 2)))
    for wrong in (content.replace(b"--b", b"-b"), content.replace(b"Content", b"\0"), content[:-9]):
        talk(strict.port, post("/v1/caption", wrong, FORM))
        talk(strict.port, post("/v1/caption", wrong, FORM)[:-5])  # and it leaves
    for odd in (b"\0\r\n\r\n", head("GET /web/%00 HTTP/1.1"), head("GET / HTTP/1.1", host="X: y")):
        talk(strict.port, odd)
    require_works(strict)
    told = [r.getMessage() for r in caplog.records if r.name != "httpx2"]
    assert told == ["Invalid HTTP request received."] * len(told)  # a line each, of uvicorn's


def require_answer_or_problem(found: httpx2.Response) -> None:
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
        assert "within 1 s" in problem(answer(connection), 408, "too-slow")
    require_works(strict)


@pytest.mark.parametrize("content", [b"", b"POST /v1/caption HTTP/1.1\r\nHost: loc"])
def test_silent_connections_are_closed(strict, content):
    with connect(strict.port) as connection:
        connection.sendall(content)
        assert caption(strict, drawn()).status_code == 200
        assert answer(connection).status == 0
    require_works(strict)


def test_a_client_that_leaves_in_the_middle_of_its_body(strict, caplog):
    start = head("POST /v1/caption HTTP/1.1", f"Content-Type: {FORM}", "Content-Length: 9999")
    for _ in range(5):
        with connect(strict.port) as connection:
            connection.sendall(start + form("a.jpg", b"")[:-9])
    require_works(strict)
    assert [r for r in caplog.records if r.name != "httpx2"] == []  # nothing that is our fault


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
    with live(seeing(), limits=Limits(seconds=1)) as server:
        with held(server.captioner, "caption_pixels") as (begun, _):
            detail = problem(caption(server, drawn()), 503, "timeout")
            assert "more than 1 s" in detail
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
