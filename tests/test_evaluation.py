"""Evaluation puts the right numbers in the right places; on Flickr8K it gives those we publish."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mrnn
from conftest import FLICKR8K
from mrnn.bundle import find_bundle, load_bundle
from mrnn.captioner import Captioner, Decoding
from mrnn.datasets import read_dataset
from mrnn.devices import choose_device
from mrnn.encoders import open_encoder
from mrnn.evaluation import evaluate
from mrnn.features import default_cache
from mrnn.metrics import bleu, distinct
from mrnn.text import tokenise


def nothing(*_: object) -> None:
    pass


def run(captioner, data, decoding=None, split="dev"):
    examples = read_dataset(data).split(split)
    return evaluate(
        captioner, split, examples, decoding or Decoding(), default_cache(), nothing, nothing
    )


def test_the_document_equals_figures_computed_one_by_one(flickr_layout, tiny_bundle):
    captioner = Captioner(tiny_bundle, open_encoder("none"), choose_device("cpu"))
    result = run(captioner, flickr_layout)
    examples = read_dataset(flickr_layout).split("dev")
    captions = [captioner.caption(e.image, Decoding()).text for e in examples]
    scores = [s for e in examples for s in captioner.score(e.image, e.sentences)]
    words = sum(len(s.words) for s in scores)
    assert [text for _, text in result.captions] == captions
    assert result.document["perplexity"] == pytest.approx(
        math.exp(-sum(s.logprob for s in scores) / words), rel=1e-5
    )
    candidates = [tokenise(text) for text in captions]
    references = [[tokenise(s) for s in e.sentences] for e in examples]
    assert result.document["bleu"] == bleu(candidates, references)
    assert result.document["distinct_captions"] == distinct(candidates)
    assert result.document["signature"]["decoding"] == "greedy, at most 30 words"
    assert result.document["signature"]["references"] == "2"


def test_an_unreadable_image_is_left_out_of_every_figure(flickr_layout, tiny_bundle):
    encoder = open_encoder("efficientnet-lite2")
    wide = np.zeros((4, 1280), dtype=np.float16)
    from conftest import tiny_model
    from mrnn.bundle import Bundle, EncoderIdentity

    identity = EncoderIdentity(encoder.name, encoder.digest, encoder.preprocessing)
    model = tiny_model(len(tiny_bundle.vocabulary), feature=1280)
    bundle = Bundle(model, tiny_bundle.vocabulary, identity, wide, {})
    (flickr_layout / "Flicker8k_Dataset" / "8.jpg").write_bytes(b"")
    result = run(Captioner(bundle, encoder, choose_device("cpu")), flickr_layout)
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
