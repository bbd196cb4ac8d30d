"""Metrics against values worked out by hand, and against a naive BLEU."""

from __future__ import annotations

import math
import sys
from collections import Counter

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.errors import DependencyError
from mrnn.metrics import bleu, bleu_signature, distinct


def split(*sentences):
    return [sentence.split() for sentence in sentences]


def scores(candidates, references):
    found = bleu(candidates, references)
    assert list(found) == ["1", "2", "3", "4"]
    return list(found.values())


def test_repeated_words_are_clipped():
    candidates = split("the the the the the the the")
    references = [split("the cat is on the mat", "there is a cat on the mat")]
    assert scores(candidates, references) == pytest.approx([2 / 7, 0, 0, 0])


def test_orders_are_cumulative():
    candidates = split("a black dog runs in the snow")
    references = [split("a black dog runs through the snow")]
    assert scores(candidates, references) == pytest.approx(
        [
            6 / 7,
            (6 / 7 * 4 / 6) ** (1 / 2),
            (6 / 7 * 4 / 6 * 2 / 5) ** (1 / 3),
            (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** (1 / 4),
        ],
        rel=1e-8,
    )


def test_short_candidates_pay_a_penalty():
    found = scores(split("a dog runs"), [split("a dog runs in the snow")])
    assert found == pytest.approx([math.exp(1 - 6 / 3)] * 3 + [0])  # there is no 4-gram


@pytest.mark.parametrize(
    ("lengths", "penalty"),
    [((6, 9), math.exp(1 - 6 / 5)), ((1, 9), 1), ((4, 6), 1), ((6, 4), 1), ((5, 9), 1)],
)
def test_the_penalty_takes_the_closest_length_and_the_shorter_of_two(lengths, penalty):
    references = [[["a"] * length for length in lengths]]
    assert scores([["a"] * 5], references)[0] == pytest.approx(
        penalty * min(max(lengths), 5) / 5, rel=1e-8
    )


def test_counts_are_summed_over_the_corpus_and_references_may_differ_in_number():
    candidates = split("a dog runs", "two cats sit in snow")
    references = [
        split("a dog runs", "the dog is running", "dogs"),
        split("two cats play in the snow"),
    ]
    # 1-grams 3 + 4 of 8, 2-grams 2 + 1 of 6, 3-grams 1 + 0 of 4, 4-grams 0 of 2; 8 words for 9
    penalty = math.exp(1 - 9 / 8)
    assert scores(candidates, references) == pytest.approx(
        [
            penalty * 7 / 8,
            penalty * (7 / 8 * 3 / 6) ** (1 / 2),
            penalty * (7 / 8 * 3 / 6 * 1 / 4) ** (1 / 3),
            0,
        ],
        rel=1e-8,
    )


def test_the_same_words_score_one_and_other_words_zero():
    sentence = split("a dog runs in the snow")
    assert scores(sentence, [sentence]) == pytest.approx([1] * 4)
    assert scores(split("z z z z z"), [sentence]) == [0] * 4
    assert scores([[]], [sentence]) == [0] * 4


def test_words_are_taken_as_they_are():
    assert scores([["don't", "run", ",", "Ä", "狗狗"]], [[["don't", "run", ",", "Ä", "狗狗"]]]) == (
        pytest.approx([1] * 4)
    )
    assert scores([["Dog"]], [[["dog"]]])[0] == 0
    assert scores([["x,y"]], [[["x", ",", "y"]]])[0] == 0


def naive_bleu(candidates, references, order):
    matches, totals = [0] * order, [0] * order
    length = closest = 0
    for candidate, several in zip(candidates, references, strict=True):
        length += len(candidate)
        closest += min((abs(len(r) - len(candidate)), len(r)) for r in several)[1]
        for n in range(1, order + 1):

            def grams(words, n=n):
                return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

            most = Counter()
            for reference in several:
                most |= grams(reference)
            matches[n - 1] += (grams(candidate) & most).total()
            totals[n - 1] += grams(candidate).total()
    if not all(matches):
        return 0
    precision = math.prod(m / t for m, t in zip(matches, totals, strict=True)) ** (1 / order)
    return precision * min(1, math.exp(1 - closest / length))


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=7)
SEGMENTS = st.lists(
    st.tuples(WORDS | st.just([]), st.lists(WORDS, min_size=1, max_size=4)), min_size=1, max_size=4
)


@given(SEGMENTS)
@settings(deadline=None, max_examples=100)
def test_bleu_equals_a_naive_one(segments):
    candidates, references = zip(*segments, strict=True)
    assert scores(candidates, references) == pytest.approx(
        [naive_bleu(candidates, references, order) for order in (1, 2, 3, 4)]
    )


def test_distinct_counts_different_sentences():
    assert distinct([]) == 0
    assert distinct([["a"], ["a", "b"], ("a", "b"), ["ab"], ["a b"], []]) == 5


def test_the_signature_names_the_settings():
    assert bleu_signature() == (
        f"nrefs:var|case:mixed|eff:no|tok:none|smooth:none|version:{sacrebleu.__version__}"
    )


def test_without_sacrebleu_the_error_holds_the_line_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(DependencyError, match="type: pip install sacrebleu"):
        bleu([["a"]], [[["a"]]])
