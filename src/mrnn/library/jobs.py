"""Pictures described on a Ray cluster, by workers that each hold the model and its encoder.

    driver   cuts the files into chunks, hands them out, takes the outcomes in the order of the
             files, and alone writes the library; only a few chunks a worker are under way
    worker   one process a processor: describes a chunk and writes its outcome (chunks.Ledger)

A worker that is lost is replaced, and its chunk goes to another. A driver that is lost finds the
outcomes in the folder when it comes again. The library is that of a process of its own.
"""

from __future__ import annotations

import math
import os
import re
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..captioner import Captioner, load
from ..devices import processors
from ..errors import DataError, DependencyError, MrnnError, UsageError
from ..images.finding import Member, printable
from .chunks import CHUNK, Chunk, Ledger
from .contents import File
from .describing import Described, describe

if TYPE_CHECKING:
    from .indexing import Describer

INCOMING = "incoming"  # the folder of the outcomes, in that of the library
_TRIES = 3  # of a chunk
_UNDER_WAY = 4  # chunks a worker, done or not, that wait for their turn
_PATIENCE = 600  # seconds until one worker at least must have started
_REACHED = 10  # seconds to find out whether anybody listens at an address
_OBJECTS = 80 << 20  # bytes of shared memory of a local cluster: little is sent

Finished = tuple[Chunk, str | None]  # and why it is not done, if it is not


def on_ray(address: str, folder: Path, chunk: int = CHUNK) -> Describer:
    """Describe pictures on the Ray cluster at an address, for `Library.add`.

    The address is one that `ray.init` takes: auto, host:port, ray://host:port; or local, for a
    cluster of this machine's own that ends with the run. A process that is connected to a cluster
    already stays with it. The folder is `INCOMING` in that of the library: on a file system that
    all machines share, like the pictures and a model that is no shipped one.

    Raises DependencyError where Ray is not installed; the describer raises DataError for a cluster
    that cannot be reached, and for a chunk or a start that failed several times.
    """
    ray = _import_ray()
    folder = folder.absolute()

    def describe_there(
        files: Sequence[File],
        captioner: Captioner,
        with_captions: bool,
        is_known: Callable[[bytes], bool],
    ) -> Iterator[Described]:
        facts = captioner.identity, with_captions, captioner.model.config.multimodal
        ledger = Ledger(folder, *facts)
        if files:
            folder.mkdir(exist_ok=True)
            model = _source(captioner), captioner.encoder.precision, folder, *facts
            at_most = math.ceil(len(files) / chunk)
            with _connected(ray, address), _crew(ray, model, at_most) as crew:
                yield from in_order(ledger.cut(files, chunk), crew, ledger)
        ledger.clear()

    return describe_there


class Crew(Protocol):
    """Workers that take one chunk each."""

    size: int

    def is_free(self) -> bool:
        """Whether one has nothing to do."""

    def give(self, chunk: Chunk) -> None:
        """Let it describe a chunk."""

    def finished(self, wait: bool) -> Iterable[Finished]:
        """What came to an end since; with `wait` after something has."""


def in_order(
    chunks: Iterable[tuple[Chunk, bool]], crew: Crew, ledger: Ledger
) -> Iterator[Described]:
    """What becomes of chunks, in their order; an outcome is removed when the next is asked for.

    A chunk that fails goes to the next who is free; raises DataError after some tries.
    """
    turns = _Turns(chunks, _UNDER_WAY * crew.size)
    while chunk := turns.first():
        while turns.todo and crew.is_free():
            crew.give(turns.todo.popleft())
        for one, problem in crew.finished(wait=not turns.is_done(chunk)):
            turns.end(one, problem)
        if turns.is_done(chunk):
            described = ledger.read(chunk)
            problem = _problem(chunk, described)
            if described is None or problem:
                ledger.remove(chunk)
                turns.end(chunk, problem)
            else:
                yield described
                ledger.remove(chunk)
                turns.pass_on()


class _Turns:
    """Chunks under way, in the order in which they are wanted."""

    def __init__(self, chunks: Iterable[tuple[Chunk, bool]], at_once: int) -> None:
        self.todo: deque[Chunk] = deque()  # nobody works on these
        self._coming = iter(chunks)
        self._at_once = at_once
        self._waiting: deque[Chunk] = deque()  # for their turn
        self._done: set[str] = set()
        self._tries: Counter[str] = Counter()

    def first(self) -> Chunk | None:
        """The one whose turn it is; None after the last."""
        for chunk, is_done in islice(self._coming, self._at_once - len(self._waiting)):
            self._waiting.append(chunk)
            if is_done:
                self._done.add(chunk.name)
            else:
                self.todo.append(chunk)
        return self._waiting[0] if self._waiting else None

    def is_done(self, chunk: Chunk) -> bool:
        return chunk.name in self._done

    def end(self, chunk: Chunk, problem: str | None) -> None:
        """Count it as done; where there is a problem try again, before all others."""
        if problem is None:
            self._done.add(chunk.name)
            return
        self._done.discard(chunk.name)
        self._tries[chunk.name] += 1
        if self._tries[chunk.name] == _TRIES:
            raise _given_up(chunk, problem)
        self.todo.appendleft(chunk)

    def pass_on(self) -> None:
        """The first had its turn."""
        chunk = self._waiting.popleft()
        self._done.discard(chunk.name)
        del self._tries[chunk.name]


def _problem(chunk: Chunk, described: Described | None) -> str | None:
    """What is wrong with an outcome."""
    if described is None:
        return f"{chunk.name} in the library's folder is damaged, or not to be seen from here"
    absent = [file.fault is not None and file.fault[0] == "missing" for file in described.files]
    picture = chunk.files[0].picture
    path = picture.shard if isinstance(picture, Member) else picture
    return "a machine does not see these files" if all(absent) and path.exists() else None


def _given_up(chunk: Chunk, why: str) -> DataError:
    first, more = printable(chunk.files[0].picture), len(chunk.files) - 1
    return DataError(
        f"{first}: this file and the {more:,} after it were given up after {_TRIES} tries ({why}); "
        "mend that, or move them away, and give the same command again: what was done so far is "
        "kept. All machines must see the pictures and the library under the same paths"
    )


class Worker:
    """Holds a model and its encoder, in a process of its own.

    What it cannot do it says in words: None is success.
    """

    def __init__(
        self,
        source: str,
        precision: int,
        folder: Path,
        identity: str,
        with_captions: bool,
        dimension: int,
    ) -> None:
        self._source, self._precision = source, precision
        self._identity = identity
        self._with_captions = with_captions
        self._ledger = Ledger(folder, identity, with_captions, dimension)

    def open(self) -> str | None:
        """Open the model."""
        try:
            self._captioner = load(self._source, "cpu", self._precision)
        except MrnnError as error:
            return f"{self._source}: cannot be opened on {socket.gethostname()} ({error})"
        found = self._captioner.identity
        if found == self._identity:
            return None
        return (
            f"{self._source}: another model on {socket.gethostname()} ({found[:8]}) than here "
            f"({self._identity[:8]}); install the same mrnn everywhere, or put the model on a "
            "file system that all machines share"
        )

    def describe(self, chunk: Chunk) -> str | None:
        """Describe a chunk, and write its outcome."""
        found = list(describe(chunk.files, self._captioner, self._with_captions, lambda _: False))
        files = [file for part in found for file in part.files]
        contents = [content for part in found for content in part.contents]
        vectors = np.concatenate([part.vectors for part in found])
        try:
            self._ledger.write(chunk, Described(files, contents, vectors))
        except OSError as error:
            place = printable(error.filename or chunk.name)
            return f"{place}: cannot be written on {socket.gethostname()} ({error.strerror})"
        return None


class _RayCrew:
    """Workers as actors of a Ray cluster; who is lost is replaced."""

    def __init__(self, ray: Any, start: Callable[[], Any], size: int) -> None:
        self.size = size
        self._ray = ray
        self._start = start
        self._lost = 0  # in a row, before they were ready
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}  # worker by what it was asked
        self._busy: dict[Any, tuple[Any, Chunk]] = {}
        for _ in range(size):
            self._hire()

    def is_free(self) -> bool:
        return bool(self._idle)

    def give(self, chunk: Chunk) -> None:
        worker = self._idle.pop()
        self._busy[worker.describe.remote(chunk)] = worker, chunk

    def finished(self, wait: bool) -> Iterator[Finished]:
        asked = [*self._starting, *self._busy]
        if not asked:
            return
        patience = _PATIENCE if wait else 0
        answered, _ = self._ray.wait(asked, num_returns=1, timeout=patience)
        if answered:
            answered, _ = self._ray.wait(asked, num_returns=len(asked), timeout=0)
        elif wait and not self._busy:
            raise DataError(
                f"no worker has started on the Ray cluster for {_PATIENCE // 60} minutes; is a "
                "processor free there? Type: ray status"
            )
        for one in answered:
            if one in self._starting:
                self._welcome(one)
            else:
                yield self._relieve(one)

    def dismiss(self) -> None:
        """End all workers."""
        busy = [worker for worker, _ in self._busy.values()]
        for worker in (*self._idle, *self._starting.values(), *busy):
            self._ray.kill(worker)

    def _hire(self) -> None:
        worker = self._start()
        self._starting[worker.open.remote()] = worker

    def _welcome(self, asked: Any) -> None:
        worker = self._starting.pop(asked)
        try:
            problem = self._ray.get(asked)
        except self._ray.exceptions.RayError as error:
            self._lost += 1
            if self._lost > _TRIES * self.size:
                raise DataError(
                    f"no worker can start on the Ray cluster ({_last_line(error)}); install the "
                    "same mrnn with the same extras on all its machines"
                ) from None
            self._hire()
            return
        if problem:
            raise DataError(problem)
        self._lost = 0
        self._idle.append(worker)

    def _relieve(self, asked: Any) -> Finished:
        worker, chunk = self._busy.pop(asked)
        try:
            problem = self._ray.get(asked)
        except self._ray.exceptions.RayTaskError as error:  # the worker itself is well
            problem = _last_line(error)
        except self._ray.exceptions.RayError as error:
            self._hire()
            return chunk, f"the worker was lost: {_last_line(error)}"
        self._idle.append(worker)
        return chunk, problem


@contextmanager
def _crew(ray: Any, model: Sequence[Any], at_most: int) -> Iterator[_RayCrew]:
    """A worker a processor of the cluster, but no more than there are chunks."""
    actor = ray.remote(num_cpus=1)(Worker)
    size = max(1, min(at_most, int(ray.cluster_resources().get("CPU", 1))))
    crew = _RayCrew(ray, partial(actor.remote, *model), size)
    try:
        yield crew
    finally:
        crew.dismiss()


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """Be connected to a cluster; one that was not begun here goes on afterwards."""
    with ExitStack() as stack:
        if not ray.is_initialized():
            # Ray tells of lost workers on stdout, in spite of log_to_driver: that is for data.
            stack.enter_context(redirect_stdout(sys.stderr))
            _connect(ray, address)
            stack.callback(ray.shutdown)
        try:
            yield
        except (ray.exceptions.RayError, ConnectionError) as error:
            raise DataError(
                f"{printable(address)}: the Ray cluster was lost ({_last_line(error)}); give the "
                "same command again: what was done so far is kept"
            ) from None


def _connect(ray: Any, address: str) -> None:
    _require_listener(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        options |= {"num_cpus": processors(), "include_dashboard": False}
        options |= {"object_store_memory": _OBJECTS}
    try:
        ray.init(address, **options)
    except Exception as error:  # it raises nearly anything
        raise _unreachable(address, _last_line(error)) from None


def _require_listener(address: str) -> None:
    """Raise DataError where nobody listens: Ray itself would try for minutes."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    if parts := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address):
        try:
            socket.create_connection((parts[1], int(parts[2])), timeout=_REACHED).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from None


def _unreachable(address: str, why: str) -> DataError:
    return DataError(
        f"{printable(address)}: no Ray cluster can be reached there ({why}); see what runs with: "
        "ray status; start one with: ray start --head; or use the processors of this machine: "
        "--ray local"
    )


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
    except ImportError:
        raise DependencyError(
            "a cluster needs the package ray; type: pip install 'mrnn[ray]', here and on all "
            "its machines"
        ) from None
    return ray


def _source(captioner: Captioner) -> str:
    """What opens the model elsewhere."""
    if captioner.device != "cpu":
        raise UsageError("workers of a cluster use processors only; add --device cpu")
    if not captioner.source:
        raise UsageError("a cluster needs a model that mrnn.load can open: a name, or a directory")
    return captioner.source


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1] if lines else type(error).__name__)
