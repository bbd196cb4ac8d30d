"""One thread that does the work of many: jobs of one kind that wait together are done together.

While a batch is worked on, the next one gathers; nothing waits for company.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from weakref import ref

Work = Callable[[list[Any]], Sequence[Any]]  # items to results, one each
OnDone = Callable[[float, float, int], None]  # seconds waited, seconds worked, items


@dataclass(eq=False)
class _Job:
    kind: Hashable | None  # jobs of one kind may be done together; None: alone
    items: list[Any]
    work: Work
    future: Future[list[Any]] = field(default_factory=Future)
    entered: float = field(default_factory=time.monotonic)


class Batcher:
    """A queue of jobs and the thread that empties it, which ends with the process at the latest."""

    def __init__(self, largest: int, on_done: OnDone = lambda waited, worked, items: None) -> None:
        self._largest = largest  # items of a batch of several jobs
        self._on_done = on_done
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def submit(self, kind: Hashable | None, items: Sequence[Any], work: Work) -> Future[list[Any]]:
        """Have work done on items; what it returns or raises is the future's.

        Jobs of the same kind that wait may be done by one call of the work of the first. A future
        that is cancelled before its turn costs nothing. Raises RuntimeError once closed.
        """
        job = _Job(kind, list(items), work)
        with self._changed:
            if self._closing:
                raise RuntimeError("closed")
            self._waiting.append(job)
            self._changed.notify()
        there = ref(job)  # a job and its future that held each other would stay for long
        job.future.add_done_callback(
            lambda future: self._drop(there()) if future.cancelled() else None
        )
        return job.future

    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def close(self, patience: float) -> None:
        """Cancel what waits, and wait so many seconds for what is being done."""
        with self._changed:
            self._closing = True
            waiting = list(self._waiting)
            self._changed.notify()
        for job in waiting:
            job.future.cancel()
        self._thread.join(patience)

    def _run(self) -> None:
        while batch := self._next():
            started = time.monotonic()
            waited = started - batch[0].entered
            items = sum(len(job.items) for job in batch)
            outcomes = _work(batch)
            self._on_done(waited, time.monotonic() - started, items)  # told before it is answered
            for job, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    job.future.set_exception(outcome)
                else:
                    job.future.set_result(outcome)
            del batch, outcomes, job, outcome  # nothing is kept while the thread waits

    def _drop(self, job: _Job | None) -> None:
        with self._changed:
            if job is not None and job in self._waiting:  # it may have had its turn just now
                self._waiting.remove(job)

    def _next(self) -> list[_Job]:
        """The oldest job and those of its kind; none once closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return []
                batch = [job for job in self._taken() if job.future.set_running_or_notify_cancel()]
                if batch:
                    return batch

    def _taken(self) -> list[_Job]:
        first = self._waiting.popleft()
        taken, room = [first], self._largest - len(first.items)
        if first.kind is not None:
            for job in [job for job in self._waiting if job.kind == first.kind]:
                if len(job.items) > room:
                    break
                self._waiting.remove(job)
                taken.append(job)
                room -= len(job.items)
        return taken


def _work(batch: Sequence[_Job]) -> list[list[Any] | BaseException]:
    """Do jobs together; if that fails, each alone, so that none suffers for another."""
    try:
        results = iter(batch[0].work([item for job in batch for item in job.items]))
        return [list(islice(results, len(job.items))) for job in batch]
    except BaseException as error:
        if len(batch) == 1:
            return [error]
        return [outcome for job in batch for outcome in _work([job])]
