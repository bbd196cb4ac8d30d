"""The server as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib import metadata
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from ..captioner import Captioner
from ..library.library import Library
from .guard import Access, Guard, Places
from .limits import Limits
from .openapi import completed
from .problems import Problem
from .routes import Routes
from .service import Service
from .telemetry import Telemetry

_WEB = Path(__file__).with_name("web")


def create_app(
    captioner: Captioner,
    library: Library | None = None,
    limits: Limits = Limits(),
    access: Access = Access(),
    on_ready: Callable[[], None] = lambda: None,
    address: str | None = None,
) -> FastAPI:
    """The server of a model, and of a library of pictures if there is one.

    The captioner and the library belong to it from now on: one thread at a time may use them.
    `on_ready` is called when the model has warmed up; `address` is what people on other machines
    open, if they can.
    """
    telemetry = Telemetry()
    places = Places(limits.requests)
    service = Service(captioner, library, limits, telemetry, address)
    telemetry.watch("mrnn_serving", "Requests that are being served.", lambda: places.taken)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.warm_up()
        on_ready()
        try:
            with suppress(asyncio.CancelledError):  # of a second Ctrl-C
                yield
        finally:
            service.close()

    app = FastAPI(
        title="mrnn",
        version=metadata.version("mrnn"),
        description="Sentences about pictures, with the exact probability of every word.",
        lifespan=lifespan,
        docs_url=None,  # these pages come from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            HTTPException: _as_problem,
            RequestValidationError: _as_invalid,
        },
    )
    app.include_router(Routes(service, limits, places, telemetry).router())
    described = app.openapi
    app.openapi = lambda: completed(described())  # type: ignore[method-assign]
    app.get("/", include_in_schema=False)(_page)
    app.mount("/web", StaticFiles(directory=_WEB), name="web")
    app.add_middleware(Guard, limits=limits, access=access, places=places, telemetry=telemetry)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(access.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Pictures", "X-Request-ID"],
        )
    return app


async def _page() -> Response:
    return FileResponse(_WEB / "index.html", headers={"Cache-Control": "no-cache"})


async def _as_problem(request: Request, error: Exception) -> Response:
    """Starlette's own errors; raised as a Problem, they meet the guard like all others."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    allowed = (error.headers or {}) if isinstance(error, HTTPException) else {}
    match status:
        case 404:
            raise Problem("not-found", "see /openapi.json for what there is")
        case 405:
            raise Problem("method-not-allowed", "see /openapi.json for how to ask", allowed)
        case _:
            raise Problem("malformed", str(getattr(error, "detail", "")))


async def _as_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    told = "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors()[:5])
    raise Problem("invalid", told)
