"""What clients of `traffic.py` should not do, and how each is to be answered."""

from __future__ import annotations

import asyncio
import base64
import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image

from traffic_good import Ask, Kind
from traffic_target import Target, outcome

READ = ("200", "415 not-an-image", "422 unreadable")  # of a picture that may still be one
JSON = "Content-Type: application/json"
FORM = "Content-Type: multipart/form-data; boundary=b"
CAPTION = "POST /v1/caption HTTP/1.1"


def kinds() -> list[Kind]:
    """Bad requests that are answered at once."""
    return [
        Kind("bad: empty file", _picture(lambda photo, draw: b""), ("422 unreadable",)),
        Kind("bad: text", _picture(lambda photo, draw: b"<p>" * 500), ("415 not-an-image",)),
        Kind("bad: SVG", _picture(lambda photo, draw: SVG), ("415 not-an-image",)),
        Kind("bad: PDF", _picture(lambda photo, draw: b"%PDF-1.7\n1 0 obj"), ("415 not-an-image",)),
        Kind("bad: EPS", _picture(lambda photo, draw: EPS), ("415 not-an-image",)),
        Kind("bad: bomb", _picture(lambda photo, draw: BOMB), ("422 unreadable",)),
        Kind("bad: cut short", _picture(_cut), READ),
        Kind("bad: mutated", _picture(_mutated), READ, 4),
        Kind("odd: 1 x 1", _picture(_drawn("RGB", (1, 1), "PNG"))),
        Kind("odd: 1 x 5000", _picture(_drawn("L", (1, 5000), "PNG"))),
        Kind("odd: CMYK", _picture(_drawn("CMYK", (90, 60), "JPEG"))),
        Kind("bad: 16 dark bits", _picture(_drawn("I;16", (60, 60), "PNG")), ("422 unreadable",)),
        Kind("bad: transparent", _picture(_drawn("RGBA", (60, 60), "WEBP")), ("422 unreadable",)),
        Kind("bad: no content type", _raw(CAPTION, content=b"hello"), ("415 unsupported",)),
        Kind("bad: text/plain", _raw(CAPTION, "Content-Type: text/plain", content=b"hello"),
             ("415 unsupported",)),
        Kind("bad: not JSON", _raw(CAPTION, JSON, content=b'{"image": '), ("422 invalid",)),
        Kind("bad: JSON bytes", _raw(CAPTION, JSON, content=b"\xff\xfe{}"), ("422 invalid",)),
        Kind("bad: deep JSON", _raw(CAPTION, JSON, content=b'{"image":' + b"[" * 10**5),
             ("422 invalid",)),
        Kind("bad: surrogate", _raw("POST /v1/score HTTP/1.1", JSON, content=SURROGATE),
             ("422 invalid",)),
        Kind("bad: not base64", _fields(image="?!"), ("422 invalid",)),
        Kind("bad: unknown field", _fields(image="", colour="red"), ("422 invalid",)),
        Kind("bad: beam", _fields(image="", beam=10**6), ("422 invalid",)),
        Kind("bad: huge number", _fields(image="", seed=10**400), ("422 invalid",)),
        Kind("bad: wrong types", _fields(image={"a": [1]}, beam="wide"), ("422 invalid",)),
        Kind("bad: too many pictures", _fields(image=[PIXEL] * 100), ("422 invalid",)),
        Kind("bad: 10^5 items", _fields(image=[""] * 10**5), ("422 invalid",)),
        Kind("bad: long prefix", _fields(image=PIXEL, prefix="a " * 10**5), ("422 invalid",)),
        Kind("bad: a URL", _fields(image="http://127.0.0.1:9/a.jpg"), ("422 invalid",)),
        Kind("bad: not a form", _raw(CAPTION, FORM, content=b"no boundary in here"),
             ("400 malformed", "422 invalid")),
        Kind("bad: 10^5 parts", _raw(CAPTION, FORM, content=PARTS), ("413 too-large",)),
        Kind("bad: 10 GB declared", _raw(CAPTION, FORM, "Content-Length: 10000000000"),
             ("413 too-large",)),
        Kind("bad: chunks without end", _endless_chunks, ("413 too-large",)),
        Kind("bad: host", _host("evil.example"), ("421 wrong-host",)),
        Kind("bad: two hosts", _host("localhost\r\nHost: localhost"), ("400", "421 wrong-host")),
        Kind("bad: other site", _raw("GET /v1/model HTTP/1.1", "Origin: https://evil.example"),
             ("403 other-origin",)),
        Kind("bad: flood of headers",
             _raw("GET / HTTP/1.1", *(f"X-{i}: {'a' * 99}" for i in range(2000))),
             ("400", "closed")),
        Kind("bad: not HTTP", _bytes(b"\x16\x03\x01\x02\x00\x01\xff\r\n\r\n"), ("400",)),
        Kind("bad: path", _raw("GET /no/such/place HTTP/1.1"), ("404 not-found",)),
        Kind("bad: dots", _raw("GET /web/%2e%2e/app.py HTTP/1.1"), ("404 not-found",)),
        Kind("bad: dots in an id", _raw("GET /v1/pictures/..%2f..%2fetc%2fpasswd HTTP/1.1"),
             ("404 not-found", "422 invalid")),
        Kind("bad: id", _raw(f"GET /v1/pictures/{'0' * 64} HTTP/1.1"),
             ("404 not-found", "404 no-library")),
        Kind("bad: method", _raw("DELETE /v1/caption HTTP/1.1"), ("405 method-not-allowed",)),
        Kind("bad: websocket",
             _raw("GET / HTTP/1.1", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), ("200", "400")),
        Kind("bad: leaves at once", _leaves, ("left",), 3),
        Kind("bad: burst", _burst, ("200", "200 and 429 queue-full")),
    ]  # fmt: skip


def slow_kinds() -> list[Kind]:
    """Bad requests that take their time, until the server has had enough."""
    slow = f"{CAPTION}\r\nHost: "
    return [
        Kind("slow: body", _slow_body, ("408 too-slow",)),
        Kind("slow: headers", _trickle(slow.encode(), b"a"), ("closed",)),
        Kind("slow: says nothing", _bytes(b""), ("closed",)),
        Kind("slow: to read", _slow_reader, ("200",)),
    ]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:9/"/></svg>'
SURROGATE = b'{"image": "R0lG", "sentence": "a \\ud800 dog"}'
OPENING = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
PARTS = b'--b\r\nContent-Disposition: form-data; name="sentence"\r\n\r\na\r\n' * 10**5


def _bomb() -> bytes:
    """A PNG that says to have 4 gigapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\1\0IDAT" + bytes(256)


def _saved(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


BOMB = _bomb()
PIXEL = base64.b64encode(_saved(Image.new("RGB", (1, 1)), "PNG")).decode()


def _cut(photo: bytes, draw: random.Random) -> bytes:
    return photo[: draw.randrange(1, len(photo))]


def _mutated(photo: bytes, draw: random.Random) -> bytes:
    content = bytearray(photo)
    for _ in range(20):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def _drawn(mode: str, size: tuple[int, int], kind: str) -> Callable[..., bytes]:
    return lambda photo, draw: _saved(Image.new(mode, size, draw.randrange(250)), kind)


def _picture(make: Callable[[bytes, random.Random], bytes]) -> Ask:
    async def ask(target: Target, draw: random.Random) -> str:
        content = make(target.photo(draw), draw)
        file = ("image", ("<b>a\x1b[2J.jpg", content))
        return outcome(await target.http.post("/v1/caption", files=[file]))

    return ask


def _fields(**fields: Any) -> Ask:
    async def ask(target: Target, draw: random.Random) -> str:
        return outcome(await target.http.post("/v1/caption", json=fields))

    return ask


def _bytes(*parts: bytes) -> Ask:
    async def ask(target: Target, draw: random.Random) -> str:
        return await target.raw(*parts)

    return ask


def _raw(line: str, *headers: str, content: bytes = b"") -> Ask:
    async def ask(target: Target, draw: random.Random) -> str:
        length = (f"Content-Length: {len(content)}",) if content else ()
        return await target.raw(target.head(line, *headers, *length) + content)

    return ask


def _host(name: str) -> Ask:
    return _bytes(f"GET /livez HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())


async def _endless_chunks(target: Target, draw: random.Random) -> str:
    head = target.head(CAPTION, FORM, "Transfer-Encoding: chunked")
    first = b"%x\r\n%s\r\n" % (len(OPENING), OPENING)
    chunk = b"%x\r\n%s\r\n" % (10**5, bytes(10**5))
    return await target.raw(head + first, chunk, endless=True)


async def _leaves(target: Target, draw: random.Random) -> str:
    """The whole request or a part of it, then gone."""
    content = PARTS[:200] + target.photo(draw)
    request = target.head(CAPTION, FORM, f"Content-Length: {len(content)}") + content
    async with target.connection() as (_, writer):
        writer.write(request[: draw.randrange(len(request) + 1)])
        await writer.drain()
        await asyncio.sleep(draw.random() / 50)
    return "left"


async def _burst(target: Target, draw: random.Random) -> str:
    """More at the same time than are served: some are sent away, with when to come back."""
    file = ("image", ("a.jpg", target.photo(draw)))
    asked = [target.http.post("/v1/caption", files=[file]) for _ in range(60)]
    answers = await asyncio.gather(*asked)
    return " and ".join(sorted({outcome(answer) for answer in answers}))


async def _slow_body(target: Target, draw: random.Random) -> str:
    head = target.head(CAPTION, FORM, "Content-Length: 100000")
    return await target.raw(head + OPENING, b"a", pause=0.5, endless=True)


def _trickle(first: bytes, rest: bytes) -> Ask:
    async def ask(target: Target, draw: random.Random) -> str:
        return await target.raw(first, rest, pause=0.5, endless=True)

    return ask


async def _slow_reader(target: Target, draw: random.Random) -> str:
    """Asks for much and then reads as little as possible for a while."""
    async with target.connection() as (reader, writer):
        writer.write(target.head("GET /openapi.json HTTP/1.1"))
        answer = b""
        while part := await reader.read(4096):
            answer += part
            await asyncio.sleep(0.2)
        return answer.split()[1].decode()
