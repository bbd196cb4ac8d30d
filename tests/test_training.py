"""Training: it learns, stops, can be interrupted, and never leaves anything half-written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from conftest import tiny_model
from mrnn import training
from mrnn.bundle import load_bundle
from mrnn.config import DropoutShares, ModelConfig, TrainConfig
from mrnn.datasets import read_dataset
from mrnn.encoders import open_encoder
from mrnn.errors import BundleError, DataError
from mrnn.features import default_cache
from mrnn.model import MRNN
from mrnn.packing import Corpus
from mrnn.pairs import Pairs, read_pairs
from mrnn.scoring import perplexity
from mrnn.training import fit, train, training_folder

CPU = torch.device("cpu")
FAST = TrainConfig(
    epochs=3, batch=4, learning_rate=1e-2, minimum_count=1, dropout=DropoutShares(0, 0, 0)
)


def nothing(*_: object) -> None:
    pass


def run(data, output, config=FAST, on_progress=nothing, encoder="none"):
    return train(
        read_dataset(data),
        open_encoder(encoder),
        output,
        ModelConfig(embedding=8, recurrent=8, multimodal=16),
        config,
        default_cache(),
        CPU,
        nothing,
        on_progress,
    )


def told_by_the_picture() -> Pairs:
    """Eight sentences of which each is known from the image alone."""
    corpus = Corpus([[4 + i % 4] * (1 + i % 2) for i in range(8)])
    return Pairs(corpus, np.arange(8), np.eye(8, 6, dtype=np.float32))


def test_the_image_is_learned_from():
    pairs = told_by_the_picture()
    config = TrainConfig(
        epochs=150, patience=150, batch=4, learning_rate=0.02, l2=0, dropout=DropoutShares(0, 0, 0)
    )
    without = Pairs(pairs.corpus, pairs.images, np.zeros((8, 0), dtype=np.float32))
    seeing = tiny_model(seed=1).requires_grad_(True)
    blind = tiny_model(feature=0, seed=1).requires_grad_(True)
    list(fit(seeing, pairs, pairs, config))
    list(fit(blind, without, without, config))
    assert perplexity(seeing, pairs) < 1.3
    assert perplexity(blind, without) > 2**0.8 - 1e-3  # the entropy of what it cannot see


def test_training_is_the_same_every_time_and_another_seed_differs():
    def weights(seed: int) -> torch.Tensor:
        model = tiny_model(seed=seed).requires_grad_(True)
        config = TrainConfig(epochs=2, batch=4, seed=seed)
        list(fit(model, told_by_the_picture(), told_by_the_picture(), config))
        return model.wo.detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("updates", range(1, 31))
def test_the_learning_rate_rises_then_falls_to_zero(updates):
    shares = [training.one_cycle(update, updates) for update in range(updates + 1)]
    peak = shares.index(1.0)
    assert peak == max(1, updates // 10)
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert shares[0] > 0
    assert updates == 1 or shares[-1] == pytest.approx(0)


def test_it_stops_when_dev_gets_no_better(monkeypatch):
    scores = iter([5.0, 4.0, 4.5, 4.2, 3.0])
    monkeypatch.setattr(training, "calibrate", lambda model, pairs: (next(scores), 1.0))
    model = tiny_model().requires_grad_(True)
    config = TrainConfig(epochs=5, patience=2, batch=8)
    ends = [
        p
        for p in fit(model, told_by_the_picture(), told_by_the_picture(), config)
        if p.dev_perplexity is not None
    ]
    assert [p.is_best for p in ends] == [True, True, False, False]


def test_the_bundle_is_the_best_epoch_and_says_what_made_it(flickr_layout, tmp_path, monkeypatch):
    seen = []
    trained = run(flickr_layout, tmp_path / "model", on_progress=seen.append)
    epochs = [p for p in seen if p.dev_perplexity is not None]
    best = min(epochs, key=lambda p: p.dev_perplexity)
    bundle = load_bundle(tmp_path / "model")
    assert bundle.training["dev_perplexity"] == best.dev_perplexity
    assert bundle.training["epoch"] == best.epoch
    assert bundle.training["images"] == 8
    assert bundle.training["sentences"] == 16
    assert bundle.training["config"]["batch"] == 4
    assert len(trained.bundle.vocabulary) == 4 + 8
    lines = (training_folder(tmp_path / "model") / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [p.epoch for p in epochs]
    dev = read_dataset(flickr_layout).split("dev")
    pairs, _, _ = read_pairs(dev, bundle.vocabulary, open_encoder("none"), tmp_path, nothing)
    assert math.isclose(perplexity(bundle.model, pairs), best.dev_perplexity, rel_tol=1e-2)


def test_calibration_equals_trying_every_temperature():
    pairs = told_by_the_picture()

    def overconfident() -> MRNN:
        model = tiny_model(seed=1)
        model.divide_logits(1 / 2.5)
        return model

    tried = []
    for temperature in training.TEMPERATURES:
        model = overconfident()
        model.divide_logits(temperature)
        tried.append((pytest.approx(perplexity(model, pairs)), temperature))
    score, temperature = training.calibrate(overconfident(), pairs)
    assert temperature > 1
    assert (score, temperature) == tried[training.TEMPERATURES.index(temperature)]
    assert all(score <= other.expected * (1 + 1e-6) for other, _ in tried)


def test_the_vocabulary_is_of_the_training_split_alone(flickr_layout, tmp_path):
    captions = flickr_layout / "Flickr8k.token.txt"
    captions.write_text(captions.read_text() + "9.jpg#2\tA zebra .\n")
    bundle = run(flickr_layout, tmp_path / "model").bundle
    assert "zebra" not in bundle.vocabulary
    assert "dog" in bundle.vocabulary


def test_the_prior_holds_features_of_training_images(flickr_layout, tmp_path):
    bundle = run(flickr_layout, tmp_path / "model", encoder="efficientnet-lite2").bundle
    data = read_dataset(flickr_layout)
    encoder = open_encoder("efficientnet-lite2")
    pairs, _, _ = read_pairs(
        data.split("train"), bundle.vocabulary, encoder, default_cache(), nothing
    )
    assert np.array_equal(bundle.prior, pairs.features[np.arange(8)])


@pytest.mark.parametrize("at", [0, 4])  # in the first epoch, and after it
def test_ctrl_c_leaves_a_usable_bundle(flickr_layout, tmp_path, at):
    count = 0

    def interrupt(_):
        nonlocal count
        if count == at:
            raise KeyboardInterrupt
        count += 1

    trained = run(flickr_layout, tmp_path / "model", on_progress=interrupt)
    assert trained.interrupted
    assert load_bundle(tmp_path / "model").training["dev_perplexity"] > 1


def test_an_existing_output_is_left_alone(flickr_layout, tmp_path):
    output = tmp_path / "model"
    output.mkdir()
    (output / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"model: exists; name another directory"):
        run(flickr_layout, output)
    assert (output / "thesis.txt").read_text() == "mine"
    assert not training_folder(output).exists()


def test_a_training_that_diverges_says_so(flickr_layout, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "calibrate", lambda model, pairs: (math.nan, 1.0))
    with pytest.raises(DataError, match=r"diverged .* lower the learning rate"):
        run(flickr_layout, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_unreadable_image_is_left_out_and_reported(flickr_layout, tmp_path):
    (flickr_layout / "Flicker8k_Dataset" / "0.jpg").write_bytes(b"\xff\xd8 cut short")
    trained = run(flickr_layout, tmp_path / "model", encoder="efficientnet-lite2")
    assert trained.bundle.training["images"] == 7
    assert ["0.jpg" in str(error) for error in trained.errors] == [True]
