"""Rows that compare our encoder with larger networks: what is run, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import mrnn
from libraries import seeing
from mrnn.speed import peers
from mrnn.speed.benchmark import run_rows
from mrnn.speed.vision_transformers import VisionTransformer

TINY = VisionTransformer(16, 8, 16, 2, 2, 32, "QuickGelu", normed_patches=True, feature=6)
IS_LINUX = Path("/proc/self/status").exists()
SPEEDS = {  # images/s by network and batch
    "ours": {1: 90.0, 4: 60.0},
    "fp32": {1: 2.0, 4: 3.0},
    "8 bits": {1: 5.0, 4: 9.0},
}


@pytest.fixture
def counters(monkeypatch, tmp_path):
    """Two processors and a part of one that count what they use."""
    files = [tmp_path / name / "energy_uj" for name in ("intel-rapl:0", "intel-rapl:1")]
    for file in [*files, tmp_path / "intel-rapl:0:0" / "energy_uj"]:
        file.parent.mkdir()
        file.write_text("1000000\n")
    monkeypatch.setattr(peers, "_POWERCAP", tmp_path)
    return files


@pytest.mark.parametrize("name", peers.PEERS)
def test_each_network_is_taken_at_its_best_batch_and_the_peer_at_its_best_precision(
    monkeypatch, tmp_path, name
):
    asked = []

    def measured(name, network, batch):
        asked.append((network, batch))
        return {"images/s": SPEEDS[network][batch], "MB": 100.0 * batch}

    monkeypatch.setattr(peers, "_BATCHES", (1, 4))
    monkeypatch.setattr(peers, "_POWERCAP", tmp_path)
    monkeypatch.setattr(peers, "_measured", measured)
    [row] = run_rows([name])
    assert asked == [(n, batch) for batch in (1, 4) for n in ("ours", "fp32", "8 bits")]
    assert row.ratio == 90 / 9
    assert row.parts == {
        "images/s": 90.0,
        "MB": 100.0,
        "images at once": 1,
        "fp32 images/s": 3.0,
        "fp32 MB": 400.0,
        "fp32 images at once": 4,
        "8 bits images/s": 9.0,
        "8 bits MB": 400.0,
        "8 bits images at once": 4,
    }
    assert row.meaning.endswith("of energy the machine does not tell")


@pytest.mark.parametrize("network", ["ours", "fp32", "8 bits"])
def test_a_network_is_measured(monkeypatch, tmp_path, network):
    monkeypatch.setattr(peers, "PEERS", {"tiny": ("a tiny one", TINY, ">= 1")})
    monkeypatch.setattr(peers, "load", lambda device: seeing())
    monkeypatch.setattr(peers, "_POWERCAP", tmp_path)
    found = peers.measure("tiny", network, 2, least=0.0)
    assert set(found) == ({"images/s", "MB"} if IS_LINUX else {"images/s"})
    assert all(value > 0 for value in found.values())


def test_energy_is_told_where_processors_count_it(monkeypatch, counters):
    assert peers._joules() == 2.0
    used = iter([1.0, 7.0])
    monkeypatch.setattr(peers, "_joules", lambda: next(used))
    monkeypatch.setattr(peers, "PEERS", {"tiny": ("a tiny one", TINY, ">= 1")})
    assert peers.measure("tiny", "fp32", 3, least=0.0)["J an image"] == 2.0


def test_counters_that_began_anew_or_cannot_be_read_tell_nothing(monkeypatch, counters):
    used = iter([7.0, 1.0])
    monkeypatch.setattr(peers, "PEERS", {"tiny": ("a tiny one", TINY, ">= 1")})
    with monkeypatch.context() as patched:
        patched.setattr(peers, "_joules", lambda: next(used))
        assert "J an image" not in peers.measure("tiny", "fp32", 1, least=0.0)
    counters[0].unlink()
    assert peers._joules() is None


def test_a_process_of_its_own_measures(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(mrnn.__file__).parents[1]))
    monkeypatch.setattr(peers, "_SECONDS", 0.0)
    found = peers._measured("clip-image", "ours", 1)
    assert found["images/s"] > 0
