"""A caller's sentences, each scored for one image: log P by its words, and against the average.

Dimension key: S sentences, D feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.language_model import JointModel
from ..results import Score
from ..words.packing import Corpus
from ..words.text import Vocabulary
from .pairs import Pairs
from .word_scores import score_words, sentence_words, to_perplexity


def score_sentences(
    model: JointModel,
    vocabulary: Vocabulary,
    feature: np.ndarray,
    sentences: Sequence[str],
    priors: np.ndarray,
) -> list[Score]:
    """Scores in order, given a feature (D,) and log P(s) of each sentence's known words (S,).

    Unknown words count as the unknown word in log P(s | I), and not at all in the log-ratio.
    """
    if not sentences:
        return []
    owner = np.zeros(len(sentences), dtype=np.int64)
    corpus, known = (
        Corpus([encode(sentence) for sentence in sentences])
        for encode in (vocabulary.encode, vocabulary.encode_known)
    )
    of_all = list(score_words(model, Pairs(corpus, owner, feature[None])))
    of_known = of_all
    if any(map(vocabulary.unknown, sentences)):
        of_known = list(score_words(model, Pairs(known, owner, feature[None])))
    results = []
    for sentence, scored, part, prior in zip(
        sentences, of_all, of_known, priors.tolist(), strict=True
    ):
        words = sentence_words(vocabulary, sentence, scored)
        logprob = sum(word.logprob for word in words)
        results.append(
            Score(
                sentence,
                logprob,
                to_perplexity(logprob, len(words)),
                sum(part.logprobs.tolist()) - prior,
                words,
                vocabulary.unknown(sentence),
            )
        )
    return results
