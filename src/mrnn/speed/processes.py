"""The rows of `mrnn benchmark` about whole commands: how soon they answer, how much they hold."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from ..errors import DataError
from ..measuring import REPEATS, Row, timed
from .photos import MIXED, write_photos
from .server import ask, caption_request, serving

_YARDSTICK = "torch"  # the module whose import commands are compared with
_LIBRARY = 150  # photos that are searched
_INDEXED = 100  # photos of mixed sizes that are indexed
_ASKED = 200  # captions that the server writes
_ALLOWED = {"caption": 160, "index": 400, "idle server": 180, "server": 450}  # MB
_STATUS = "/proc/{}/status"  # of a process, by its number
_KIB = 1024 / 1e6  # in MB
# In a small process of its own: a command counts as no smaller than the process that starts it.
_PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def cold_start() -> Row:
    """How soon commands answer, beside the import of PyTorch, which none of them needs."""
    row = Row(
        "cold-start",
        f"`mrnn caption one.jpg` over `import {_YARDSTICK}`; over the same, `mrnn search` in a "
        f"library of {_LIBRARY} photos and `mrnn caption missing.jpg`",
        "<= 0.45, search <= 0.5, missing <= 0.2",
    )
    if importlib.util.find_spec(_YARDSTICK) is None:
        return replace(row, skipped=f"{_YARDSTICK} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        photos, library = Path(folder) / "photos", Path(folder) / "library"
        photos.mkdir()
        [first, *_] = write_photos(photos, _LIBRARY)
        run_command(_mrnn("index", photos, "--library", library))
        commands = {
            "import": [sys.executable, "-c", f"import {_YARDSTICK}"],
            "caption": _mrnn("caption", first),
            "search": _mrnn("search", "a dog runs", "--library", library),
            "missing": _mrnn("caption", photos / "missing.jpg"),
            "help": _mrnn("--help"),
        }
        rounds = [
            [
                timed(partial(run_command, c, fails=name == "missing"))[0]
                for name, c in commands.items()
            ]
            for _ in range(REPEATS)
        ]
    medians = map(statistics.median, zip(*rounds, strict=True))
    took = dict(zip(commands, medians, strict=True))
    parts = {f"{part} ratio": took[part] / took["import"] for part in ("search", "missing")}
    parts |= {f"{command} seconds": seconds for command, seconds in took.items()}
    return replace(row, ratio=took["caption"] / took["import"], parts=parts)


def memory() -> Row:
    """The peak of what commands hold, the worst share of what each is allowed."""
    allowed = ", ".join(f"{name} {limit} MB" for name, limit in _ALLOWED.items())
    row = Row(
        "memory",
        f"the most memory over what is allowed, the worst of `mrnn caption one.jpg`, `mrnn index` "
        f"of {_INDEXED} photos of mixed sizes, `mrnn serve` before and after {_ASKED} captions "
        f"({allowed})",
        "<= 1",
    )
    if not Path(_STATUS.format("self")).exists():
        return replace(row, skipped="only Linux tells how much a process held")
    if importlib.util.find_spec("uvicorn") is None:
        return replace(row, skipped="uvicorn is not installed")
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        paths = write_photos(photos, _INDEXED, MIXED)
        held = {
            "caption": _peak(_mrnn("caption", paths[0])),
            "index": _peak(_mrnn("index", photos, "--library", Path(folder) / "library")),
        }
        requests = [caption_request(path.read_bytes()) for path in paths]
        with serving() as (port, process):
            held["idle server"] = most_held(process)
            asyncio.run(ask(port, list(islice(cycle(requests), _ASKED))))
            held["server"] = most_held(process)
    worst = max(held[name] / limit for name, limit in _ALLOWED.items())
    return replace(row, ratio=worst, parts={f"{name} MB": mb for name, mb in held.items()})


def _mrnn(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "mrnn", *map(str, arguments)]


def run_command(command: list[str], fails: bool = False) -> str:
    """What a command prints; raises DataError unless it ends as it should."""
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603, PLW1510
    if done.returncode != int(fails):
        raise DataError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _peak(command: list[str]) -> float:
    """The most memory that a command holds until it ends, MB."""
    return int(run_command([sys.executable, "-c", _PEAK, *command])) * _KIB


def most_held(process: int) -> float:
    """The most memory that a running process has held, MB."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(_STATUS.format(process)).read_text())
    assert found is not None  # noqa: S101 - so Linux writes it
    return int(found[1]) * _KIB
