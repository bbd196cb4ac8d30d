"""Mixed traffic for `mrnn serve`, good and bad, each request with what has to become of it.

    python benchmarks/traffic.py --images DIR [--library DIR] [--minutes 30] [--clients 8]

Starts a server of its own, or asks that of --url. At the end: how many requests of each kind had
which outcome, how long they took, and the server's memory after warm-up and at the end. Exits with
1 if an outcome was not the intended one, if the server wrote anything to its log or did not end
well, or if its memory grew by more than a tenth after warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

import traffic_bad
import traffic_good
from mrnn.commands.console import note, progress
from mrnn.images.finding import find_images
from traffic_good import Kind
from traffic_target import PATIENCE, Target, WrongError

SAMPLE = 10.0  # seconds between two looks at the memory
WARM_UP = 1 / 6  # of the time: 5 minutes of 30
GROWTH = 1.1  # the most that memory may be at the end, over that after warm-up
BAD = 0.3  # the share of bad requests
SLOW_CLIENTS = 3  # beside the others


@dataclass
class Log:
    """What happened so far."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    unexpected: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, bytes
    came_back: int = 0  # requests that were told to, with 429


def main() -> int:
    """Run, report, and say by the exit code whether all went as intended."""
    options = _options()
    log = Log()
    with _server(options) as (url, ended):
        seconds = asyncio.run(_run(url, options, log))
    faults = [*log.unexpected, *ended]
    memory = _memory(log.memory, seconds)
    if (grew := memory["end_over_warm"]) is not None and grew > GROWTH:
        faults.append(f"memory grew by {grew - 1:.0%} after warm-up")
    document = _document(log, seconds, memory, faults)
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    print("\n".join(_lines(document)))
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures to send")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--url", help="of a server that runs; by default one is started")
    parser.add_argument("--library", type=Path, help="for the server that is started")
    parser.add_argument("--model", help="for the server that is started")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file to write the report to")
    return parser.parse_args()


@contextmanager
def _server(options: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """The address of a server; what was wrong with it is in the list afterwards."""
    ended: list[str] = []
    if options.url is not None:
        yield options.url, ended
        return
    command = [sys.executable, "-m", "mrnn", "serve", "--port", "0"]
    for name in ("library", "model"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    with (
        tempfile.NamedTemporaryFile("r+") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            url = _address(server, Path(log.name))
            yield url, ended
        finally:
            server.terminate()
            code = server.wait(60)
        ended += [f"the server's log: {line}" for line in log.read().splitlines()[1:50]]
    if code != 0:
        ended.append(f"the server ended with {code}")


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server listens, once it says so."""
    while not (found := re.search(r"^mrnn: (http://\S+)\n", log.read_text(), re.MULTILINE)):
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.1)
            sys.exit(f"the server did not start: {log.read_text()}")
    return found.group(1)


async def _run(url: str, options: argparse.Namespace, log: Log) -> float:
    """Have all clients ask until the time is up; the seconds that it took."""
    photos = find_images([options.images]).images
    async with httpx2.AsyncClient(
        base_url=url,
        timeout=PATIENCE,
        limits=httpx2.Limits(max_connections=None),
        event_hooks={"response": [_require_id]},
    ) as http:
        target = Target(url, photos, http)
        await target.learn()
        good, bad = traffic_good.kinds(target), traffic_bad.kinds()
        slow = traffic_bad.slow_kinds()
        started = time.monotonic()
        end = started + 60 * options.minutes
        async with asyncio.TaskGroup() as group:
            for i in range(options.clients):
                draw = random.Random(f"{options.seed} {i}")
                group.create_task(_client(target, good, bad, draw, end, log))
            for i in range(SLOW_CLIENTS):
                draw = random.Random(f"{options.seed} slow {i}")
                group.create_task(_client(target, slow, slow, draw, end, log))
            group.create_task(_watch(target, started, end, log))
        return time.monotonic() - started


async def _require_id(response: httpx2.Response) -> None:
    if "x-request-id" not in response.headers:
        raise WrongError("an answer without X-Request-ID")


async def _client(
    target: Target,
    good: Sequence[Kind],
    bad: Sequence[Kind],
    draw: random.Random,
    end: float,
    log: Log,
) -> None:
    """One client: a request after the other."""
    while time.monotonic() < end:
        among = bad if draw.random() < BAD else good
        [kind] = draw.choices(among, [kind.weight for kind in among])
        started = time.monotonic()
        found = await _asked(target, kind, draw)
        if found.startswith("429"):  # not what it is about: it comes back
            log.came_back += 1
            await asyncio.sleep(1)
            continue
        log.outcomes[kind.name][found] += 1
        log.seconds[kind.name].append(time.monotonic() - started)
        if found not in kind.expected:
            log.unexpected.append(f"{kind.name}: {found}")
            note(f"unexpected: {kind.name}: {found}")


async def _asked(target: Target, kind: Kind, draw: random.Random) -> str:
    try:
        return await kind.ask(target, draw)
    except WrongError as error:
        return f"wrong: {error}"
    except Exception as error:
        return f"failed: {error!r}"


async def _watch(target: Target, started: float, end: float, log: Log) -> None:
    """Note the memory now and then, and show how far it has come."""
    with progress("traffic", "seconds") as show:
        while (now := time.monotonic()) < end:
            with suppress(httpx2.HTTPError):
                log.memory.append((now - started, await target.memory()))
            asked = sum(map(Counter.total, log.outcomes.values()))
            megabytes = log.memory[-1][1] / 1e6 if log.memory else 0
            remark = f"{asked:,} requests, {len(log.unexpected)} unexpected, {megabytes:,.0f} MB"
            show(int(now - started), int(end - started), remark)
            await asyncio.sleep(min(SAMPLE, max(end - now, 0)))


def _document(
    log: Log, seconds: float, memory: dict[str, Any], faults: Sequence[str]
) -> dict[str, Any]:
    """The report as JSON: seconds, bytes."""
    return {
        "seconds": round(seconds, 1),
        "requests": sum(map(Counter.total, log.outcomes.values())),
        "came_back": log.came_back,
        "kinds": {
            name: {
                "outcomes": dict(outcomes),
                "p50": round(float(np.percentile(log.seconds[name], 50)), 4),
                "p99": round(float(np.percentile(log.seconds[name], 99)), 4),
            }
            for name, outcomes in sorted(log.outcomes.items())
        },
        "memory": memory,
        "faults": list(faults),
    }


def _memory(samples: Sequence[tuple[float, float]], seconds: float) -> dict[str, Any]:
    """Medians of resident bytes about the end of warm-up and the end, and the slope in between."""
    after = [sample for sample in samples if sample[0] >= WARM_UP * seconds]
    if len(after) < 4:
        return {"warm": None, "end": None, "end_over_warm": None, "slope_per_hour": None}
    times, sizes = np.array(after).T
    few = max(1, len(after) // 8)
    warm, end = float(np.median(sizes[:few])), float(np.median(sizes[-few:]))
    slope = float(np.polyfit(times, sizes, 1)[0] * 3600)
    return {
        "warm": warm,
        "end": end,
        "end_over_warm": round(end / warm, 4),
        "slope_per_hour": slope,
        "samples": [(round(t, 1), size) for t, size in samples],
    }


def _lines(document: dict[str, Any]) -> Iterator[str]:
    """The report as text."""
    yield f"{'kind':24} {'p50 s':>8} {'p99 s':>8}  outcomes"
    for name, kind in document["kinds"].items():
        outcomes = ", ".join(f"{found}: {count:,}" for found, count in kind["outcomes"].items())
        yield f"{name:24} {kind['p50']:8.3f} {kind['p99']:8.3f}  {outcomes}"
    yield (
        f"{document['requests']:,} requests in {document['seconds']:,.0f} s; "
        f"{document['came_back']:,} were told to come back"
    )
    memory = document["memory"]
    if memory["warm"] is not None:
        yield (
            f"memory: {memory['warm'] / 1e6:,.0f} MB after warm-up, {memory['end'] / 1e6:,.0f} MB "
            f"at the end, slope {memory['slope_per_hour'] / 1e6:+,.0f} MB/hour"
        )
    yield f"{len(document['faults'])} faults"
    yield from (f"  {fault}" for fault in document["faults"][:100])


if __name__ == "__main__":
    sys.exit(main())
