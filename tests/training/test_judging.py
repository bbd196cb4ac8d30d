"""What a model is told of itself, against the same done by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import TRAINING, WORDS, tiny_model
from mrnn.captioner import Captioner
from mrnn.datasets import Example
from mrnn.evaluation.metrics import cider_d
from mrnn.images.encoders import features_only
from mrnn.images.reading import Preprocessing
from mrnn.model.bundle import Bundle, EncoderIdentity
from mrnn.model.familiarity import surroundings
from mrnn.scoring.pairs import Pairs
from mrnn.training.judging import RATIOS, judged
from mrnn.words.packing import Corpus
from mrnn.words.text import END, SIGNS, Vocabulary, tokenise

VOCABULARY = Vocabulary(SIGNS + WORDS, (0,) * 4 + (9, 5, 4, 3, 3, 2, 2, 1))
D = 6


@pytest.fixture
def bundle():
    model = tiny_model(len(VOCABULARY), D, seed=2)
    model = replace(model, wo=6 * model.wo, vi=2 * model.vi)
    prior = np.random.default_rng(0).normal(size=(40, D)).astype(np.float16)
    identity = EncoderIdentity("features", "", Preprocessing(size=8))
    return Bundle(model, VOCABULARY, identity, prior, TRAINING, imagined=10)


def dev(bundle, pictures=30):
    """Pictures whose references are what the model says of them, half of the time."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(pictures, D)).astype(np.float32)
    told = Captioner(bundle, features_only(D)).caption_features(features, ratio=0.0)
    others = [" ".join(rng.choice(WORDS, 4)) for _ in told]
    said = [
        (c.text if i % 2 else other) for i, (c, other) in enumerate(zip(told, others, strict=True))
    ]
    examples = [Example(Path(f"{i}.jpg"), (s or "a",), "dev") for i, s in enumerate(said)]
    corpus = Corpus([VOCABULARY.encode(e.sentences[0]) for e in examples])
    return Pairs(corpus, np.arange(pictures), features), examples


def test_distances_are_those_of_dev_from_real_pictures(bundle):
    pairs, examples = dev(bundle)
    found = judged(bundle, pairs, examples).distances
    terms = bundle.model.image_terms
    distances = surroundings(terms(bundle.prior[:30])).distances(terms(pairs.features))
    assert found[0] == pytest.approx(distances.min(), abs=1e-3)
    assert found[50] == pytest.approx(np.median(distances), abs=1e-3)
    assert found[-1] == pytest.approx(distances.max(), abs=1e-3)


def test_the_ratio_is_the_highest_that_costs_dev_next_to_nothing(bundle):
    pairs, examples = dev(bundle)
    found = judged(bundle, pairs, examples)
    captioner = Captioner(replace(found, ratio=0.0), features_only(D))
    references = [[tuple(tokenise(s)) for s in e.sentences] for e in examples]

    def score(ratio):
        captions = captioner.caption_features(pairs.features, ratio=ratio)
        return cider_d([tuple(tokenise(c.text)) for c in captions], references)

    best = max(map(score, RATIOS))
    fine = [ratio for ratio in RATIOS if score(ratio) >= 0.98 * best]
    assert found.ratio == max(fine)
    assert judged(replace(bundle, imagined=0), pairs, examples).ratio == 0


def test_captions_of_dev_are_as_often_right_as_they_are_sure(bundle):
    pairs, examples = dev(bundle)
    found = judged(bundle, pairs, examples)
    assert found.sureness is not None
    captions = Captioner(found, features_only(D)).caption_features(pairs.features)
    right, sure = [], []
    for caption, example in zip(captions, examples, strict=True):
        if caption.main_word:
            right.append(caption.main_word in tokenise(example.sentences[0]))
            sure.append(caption.sure)
    assert 0 < np.mean(right) < 1
    assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.02)


def test_few_pictures_tell_nothing(bundle):
    pairs, examples = dev(bundle, 19)
    assert judged(bundle, pairs, examples) is bundle


def test_captions_without_a_word_tell_nothing_of_sureness(bundle):
    pairs, examples = dev(bundle)
    silent = bundle.model.wo_bias.copy()
    silent[END] = 99
    found = judged(replace(bundle, model=replace(bundle.model, wo_bias=silent)), pairs, examples)
    assert found.distances
    assert found.sureness is None
