"""What a server counts, for Prometheus to read at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"})


class Telemetry:
    """The figures of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory and processor time
        self._requests = Counter(
            "mrnn_requests", "Answers.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "mrnn_request_seconds",
            "From the request's headers to the end of the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "mrnn_stage_seconds",
            "read: the request arrives; decode: its pictures; wait: for the model; model: at work.",
            ("stage",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batch = Histogram(
            "mrnn_batch_items",
            "Items that the model worked on together.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self._registry,
        )
        self._pictures = Counter(
            "mrnn_pictures",
            "Pictures sent, by what became of them.",
            ("outcome",),
            registry=self._registry,
        )
        self._rejections = Counter(
            "mrnn_rejections", "Requests refused, by code.", ("code",), registry=self._registry
        )

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for at each reading."""
        Gauge(name, meaning, registry=self._registry).set_function(value)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is the path's pattern, not what was asked for."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def rejected(self, code: str) -> None:
        """Count a request that was refused."""
        self._rejections.labels(code).inc()

    def picture(self, outcome: str) -> None:
        """Count a picture: "ok", or the code of its error."""
        self._pictures.labels(outcome).inc()

    def worked(self, waited: float, worked: float, items: int) -> None:
        """Count a batch of the model."""
        self._stages.labels("wait").observe(waited)
        self._stages.labels("model").observe(worked)
        self._batch.observe(items)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Take the time of a stage."""
        started = monotonic()
        try:
            yield
        finally:
            self._stages.labels(name).observe(monotonic() - started)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)
