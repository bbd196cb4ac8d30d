"""Who asks the server, and how: hosts, origins, keys, paths, and what is hardly HTTP."""

from __future__ import annotations

import re

import pytest

from http_clients import (
    connect,
    everything,
    head,
    live,
    problem,
    require_problem,
    require_works,
    stocked,
    talk,
)
from libraries import seeing
from mrnn.server import Access


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With a library of one picture, and room enough."""
    with stocked(tmp_path_factory.mktemp("faults")) as found:
        yield found


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
    with live(seeing(), access=Access(key="abcdefghijklmnop")) as server:
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
