"""Consensus: against a twin that compares with every caption, and files that are refused."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from mrnn.model import consensus
from mrnn.model.consensus import Consensus, gathered

WORDS = 12  # of the vocabulary; 0..3 are signs
TERM = 6

sentences = st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=8)


def example(images=20, seed=0):
    """Captions of some images, and their terms."""
    rng = np.random.default_rng(seed)
    captions = [
        [rng.integers(4, WORDS, rng.integers(3, 9)).tolist() for _ in range(rng.integers(1, 4))]
        for _ in range(images)
    ]
    return captions, rng.normal(size=(images, TERM)).astype(np.float32)


def plain_scores(captions, terms, term, candidates):
    """The same from the definition: mean cosine with each caption of every neighbour."""
    ngrams = lambda s, n: [tuple(s[i : i + n]) for i in range(len(s) - n + 1)]  # noqa: E731
    images_with = Counter()
    for several in captions:
        images_with.update({g for s in several for n in range(1, 5) for g in ngrams(s, n)})

    def cosine(a, b, order):
        weigh = lambda s: {  # noqa: E731
            g: n * math.log(len(captions) / max(images_with[g], 1))
            for g, n in Counter(ngrams(s, order)).items()
        }
        a, b = weigh(a), weigh(b)
        norms = math.hypot(*a.values()) * math.hypot(*b.values())
        return sum(a[g] * b.get(g, 0) for g in a) / norms if norms else 0.0

    directions = terms - terms.mean(0)
    to = term - terms.mean(0)
    cosines = directions @ to / np.linalg.norm(directions, axis=1) / np.linalg.norm(to)
    nearest = np.argsort(-cosines)[: consensus._NEIGHBOURS]
    votes = np.exp(consensus._SHARPNESS * cosines[nearest])
    votes /= votes.sum()
    length = sum(
        v * np.mean([len(s) for s in captions[i]]) for i, v in zip(nearest, votes, strict=True)
    )
    return [
        math.exp(-((len(c) - length) ** 2) / 72)
        * sum(
            v * np.mean([sum(cosine(c, s, n) for n in range(1, 5)) for s in captions[i]])
            for i, v in zip(nearest, votes, strict=True)
        )
        for c in candidates
    ]


@pytest.mark.parametrize("neighbours", [1, 3, 40])
def test_scores_are_those_of_the_definition(monkeypatch, neighbours):
    monkeypatch.setattr(consensus, "_LEAST", 1)
    monkeypatch.setattr(consensus, "_NEIGHBOURS", neighbours)
    captions, terms = example()
    found = gathered(captions, terms)
    candidates = [several[0] for several in captions[:6]] + [[4, 4, 4], [5], []]
    for term in terms[:4]:
        expected = plain_scores(captions, terms, term, candidates)
        assert found.scores(term, candidates) == pytest.approx(expected, abs=0.05)


def test_what_neighbours_say_scores_more_than_what_others_say():
    captions = [[[4, 5, 6, 7], [4, 5, 6]]] * 20 + [[[8, 9, 10, 11], [8, 9, 10]]] * 20
    terms = np.repeat([[1.0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]], 20, axis=0)
    found = gathered(captions, terms)
    ours, theirs = found.scores(terms[0], [[4, 5, 6, 7], [8, 9, 10, 11]])
    assert ours > 4 * theirs


@given(st.lists(sentences, max_size=5), st.integers(0, 5))
@settings(max_examples=30)
def test_a_file_gives_the_same_scores_again(candidates, seed):
    captions, terms = example(seed=seed)
    found = gathered(captions * 5, np.tile(terms, (5, 1)))
    again = Consensus.from_bytes(found.to_bytes(), WORDS, TERM)
    assert again.scores(terms[0], candidates) == pytest.approx(
        found.scores(terms[0], candidates), abs=1e-3
    )
    assert again.to_bytes() == found.to_bytes()


def test_scores_do_not_depend_on_the_sentences_beside():
    captions, terms = example()
    found = gathered(captions * 5, np.tile(terms, (5, 1)))
    alone = [found.scores(terms[1], [several[0]])[0] for several in captions]
    assert found.scores(terms[1], [several[0] for several in captions]) == alone


def test_only_what_many_images_share_is_kept():
    shared, own = [4, 5], [6, 7, 8, 9]
    captions = [[shared]] * 20 + [[own]]
    found = gathered(captions, np.eye(21, TERM))
    kept = {tuple(word for word in row if word) for row in found.ngrams.tolist()}
    assert kept == {(4,), (5,), (4, 5)}


def test_entries_do_not_keep_the_order_of_the_captions():
    captions, terms = example(images=40)
    found = gathered(captions, terms)
    for start, end in pairwise(found.starts.tolist()):
        assert (np.diff(found.entries[start:end].astype(int)) > 0).all()


@pytest.mark.parametrize("name", [f.name for f in fields(Consensus)])
def test_a_missing_array_and_one_of_another_type_or_shape_are_refused(name):
    content = load(gathered(*example()).to_bytes())
    for wrong in (
        {k: v for k, v in content.items() if k != name},
        {**content, name: content[name].astype(np.float64)},
        {**content, name: content[name][:-1]},
        {**content, name: content[name].reshape(*content[name].shape, 1)},
        {**content, name: np.array(1, content[name].dtype)},
    ):
        with pytest.raises(ValueError, match=r"key|has shape|is float64|is not|does not cut"):
            Consensus.from_bytes(save(wrong), WORDS, TERM)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("entries", 60_000, "'entries' has a number that is not from 0 to"),
        ("ngrams", WORDS, f"'ngrams' has a number that is not from 0 to {WORDS - 1}"),
        ("ngrams", -1, "'ngrams' has a number"),
        ("images_with", 0, "'images_with' has a number that is not from 1 to 100"),
        ("images_with", 101, "'images_with' has a number"),
        ("starts", 1, "'starts' does not cut 'entries' into parts"),
        ("basis", np.inf, "'basis' holds NaN or infinite numbers"),
    ],
)
def test_numbers_that_cannot_be_are_refused(name, value, message):
    captions, terms = example()
    content = load(gathered(captions * 5, np.tile(terms, (5, 1))).to_bytes())
    wrong = content[name].copy()
    wrong.flat[0] = value
    with pytest.raises(ValueError, match=message):
        Consensus.from_bytes(save({**content, name: wrong}), WORDS, TERM)


@given(st.data())
@settings(max_examples=60)
def test_any_damage_is_refused_or_harmless(data):
    captions, terms = example()
    content = bytearray(gathered(captions * 5, np.tile(terms, (5, 1))).to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), len(content) - 1, 100]))]
    try:
        found = Consensus.from_bytes(bytes(content), WORDS, TERM)
    except ValueError:
        return
    with np.errstate(over="ignore"):  # fp16 numbers may be as large as they like
        assert len(found.scores(terms[0], [[4, 5]])) == 1


def test_another_vocabulary_and_another_model_are_refused():
    captions, terms = example()
    content = gathered(captions * 5, np.tile(terms, (5, 1))).to_bytes()
    with pytest.raises(ValueError, match="'centre' has shape"):
        Consensus.from_bytes(content, WORDS, TERM + 1)
    with pytest.raises(ValueError, match="'ngrams' has a number"):
        Consensus.from_bytes(content, 5, TERM)


def test_no_ngram_at_all_is_no_error():
    found = gathered([[[4, 5]], [[6]]], np.eye(2, TERM))
    again = Consensus.from_bytes(found.to_bytes(), WORDS, TERM)
    assert again.scores(np.ones(TERM, np.float32), [[4, 5], []]) == [0.0, 0.0]
