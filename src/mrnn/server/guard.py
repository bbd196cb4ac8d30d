"""What stands before every route: who may ask, how much may be sent, and what an error looks like.

It acts on the ASGI messages themselves, so that limits hold while a body is read, whoever reads it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import re
import uuid
from collections.abc import Collection, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import DataError, UsageError
from ..images.finding import printable
from .limits import Limits
from .problems import Problem
from .telemetry import Telemetry

_OPEN = re.compile(r"/|/web/[^/]*|/livez|/readyz")  # paths that need no key
_REQUEST_ID = re.compile(r"[\w.-]{1,64}")
_LINGER = 2.0  # seconds that a refused client may go on sending, so that it reads the answer
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

logger = logging.getLogger("mrnn.server")


@dataclass(frozen=True)
class Access:
    """Who may ask."""

    hosts: Collection[str] = ("localhost", "127.0.0.1", "[::1]")  # in the Host header, without port
    origins: Collection[str] = ()  # other sites whose pages may ask, as "https://example.org"
    key: str | None = None  # that clients must send, if any


class Places:
    """How many requests are served at the same time, and how long they take."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds = 1.0  # of a request, of late
        self.taken = 0

    @property
    def is_full(self) -> bool:
        """Whether the next one is sent away."""
        return self.taken >= self._most

    def __enter__(self) -> None:
        if self.is_full:
            wait = str(max(1, math.ceil(self._seconds)))
            raise Problem(
                "queue-full",
                f"{self.taken} requests are being served; try again in {wait} s",
                {"Retry-After": wait},
            )
        self.taken += 1

    def __exit__(self, *error: object) -> None:
        self.taken -= 1

    def took(self, seconds: float) -> None:
        """Remember how long a request took."""
        self._seconds += 0.2 * (seconds - self._seconds)


class Guard:
    """An ASGI application around another one; Problems and UsageErrors become answers."""

    def __init__(
        self, app: ASGIApp, limits: Limits, access: Access, places: Places, telemetry: Telemetry
    ) -> None:
        self._app = app
        self._limits = limits
        self._access = access
        self._places = places
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = monotonic()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        body = _Body(receive, self._limits, headers)
        answer = _Answer(send, request_id, self._limits.sending)
        try:
            self._admit(scope, headers)
            body.require_small()
            if scope["path"].startswith("/v1/"):
                with self._places:
                    await self._app(scope, body.receive, answer.send)
                self._places.took(monotonic() - started)
            else:
                await self._app(scope, body.receive, answer.send)
        except Problem as problem:
            await self._refuse(scope, body, answer, problem)
        except DataError as error:
            logger.warning("request %s: %s", request_id, error)  # the place is not for clients
            unusable = Problem(
                "library-unusable", "it was changed or moved; start the server again for it"
            )
            await self._refuse(scope, body, answer, unusable)
        except UsageError as error:
            await self._refuse(scope, body, answer, Problem("invalid", printable(str(error))))
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                stopping = Problem("draining", "the server is stopping; ask again in a moment")
                await self._refuse(scope, body, answer, stopping)
        except ClientDisconnect:
            pass  # nobody is there to be told
        except Exception:
            logger.exception("request %s", request_id)
            fault = Problem("internal", "no fault of yours; the server's log has the request's id")
            await self._refuse(scope, body, answer, fault)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._telemetry.answered(scope["method"], route, answer.status, monotonic() - started)

    def _admit(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        name = re.sub(r":\d*$", "", hosts[0]).lower() if len(hosts) == 1 else ""
        if name not in self._access.hosts:
            known = ", ".join(self._access.hosts)
            raise Problem(
                "wrong-host",
                f"it answers for {known}; name others with mrnn serve --allow-host NAME",
            )
        origin = headers.get("origin")
        ours = {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}
        if (
            origin is not None
            and origin.lower() not in ours
            and origin.lower() not in self._access.origins
        ):
            raise Problem(
                "other-origin",
                "pages of that site may not ask; name it with mrnn serve --allow-origin ORIGIN",
            )
        if self._access.key is not None and not _OPEN.fullmatch(scope["path"]):
            sent = headers.get("authorization", "").encode()
            if not hmac.compare_digest(sent, f"Bearer {self._access.key}".encode()):
                raise Problem(
                    "key-needed",
                    "send the server's key: Authorization: Bearer KEY",
                    {"WWW-Authenticate": "Bearer"},
                )

    async def _refuse(self, scope: Scope, body: _Body, answer: _Answer, problem: Problem) -> None:
        self._telemetry.rejected(problem.code)
        if answer.status:
            return  # too late: what was begun is cut off
        if not body.is_complete:
            problem.headers["Connection"] = "close"
        held = _Held(answer.send, None if body.is_complete else body)
        await problem.response(answer.request_id)(scope, body.receive, held.send)


class _Body:
    """A request's body, counted while it is read."""

    def __init__(self, receive: Receive, limits: Limits, headers: Headers) -> None:
        self._receive = receive
        self._limits = limits
        self._declared = headers.get("content-length", "")
        self._expects = "expect" in headers
        self._started = monotonic()
        self._bytes = 0
        self.is_complete = not (self._declared.strip("0") or "transfer-encoding" in headers)

    def require_small(self) -> None:
        """Raise Problem if more is declared than is read."""
        if self._declared.isdigit() and int(self._declared) > self._limits.bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next message; raises Problem for a body too large or too slow."""
        if self.is_complete:
            return await self._receive()
        limits = self._limits
        allowed = limits.sending + self._bytes / limits.rate
        try:
            message = await asyncio.wait_for(
                self._receive(), max(self._started + allowed - monotonic(), 0)
            )
        except TimeoutError:
            raise Problem(
                "too-slow",
                f"send the whole request within {limits.sending:g} s, "
                f"and {limits.rate:,} bytes a second beyond that",
            ) from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limits.bytes:
            raise self._too_large()
        self.is_complete = not message.get("more_body", False)
        return message

    async def discard(self) -> None:
        """Let the client send what it was about to: else it would not read the answer."""
        if self._expects and not self._bytes:
            return  # it waits to be told to send
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while (message := await self._receive()).get("more_body", False):
                    self._bytes += len(message["body"])
                    if self._bytes > 4 * self._limits.bytes:
                        return

    def _too_large(self) -> Problem:
        return Problem(
            "too-large",
            f"a request may have {self._limits.bytes:,} bytes; send fewer or smaller pictures",
        )


class _Answer:
    """The way back: headers that every answer has."""

    def __init__(self, send: Send, request_id: str, patience: float) -> None:
        self._send = send
        self._patience = patience  # seconds for the client to take what is sent
        self.request_id = request_id
        self.status = 0  # until it has begun

    async def send(self, message: Message) -> None:
        """Send a message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            headers.setdefault("Cache-Control", "no-store")
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        try:
            await asyncio.wait_for(self._send(message), self._patience)
        except TimeoutError:
            raise ClientDisconnect from None


class _Held:
    """An answer whose end is held back until the client has stopped sending."""

    def __init__(self, send: Send, body: _Body | None) -> None:
        self._send = send
        self._body = body

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a message; the last one twice, the content before the wait."""
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if self._body is not None and is_last:
            await self._send({**message, "more_body": True})
            await self._body.discard()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)
