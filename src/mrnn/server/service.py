"""The work behind the routes: pictures decoded beside each other, the model in one thread.

    source -> bytes -> decoded, preprocessed       threads
           -> Encoder -> MRNN -> results           the model's thread, requests of one kind together
           -> documents                            those of the command line

Every answer comes from the same methods of the Captioner as that of the command line.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from ..captioner import Captioner
from ..config import Decoding
from ..devices import processors
from ..errors import ImageError
from ..images.finding import printable
from ..images.reading import decode_image, open_picture, preprocess, seen_area
from ..library.found import Results
from ..library.library import Library
from ..library.records import search_document, why_no_chance
from ..library.thumbnails import SIDE, Thumbnails
from ..library.timeline import EVERY, Filter
from ..records import caption_document, explanation_document, ranking_document, score_document
from . import gallery
from .batching import Batcher
from .limits import Limits
from .problems import Problem
from .requests import Sent, Source, Stored
from .telemetry import Telemetry

Document = dict[str, Any]
T = TypeVar("T")

_LARGE = 8_000_000  # pixels of pictures that are decoded one at a time
_TOGETHER = 16  # pictures: twice as many take twice the memory, and are no sooner done
_MOMENT = 2.0  # seconds


@dataclass(frozen=True)
class _Seen:
    """A picture as the encoder takes it."""

    name: str
    pixels: np.ndarray  # (3, S, S)
    area: tuple[float, float, float, float]  # what of the picture that is


class Service:
    """One model, and a library if there is one, for many clients; made and closed by the server."""

    def __init__(
        self,
        captioner: Captioner,
        library: Library | None,
        limits: Limits,
        telemetry: Telemetry,
        address: str | None = None,
    ) -> None:
        self._address = address  # for people on other machines
        self.captioner = captioner
        self.library = library
        self._limits = limits
        self._telemetry = telemetry
        self._large = threading.Lock()  # held while a large picture is decoded
        self._pool = ThreadPoolExecutor(processors(), thread_name_prefix="decode")
        self._model = Batcher(_TOGETHER, telemetry.worked)
        telemetry.watch("mrnn_queue", "Jobs that wait for the model.", self._model.waiting)

    def close(self) -> None:
        """Finish what was begun, if that takes no more than a moment: nobody waits for it."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._model.close(_MOMENT)

    async def caption(self, sources: Sequence[Source], how: Decoding) -> list[Document]:
        """A caption document, or an error, for each picture in order."""

        def work(pixels: list[np.ndarray]) -> list[Any]:
            return self.captioner.caption_pixels(pixels, how)

        # Words are drawn at random for one request at a time, so that its seed says it all.
        kind = how if how.temperature is None else None
        found = await self._decoded(sources)
        seen = [item for item in found if isinstance(item, _Seen)]
        captions = iter(await self._modelled(work, [s.pixels for s in seen], kind) if seen else ())
        return [
            caption_document(
                _name(source),
                item if isinstance(item, ImageError) else next(captions),
                how.n_best > 0,
            )
            for source, item in zip(sources, found, strict=True)
        ]

    async def explain(
        self, sources: Sequence[Source], sentence: str | None, how: Decoding, quick: bool
    ) -> list[Document]:
        """An explanation document, or an error, for each picture in order."""

        def work(seen: _Seen) -> Document:
            explained = self.captioner.explain_pixels(seen.pixels, sentence, how, seen.area, quick)
            return explanation_document(seen.name, explained, how.n_best > 0)

        return await self._each(sources, work)

    async def score(self, sources: Sequence[Source], sentences: Sequence[str]) -> list[Document]:
        """The scores of all sentences, or an error, for each picture in order."""

        def work(seen: _Seen) -> Document:
            scores = self.captioner.score_feature(self._feature(seen), sentences)
            return {"image": seen.name, "scores": [score_document(score) for score in scores]}

        return await self._each(sources, work)

    async def rank_sentences(
        self, sources: Sequence[Source], sentences: Sequence[str], k: int
    ) -> list[Document]:
        """The best sentences for each picture in order, or its error."""

        def work(seen: _Seen) -> Document:
            terms = self.captioner.terms_of_features(self._feature(seen)[None])
            ranking = self.captioner.rank_sentences_for(seen.name, terms, sentences, k)
            return ranking_document(ranking, "sentence")

        return await self._each(sources, work)

    async def rank_images(
        self, sources: Sequence[Source], sentences: Sequence[str], k: int
    ) -> list[Document]:
        """The best pictures for each sentence in order; raises Problem if none can be read."""
        found = await self._decoded(sources)
        seen = [item for item in found if isinstance(item, _Seen)]
        failed = [
            caption_document(_name(source), error, n_best=False)
            for source, error in zip(sources, found, strict=True)
            if isinstance(error, ImageError)
        ]
        if not seen:
            raise no_picture(failed)

        def encode(pixels: list[np.ndarray]) -> list[np.ndarray]:
            return list(self.captioner.encoder.encode(np.stack(pixels)))

        features = await self._modelled(encode, [s.pixels for s in seen])
        names = [s.name for s in seen]

        def work(queries: list[str]) -> list[Document]:
            [query] = queries
            ranking = self.captioner.rank_features(query, names, features, k)
            return [{**ranking_document(ranking, "image"), "errors": failed}]

        return [document for s in sentences for document in await self._modelled(work, [s])]

    async def search(self, query: str, k: int, among: Filter) -> Document:
        """Pictures of the library that a sentence fits."""
        library = self._library()
        [results] = await self._modelled(lambda _: [library.search(query, k, among)], [query])
        return await self._in_pool(lambda: _search_document(library, results, among))

    async def like(self, source: Source, k: int, among: Filter) -> Document:
        """Pictures of the library like another one."""
        library = self._library()

        def work(seen: _Seen) -> Document:
            term = self.captioner.terms_of_features(self._feature(seen)[None])
            found = library.like_term(seen.name, term, k, among)
            return _search_document(library, found, among)

        [document] = await self._each([source], work)
        if "error" in document:
            raise no_picture([document])
        return document

    async def page(self, which: Filter, start: int, k: int, after: str | None) -> Document:
        """Some pictures of the library, newest first, from a place on."""
        library = self._library()
        return await self._in_pool(lambda: gallery.page_document(library, which, start, k, after))

    async def contents(self) -> Document:
        """The months and folders of the library."""
        library = self._library()
        return await self._in_pool(lambda: gallery.contents_document(library))

    async def export(
        self, digests: Sequence[bytes] | None, which: Filter, form: gallery.Format
    ) -> tuple[int, Iterator[bytes]]:
        """How many pictures of a filter (of these digests) there are; their captions in pieces."""
        library = self._library()
        pictures = await self._in_pool(lambda: gallery.chosen(library, digests, which))
        if not pictures:
            raise Problem("not-found", "the library has no such pictures now")
        return len(pictures), gallery.export(library, pictures, which, form)

    async def thumbnail(self, identity: str, side: int) -> bytes:
        """A picture of the library as JPEG, its longer side at most so many pixels.

        That of the grid is made once, and kept with the library.
        """
        library = self._library()
        digest, kept = bytes.fromhex(identity), Thumbnails(library.path)

        def shrunk() -> bytes:
            is_kept = side == SIDE
            known = kept.get(digest) if is_kept and library.catalogue.places(digest) else None
            if known is not None:
                return known
            image = self._image(Stored(identity), side)
            image.thumbnail((side, side))
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=85, comment=b"")  # else the file's own
            if is_kept:
                kept.put(digest, buffer.getvalue())
            return buffer.getvalue()

        try:
            return await self._in_pool(shrunk)
        except ImageError as error:
            raise Problem("not-found", str(error)) from None

    def about(self) -> Document:
        """The document of /v1/model."""
        bundle = self.captioner.bundle
        library = self.library
        pictures = None if library is None else library.catalogue.counts()["pictures"]
        threshold = None if bundle.match is None or not pictures else bundle.match.at(pictures)
        return {
            "name": self.captioner.source.rstrip("/").rsplit("/", 1)[-1] or "model",
            "version": metadata.version("mrnn"),
            "kind": "m-RNN" if bundle.model.config.feature else "RNN-Base",
            "parameters": sum(weight.size for weight in bundle.model.weights.values()),
            "words": len(bundle.vocabulary),
            "encoder": bundle.encoder.name,
            "precision": self.captioner.encoder.precision,
            "input": bundle.encoder.preprocessing.size,
            "training": dict(bundle.training),
            "limits": asdict(self._limits),
            "library": None if pictures is None else {"pictures": pictures, "threshold": threshold},
            "address": self._address,
        }

    async def warm_up(self) -> None:
        """Open what the first client would otherwise wait for."""
        side = self.captioner.encoder.preprocessing.size
        blank = np.zeros((3, side, side), dtype=np.float32)
        await self._modelled(self.captioner.caption_pixels, [blank])
        if self.library is not None:
            self.require_usable()
            await self.search("a", 1, EVERY)

    def require_usable(self) -> None:
        """Raise DataError for a library that is not there any more, or damaged."""
        if self.library is not None:
            self.library.catalogue.facts()

    def _library(self) -> Library:
        if self.library is None:
            raise Problem(
                "no-library", "this server has no library; start it with mrnn serve --library DIR"
            )
        return self.library

    def _feature(self, seen: _Seen) -> np.ndarray:
        return self.captioner.encoder.encode(seen.pixels[None])[0]

    async def _each(
        self, sources: Sequence[Source], work: Callable[[_Seen], Document]
    ) -> list[Document]:
        """What work makes of each picture in order, or its error: one stops no other."""

        async def one(source: Source, item: _Seen | ImageError) -> Document:
            if isinstance(item, ImageError):
                return caption_document(_name(source), item, n_best=False)
            [document] = await self._modelled(lambda seen: [work(seen[0])], [item])
            return document

        found = await self._decoded(sources)
        # One after the other: the requests of others have their turns between.
        return [await one(*pair) for pair in zip(sources, found, strict=True)]

    async def _decoded(self, sources: Sequence[Source]) -> list[_Seen | ImageError]:
        if any(isinstance(source, Stored) for source in sources):
            self._library()
        found = await asyncio.gather(
            *(self._in_pool(partial(self._decode, source)) for source in sources)
        )
        for item in found:
            self._telemetry.picture(item.code if isinstance(item, ImageError) else "ok")
        return found

    def _decode(self, source: Source) -> _Seen | ImageError:
        how = self.captioner.encoder.preprocessing
        name = _name(source)
        try:
            with self._telemetry.stage("decode"):
                image = self._image(source, how.least_side)
                return _Seen(name, preprocess(image, how), seen_area(image.size, how))
        except ImageError as error:
            return ImageError(error.code, str(error))  # without the frames that hold the picture

    def _image(self, source: Source, at_least: int) -> Image.Image:
        """A picture decoded; large ones one at a time, since some take a gigabyte on the way."""
        content, name = self._content(source), _name(source)
        most = self._limits.pixels
        try:
            return decode_image(io.BytesIO(content), name, at_least, min(_LARGE, most))[0]
        except ImageError as error:
            if error.code != "too-large":
                raise
        with self._large:
            return decode_image(io.BytesIO(content), name, at_least, most)[0]

    def _content(self, source: Source) -> bytes:
        if isinstance(source, Sent):
            if not source.content:
                raise ImageError("empty", f"{_name(source)}: the file is empty")
            return source.content
        places = self._library().catalogue.places(bytes.fromhex(source.name))
        for place in places:
            with suppress(ImageError, OSError), open_picture(place) as file:
                content = file.read()
                if hashlib.sha256(content).hexdigest() == source.name:
                    return content
        if not places:
            raise ImageError("missing", f"{source.name}: the library has no such picture now")
        raise ImageError(
            "missing",
            f"{gallery.file_name(places[0])}: not where it was; mrnn index finds it again where it "
            "was moved, and takes it out where it is gone",
        )

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _modelled(
        self,
        work: Callable[[list[Any]], Sequence[Any]],
        items: Sequence[Any],
        kind: Hashable | None = None,
    ) -> list[Any]:
        """Have the model's thread work on items."""
        return await asyncio.wrap_future(self._model.submit(kind, items, work))


def no_picture(results: Sequence[Document]) -> Problem:
    """Why none of the pictures of a request could be used, with the reason for each."""
    codes = {document["error"]["code"] for document in results}
    code = "not-an-image" if codes == {"not-an-image"} else "unreadable"
    return Problem(code, results[0]["error"]["message"], results=results)


def _name(source: Source) -> str:
    """The name of a picture in messages and answers."""
    return printable(source.name)[:200]


def _search_document(library: Library, results: Results, among: Filter) -> Document:
    """The document of `mrnn search`, with ids and names in the place of paths, and dates."""
    document, timeline = search_document(results), library.timeline()
    for found, shown in zip(results.found, document["results"], strict=True):
        shown["image"] = found.digest.hex()
        places = found.picture, *found.copies
        shown.update(gallery.shown_document(timeline, found.digest, places, among))
    slow = "the search is slower than it could be; mrnn index makes it fast again"
    notes = [why_no_chance(results), slow if results.note else ""]
    return {**document, "note": "; ".join(filter(None, notes))}
