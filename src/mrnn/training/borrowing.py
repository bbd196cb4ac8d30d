"""Sentences for words that texts hardly have: those of their nearest relatives, with them in place.

"Two zebras at a river" becomes "two hippopotamus at a river". A relative is a word whose prototypes
lie near, in the same number (hens borrow from geese, a hen from a goose).

Dimension key: W words with prototypes, D image feature.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..model.arrays import unit

ENOUGH = 100  # sentences of a word
_RELATIVES = 5
_OWN = 8  # sentences, at least, of a word from which others borrow
_NARROW = 8  # prototypes of such a word, at most: "animal" is nobody's relative

Sentence = list[int]


def with_borrowed(
    sentences: Sequence[Sentence],
    prototypes: Mapping[int, Sequence[int]],
    vectors: np.ndarray,
    plurals: Collection[int],
    generator: np.random.Generator,
) -> tuple[list[Sentence], dict[int, list[int]]]:
    """The sentences and those that are borrowed, and for every word where it is said.

    All words are indices in the vocabulary, `prototypes` rows of `vectors`. Words without a
    sentence and without a relative are left out of the latter.
    """
    own: dict[int, list[int]] = defaultdict(list)
    for i, sentence in enumerate(sentences):
        for word in dict.fromkeys(sentence):
            if word in prototypes:
                own[word].append(i)
    every = list(sentences)
    said = {word: list(places) for word, places in own.items()}
    for word, relatives in _relatives(own, prototypes, vectors, plurals).items():
        pool = [(place, other) for other in relatives for place in own[other]]
        wanted = max(0, ENOUGH - len(own.get(word, ())))
        for chosen in generator.permutation(len(pool))[:wanted].tolist():
            place, other = pool[chosen]
            said.setdefault(word, []).append(len(every))
            every.append([word if w == other else w for w in sentences[place]])
    return every, said


def _relatives(
    own: Mapping[int, Sequence[int]],
    prototypes: Mapping[int, Sequence[int]],
    vectors: np.ndarray,
    plurals: Collection[int],
) -> dict[int, list[int]]:
    """For every word with few sentences, the nearest words that have some."""
    words = sorted(prototypes)
    if not words:
        return {}
    centres = unit(np.stack([vectors[list(prototypes[word])].mean(0) for word in words]))  # (W, D)
    is_plural = np.isin(words, list(plurals))
    lends = np.array(
        [len(own.get(w, ())) >= _OWN and len(prototypes[w]) <= _NARROW for w in words], dtype=bool
    )
    found = {}
    for i, word in enumerate(words):
        if len(own.get(word, ())) < ENOUGH:
            likeness = np.where(lends & (is_plural == is_plural[i]), centres @ centres[i], -np.inf)
            likeness[i] = -np.inf
            nearest = np.argsort(-likeness, kind="stable")[:_RELATIVES].tolist()
            found[word] = [words[j] for j in nearest if likeness[j] > -np.inf]
    return found
