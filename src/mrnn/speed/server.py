"""The server's row of `mrnn benchmark`: captions over HTTP beside those of a folder."""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..captioner import Captioner
from ..errors import DataError
from ..measuring import Row, timed

CLIENTS = 8  # at the same time; each asks for the caption of one picture after the other
MEANING = f"caption over HTTP for {CLIENTS} clients: images/s over those of captioning a folder"
AIM = ">= 0.7"
_REPEATS = 3

_FORM = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n%s\r\n--b--\r\n'
)


def server_row(captioner: Captioner, paths: Sequence[Path]) -> Row:
    """Caption pictures as a folder and over HTTP, by turns; the captioner is the default one.

    The clients are bare asyncio streams in one process: they take what they need from the same
    processors. The server reads each request from a connection that is kept open.
    """
    requests = [caption_request(path.read_bytes()) for path in paths]
    folder, served, waited = [], [], []
    with serving() as (port, _):
        for i in range(_REPEATS + 1):
            alone = timed(lambda: list(captioner.caption_many(paths)))[0]
            seconds, latencies = timed(lambda: asyncio.run(ask(port, requests)))
            if i:  # the first one warms up
                folder.append(len(paths) / alone)
                served.append(len(paths) / seconds)
                waited += latencies
    return Row(
        "server",
        MEANING,
        AIM,
        statistics.median(s / f for s, f in zip(served, folder, strict=True)),
        {
            "images/s": statistics.median(served),
            "folder images/s": statistics.median(folder),
            "p50 seconds": float(np.percentile(waited, 50)),
            "p99 seconds": float(np.percentile(waited, 99)),
        },
    )


def caption_request(content: bytes) -> bytes:
    """A whole request for the caption of a picture."""
    body = _FORM % content
    head = (
        "POST /v1/caption HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def serving() -> Iterator[tuple[int, int]]:
    """The port of `mrnn serve` with the default model, and its process by number."""
    command = [sys.executable, "-m", "mrnn", "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stderr is not None  # noqa: S101 - it is a pipe
        try:
            told = server.stderr.readline()
            found = re.search(r":(\d+)/$", told.rstrip())
            if found is None:
                raise DataError(f"the server did not start: {told}{server.stderr.read()}".rstrip())
            yield int(found.group(1)), server.pid
        finally:
            server.terminate()


async def ask(port: int, requests: Sequence[bytes]) -> list[float]:
    """Send the requests by turns from all clients; the seconds that each answer took."""
    left = iter(requests)
    waited: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for request in left:
                started = time.perf_counter()
                writer.write(request)
                status = await _status(reader)
                waited.append(time.perf_counter() - started)
                if status != b"200":
                    raise DataError(f"the server answered with {status.decode()}")
        finally:
            writer.close()
            await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return waited


async def _status(reader: asyncio.StreamReader) -> bytes:
    """Read an answer; its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    await reader.readexactly(int(length.group(1)) if length else 0)
    return head.split()[1]
