"""The retrieval rows of the benchmark run and say what they measured; how fast is not tested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import mild_model
from mrnn import measuring
from mrnn.evaluation.ranks import image_ranks, recall_at
from mrnn.model.normaliser import float_normaliser
from mrnn.scoring.likelihoods import image_terms, log_likelihoods, log_prior
from mrnn.speed import retrieval as retrieval_benchmark
from mrnn.speed.retrieval import ROWS, Scene, open_scene
from mrnn.words.packing import Corpus

SENTENCES = [[4 + i % 8, *(4 + (i * j) % 8 for j in range(i % 6)), 4 + i // 8] for i in range(30)]


@pytest.fixture
def scene(monkeypatch):
    """A few sentences and pictures in place of Flickr8K's, and a short look at the processor."""
    model = mild_model()
    model.vi[:] *= 2  # images may change log P so much that first-order scores err
    features = np.random.default_rng(1).standard_normal((25, 6)).astype(np.float16)
    found = Scene(
        model,
        Corpus(SENTENCES),
        np.arange(30) % 20,
        features[:20],
        features,
        image_terms(model, features[20:]),
    )
    monkeypatch.setattr(retrieval_benchmark, "open_scene", lambda data: found)
    sizes = {
        "_GALLERY": 60,
        "_QUERIES": 7,
        "_GALLERY_QUERIES": 5,
        "_WHOLE_QUERIES": 4,
        "_EVALUATED": (10, 8),
        "_LIBRARIES": (40, 70),
    }
    for name, value in sizes.items():
        monkeypatch.setattr(retrieval_benchmark, name, value)
    monkeypatch.setattr(measuring, "_GEMM_SIDES", (16, 32))
    retrieval_benchmark._scoring_seconds.cache_clear()
    yield found
    retrieval_benchmark._scoring_seconds.cache_clear()


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("name", ROWS)
def test_rows_run(name):
    row = ROWS[name](None)
    assert row.name == name
    assert row.meaning
    assert row.aim
    assert row.line().startswith(name)
    assert 0 < row.ratio < float("inf")
    assert all(value >= 0 for value in row.parts.values())
    assert f"{row.ratio:.2f}" in row.line()


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("name", ["images", "images-100k", "sentences"])
def test_with_every_item_a_candidate_all_of_the_best_are_kept(name):
    assert ROWS[name](None).parts["same top 10 %"] == 100


@pytest.mark.usefixtures("scene")
def test_a_whole_query_finds_the_same():
    parts = ROWS["query"](None).parts
    assert parts["same top 10 %"] == 100
    assert parts["log P(s) largest error nats"] < 0.01


@pytest.mark.usefixtures("scene")
@pytest.mark.parametrize("row", ["images", "sentences"])
def test_with_few_candidates_some_are_lost(monkeypatch, row):
    monkeypatch.setattr(retrieval_benchmark, "IMAGE_CANDIDATES", 2)
    monkeypatch.setattr(retrieval_benchmark, "SENTENCE_CANDIDATES", 2)
    assert 20 < ROWS[row](None).parts["same top 10 %"] < 95  # first-order scores order the others


def test_what_is_kept_is_of_exact_scores(monkeypatch, scene):
    """The two stages are held against the exact scores, not the other way round."""
    asked = []
    monkeypatch.setattr(retrieval_benchmark, "kept", lambda *given: asked.append(given) or (1,))
    monkeypatch.setattr(retrieval_benchmark, "fast_normaliser", float_normaliser)
    monkeypatch.setattr(retrieval_benchmark, "RESCORED", 50)  # all
    monkeypatch.setattr(retrieval_benchmark, "_QUERIES", 30)
    ROWS["images"](None)
    ROWS["sentences"](None)
    exact = log_likelihoods(scene.model, scene.corpus, image_terms(scene.model, scene.features))
    prior = log_prior(scene.model, scene.corpus, scene.prior_terms)
    (_, images, *_), (_, sentences, *_) = asked
    order = np.random.default_rng(retrieval_benchmark._SEED).permutation(30)
    np.testing.assert_allclose(images, exact[order], atol=1e-4)
    np.testing.assert_allclose(sentences, (exact - prior[:, None]).T[:, order], atol=1e-4)
    assert [given[2:] for given in asked] == [(10, [10])] * 2


def test_recall_is_of_the_sentences_own_pictures(monkeypatch, scene):
    monkeypatch.setattr(retrieval_benchmark, "_QUERIES", 30)
    monkeypatch.setattr(retrieval_benchmark, "IMAGE_CANDIDATES", 20)  # all of them
    exact = log_likelihoods(scene.model, scene.corpus, image_terms(scene.model, scene.features))
    expected = recall_at(image_ranks(exact, scene.images), 10)
    parts = ROWS["images"](None).parts
    assert 0 < expected < 100
    assert parts["exact R@10 %"] == parts["two-stage R@10 %"] == pytest.approx(expected)
    other = ROWS["images-100k"](None).parts  # among 60, the same pictures first
    assert other["exact R@10 %"] <= 100
    wrong = replace(scene, images=(scene.images + 1) % 20)
    monkeypatch.setattr(retrieval_benchmark, "open_scene", lambda data: wrong)
    expected = recall_at(image_ranks(exact, wrong.images), 10)
    assert ROWS["images"](None).parts["exact R@10 %"] == pytest.approx(expected)


def test_with_more_items_than_are_scored_again_two_stages_are_still_compared(monkeypatch, scene):
    """A gallery of more pictures than are rescored after 8-bit scoring, or are candidates."""
    monkeypatch.setattr(retrieval_benchmark, "_GALLERY", 150)
    monkeypatch.setattr(retrieval_benchmark, "_GALLERY_CANDIDATES", 60)
    row = ROWS["images-100k"](None)
    assert row.parts["same top 10 %"] >= 90
    assert "150" in row.meaning
    assert f"{retrieval_benchmark._GALLERY_QUERIES} sentences" in row.meaning
    assert len(scene.features) < 150


def test_the_ordinary_way_finds_the_same(monkeypatch, scene):
    monkeypatch.setattr(retrieval_benchmark, "_BATCH", 4)
    terms = image_terms(scene.model, scene.features)
    np.testing.assert_allclose(
        retrieval_benchmark._pairwise(scene.model, scene.corpus, terms),
        log_likelihoods(scene.model, scene.corpus, terms),
        rtol=1e-5,
    )


@pytest.fixture
def opened(monkeypatch, captioner):
    """Open scenes with the tests' captioner, and forget them after."""
    monkeypatch.setattr(retrieval_benchmark, "load", lambda device: captioner)
    open_scene.cache_clear()
    yield open_scene
    open_scene.cache_clear()


def test_a_scene_without_data_is_what_the_model_says_of_its_own_pictures(opened, captioner):
    scene = opened(None)
    assert len(scene.corpus) == 5 * len(captioner.bundle.seen)
    assert scene.features is scene.all_features
    assert np.array_equal(scene.features, captioner.bundle.seen)
    assert scene.images.tolist() == [image for image in range(5) for _ in range(5)]
    sentences = scene.corpus.sentences(np.arange(len(scene.corpus)))
    assert len({tuple(sentence) for sentence in sentences}) > 5
    assert opened(None) is scene


def test_a_scene_of_a_data_set_is_its_dev_split(opened, flickr_layout):
    scene = opened(flickr_layout)
    assert len(scene.corpus) == 6
    assert scene.images.tolist() == [0, 0, 1, 1, 2, 2]
    assert scene.features.shape == (3, 1280)
    assert scene.all_features.shape == (11, 1280)
    assert np.array_equal(scene.all_features[:3], scene.features)
