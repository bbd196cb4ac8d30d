"""What else a model considered for each word of its captions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..model.bundle import Bundle
from ..results import Caption
from ..words.packing import Corpus
from .pairs import Pairs
from .word_scores import score_words


def with_alternatives(
    bundle: Bundle, captions: list[Caption], features: np.ndarray, count: int
) -> list[Caption]:
    """The captions with the `count` most probable words in every place; features are (B, D)."""
    if not count:
        return captions
    model, vocabulary = bundle.model, bundle.vocabulary
    indices = [[vocabulary.index(w.text) for w in c.words] for c in captions]
    corpus = Corpus(
        [
            sentence[:-1] if c.complete else sentence
            for c, sentence in zip(captions, indices, strict=True)
        ]
    )
    pairs = Pairs(corpus, np.arange(len(captions)), features)
    results = []
    for caption, scored in zip(captions, score_words(model, pairs, count), strict=True):
        top = zip(scored.alternatives.tolist(), scored.alternative_logprobs.tolist(), strict=True)
        words = tuple(
            replace(word, alternatives=tuple(zip(vocabulary.decode(i), p, strict=True)))
            for word, (i, p) in zip(caption.words, top, strict=False)
        )
        results.append(replace(caption, words=words))
    return results
