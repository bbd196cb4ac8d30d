"""The traffic of benchmarks/traffic.py: each kind of request has its outcome; a run is reported."""

from __future__ import annotations

import asyncio
import json
import random
import sys

import httpx2
import pytest

import traffic
import traffic_bad
import traffic_good
from http_clients import Live, live
from libraries import seeing, threshold
from mrnn.library.library import Library
from mrnn.server import Limits
from traffic_target import Target, WrongError, outcome, raw_outcome

LIMITS = Limits(sending=1.0, requests=16)
pytestmark = pytest.mark.filterwarnings(  # Starlette leaves the file of a part without end open
    "ignore:Unclosed file <tempfile.Spooled:ResourceWarning"
)


@pytest.fixture
def photos(picture, tmp_path):
    return [picture(f"{i}.jpg", seed=i, folder=tmp_path / "photos") for i in range(4)]


@pytest.fixture
def server(photos, tmp_path):
    captioner = seeing(match=threshold())
    with Library.open(tmp_path / "library", captioner) as library:
        library.add(photos)
        with live(captioner, library, LIMITS) as found:
            yield found


def asked(server: Live, photos, kinds, together: bool = False) -> dict[str, str]:
    """What became of a request of each kind."""

    async def ask() -> dict[str, str]:
        async with httpx2.AsyncClient(base_url=server.url, timeout=30) as http:
            target = Target(server.url, photos, http)
            await target.learn()
            draw = random.Random(1)
            found = kinds(target)
            if together:
                outcomes = await asyncio.gather(*(traffic._asked(target, k, draw) for k in found))
            else:
                outcomes = [await traffic._asked(target, k, draw) for k in found]
            return dict(zip(found, outcomes, strict=True))

    return asyncio.run(ask())


def test_good_requests(server, photos):
    found = asked(server, photos, traffic_good.kinds)
    assert len(found) > 15
    assert {kind.name: o for kind, o in found.items() if o not in kind.expected} == {}


def test_bad_requests(server, photos):
    found = asked(server, photos, lambda target: traffic_bad.kinds())
    assert len(found) > 40
    assert {kind.name: o for kind, o in found.items() if o not in kind.expected} == {}


def test_slow_requests(server, photos):
    found = asked(server, photos, lambda target: traffic_bad.slow_kinds(), True)
    assert {kind.name: o for kind, o in found.items() if o not in kind.expected} == {}


def test_requests_without_a_library(photos):
    with live(seeing(), limits=LIMITS) as server:
        found = asked(server, photos, lambda target: traffic_good.kinds(target)[-1:])
    assert {kind.name: o for kind, o in found.items()} == {"search, no library": "404 no-library"}


def run(monkeypatch, capsys, *options: object) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["traffic.py", *map(str, options)])
    return traffic.main(), capsys.readouterr().out


def test_a_run_is_reported(server, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(traffic, "SAMPLE", 0.1)
    monkeypatch.setattr(traffic, "GROWTH", 100)
    options = ("--url", server.url, "--images", photos[0].parent, "--minutes", 0.08)
    code, told = run(monkeypatch, capsys, *options, "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["faults"] == []
    assert code == 0
    assert report["requests"] == sum(
        sum(kind["outcomes"].values()) for kind in report["kinds"].values()
    )
    assert report["kinds"]["caption greedy"]["p99"] >= report["kinds"]["caption greedy"]["p50"] > 0
    assert report["memory"]["warm"] > 1e6
    assert "caption greedy" in told
    assert "MB after warm-up" in told
    assert told.endswith("\n0 faults\n")


def test_what_is_not_intended_is_a_fault(server, photos, monkeypatch, capsys):
    def fail(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr(server.captioner, "caption_pixels", fail)
    options = ("--url", server.url, "--images", photos[0].parent, "--minutes", 0.03)
    code, told = run(monkeypatch, capsys, *options)
    assert code == 1
    assert "caption greedy: 500 internal" in told


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (httpx2.Response(500, text="oh"), "500 without a problem document"),
        (httpx2.Response(429, text="oh"), "429 without a time to come back"),
        (httpx2.Response(404, headers={"content-type": "application/problem+json"}, content=b"{}"),
         "a problem document without type"),
    ],
)  # fmt: skip
def test_answers_that_are_none(response, told):
    with pytest.raises(WrongError, match=told):
        outcome(response)


def test_outcomes_of_bare_answers():
    assert raw_outcome(b"") == "closed"
    assert raw_outcome(b"HTTP/1.1 204 No Content\r\n\r\n") == "204"


def test_memory_is_compared_with_that_after_warm_up():
    samples = [(float(t), 100.0 if t < 10 else 200.0 + t) for t in range(0, 61, 2)]
    found = traffic._memory(samples, 60)
    assert found["warm"] == 212.0
    assert found["end"] == 258.0
    assert found["slope_per_hour"] == pytest.approx(3600)
    assert traffic._memory(samples[:3], 60)["end_over_warm"] is None
