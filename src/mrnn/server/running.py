"""The server as a process: its socket, its signals, and connections that never ask anything."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from contextlib import suppress
from time import monotonic
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ..errors import DataError
from .limits import Limits

_LOOK = 1.0  # seconds between two looks at the connections
_KEEP_ALIVE = 5  # seconds that a connection may wait for another request


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises DataError with the remedy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        # Names that are not found have numbers of their own, and asyncio adds to the others' texts.
        is_name = isinstance(error, socket.gaierror) or error.errno is None
        reason = error.strerror if is_name else os.strerror(error.errno or 0)
        raise DataError(
            f"{host}:{port}: cannot listen there ({reason}); choose another with --port or --host"
        ) from None


def lan_address(host: str) -> str | None:
    """What other machines of the network reach this one by, if it has one; nobody is asked.

    `host` is the address that is listened at: "0.0.0.0", or "::" for IPv6.
    """
    family, beyond = (
        (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    )
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as unsent:
        unsent.connect((beyond, 9))  # of a datagram, this only chooses the way out
        found = str(unsent.getsockname()[0])
        return f"[{found}]" if ":" in found else found
    return None


def run(app: ASGIApp, listening: socket.socket, limits: Limits) -> None:
    """Serve until SIGTERM or Ctrl-C; what was begun is finished first.

    Raises KeyboardInterrupt after Ctrl-C, and DataError where the application could not begin.
    """
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn raises it again at the end
    try:
        asyncio.run(serve(uvicorn_of(app, limits), listening, limits))
    finally:
        signal.signal(signal.SIGTERM, before)


def uvicorn_of(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """The HTTP server around an application, not yet started."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # else clients fill the log
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=round(limits.seconds),
    )
    return uvicorn.Server(config)


async def serve(server: uvicorn.Server, listening: socket.socket, limits: Limits) -> None:
    """What `run` does, for an event loop that runs; in its main thread signals end it."""
    closing = asyncio.create_task(_close_silent(server, limits.sending))
    try:
        with suppress(SystemExit):  # of uvicorn, where the application could not begin
            await server.serve(sockets=[listening])
        if not server.started:
            raise DataError("the server could not begin; what went wrong is told above")
    finally:
        closing.cancel()
        await asyncio.wait([closing])  # Ctrl-C may come up in here: it is not to be lost


async def _close_silent(server: uvicorn.Server, seconds: float) -> None:
    """Close connections that have been open so long without a complete request's headers.

    uvicorn waits for these for ever; the body has its own limit, in the guard.
    """
    since: dict[Any, tuple[Any, float]] = {}  # by connection: its last request, and from when on
    while True:
        await asyncio.sleep(_LOOK)
        now = monotonic()
        connections: set[Any] = set(server.server_state.connections)  # of h11
        idle = {
            connection: connection.cycle
            for connection in connections
            if connection.cycle is None
            or connection.cycle.response_complete
            or connection.transport.is_closing()  # but for what the client does not take
        }
        since = {
            connection: (cycle, since[connection][1])
            if connection in since and since[connection][0] is cycle
            else (cycle, now)
            for connection, cycle in idle.items()
        }
        for connection, (_, start) in since.items():
            if now - start > seconds:
                connection.transport.abort()
