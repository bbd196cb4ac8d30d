"""A caller's sentences, each scored for one image: log P by its words, and against the average.

Dimension key: D feature, P prior images, M multimodal layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.language_model import JointModel
from ..results import Score, Word
from ..words.packing import Corpus
from ..words.text import END, SIGNS, Vocabulary
from .likelihoods import log_prior
from .pairs import Pairs
from .word_scores import score_words, to_perplexity


def score_sentences(
    model: JointModel,
    vocabulary: Vocabulary,
    prior_terms: np.ndarray,
    feature: np.ndarray,
    sentences: Sequence[str],
) -> list[Score]:
    """Scores in order, given a feature (D,); P(s) is over the image terms (P, M).

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
    priors = log_prior(model, known, prior_terms).tolist()
    results = []
    for sentence, scored, part, prior in zip(sentences, of_all, of_known, priors, strict=True):
        logprobs = scored.logprobs.tolist()
        words = zip([*vocabulary.tokenise(sentence), SIGNS[END]], logprobs, strict=True)
        logprob = sum(logprobs)
        results.append(
            Score(
                sentence,
                logprob,
                to_perplexity(logprob, len(logprobs)),
                sum(part.logprobs.tolist()) - prior,
                tuple(Word(w, p, captions=vocabulary.captions_with(w)) for w, p in words),
                vocabulary.unknown(sentence),
            )
        )
    return results
