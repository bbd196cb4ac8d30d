"""The figures of docs/scale.md: galleries, what is kept, the table and the plots. No times here."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from models import mild_model
from mrnn.scoring.first_order import anchors, linearise
from mrnn.scoring.likelihoods import image_terms, log_likelihoods
from mrnn.speed import scale
from mrnn.speed.retrieval import Scene
from mrnn.speed.scale import CANDIDATE_COUNTS, Measured, measure, plots, table, write_gallery
from mrnn.speed.synthetic import synthetic_gallery
from mrnn.words.packing import Corpus

SENTENCES = [[4 + i % 8, *(4 + (i * j) % 8 for j in range(i % 6)), 4 + i // 8] for i in range(12)]
SOME = Measured(
    1000, np.array([9.0, 11, 10]), np.array([1.0, 3, 2]), np.array([40.0]), 5, 0, 0, 10**6, 99.5,
    100, dict(zip(CANDIDATE_COUNTS, range(60, 100, 4), strict=False)),
)  # fmt: skip


@pytest.fixture
def model():
    """With images that matter enough for first-order scores to be wrong at times."""
    model = mild_model()
    model.vi[:] *= 3
    return model


@pytest.fixture
def real():
    return np.random.default_rng(1).standard_normal((25, 6)).astype(np.float16)


def values(store, count: int) -> np.ndarray:
    return store.open(count)[np.arange(count)]


def test_a_gallery_grows_at_its_end(model, real, tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "_PART", 40)
    large = values(write_gallery(model, real, 100, tmp_path / "large"), 100)
    small = values(write_gallery(model, real, 30, tmp_path / "small"), 30)
    np.testing.assert_array_equal(small, large[:30])
    first = image_terms(model, synthetic_gallery(real, 40, 1)).astype(np.float16)
    np.testing.assert_array_equal(large[:40], first)
    second = image_terms(model, synthetic_gallery(real, 65, 2)).astype(np.float16)[25:]
    np.testing.assert_array_equal(large[40:80], second)
    assert len(np.unique(large, axis=0)) == 100


@pytest.mark.parametrize("codes_from", [50, 51])
def test_what_is_measured(model, real, tmp_path, monkeypatch, codes_from):
    monkeypatch.setattr(scale, "CODES_FROM", codes_from)
    monkeypatch.setattr(scale, "_POOL", 40)
    monkeypatch.setattr(scale, "_BLOCK", 16)
    monkeypatch.setattr(scale, "candidates", lambda pictures: 15)
    vectors = write_gallery(model, real, 50, tmp_path / "vectors").open(50)
    terms = vectors[np.arange(50)].astype(np.float32)
    centres = anchors(terms, 3)
    found = measure(model, Corpus(SENTENCES), centres, vectors, tmp_path / "codes", 5, 2)
    assert found.pictures == 50
    assert found.vector_bytes == 50 * 7 * 2
    assert (found.code_bytes > 0) == (found.built > 0) == (codes_from == 50)
    assert len(found.linearised) == len(found.searched) == len(found.total) == 12
    assert len(found.compared) == 2
    assert found.first_order == 100
    corpus = Corpus(SENTENCES[:5])
    exact = (-log_likelihoods(model, corpus, terms)).argsort(axis=1)[:, :10]
    first = (-linearise(model, corpus, centres).scores(terms)).argsort(axis=1)
    for count, percent in found.kept.items():
        right = [np.isin(exact[i], first[i, :count]).mean() for i in range(5)]
        assert percent == pytest.approx(100 * np.mean(right))
    assert found.candidates == 15
    assert found.kept[10] < found.kept[15] < found.kept[50] == 100


def test_what_the_index_misses_is_not_kept(model, real, tmp_path, monkeypatch):
    vectors = write_gallery(model, real, 50, tmp_path / "vectors").open(50)
    centres = anchors(vectors[np.arange(50)].astype(np.float32), 3)
    whole = scale.open_index

    def without_some(vectors, centres, path=None):
        return whole(vectors, centres, rows=np.arange(40))

    monkeypatch.setattr(scale, "open_index", without_some)
    found = measure(model, Corpus(SENTENCES), centres, vectors, tmp_path / "codes", 12, 1)
    assert found.first_order == pytest.approx(80)
    assert found.kept[1000] < 100


def test_the_table_shows_medians_and_95th_percentiles():
    coded = replace(SOME, pictures=100_000, built=1.25, code_bytes=2_500_000)
    lines = table([SOME, coded]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| 1,000 | 2 (3) | 12 (14) | 40 | 5 | 100 | 99.5% | 72.0% | 1 MB | - | - |"
    assert lines[3].startswith("| 100,000 |")
    assert lines[3].endswith("| 2.5 MB | 1.2 s |")


def test_the_plots_are_documents_of_their_own():
    drawings = plots([replace(SOME, pictures=n) for n in (10, 100, 1000, 10_000, 100_000)])
    assert list(drawings) == ["scale-time.svg", "scale-kept.svg"]
    for drawing in drawings.values():
        root = ElementTree.fromstring(drawing)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "prefers-color-scheme: dark" in root[0].text
        for name in ("curve", "c2", "c3", "dot", "d2", "grid", "end", "start", "name"):
            assert f".{name}" in root[0].text
    assert "10: 12.00" in drawings["scale-time.svg"]  # in all
    assert "10: 50.00" in drawings["scale-time.svg"]  # without codes
    assert "10: 10.00" in drawings["scale-time.svg"]  # to linearise
    assert "10: 60.00" in drawings["scale-kept.svg"]
    assert ">100,000<" in drawings["scale-kept.svg"]


def test_the_tool_measures_every_size(model, real, tmp_path, monkeypatch):
    path = Path(__file__).parents[2] / "tools" / "scale.py"
    spec = importlib.util.spec_from_file_location("scale_tool", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    scene = Scene(
        model, Corpus(SENTENCES), np.arange(12), real[:12], real, image_terms(model, real[12:])
    )
    monkeypatch.setattr(tool, "open_scene", lambda data: scene)
    found = tool.run(tmp_path, tmp_path, (20, 60))
    assert [m.pictures for m in found] == [20, 60]
    assert len(found[0].searched) == 12
