"""Packed sentences against padded ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.words.packing import Corpus, consecutive
from mrnn.words.text import END, PADDING, START

SENTENCES = st.lists(st.lists(st.integers(4, 9), max_size=6), min_size=1, max_size=7)
fast = settings(deadline=None, max_examples=100)


def padded(sentences):
    """Inputs and targets of sentences, longest first, as padded (B, T) lists; and the order."""
    order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i]))
    steps = len(sentences[order[0]]) + 1
    inputs = [[START, *sentences[i]] for i in order]
    targets = [[*sentences[i], END] for i in order]
    fill = [[PADDING] * (steps - len(row)) for row in inputs]
    return (
        [row + more for row, more in zip(inputs, fill, strict=True)],
        [row + more for row, more in zip(targets, fill, strict=True)],
        order,
    )


@given(SENTENCES)
@fast
def test_packing_equals_padding_without_the_padding(sentences):
    packed = Corpus(sentences).pack()
    inputs, targets, order = padded(sentences)
    words = [(t, b) for t in range(len(targets[0])) for b in range(len(order)) if targets[b][t]]
    assert packed.inputs.tolist() == [inputs[b][t] for t, b in words]
    assert packed.targets.tolist() == [targets[b][t] for t, b in words]
    assert packed.rows.tolist() == [b for _, b in words]
    assert packed.order.tolist() == order
    assert packed.sizes == tuple(
        sum(row[t] != PADDING for row in targets) for t in range(len(targets[0]))
    )


@given(SENTENCES)
@fast
def test_sizes_never_grow_and_count_every_word(sentences):
    packed = Corpus(sentences).pack()
    assert list(packed.sizes) == sorted(packed.sizes, reverse=True)
    assert packed.sizes[0] == len(sentences)
    assert sum(packed.sizes) == len(packed.targets) == sum(len(s) + 1 for s in sentences)


@given(SENTENCES, st.data())
@fast
def test_by_sentence_gives_chosen_sentences_back(sentences, data):
    corpus = Corpus(sentences)
    positions = st.lists(st.integers(0, len(sentences) - 1), max_size=8)
    chosen = data.draw(positions)  # any order, repeated or none
    packed = corpus.pack(np.array(chosen, dtype=np.int64))
    assert [s.tolist() for s in packed.by_sentence(packed.targets)] == [
        [*sentences[i], END] for i in chosen
    ]
    assert [s.tolist() for s in packed.by_sentence(packed.inputs)] == [
        [START, *sentences[i]] for i in chosen
    ]


def test_by_sentence_cuts_values_of_any_shape():
    packed = Corpus([[5], [6, 7]]).pack()
    values = np.stack((packed.targets, -packed.targets), axis=1)
    assert [v.tolist() for v in packed.by_sentence(values)] == [
        [[5, -5], [END, -END]],
        [[6, -6], [7, -7], [END, -END]],
    ]


@given(SENTENCES, st.data())
@fast
def test_chosen_sentences_come_back_as_lists(sentences, data):
    positions = st.lists(st.integers(0, len(sentences) - 1), max_size=8)
    chosen = data.draw(positions)
    corpus, where = Corpus(sentences), np.array(chosen, dtype=np.int64)
    found = corpus.sentences(where)
    assert found == [sentences[i] for i in chosen]
    assert all(type(word) is int for sentence in found for word in sentence)
    # equals in the order of their positions among those chosen, and nothing else
    assert corpus.alphabetical(where).tolist() == sorted(chosen, key=lambda i: sentences[i])


def test_the_alphabet_is_that_of_word_indices():
    corpus = Corpus([[10], [], [9, 9], [9], [2, 11]])
    assert corpus.alphabetical(np.arange(5)).tolist() == [1, 4, 3, 2, 0]
    assert corpus.alphabetical(np.array([0, 2])).tolist() == [2, 0]
    assert corpus.alphabetical(np.arange(0)).tolist() == []
    assert Corpus([]).sentences(np.arange(0)) == []


@given(SENTENCES)
@fast
def test_distinct_sentences_stand_for_all(sentences):
    found, which = Corpus(sentences * 2).distinct()
    distinct = found.sentences(np.arange(len(found)))
    assert distinct == [s for i, s in enumerate(sentences) if s not in sentences[:i]]
    assert [distinct[i] for i in which] == sentences * 2


def test_nothing_is_distinct_in_nothing():
    found, which = Corpus([]).distinct()
    assert (len(found), which.tolist()) == (0, [])


def test_a_corpus_counts_sentences_and_their_words():
    corpus = Corpus([[4, 5], [], [6]])
    assert len(corpus) == 3
    assert corpus.lengths.tolist() == [3, 1, 2]


def test_an_empty_corpus_packs_to_nothing():
    packed = Corpus([]).pack()
    assert packed.sizes == ()
    assert packed.by_sentence(packed.targets) == []


@given(SENTENCES)
@fast
def test_steps_are_where_the_words_of_each_step_lie(sentences):
    packed = Corpus(sentences).pack()
    found = [packed.inputs[step].tolist() for step in packed.steps]
    inputs, targets, _ = padded(sentences)
    columns = zip(zip(*inputs, strict=True), zip(*targets, strict=True), strict=True)
    assert found == [
        [word for word, target in zip(*column, strict=True) if target] for column in columns
    ]


def test_parts_lie_one_after_the_other():
    assert consecutive((3, 0, 2)) == [slice(0, 3), slice(3, 3), slice(3, 5)]
    assert consecutive(()) == []
    assert Corpus([]).pack().steps == []


def test_a_corpus_is_known_by_its_sentences_in_their_order():
    digests = [
        Corpus(sentences).digest()
        for sentences in ([[4, 5], [6]], [[6], [4, 5]], [[4], [5, 6]], [[4, 5], [6], []], [])
    ]
    assert len(set(digests)) == 5
    assert Corpus([[4, 5], [6]]).digest() == digests[0]
