"""The table of speeds: which rows there are, what is skipped, and that they run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import mrnn
from libraries import seeing
from mrnn.captioner import Captioner
from mrnn.errors import UsageError
from mrnn.measuring import Row
from mrnn.speed import benchmark
from mrnn.speed.benchmark import run_rows

LEARNING = ["training", "training-lstm", "image-learning", "encoder", "blip"]


def test_all_rows_are_measured_unless_some_are_named(monkeypatch):
    asked = []

    def row(name):
        return lambda *data: asked.append((name, *data)) or Row(name, "a over b", ">= 1", 1.0, {})

    monkeypatch.setattr(benchmark, "ROWS", {"one": row("one"), "two": row("two")})
    monkeypatch.setattr(benchmark, "RETRIEVAL_ROWS", {"three": row("three")})
    assert [found.name for found in run_rows([])] == ["one", "two", "three"]
    assert asked == [("one",), ("two",), ("three", None)]
    assert [found.name for found in run_rows(["three", "one"], Path("data"))] == ["three", "one"]
    assert asked[3:] == [("three", Path("data")), ("one",)]
    with pytest.raises(UsageError, match="unknown row 'four'; known: one, two, three"):
        list(run_rows(["one", "four"]))
    assert len(asked) == 5  # nothing is measured before all names are known


@pytest.mark.parametrize("name", LEARNING)
def test_without_pytorch_rows_about_it_are_skipped_by_name(monkeypatch, name):
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda package: None)
    [row] = run_rows([name])
    assert row.ratio is None
    assert row.meaning
    assert row.line() == f"{name:14} skipped: torch is not installed"


def test_the_table_itself_does_not_need_pytorch():
    code = "import sys, mrnn.speed.benchmark; print('torch' in sys.modules)"
    path = f"import sys; sys.path.insert(0, {str(Path(mrnn.__file__).parents[1])!r}); "
    done = subprocess.run([sys.executable, "-c", path + code], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]


def test_eight_bits_are_compared_with_floats_of_the_same_network(monkeypatch):
    def noted(device, precision):
        found = seeing()
        encoder = replace(
            found.encoder,
            encode=lambda pixels: asked.append(precision) or pixels.mean(axis=(2, 3)) + 1,
            precision=precision,
        )
        return Captioner(found.bundle, encoder)

    asked = []
    monkeypatch.setattr(benchmark, "load", noted)
    [row] = run_rows(["eight-bits"])
    assert set(asked) == {8, 32}
    assert row.ratio == row.parts["images/s"] / row.parts["fp32 images/s"] > 0
    assert row.parts["least cosine"] == pytest.approx(1)


def few_photos(folder, count, sizes=()):
    return mrnn.speed.photos.write_photos(folder, min(count, 4), [(64, 48), (48, 64)])


@pytest.mark.parametrize("name", ["folder", "index"])
def test_rows_about_photos_run(monkeypatch, name):
    monkeypatch.setattr(benchmark, "load", lambda device: seeing())
    monkeypatch.setattr(benchmark, "write_photos", few_photos)
    [row] = run_rows([name])
    assert 0 < row.ratio < float("inf")
    assert set(row.parts) == {"images/s", "decode images/s", "encode images/s"}
    whole, *alone = row.parts.values()
    assert row.ratio == pytest.approx(whole * sum(1 / speed for speed in alone))
