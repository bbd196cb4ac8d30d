"""A photo library: pictures as vectors, found by a sentence or by another picture.

    DIR/catalogue.sqlite    what each picture is, and where            (catalogue)
    DIR/vectors/00000.f16   its image term VI I, M fp16 numbers        (vectors)
    DIR/codes.safetensors   makes the search of a large library fast   (image_index)

One process at a time may write, which `indexing` does; any number may search meanwhile.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from ..captioner import Captioner, ImagePath, load
from ..errors import BundleError, DataError, ImageError, UsageError
from ..files import held
from ..images.finding import Picture, anchored, printable
from ..images.given import PictureLike
from ..images.looking import look
from ..model.blocks import one_thread
from ..model.chance import MatchRule
from ..scoring.ranking import Stage, require_places
from ..words.text import tokenise
from .away import is_there
from .catalogue import CATALOGUE, VECTORS, Catalogue, open_catalogue
from .contents import Content, File
from .describing import describe
from .folder import require_indexed, require_own_folder
from .found import Found, Results
from .image_index import CODES_FROM, ImageIndex, build_index, candidates, open_index
from .indexing import Describer, Indexed, forget_unusable, update
from .scanning import absolute, patterns, require_seen
from .thumbnails import Thumbnails
from .timeline import EVERY, Filter, Newest, Timeline, require_filter
from .vectors import Vectors, VectorStore

_CODES = "codes.safetensors"
_REBUILDING = "rebuilding"  # the fact that holds the model of a rebuilding until it is done
_UNCOVERED = 0.05  # of the pictures may be without codes before these are made anew


@dataclass(frozen=True)
class _Snapshot:
    """The library as it was at one moment."""

    version: tuple[int, ...]
    generation: str  # of the vectors: a rebuilding gives other rows to the same pictures
    vectors: Vectors
    rows: np.ndarray  # (N,) of the vectors, those that count
    index: ImageIndex
    pictures: int  # without a filter
    among: Filter = EVERY  # what they are left by


class Library:
    """Pictures to be searched; opened by `Library.open`.

    Safe to use from one thread at a time, and from many processes, one of which may write. Errors
    are DataErrors that name the file; ImageError for a picture that cannot be read.

    >>> with mrnn.Library.open("photos.library", captioner) as library:
    ...     added = library.add(["beach.jpg", "holiday.jpg"])
    ...     results = library.search("two people on a beach", k=1)
    >>> added.files, len(results.found)
    (2, 1)
    """

    def __init__(
        self, path: Path, captioner: Captioner | None, device: str, precision: int | None = None
    ) -> None:
        self.path = path
        self._given = captioner
        self._device = device
        self._precision = precision
        self._reader: Catalogue | None = None
        self._snapshot: _Snapshot | None = None
        self._newest = Newest()
        self._opening = Lock()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        captioner: Captioner | None = None,
        device: str = "auto",
        precision: int | None = None,
    ) -> Library:
        """Open the library in a folder, or one that `add` will make there.

        The captioner is that of the model which it was made with; if none is given it is opened on
        the device when it is needed, in the precision of then, for a new library the shipped one.
        """
        return cls(Path(path), captioner, device, precision)

    def close(self) -> None:
        """Let go of the files."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._snapshot = None
        self._newest = Newest()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @cached_property
    def captioner(self) -> Captioner:
        """The model of the library; raises DataError where it cannot be opened."""
        if self._given is not None:
            return self._given
        if not self._is_there():
            return load("default", self._device, self._precision)
        facts = self.catalogue.facts()
        precision = self._precision or int(facts.get("precision", 0)) or None
        try:
            return load(facts["model"], self._device, precision)
        except BundleError as error:
            folder = printable(self.path)
            message = f"{folder}: the model it was made with is not found; name it with --model"
            raise DataError(f"{message} ({error})") from None

    @property
    def catalogue(self) -> Catalogue:
        """What is known of the pictures, to read."""
        with self._opening:
            if self._reader is None or not self._reader.is_there():  # else the file is another one
                self._reader = open_catalogue(self.path / CATALOGUE)
                self._snapshot, self._newest = None, Newest()
            return self._reader

    def files(self, root: Path | None = None) -> Iterator[tuple[File, Content | None]]:
        """All files, or those at or below an absolute path, with what is known of them, by path."""
        return self.catalogue.files(root)

    def unreadable(
        self, paths: Iterable[ImagePath] | ImagePath = ()
    ) -> list[tuple[Picture, ImageError]]:
        """The files that could not be read, of all or of those at or below paths, and why."""
        roots: Sequence[Path | None] = absolute(paths) or [None]
        found = {
            file.key: (file.picture, error)
            for root in roots
            for file, error in self.catalogue.unreadable(root)
        }
        return list(found.values())

    def timeline(self) -> Timeline:
        """The pictures by date and folder; one that is a moment old while another process adds.

        Safe to call from any thread, once the catalogue is open.
        """
        catalogue = self.catalogue  # may begin with another `_newest`
        return self._newest.of(catalogue)

    def require_usable(self) -> None:
        """Raise DataError unless it can be searched as it is now, with this model."""
        self._all()

    def knows(self, path: ImagePath) -> bool:
        """Whether a path was added, or any file at or below it."""
        [root] = absolute(path)
        return root in self.catalogue.roots() or any(True for _ in self.catalogue.files(root))

    def add(
        self,
        paths: Iterable[ImagePath] | ImagePath = (),
        captions: bool = True,
        rebuild: bool = False,
        describer: Describer = describe,
        stage: Stage = lambda name, unit: nullcontext(lambda done, total: None),
        exclude: Iterable[str] | str | None = None,
        is_settled: Callable[[File], bool] = lambda file: True,
    ) -> Indexed:
        """Bring the library up to date with what lies under paths: folders, pictures, tar files.

        `exclude` is a pattern, or several, of names that are left out, or of paths below a folder
        where there is a slash in it; the library remembers them until others are given.

        Without paths, with all that was added so far. What looks unchanged is not opened. With
        `rebuild` all is read anew, maybe for another model. Interrupted at any moment, the next
        call goes on. A picture that cannot be read is told, and stops nothing. Files that are not
        settled yet stay as they were known. Raises DataError where a new library would be of
        nothing, since none of the paths is there, and UsageError for pictures in memory: a library
        reads its pictures again, for another model or a page.

        >>> with mrnn.Library.open("album.library", captioner) as library:
        ...     print(library.add("album/").new)
        1
        """
        roots, left_out = absolute(paths), None if exclude is None else patterns(exclude)
        if not roots:
            require_indexed(self.path)
        elif not self._is_there():
            require_seen(roots)
        with self._adding(rebuild) as catalogue:
            store = self._store(catalogue)
            with catalogue.transaction():
                catalogue.add_roots(roots)
                if left_out is not None:
                    catalogue.put_exclude(anchored(left_out, [*roots, *catalogue.roots()]))
            forget_unusable(catalogue, store)
            if not roots or rebuild or catalogue.has_unread():
                roots = catalogue.roots()
            else:  # what was named itself below them counts, too
                roots += _below(catalogue.roots(), roots)
            how = captions, describer, stage, catalogue.exclude(), is_settled
            done = update(catalogue, store, self.captioner, roots, *how)
            self._make_codes(store.open(catalogue.next_row()), stage)
            if done.deleted or done.changed:
                Thumbnails(self.path).keep_only(catalogue)
            with catalogue.transaction():
                catalogue.put_facts({_REBUILDING: ""})
        return replace(done, is_upgraded=catalogue.is_upgraded)

    def remove(self, paths: Iterable[ImagePath] | ImagePath) -> int:
        """Take out all files at or below paths, and what is known of them; returns how many.

        The files themselves stay: the next `add` of a folder above finds them again. Their vectors,
        which nobody can find any more, stay until the library is rebuilt. The model is not opened.
        """
        roots = absolute(paths)
        self.catalogue.facts()  # a library must be there
        with self._writing() as catalogue, catalogue.transaction():
            keys = {key for root in roots for key in catalogue.states(root)}
            catalogue.drop_files(keys)
            below = set(map(os.fsencode, _below(catalogue.roots(), roots)))
            catalogue.drop_roots(keys | below | set(map(os.fsencode, roots)))
            catalogue.forget_unused()
            Thumbnails(self.path).keep_only(catalogue)
        return len(keys)

    def search(self, sentence: str, k: int = 10, among: Filter = EVERY) -> Results:
        """The k pictures that a sentence fits best, by perplexity (paper sec. 6).

        Others than those of the filter are not looked at: the library might as well lack them.

        First-order scores choose the candidates, exact ones order them. The best of all may still
        be a poor one: `chance` tells how likely it is right, and from one half on it is a `match`.
        Both are None for words that no caption taught the model, and of models made before there
        were chances the log-ratio alone makes a match. Words outside the vocabulary are left out;
        where nothing is left that tells pictures apart, nothing is found.

        >>> with mrnn.Library.open("photos.library", captioner) as library:
        ...     for found in library.search("a dog in the snow").found:
        ...         print(found.rank, found.caption)
        1 a ...
        2 a ...
        """
        require_places(k)
        if not tokenise(sentence):
            raise UsageError(f"{sentence!r} has no words to search for")
        now = self._now(among)
        captioner = self.captioner
        told: dict[str, Any] = {
            "unknown": captioner.unknown_words(sentence),
            "from_text_only": captioner.trust.from_text_only(sentence),
            "tells_apart": captioner.trust.tells_apart(sentence),
        }
        if not captioner.understands(sentence):
            return self._results(sentence, now, {}, told)
        with one_thread():
            query = captioner.query(sentence, now.index.centres)
            rows, _ = now.index.search(query.linearised, max(candidates(len(now.rows)), 2 * k))
            terms = now.vectors[rows].astype(np.float32)
            ranked = query.ranked(terms, captioner.prior_terms, k)
        rule = MatchRule()
        for _, logprob, _, ratio in ranked[:1]:
            rule = captioner.trust.match_rule(sentence, logprob - ratio, len(now.rows))
        figures = {
            int(rows[i]): {
                "logprob": logprob,
                "perplexity": perplexity,
                "log_ratio": ratio,
                "chance": rule.chance(ratio),
                "match": rule.is_match(ratio),
            }
            for i, logprob, perplexity, ratio in ranked
        }
        return self._results(sentence, now, figures, {**told, "threshold": rule.threshold})

    def like(self, image: PictureLike, k: int = 10, among: Filter = EVERY) -> Results:
        """The k pictures most like another one, by the cosine of their image terms.

        That one need not be in the library, nor a file: all that a Captioner takes will do. Raises
        ImageError if it cannot be read.

        >>> with mrnn.Library.open("photos.library", captioner) as library:
        ...     [found] = library.like(Path("holiday.jpg").read_bytes(), k=1).found
        >>> found.picture.name
        'holiday.jpg'
        """
        captioner = self.captioner
        seen = look(image, captioner.encoder.preprocessing, "give one at a time")
        term = captioner.terms_of_features(captioner.encoder.encode(seen.pixels[None]))
        return self.like_term(seen.name, term, k, among)

    def like_term(
        self, query: str, term: np.ndarray, k: int = 10, among: Filter = EVERY
    ) -> Results:
        """What `like` gives for the image term (1, M) of another picture, which `query` names."""
        require_places(k)
        now = self._now(among)
        rows, cosines = now.index.nearest(term[0], k)
        figures = {
            int(row): {"similarity": float(cosine)}
            for row, cosine in zip(rows, cosines, strict=True)
        }
        return self._results(query, now, figures)

    def _results(
        self,
        query: str,
        now: _Snapshot,
        figures: Mapping[int, Mapping[str, Any]],
        told: Mapping[str, Any] = MappingProxyType({}),
    ) -> Results:
        """What lies at rows of the vectors, with the figures of each, best first.

        `told` is what Results tell of the query.
        """
        with self.catalogue.reading():
            is_rebuilt = self.catalogue.facts()["vectors"] != now.generation
            known = {} if is_rebuilt else self.catalogue.pictures(list(figures))
        found: list[Found] = []
        absent = 0
        for row, values in figures.items():
            if row in known:  # nobody has taken it out meanwhile
                content, places = known[row]
                there = [place for place in places if is_there(place)]
                absent += not there
                places = there or places
                if now.among.folder:
                    places = self.timeline().places(places, now.among)
                first, *copies = places
                caption = content.caption[0] if content.caption else None
                place = Found(len(found) + 1, first, tuple(copies), caption, **values)
                found.append(replace(place, digest=content.digest))
        is_part = now.pictures > len(now.rows)
        seen = query, tuple(found), len(now.rows), absent
        return Results(*seen, note=now.index.note, is_part=is_part, **told)

    def _now(self, among: Filter = EVERY) -> _Snapshot:
        """The pictures of a filter as they are now."""
        require_filter(among)
        now = self._all()
        if among == EVERY:
            return now
        timeline = self.timeline()
        while timeline.generation != now.generation:  # rebuilt just now
            now, timeline = self._all(), self.timeline()
        rows = np.intersect1d(now.rows, timeline.rows(among), assume_unique=True)
        return replace(now, rows=rows, index=now.index.among(rows), among=among)

    def _all(self) -> _Snapshot:
        """The library as it is now, read again where another process has changed it."""
        catalogue, codes = self.catalogue, self.path / _CODES
        centres = self.captioner.anchors  # opens the model: nobody shall wait for that
        with catalogue.reading():
            version, found = (catalogue.version(), *_stamp(codes)), self._snapshot
            if found is None or found.version != version:
                self._require_model(catalogue)
                rows = np.array(catalogue.rows(), dtype=np.int64)
                vectors = self._store(catalogue).open(catalogue.next_row())
                index = open_index(vectors, centres, codes, rows)
                generation = catalogue.facts()["vectors"]
                found = _Snapshot(version, generation, vectors, rows, index, len(rows))
                self._snapshot = found
        return found

    def _make_codes(self, vectors: Vectors, stage: Stage) -> None:
        """Write codes where they pay, unless those that are there will do."""
        if len(vectors) < CODES_FROM:
            return
        codes = self.path / _CODES
        index = open_index(vectors, self.captioner.anchors, codes)
        if not index.is_approximate or index.uncovered > _UNCOVERED * len(vectors):
            with stage("making the search fast", "images") as on_progress:
                build_index(vectors, self.captioner.anchors, codes, on_progress)

    @contextmanager
    def _adding(self, rebuild: bool) -> Iterator[Catalogue]:
        """The catalogue to write pictures of our model; begun anew where that is asked for."""
        captioner = self.captioner
        _require_sight(captioner)
        facts = {
            "model": captioner.source,
            "identity": captioner.identity,
            "precision": str(captioner.encoder.precision),
        }
        with self._writing(facts) as catalogue:
            if rebuild and catalogue.facts().get(_REBUILDING) != captioner.identity:
                self._begin_anew(catalogue, facts)
            self._require_model(catalogue)
            self._clear(catalogue.facts()["vectors"])
            yield catalogue

    @contextmanager
    def _writing(self, new: Mapping[str, str] | None = None) -> Iterator[Catalogue]:
        """The catalogue, held against other writers; of the facts of a new one it can be made."""
        with ExitStack() as stack:
            self._hold(stack)
            catalogue = open_catalogue(self.path / CATALOGUE, new)
            stack.callback(catalogue.close)
            catalogue.check()
            catalogue.bring_up_to_date()
            try:
                yield catalogue
            except OSError as error:
                raise DataError(
                    f"{printable(self.path)}: cannot be written ({error.strerror}); what was done "
                    "so far is kept: make room, and give the same command again"
                ) from None

    def _begin_anew(self, catalogue: Catalogue, facts: Mapping[str, str]) -> None:
        """Forget what is known of the pictures; interrupted, a rebuilding goes on from there."""
        number = catalogue.facts()["vectors"].removeprefix(VECTORS).removeprefix("-") or "1"
        new = {"vectors": f"{VECTORS}-{int(number) + 1}", _REBUILDING: facts["identity"]}
        (self.path / _CODES).unlink(missing_ok=True)  # it names pictures by their rows
        with catalogue.transaction():
            catalogue.begin_anew({**facts, **new})

    def _clear(self, vectors: str) -> None:
        """Remove the vectors of former generations; who reads them keeps them."""
        for folder in self.path.glob(f"{VECTORS}*"):
            if folder.name != vectors and folder.is_dir():
                shutil.rmtree(folder)

    def _hold(self, stack: ExitStack) -> None:
        folder = printable(self.path)
        try:
            require_own_folder(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            is_held = stack.enter_context(held(self.path))
        except OSError as error:
            raise DataError(f"{folder}: cannot be written ({error.strerror})") from None
        if not is_held:
            raise DataError(f"{folder}: another process adds to this library; wait for it")

    def _require_model(self, catalogue: Catalogue) -> None:
        facts = catalogue.facts()
        if facts["identity"] != self.captioner.identity:
            folder, model = printable(self.path), printable(facts["model"]) or "unnamed"
            this = printable(self.captioner.source)
            with_this = f" --model {this}" if this else ""
            raise DataError(
                f"{folder}: made with another model ({model}, {facts['identity'][:8]}; this one is "
                f"{self.captioner.identity[:8]}); use that one with --model, or make the library "
                f"anew for this one: mrnn index --library {folder} --rebuild{with_this}"
            )

    def _is_there(self) -> bool:
        return (self.path / CATALOGUE).exists()

    def _store(self, catalogue: Catalogue) -> VectorStore:
        folder = self.path / catalogue.facts()["vectors"]
        return VectorStore(folder, self.captioner.model.config.multimodal)


def _below(paths: Iterable[Path], roots: Iterable[Path]) -> list[Path]:
    """Those that lie below a root; there may be very many of both."""
    folders = set(roots)
    return [path for path in paths if not folders.isdisjoint(path.parents)]


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced; nothing where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns


def _require_sight(captioner: Captioner) -> None:
    if captioner.bundle.model.config.feature == 0:
        raise UsageError("this model does not look at pictures; take another one with --model")
