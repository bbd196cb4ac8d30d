"""The metrics give what the COCO caption evaluation gives, on captions of Flickr8K photographs."""

from __future__ import annotations

import shutil
import threading
from importlib import import_module

import numpy as np
import pytest

import mrnn
from conftest import FLICKR8K
from mrnn.datasets import read_dataset
from mrnn.evaluation.metrics import bleu, cider_d, meteor, rouge_l
from mrnn.evaluation.reading import encoded_by, read_pairs
from mrnn.words.text import tokenise

PHOTOGRAPHS = 100


@pytest.fixture(scope="module")
def captions(tmp_path_factory):
    """Captions of photographs of the dev split, and all references of each, as words."""
    if not FLICKR8K.is_dir():
        pytest.skip(f"needs the Flickr8K data in {FLICKR8K}")
    pytest.importorskip(
        "pycocoevalcap.rouge.rouge",
        reason="needs the package pycocoevalcap; type: pip install pycocoevalcap",
    )
    captioner = mrnn.load("plain", "cpu")
    examples = read_dataset(FLICKR8K).split("dev")[:PHOTOGRAPHS]
    cache = tmp_path_factory.mktemp("features")
    pairs, examples, _ = read_pairs(
        examples, captioner.vocabulary, encoded_by(captioner.encoder, cache), lambda *_: None
    )
    found = captioner.caption_features(pairs.features[np.arange(len(examples))])
    return (
        [tokenise(caption.text) for caption in found],
        [[tokenise(sentence) for sentence in example.sentences] for example in examples],
    )


def coco(scorer, captions):
    """The corpus score that an object of pycocoevalcap gives."""
    candidates, references = captions
    score, _ = scorer.compute_score(
        {i: [" ".join(words) for words in several] for i, several in enumerate(references)},
        {i: [" ".join(words)] for i, words in enumerate(candidates)},
    )
    return score


def test_bleu(captions):
    theirs = coco(import_module("pycocoevalcap.bleu.bleu").Bleu(4), captions)
    assert list(bleu(*captions).values()) == pytest.approx(theirs, abs=1e-6)
    assert 0.1 < theirs[3] < theirs[0] < 0.8


def test_rouge_l(captions):
    theirs = coco(import_module("pycocoevalcap.rouge.rouge").Rouge(), captions)
    assert rouge_l(*captions) == pytest.approx(theirs, abs=1e-6)
    assert 0.3 < theirs < 0.6


def test_cider_d(captions):
    theirs = coco(import_module("pycocoevalcap.cider.cider").Cider(), captions)
    assert cider_d(*captions) == pytest.approx(theirs, abs=1e-6)
    assert 0.3 < theirs < 0.8


@pytest.mark.skipif(not shutil.which("java"), reason="METEOR needs java on the PATH")
def test_meteor(captions):
    scorer = import_module("pycocoevalcap.meteor.meteor").Meteor()
    scorer.lock = threading.RLock()  # their own is never released when Java fails: __del__ hangs
    with scorer.meteor_p:  # closes the pipes, which they leave open
        ours = meteor(*captions)  # both Java programs spend their first seconds side by side
        assert ours == pytest.approx(coco(scorer, captions), abs=1e-6)
    assert 0.15 < ours < 0.25
