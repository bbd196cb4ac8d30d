"""The prefix tree against a plain dict of prefixes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrnn.words.packing import Corpus
from mrnn.words.prefixes import prefix_tree
from mrnn.words.text import END, START

SENTENCE = st.lists(st.integers(3, 6), max_size=5)
SENTENCES = st.lists(SENTENCE | st.just([4, 5, 6]), max_size=8)  # duplicates and empty ones
fast = settings(deadline=None, max_examples=100)


def spelled(tree):
    """Each prefix of a tree as the words it stands for, by following the parents."""
    found = []
    for node, (word, parent) in enumerate(
        zip(tree.words.tolist(), tree.parents.tolist(), strict=True)
    ):
        assert parent < node or node == 0
        found.append((*found[parent], word) if node else (word,))
    return found


def naive_tree(sentences):
    """The words that follow each prefix, with the sentence they are from."""
    followers = {}
    for i, sentence in enumerate(sentences):
        words = [START, *sentence, END]
        for n in range(1, len(words)):
            followers.setdefault(tuple(words[:n]), []).append((words[n], i))
    return followers


def check(tree, sentences):
    expected, found = naive_tree(sentences), spelled(tree)
    assert len(found) == len(set(found))
    assert set(found) == set(expected)
    assert [len(prefix) for prefix in found] == [
        length for length, size in enumerate(tree.sizes, 1) for _ in range(size)
    ]
    assert (np.diff(tree.prefixes) >= 0).all()
    assert [part.stop - part.start for part in tree.levels] == list(tree.sizes)
    followers = {}
    for prefix, target, sentence in zip(
        tree.prefixes.tolist(), tree.targets.tolist(), tree.sentences.tolist(), strict=True
    ):
        followers.setdefault(found[prefix], []).append((target, sentence))
    assert {p: sorted(f) for p, f in followers.items()} == {
        p: sorted(f) for p, f in expected.items()
    }


@given(SENTENCES)
@fast
def test_the_tree_equals_a_dict_of_prefixes(sentences):
    check(prefix_tree(Corpus(sentences).pack()), sentences)


@given(SENTENCES.filter(len), st.data())
@fast
def test_sentences_are_numbered_as_they_were_chosen(sentences, data):
    chosen = data.draw(st.lists(st.integers(0, len(sentences) - 1), max_size=8))
    tree = prefix_tree(Corpus(sentences).pack(np.array(chosen, dtype=np.int64)))
    check(tree, [sentences[i] for i in chosen])


@pytest.mark.parametrize(
    "sentences",
    [
        [],
        [[]],
        [[5]],
        [[], [], []],
        [[4, 5] * 100],
        [[4, 5] * 100, [4, 5] * 99, [9] * 200, []],
        [[2000, 2538], [2538, 2000], [4]],
    ],
)
def test_corner_cases(sentences):
    tree = prefix_tree(Corpus(sentences).pack())
    check(tree, sentences)
    for part in (tree.words, tree.parents, tree.prefixes, tree.targets, tree.sentences):
        assert part.dtype == np.int64


def test_duplicates_cost_nothing():
    once, often = ([[4, 5, 6], [4, 7]] * n for n in (1, 50))
    assert prefix_tree(Corpus(often).pack()).sizes == prefix_tree(Corpus(once).pack()).sizes
