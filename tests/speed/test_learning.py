"""The rows of the benchmark that need PyTorch run; how fast is not tested."""

from __future__ import annotations

import importlib.util

import pytest

pytest.importorskip("torch")

from mrnn import measuring
from mrnn.speed import benchmark, learning
from mrnn.words.packing import Corpus

HAS_REFERENCE = importlib.util.find_spec("efficientnet_lite_pytorch") is not None


@pytest.mark.parametrize("name", ["training", "training-lstm"])
def test_rows_about_learning_run(monkeypatch, name):
    monkeypatch.setattr(measuring, "_GEMM_SIDES", (64,))
    monkeypatch.setattr(learning, "_BATCHES", 2)
    [row] = benchmark.run_rows([name])
    assert row.name == name
    assert 0 < row.ratio < float("inf")
    assert all(value > 0 for value in row.parts.values())


def test_learning_of_the_image_network_is_compared_with_floats(monkeypatch):
    monkeypatch.setattr(learning, "seconds", lambda action: measuring.seconds(action, 1))
    monkeypatch.setattr(learning, "_LEARNED", 2)
    [row] = benchmark.run_rows(["image-learning"])
    assert row.ratio == row.parts["pictures/s"] / row.parts["floats pictures/s"] > 0


@pytest.mark.skipif(not HAS_REFERENCE, reason="needs efficientnet_lite_pytorch")
def test_the_encoder_is_compared_with_the_network_of_its_weights(monkeypatch):
    monkeypatch.setattr(learning, "seconds", lambda action: measuring.seconds(action, 1))
    monkeypatch.setattr(learning, "_ENCODED", 2)
    [row] = benchmark.run_rows(["encoder"])
    assert row.ratio == row.parts["images/s"] / row.parts["reference images/s"] > 0


def test_the_row_of_a_package_that_is_missing(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        benchmark.importlib.util,
        "find_spec",
        lambda name: None if name == "transformers" else found(name),
    )
    [row] = benchmark.run_rows(["blip"])
    assert row.line() == "blip           skipped: transformers is not installed"


def test_padded_words_are_sentences_again():
    corpus = Corpus([[4, 5], [6], [7, 8, 9]])
    packed = corpus.pack()
    assert learning._padded(packed, packed.targets).tolist() == [
        [4, 5, 2, 0],
        [6, 2, 0, 0],
        [7, 8, 9, 2],
    ]
