"""The routes: what is asked for is read, handed to the service, and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from ..errors import DataError
from . import answers
from .guard import Places
from .limits import Limits
from .openapi import ASKED, BROWSED, EXPORT, FULL, JPEG, KEYED, posted
from .problems import Problem
from .requests import (
    CaptionRequest,
    ExplainRequest,
    ExportRequest,
    Folder,
    Pictures,
    RankRequest,
    ScoreRequest,
    SearchRequest,
    Since,
    Source,
    Until,
    filter_by,
    filter_of,
    read_fields,
    read_json,
    require_parameters,
)
from .service import Document, Service, no_picture
from .telemetry import Telemetry

TELEMETRY = "text/plain; version=0.0.4; charset=utf-8"
MOST = 200  # pictures of a page of the library
_EXPORTED = {
    "csv": ("text/csv; charset=utf-8", "captions.csv"),
    "xmp": ("application/zip", "captions.zip"),
}
T = TypeVar("T")
R = TypeVar("R", bound=Pictures)


class Routes:
    """What the server answers to; `router` has it all."""

    def __init__(
        self, service: Service, limits: Limits, places: Places, telemetry: Telemetry
    ) -> None:
        self._service = service
        self._limits = limits
        self._places = places
        self._telemetry = telemetry

    def router(self) -> APIRouter:
        """All routes but those of the web page."""
        router = APIRouter()
        for path, handler, request, answer in (
            ("/v1/caption", self.caption, CaptionRequest, answers.CaptionAnswers),
            ("/v1/explain", self.explain, ExplainRequest, answers.ExplainAnswers),
            ("/v1/score", self.score, ScoreRequest, answers.ScoreAnswers),
            ("/v1/rank", self.rank, RankRequest, answers.RankAnswers),
            ("/v1/search", self.search, SearchRequest, answers.SearchAnswer),
        ):
            router.post(path, **posted(request, answer))(handler)
        router.get("/v1/pictures", response_model=answers.PicturesAnswer, **BROWSED)(self.pictures)
        router.get("/v1/contents", response_model=answers.ContentsAnswer, **BROWSED)(self.contents)
        router.post("/v1/export", **EXPORT)(self.export)
        router.get("/v1/pictures/{picture}", **JPEG)(self.thumbnail)
        router.get("/v1/model", response_model=answers.ModelAnswer, **ASKED)(self.model)
        router.get("/livez", response_class=PlainTextResponse)(self.livez)
        router.get("/readyz", response_class=PlainTextResponse, **FULL)(self.readyz)
        router.get("/metrics", response_class=PlainTextResponse, **KEYED)(self.metrics)
        return router

    async def caption(self, request: Request) -> Response:
        """Write a sentence for each picture."""
        sources, fields = await self._read(request, CaptionRequest)
        return await self._answered(request, self._service.caption(sources, fields.decoding()))

    async def explain(self, request: Request) -> Response:
        """The evidence for every word: runners-up, where it came from, and a heat map."""
        sources, fields = await self._read(request, ExplainRequest)
        work = self._service.explain(sources, fields.sentence, fields.decoding(), fields.quick)
        return await self._answered(request, work)

    async def score(self, request: Request) -> Response:
        """Score sentences for each picture: log P, perplexity, log P(s | I) - log P(s)."""
        sources, fields = await self._read(request, ScoreRequest)
        return await self._answered(request, self._service.score(sources, fields.sentence))

    async def rank(self, request: Request) -> Response:
        """The best sentences for each picture, or the best pictures for each sentence."""
        sources, fields = await self._read(request, RankRequest)
        of_sentences = fields.of == "sentences"
        rank = self._service.rank_sentences if of_sentences else self._service.rank_images
        return await self._answered(request, rank(sources, fields.sentence, fields.k))

    async def search(self, request: Request) -> Response:
        """Pictures of the library for a sentence, or pictures like another one."""
        sources, fields = await self._read(request, SearchRequest, fewest=0)
        if len(sources) + (fields.query is not None) != 1:
            raise Problem("invalid", "send either a query or one picture")
        if fields.query is None:
            work = self._service.like(sources[0], fields.k, filter_of(fields))
        else:
            work = self._service.search(fields.query, fields.k, filter_of(fields))
        return JSONResponse(await self._in_time(request, work))

    async def pictures(
        self,
        request: Request,
        start: Annotated[
            int, Query(ge=0, lt=2**31, description="The first one's place, from 0.")
        ] = 0,
        k: Annotated[int, Query(ge=1, le=MOST, description="How many.")] = 60,
        after: Annotated[
            str | None,
            Query(
                pattern="^[^,]{1,40},[0-9a-f]{64}$",
                description="The `next` of the page before; `start` counts from there.",
            ),
        ] = None,
        since: Since = None,
        until: Until = None,
        folder: Folder = None,
    ) -> Response:
        """Pictures of the library, newest first."""
        allowed = ("start", "k", "after", "since", "until", "folder")
        require_parameters(request.query_params, allowed)
        work = self._service.page(filter_by(since, until, folder), start, k, after)
        return JSONResponse(await self._in_time(request, work))

    async def contents(self, request: Request) -> Response:
        """The months and folders of the library's pictures."""
        require_parameters(request.query_params, ())
        return JSONResponse(await self._in_time(request, self._service.contents()))

    async def export(self, request: Request) -> Response:
        """The captions of pictures of the library: a table, or XMP sidecars in a zip."""
        fields = await read_json(request, ExportRequest)
        digests = None if fields.picture is None else [*map(bytes.fromhex, fields.picture)]
        work = self._service.export(digests, filter_of(fields), fields.format)
        count, pieces = await self._in_time(request, work)
        kind, name = _EXPORTED[fields.format]
        disposition = f'attachment; filename="{name}"'
        headers = {"Content-Disposition": disposition, "X-Pictures": str(count)}
        return StreamingResponse(pieces, media_type=kind, headers=headers)

    async def thumbnail(
        self,
        request: Request,
        picture: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The picture's id.")],
        side: Annotated[int, Query(ge=16, le=2048, description="Pixels of the longer side.")] = 400,
    ) -> Response:
        """A picture of the library, as JPEG and without metadata."""
        require_parameters(request.query_params, ("side",))
        content = await self._in_time(request, self._service.thumbnail(picture, side))
        keep = {"Cache-Control": "private, max-age=86400"}  # the id says what is in it
        return Response(content, media_type="image/jpeg", headers=keep)

    async def model(self) -> Response:
        """What the model is, what may be asked of it, and what the library holds."""
        return JSONResponse(await asyncio.to_thread(self._service.about))

    async def livez(self) -> str:
        """Whether the server runs."""
        return "ok"

    async def readyz(self) -> Response:
        """Whether it has room for another request, and its library, if it has one."""
        if self._places.is_full:
            return PlainTextResponse("full", 503)
        try:
            await asyncio.to_thread(self._service.require_usable)
        except DataError:
            return PlainTextResponse("library-unusable", 503)
        return PlainTextResponse("ok")

    async def metrics(self) -> Response:
        """Figures for Prometheus."""
        return Response(self._telemetry.text(), media_type=TELEMETRY)

    async def _read(
        self, request: Request, kind: type[R], fewest: int = 1
    ) -> tuple[list[Source], R]:
        with self._telemetry.stage("read"):
            sources, fields = await read_fields(request, kind, self._limits)
        if len(sources) < fewest:
            raise Problem("invalid", "image: send one picture at least")
        return sources, fields

    async def _answered(
        self, request: Request, work: Coroutine[Any, Any, list[Document]]
    ) -> Response:
        """200 if any item succeeded, else why not."""
        results = await self._in_time(request, work)
        if all("error" in document for document in results):
            raise no_picture(results)
        return JSONResponse({"results": results})

    async def _in_time(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """What work gives; it is given up when time is over, or when nobody waits for it."""
        task, left = asyncio.create_task(work), asyncio.create_task(_left(request))
        try:
            await asyncio.wait(
                (task, left), timeout=self._limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if task.done():
                return task.result()
            if left.done():
                raise ClientDisconnect
        finally:
            task.cancel()
            left.cancel()
        seconds = f"{self._limits.seconds:g}"
        raise Problem("timeout", f"it took more than {seconds} s; ask for less at a time")


async def _left(request: Request) -> None:
    """Come back when the client has gone; its request has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
