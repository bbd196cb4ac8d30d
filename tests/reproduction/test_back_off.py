"""BACK-OFF GT2 and GT3: Good and Turing's discounts, Katz's back-off, by hand and by a twin."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrnn.reproduction.baselines.back_off import BackOff, good_turing
from mrnn.words.text import END, PADDING, START, UNKNOWN

A, B = 4, 5
SENTENCES = st.lists(st.lists(st.integers(3, 8), max_size=6), min_size=1, max_size=12)
ORDERS = st.integers(1, 4)


def test_discounts_by_hand():
    """r* = (r + 1) n_(r+1) / n_r; what the discounts take away together is n_1."""
    counts = {1: 10, 2: 4, 3: 2}
    assert good_turing(counts, highest=2) == pytest.approx([0.5, 0.375])
    assert counts[1] == 10 * (1 - 0.5) + 4 * 2 * (1 - 0.375)
    assert good_turing(counts) == pytest.approx([0.5, 0.375])  # counts 3 to 5 allow no discount


@pytest.mark.parametrize(
    "counts",
    [{}, {1: 4}, {2: 4}, {1: 4, 2: 2}, {1: 1, 2: 5}, {1: 10, 2: 10, 3: 10}],
    ids=["nothing", "all once", "none once", "nothing left", "more twice than once", "all alike"],
)
def test_no_discount_where_the_counts_allow_none(counts):
    assert good_turing(counts) == []


def test_unigrams_by_hand():
    """Ten words once (END among them), four twice, two three times: n_1 / N is for the others."""
    once, twice, thrice = range(4, 13), range(13, 17), range(17, 19)
    model = BackOff([[*once, *twice, *twice, *thrice, *thrice, *thrice]], 1, 21)
    assert model.distribution(())[4] == pytest.approx(0.5 / 24)
    assert model.distribution(())[END] == pytest.approx(0.5 / 24)
    assert model.distribution(())[13] == pytest.approx(2 * 0.375 / 24)
    assert model.distribution(())[17] == pytest.approx(3 / 24)
    others = [model.distribution(())[word] for word in (UNKNOWN, 19, 20)]
    assert others == pytest.approx([10 / 24 / 3] * 3)


def test_bigrams_by_hand():
    """Too little to discount: each history is taken to have been seen once more."""
    model = BackOff([[A], [B]], 2, 6)
    assert model.distribution([START]) == pytest.approx([0, 0, 2 / 9, 1 / 9, 1 / 3, 1 / 3])
    assert model.distribution([A]) == pytest.approx([0, 0, 1 / 2, 1 / 6, 1 / 6, 1 / 6])
    assert model.distribution([UNKNOWN]) == pytest.approx([0, 0, 2 / 5, 1 / 5, 1 / 5, 1 / 5])
    assert model.logprobs([A]) == pytest.approx([math.log(1 / 3), math.log(1 / 2)])


def test_a_long_history_counts_by_its_end():
    model = BackOff([[A, B, A], [B, B]], 3, 6)
    assert (model.distribution([A, A, B]) == model.distribution([A, B])).all()
    assert (model.distribution([START, A]) != model.distribution([A])).any()


def test_an_order_below_one_is_refused():
    with pytest.raises(ValueError, match="at least one word, not 0"):
        BackOff([[A]], 0, 6)


@given(SENTENCES, ORDERS, st.lists(st.integers(3, 8), max_size=4))
def test_probabilities_sum_to_one(sentences, order, history):
    model = BackOff(sentences, order, 9)
    for before in (history, [START] * 3 + history):
        shares = model.distribution(before)
        assert shares.sum() == pytest.approx(1)
        assert shares[[PADDING, START]].sum() == 0
        assert (np.delete(shares, [PADDING, START]) > 0).all()


@given(SENTENCES, ORDERS, st.lists(st.integers(3, 8), max_size=4))
def test_it_is_as_katz_writes_it(sentences, order, history):
    """A twin that looks through the sentences anew for every probability."""
    model = BackOff(sentences, order, 9)
    line = [START] * (order - 1) + history
    expected = [katz(sentences, word, tuple(line[len(history) :])) for word in range(2, 9)]
    assert model.distribution(line)[2:] == pytest.approx(expected)
    expected = [katz(sentences, w, tuple(history[len(history) - order + 1 :])) for w in range(2, 9)]
    if len(history) >= order:
        assert model.distribution(history)[2:] == pytest.approx(expected)


@given(SENTENCES, ORDERS)
def test_a_step_of_generation_is_the_distribution(sentences, order):
    model = BackOff(sentences, order, 9)
    state = model.initial_state(2)
    said = [[START] * order, [START] * order]
    for words in ([START, START], [4, 5], [6, UNKNOWN]):
        logp, state = model.step(np.array(words), state)
        for line, word in zip(said, words, strict=True):
            line.append(word)
        expected = np.stack([model.distribution(line) for line in said])
        assert np.exp(logp) == pytest.approx(expected)


def katz(sentences, word, history):
    """P(word | history) by the definition; 7 words can follow."""
    if history is None:
        return 1 / 7
    shorter = history[1:] if history else None
    length = len(history)
    after = Counter()
    every = Counter()
    for sentence in sentences:
        line = [START] * length + list(sentence) + [END]
        for at in range(length, len(line)):
            every[tuple(line[at - length : at + 1])] += 1
            if tuple(line[at - length : at]) == history:
                after[line[at]] += 1
    if not after:
        return katz(sentences, word, shorter)
    discounts = good_turing(Counter(every.values()))
    discounts += [1] * max(every.values())
    total = sum(after.values())
    kept = {w: discounts[n - 1] * n / total for w, n in after.items()}
    if len(kept) < 7 and sum(kept.values()) > 1 - 1e-12:
        kept = {w: n / (total + 1) for w, n in after.items()}
    if len(kept) == 7:
        return kept[word] / sum(kept.values())
    if word in kept:
        return kept[word]
    unseen = sum(katz(sentences, w, shorter) for w in range(2, 9) if w not in kept)
    return (1 - sum(kept.values())) * katz(sentences, word, shorter) / unseen
