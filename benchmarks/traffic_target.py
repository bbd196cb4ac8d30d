"""The server that `traffic.py` asks: good requests by httpx2, the others by bare sockets."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

PATIENCE = 120.0  # seconds until a request counts as lost


class WrongError(Exception):
    """An answer that is not what was asked for; the message says how."""


class Target:
    """A server, pictures to send to it, and what is known of its library."""

    def __init__(self, url: str, photos: Sequence[Path], http: httpx2.AsyncClient) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.photos = photos
        self.http = http
        self.model: dict[str, Any] = {}
        self.ids: list[str] = []  # of pictures in the library

    async def learn(self) -> None:
        """Ask what the model is, and for some pictures of the library if there is one."""
        self.model = (await self.http.get("/v1/model")).raise_for_status().json()
        if self.model["library"] and self.model["library"]["pictures"]:
            found = await self.http.post("/v1/search", json={"query": "a dog", "k": 50})
            self.ids = [result["image"] for result in found.raise_for_status().json()["results"]]

    def photo(self, draw: random.Random) -> bytes:
        """The content of any picture."""
        return draw.choice(self.photos).read_bytes()

    async def memory(self) -> float:
        """The server's resident memory in bytes, as it tells itself."""
        figures = (await self.http.get("/metrics")).raise_for_status().text
        return next(
            float(line.split()[1])
            for line in figures.splitlines()
            if line.startswith("process_resident_memory_bytes ")
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare connection, closed at the end in whatever state it is."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def head(self, line: str, *headers: str) -> bytes:
        """The beginning of a request that is the only one of its connection."""
        host = f"Host: {self.host}:{self.port}"
        return "\r\n".join((line, host, "Connection: close", *headers, "", "")).encode()

    async def raw(self, *parts: bytes, pause: float = 0, endless: bool = False) -> str:
        """The outcome of bytes, sent part by part; endless: all but the first again and again."""
        async with self.connection() as (reader, writer):
            sending = asyncio.create_task(_send(writer, parts, pause, endless))
            try:
                return raw_outcome(await asyncio.wait_for(_everything(reader), PATIENCE))
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await sending


async def _everything(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends, in whatever way."""
    content = b""
    with suppress(ConnectionError):
        while part := await reader.read(65536):
            content += part
    return content


async def _send(
    writer: asyncio.StreamWriter, parts: Iterable[bytes], pause: float, endless: bool
) -> None:
    first = True
    while first or endless:
        for part in parts if first else list(parts)[1:]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        first = False


def outcome(response: httpx2.Response) -> str:
    """What became of a request: its status, and the code of a problem. Raises WrongError."""
    if response.status_code == 429 and not response.headers.get("retry-after", "").isdigit():
        raise WrongError("429 without a time to come back")
    if response.headers.get("content-type") == "application/problem+json":
        return _problem(response.status_code, response.json())
    if response.status_code >= 400:
        raise WrongError(f"{response.status_code} without a problem document")
    return str(response.status_code)


def raw_outcome(answer: bytes) -> str:
    """What became of a request, from all that came back; "closed" if nothing did."""
    if not answer:
        return "closed"
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if b"application/problem+json" in head.lower():
        return _problem(status, json.loads(body))
    return str(status)


def _problem(status: int, document: Any) -> str:
    for field in ("type", "title", "status", "detail", "code", "request_id"):
        if field not in document:
            raise WrongError(f"a problem document without {field}")
    if document["status"] != status:
        raise WrongError(f"status {status}, but {document['status']} in the problem document")
    if "Traceback" in json.dumps(document):
        raise WrongError("a stack trace in a problem document")
    return f"{status} {document['code']}"
