"""Evaluation puts the right numbers in the right places; on Flickr8K it gives those we publish."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mrnn
from conftest import FLICKR8K
from mrnn.bundle import find_bundle, load_bundle
from mrnn.captioner import Decoding
from mrnn.datasets import read_dataset
from mrnn.evaluation import evaluate
from mrnn.features import default_cache, encode_images
from mrnn.metrics import bleu, distinct
from mrnn.text import tokenise


def nothing(*_: object) -> None:
    pass


def run(captioner, data, decoding=None, split="dev"):
    examples = read_dataset(data).split(split)
    return evaluate(
        captioner, split, examples, decoding or Decoding(), default_cache(), nothing, nothing
    )


def test_the_document_equals_figures_computed_one_by_one(flickr_layout, captioner):
    result = run(captioner, flickr_layout)
    examples = read_dataset(flickr_layout).split("dev")
    encoded = encode_images([e.image for e in examples], captioner.encoder)
    features = [feature.astype(np.float16) for feature in encoded]  # as the cache holds them
    captions = [captioner.caption_features(f[None])[0].text for f in features]
    scores = [
        score
        for feature, e in zip(features, examples, strict=True)
        for score in captioner.score_feature(feature, e.sentences)
    ]
    words = sum(len(s.words) for s in scores)
    assert len(set(captions)) > 1
    assert [text for _, text in result.captions] == captions
    assert result.document["perplexity"] == pytest.approx(
        math.exp(-sum(s.logprob for s in scores) / words),
        rel=1e-3,  # features went through the fp16 cache
    )
    candidates = [tokenise(text) for text in captions]
    references = [[tokenise(s) for s in e.sentences] for e in examples]
    assert result.document["bleu"] == bleu(candidates, references)
    assert result.document["distinct_captions"] == distinct(candidates)
    assert result.document["signature"]["decoding"] == "greedy, at most 30 words"
    assert result.document["signature"]["references"] == "2"


def test_an_unreadable_image_is_left_out_of_every_figure(flickr_layout, captioner):
    (flickr_layout / "Flicker8k_Dataset" / "8.jpg").write_bytes(b"")
    result = run(captioner, flickr_layout)
    assert result.document["images"] == 2
    assert result.document["sentences"] == 4
    assert [str(error).rsplit("/", 1)[1] for error in result.errors] == ["8.jpg: the file is empty"]


@pytest.fixture(scope="module")
def flickr8k_dev():
    if not FLICKR8K.is_dir():
        pytest.skip(f"needs the Flickr8K data in {FLICKR8K}")
    return run(mrnn.load("plain", "cpu"), FLICKR8K)


def test_the_shipped_model_is_as_good_as_docs_say_on_flickr8k_dev(flickr8k_dev):
    found = flickr8k_dev.document
    assert found["perplexity"] <= 16.3
    assert found["bleu"]["1"] >= 0.585  # .589; the aim of .59 is not reached, see docs/results.md
    assert found["bleu"]["4"] >= 0.175
    assert found["distinct_captions"] >= 800
    assert found["signature"]["vocabulary"] == 2539


def test_the_scores_in_the_card_are_those_measured(flickr8k_dev):
    [recorded] = [
        s
        for s in load_bundle(find_bundle("plain")).scores
        if s["signature"] == flickr8k_dev.document["signature"]
    ]
    assert recorded["perplexity"] == pytest.approx(flickr8k_dev.document["perplexity"], rel=1e-3)
    assert recorded["bleu"] == pytest.approx(flickr8k_dev.document["bleu"], abs=3e-3)
