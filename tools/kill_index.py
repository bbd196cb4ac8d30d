"""Kill `mrnn index` again and again: python tools/kill_index.py [--kills 60] [--photos 320]

Makes photos of random blocks, and a library of them without any interruption. Then makes another
library of the same photos in processes that are killed (SIGKILL) at random moments, every second
one in its next transaction after that moment, until one comes to its end after so many kills. Both
libraries must be the same: every byte of the vectors, every row of the catalogue, and what a search
finds. The first half of the processes finds half of the photos; then all are there, some renamed
and some gone. Prints a line of JSON. Seed 1 throughout; the model is the one that is shipped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

import mrnn.captioner  # noqa: F401 - forked children have it
from mrnn import Library
from mrnn.commands.cli import app
from mrnn.library import describing

PART = 4  # photos a transaction: a process spends more of its time in writing
SENTENCE = "a dog runs in the snow"
STATEMENTS = (
    "SELECT name, CAST(value AS TEXT) FROM facts ORDER BY name",
    "SELECT path FROM roots",
    "SELECT digest, row, width, height, caption, perplexity, error FROM contents ORDER BY digest",
    "SELECT path, size, mtime_ns, digest FROM files LEFT JOIN contents ON content = id",
)


def make_photos(folder: Path, count: int) -> None:
    lots = np.random.default_rng(1)
    for number in range(count):
        blocks = lots.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((320, 240)).save(folder / f"{number:05}.jpg")


def change(folder: Path, waiting: Path, count: int) -> None:
    """The other half of the photos comes, of the first half some are renamed and some deleted."""
    for path in sorted(waiting.iterdir()):
        path.rename(folder / path.name)
    for number in range(0, count // 2, 10):
        path = folder / f"{number:05}.jpg"
        path.rename(folder / f"renamed-{number}.jpg") if number % 20 else path.unlink()


def start(arguments: list[str]) -> int:
    """A process that runs `mrnn index`; returns its number."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        try:
            app(["index", *arguments])
        except SystemExit as end:
            os._exit(int(end.code or 0))
    return child


def killed(arguments: list[str], seconds: float, journal: Path | None, more: float) -> bool:
    """Kill a process after some seconds; returns whether it was still at work.

    Given a journal, it is killed some seconds more after that is there next.
    """
    child, end = start(arguments), time.monotonic() + seconds
    while (waits := time.monotonic() < end) or (journal and not journal.exists()):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status):
                sys.exit(f"mrnn index ended with {os.waitstatus_to_exitcode(status)}")
            return False
        time.sleep(0.002 if waits else 0)
    time.sleep(more if journal else 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def finish(arguments: list[str]) -> float:
    """Run to the end; returns the seconds it took."""
    started = time.monotonic()
    _, status = os.waitpid(start(arguments), 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"mrnn index ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started


def left_behind(folder: Path) -> str:
    """What a killed process leaves: a transaction to be taken back, rows that do not count yet."""
    if not (folder / "catalogue.sqlite").exists():
        return "before the library"
    if (folder / "catalogue.sqlite-journal").exists():
        return "in a transaction"
    with contextlib.closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection:
        [(rows,)] = connection.execute("SELECT value FROM facts WHERE name = 'rows'")
    size = sum(path.stat().st_size for path in (folder / "vectors").glob("*"))
    return "between vectors and catalogue" if size > int(rows) * 1024 else "elsewhere"


def dump(folder: Path) -> list[object]:
    with contextlib.closing(sqlite3.connect(folder / "catalogue.sqlite")) as connection:
        found: list[object] = [connection.execute(s).fetchall() for s in STATEMENTS]
        [(rows,)] = connection.execute("SELECT value FROM facts WHERE name = 'rows'")
    content = b"".join(path.read_bytes() for path in sorted((folder / "vectors").glob("*")))
    return [*found, content[: int(rows) * 1024]]


def main(kills: int, count: int) -> None:
    describing.BATCH = PART
    lots = np.random.default_rng(1)
    where, left = Counter[str](), 0
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        photos, waiting = top / "photos", top / "waiting"
        photos.mkdir()
        waiting.mkdir()
        make_photos(photos, count)
        for path in sorted(photos.iterdir())[count // 2 :]:
            path.rename(waiting / path.name)
        part = [os.fspath(photos), "-l", os.fspath(top / "killed")]
        whole = [os.fspath(photos), "-l", os.fspath(top / "whole")]
        seconds = finish(whole)
        idle = finish(whole)  # the time of a process with nothing to do
        a_part = (seconds - idle) / (count / 2 / PART)
        for half in range(2):
            so_far = 0
            while so_far < kills // 2:
                journal = top / "killed" / "catalogue.sqlite-journal" if so_far % 2 else None
                seconds_to_live = lots.uniform(0.3 * idle, idle + 3 * a_part)
                if killed(part, seconds_to_live, journal, lots.uniform(0, 0.01)):
                    so_far += 1
                    where[left_behind(top / "killed")] += 1
                else:
                    left += 1
                    if left > kills:
                        break
            finish(part)
            if not half:
                change(photos, waiting, count)
                finish(whole)
        same = dump(top / "whole") == dump(top / "killed")
        with Library.open(top / "whole") as one, Library.open(top / "killed") as other:
            alike = one.search(SENTENCE) == other.search(SENTENCE)
            pictures = one.catalogue.counts()["pictures"]
    found = {
        "kills": sum(where.values()),
        "where": dict(where),
        "came_to_their_end": left,
        "photos": count,
        "pictures": pictures,
        "libraries_identical": same,
        "searches_identical": alike,
        "seconds_uninterrupted": round(seconds, 1),
    }
    print(json.dumps(found))
    sys.exit(0 if same and alike else 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--photos", type=int, default=320)
    given = parser.parse_args()
    main(given.kills, given.photos)
