"""Words that a model uses alike: near each other in word embedding II (paper sec. 3.2)."""

from __future__ import annotations

import math

import numpy as np

from ..errors import UsageError
from ..words.text import SIGNS, Vocabulary
from .mrnn import MRNN


def nearest_words(
    model: MRNN, vocabulary: Vocabulary, word: str, k: int
) -> list[tuple[str, float]]:
    """The k nearest words with their Euclidean distances; raises UsageError for an unknown one."""
    tokens = vocabulary.tokenise(word)
    if len(tokens) != 1 or tokens[0] not in vocabulary:
        raise UsageError(
            f"{word!r} is not a word that this model knows; `mrnn words --list`, with its "
            "--model, lists those"
        )
    index = vocabulary.index(tokens[0])
    w = model.word_representation(np.arange(len(vocabulary)))
    distances = np.linalg.norm(w - w[index], axis=1)
    distances[[*range(len(SIGNS)), index]] = np.inf
    nearest = np.argsort(distances, kind="stable")[:k].tolist()
    found = ((vocabulary.words[i], float(distances[i])) for i in nearest)
    return [(other, distance) for other, distance in found if math.isfinite(distance)]
