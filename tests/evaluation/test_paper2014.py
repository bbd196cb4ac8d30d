"""Sentences of given lengths, and what is asked to write them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conftest import WORDS
from mrnn.config import Decoding
from mrnn.evaluation import paper2014
from mrnn.evaluation.metrics import paper_bleu
from mrnn.evaluation.paper2014 import bleu_figures, perplexity_from, written
from mrnn.scoring.pairs import Pairs
from mrnn.words.packing import Corpus


def some_features(count, seed):
    return np.random.default_rng(seed).random((count, 1280)).astype(np.float32)


def sentences(captioner, features, given, lengths, generator=None):
    return written(*captioner.begin(features), captioner.vocabulary, given, lengths, generator)


def test_sentences_of_given_lengths_and_first_words(captioner):
    given = [(), ("a", "zebra"), ("Zebra",), ("the", "dog", "runs", "in")]
    found = sentences(captioner, some_features(4, 5), given, [4, 5, 1, 2])
    assert [len(words) for words in found] == [4, 5, 1, 2]
    assert found[1][:2] == ["a", "zebra"]  # as given, not ##UNK##
    assert found[2:] == [["Zebra"], ["the", "dog"]]
    assert set(found[0] + found[1][2:]) <= set(WORDS)


def test_they_are_greedy_ones(captioner):
    features = some_features(6, 6)
    captions = [c.text.split() for c in captioner.caption_features(features, Decoding(no_repeat=0))]
    lengths = [len(words) for words in captions]
    assert sentences(captioner, features, [()] * 6, lengths) == captions
    firsts = [tuple(words[:2]) for words in captions]
    assert sentences(captioner, features, firsts, lengths) == captions
    assert sentences(captioner, features[:0], [], []) == []


def test_or_drawn_with_a_generator(captioner):
    features, given = some_features(6, 6), [("a",)] * 6
    draws = [
        sentences(captioner, features, given, [5] * 6, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]
    for words in draws[0]:
        assert words[0] == "a"
        assert set(words) <= set(WORDS)


REFERENCES = [[["a", "dog"], ["the", "dog", "runs"]], [], [["snow"], [], ["a", "cat", "sits"]]]


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize("context", [0, 2])
def test_a_sentence_is_asked_for_each_reference(monkeypatch, batch, context):
    monkeypatch.setattr(paper2014, "_BATCH", batch)
    asked, seen = [], []

    def write(images, given, lengths):
        asked.extend(zip(images.tolist(), given, lengths, strict=True))
        return [["a"] * length for length in lengths]

    own = [sentence for every in REFERENCES for sentence in every]
    pairs = Pairs(Corpus([[4] * len(s) for s in own]), np.array([0, 0, 2, 2, 2]), np.zeros((3, 0)))
    found = bleu_figures(write, pairs, REFERENCES, context, lambda *at: seen.append(at))
    images = [0, 0, 2, 2, 2]
    assert asked == [
        (image, sentence[:context], len(sentence))
        for image, sentence in zip(images, own, strict=True)
    ]
    said = [["a"] * len(sentence) for sentence in own]
    assert found == paper_bleu(said, own, [REFERENCES[image] for image in images])
    assert seen[-1] == (5, 5)
    assert len(seen) == math.ceil(5 / batch)


def test_perplexity_of_the_words_after_the_first():
    logprobs = [[-1.0, -2.0, -3.0], [-4.0], []]
    assert perplexity_from(logprobs, 0) == pytest.approx(math.exp(10 / 4))
    assert perplexity_from(logprobs, 1) == pytest.approx(math.exp(5 / 2))
    assert perplexity_from(logprobs, 3) is None
