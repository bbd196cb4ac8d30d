"""The rows about whole commands run, and say what they measured; how much is not tested."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import mrnn
from mrnn.errors import DataError
from mrnn.speed import processes
from mrnn.speed.benchmark import run_rows

IS_LINUX = Path("/proc/self/status").exists()
HAS_SERVER = importlib.util.find_spec("uvicorn") is not None


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    for name, value in {"_LIBRARY": 2, "_INDEXED": 2, "_ASKED": 3, "REPEATS": 1}.items():
        monkeypatch.setattr(processes, name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(mrnn.__file__).parents[1]))


def test_commands_are_timed_beside_an_import(monkeypatch):
    monkeypatch.setattr(processes, "_YARDSTICK", "json")
    [row] = run_rows(["cold-start"])
    parts = row.parts
    assert row.ratio == parts["caption seconds"] / parts["import seconds"] > 0
    for name in ("search", "missing"):
        assert parts[f"{name} ratio"] == parts[f"{name} seconds"] / parts["import seconds"]
    assert parts["help seconds"] > 0
    assert "import json" in row.meaning


def test_there_is_nothing_to_compare_with_without_pytorch(monkeypatch):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    [row] = run_rows(["cold-start"])
    assert row.line() == "cold-start     skipped: torch is not installed"


@pytest.mark.skipif(not (IS_LINUX and HAS_SERVER), reason="needs Linux and the server's packages")
def test_the_worst_share_of_what_is_allowed_counts(monkeypatch):
    monkeypatch.setattr(
        processes, "_ALLOWED", {"caption": 1e4, "index": 10, "idle server": 1e5, "server": 1e3}
    )
    [row] = run_rows(["memory"])
    assert set(row.parts) == {"caption MB", "index MB", "idle server MB", "server MB"}
    assert row.ratio == row.parts["index MB"] / 10
    assert all(30 < value < 5000 for value in row.parts.values())
    assert row.parts["server MB"] >= row.parts["idle server MB"]


def test_memory_is_told_by_linux_only(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_STATUS", f"{tmp_path}/{{}}")
    [row] = run_rows(["memory"])
    assert row.line() == "memory         skipped: only Linux tells how much a process held"


@pytest.mark.skipif(not IS_LINUX, reason="needs Linux")
def test_memory_without_the_packages_of_the_server(monkeypatch):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    [row] = run_rows(["memory"])
    assert row.line() == "memory         skipped: uvicorn is not installed"


@pytest.mark.skipif(not IS_LINUX, reason="needs Linux")
def test_a_peak_is_the_commands_own():
    """Neither what it has given back is forgotten, nor is this process counted."""
    here = bytearray(300_000_000)
    here[::4096] = bytes(len(here[::4096]))  # held for true
    code = "a = bytearray(100_000_000); a[::4096] = bytes(len(a[::4096])); del a"
    assert 100 < processes._peak([sys.executable, "-c", code]) < 200


def test_a_command_that_does_not_end_as_it_should():
    with pytest.raises(DataError, match="no such file"):
        processes.run_command([sys.executable, "-c", "import sys; sys.exit('no such file')"])
    with pytest.raises(DataError):
        processes.run_command([sys.executable, "-c", ""], fails=True)
