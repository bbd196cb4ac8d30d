"""A server in a thread, and clients that send it whatever bytes they like."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from libraries import seeing
from mrnn.captioner import Captioner
from mrnn.library.library import Library
from mrnn.server import Access, Limits, create_app
from mrnn.server.running import listen, serve, uvicorn_of

LIMITS, ACCESS = Limits(), Access()
FORM = "multipart/form-data; boundary=b"
PATIENCE = 30.0  # seconds; nothing is to take so long
# A connection may be closed for its silence at the moment at which it is used again.
_NO_REUSE = httpx2.Limits(max_keepalive_connections=0)


@dataclass(frozen=True)
class Live:
    """A server that answers at a port of this machine."""

    port: int
    captioner: Captioner
    http: httpx2.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def figure(self, name: str) -> float:
        """A figure of /metrics."""
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split()[0] == name)

    def until(self, name: str, value: float) -> None:
        """Ask until a figure of /metrics has a value."""
        for _ in range(20_000):
            if self.figure(name) == value:
                return
        raise AssertionError(f"{name} is {self.figure(name)}, not {value}")


@contextmanager
def live(
    captioner: Captioner,
    library: Library | None = None,
    limits: Limits = LIMITS,
    access: Access = ACCESS,
) -> Iterator[Live]:
    """Serve as `mrnn serve` does, until the block ends."""
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        server = uvicorn_of(create_app(captioner, library, limits, access), limits)
        thread = threading.Thread(
            target=lambda: asyncio.run(serve(server, listening, limits)), name="server"
        )
        thread.start()
        try:
            with httpx2.Client(
                base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, limits=_NO_REUSE
            ) as http:
                yield Live(port, captioner, http)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()
            gc.collect()  # what is left over is complained of here, not in another test


@contextmanager
def stocked(folder: Path, limits: Limits = LIMITS) -> Iterator[Live]:
    """`live` with a library of one picture, which lies in the folder, too."""
    (folder / "photo.png").write_bytes(drawn())
    captioner = seeing()
    with Library.open(folder / "library", captioner) as library:
        library.add([folder / "photo.png"])
        with live(captioner, library, limits) as found:
            yield found


@dataclass(frozen=True)
class Answer:
    """What came back over a bare connection."""

    status: int  # 0: nothing did
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def talk(port: int, content: bytes) -> Answer:
    """Send bytes and read until the server closes the connection."""
    with connect(port) as connection:
        with suppress(ConnectionError):  # refused while it was sent
            connection.sendall(content)
        return answer(connection)


def everything(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    content = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            content += part
    return content


def answer(connection: socket.socket) -> Answer:
    """Read an answer until the server closes the connection."""
    content = everything(connection)
    head, _, body = content.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(status.split()[1]), headers, body)


def head(line: str, *headers: str, host: str = "Host: localhost") -> bytes:
    """The beginning of a request that is the only one of its connection."""
    return "\r\n".join((line, host, "Connection: close", *headers, "", "")).encode("latin-1")


def post(path: str, content: bytes, kind: str = "application/json") -> bytes:
    """A whole request."""
    return (
        head(f"POST {path} HTTP/1.1", f"Content-Type: {kind}", f"Content-Length: {len(content)}")
        + content
    )


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


def caption(server: Live, *contents: bytes, name: str = "a.jpg", **fields) -> httpx2.Response:
    files = [("image", (name, content)) for content in contents]
    return server.http.post("/v1/caption", files=files, data=fields)


def require_works(server: Live) -> None:
    """No place is taken, and a good request is answered."""
    server.until("mrnn_serving", 0)
    found = caption(server, drawn())
    assert found.status_code == 200, found.text
    assert found.json()["results"][0]["words"]


def problem(found: Answer | httpx2.Response, status: int, code: str) -> str:
    """The detail of a problem document, once all else in it is as it should be."""
    document = found.json()
    assert (document["status"], document["code"]) == (status, code), document
    require_problem(found)
    return document["detail"]


def require_problem(found: Answer | httpx2.Response) -> None:
    """An answer that is an error is a problem document that tells nothing of the inside."""
    status = found.status if isinstance(found, Answer) else found.status_code
    document = found.json()
    assert document.keys() - {"results"} == {
        "type", "title", "status", "detail", "code", "request_id"
    }  # fmt: skip
    assert found.headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["type"] == f"urn:mrnn:problem:{document['code']}"
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == found.headers["x-request-id"]
    assert "Traceback" not in document["detail"]


@contextmanager
def held(owner: object, name: str) -> Iterator[tuple[threading.Event, threading.Event]]:
    """A method that waits: yields an event that it has begun, and one that lets it go on."""
    begun, go = threading.Event(), threading.Event()
    real: Callable[..., Any] = getattr(owner, name)

    def waiting(*args: Any) -> Any:
        begun.set()
        assert go.wait(PATIENCE)
        return real(*args)

    setattr(owner, name, waiting)
    try:
        yield begun, go
    finally:
        go.set()
        delattr(owner, name)  # the class's own shows again
