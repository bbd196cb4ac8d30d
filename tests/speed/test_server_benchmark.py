"""The server's row of the benchmark says what it measured; how fast is not tested."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from http_clients import live
from libraries import seeing
from mrnn.errors import DataError
from mrnn.server import Limits
from mrnn.speed import benchmark
from mrnn.speed import server as server_benchmark
from mrnn.speed.server import server_row


@pytest.fixture
def paths(picture):
    return [picture(f"{i}.jpg", seed=i) for i in range(20)]


def serving(monkeypatch, server) -> None:
    @contextmanager
    def port():
        yield server.port, 0

    monkeypatch.setattr(server_benchmark, "serving", port)


def test_every_picture_is_captioned_both_ways(paths, monkeypatch):
    with live(seeing()) as server:
        serving(monkeypatch, server)
        row = server_row(seeing(), paths)
        assert server.figure('mrnn_pictures_total{outcome="ok"}') == 4 * len(paths)
    assert row.ratio == pytest.approx(row.parts["images/s"] / row.parts["folder images/s"], rel=0.9)
    assert 0 < row.parts["p50 seconds"] <= row.parts["p99 seconds"]
    assert "8 clients" in row.line()


def test_an_answer_that_is_no_caption_stops_it(paths, monkeypatch):
    with live(seeing(), limits=Limits(requests=1)) as server:
        serving(monkeypatch, server)
        with pytest.raises(DataError, match="the server answered with 429"):
            server_row(seeing(), paths)


def test_a_server_that_does_not_start(monkeypatch):
    monkeypatch.setattr(server_benchmark.sys, "executable", "/bin/false")
    with (
        pytest.raises(DataError, match="the server did not start"),
        server_benchmark.serving(),
    ):
        pass


def test_without_the_packages_of_the_server(monkeypatch):
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
    assert benchmark.ROWS["server"]().line() == "server         skipped: uvicorn is not installed"
