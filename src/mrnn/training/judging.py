"""What a model is told of itself from captions of dev pictures: when to trust it, how to write.

Dimension key: I dev pictures, D image feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..captioner import Captioner
from ..datasets import Example
from ..evaluation.metrics import cider_d
from ..images.encoders import features_only
from ..model.bundle import Bundle
from ..model.familiarity import quantiles
from ..model.sureness import Sureness, fit_sureness
from ..results import Caption
from ..scoring.likelihoods import image_terms
from ..scoring.pairs import Pairs
from ..scoring.trust import Trust
from ..words.text import Vocabulary

References = Sequence[Sequence[tuple[str, ...]]]  # the words of each picture's sentences

RATIOS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
_LOSS = 0.02  # share of dev's CIDEr-D that a ratio may cost
_LEAST = 20  # pictures; with fewer nothing is known


def judged(bundle: Bundle, dev: Pairs, examples: Sequence[Example]) -> Bundle:
    """The bundle with what it knows of itself from its dev pictures, which are the `examples`.

    How far they lie from training images, the ratio to generate by (the highest that costs dev
    captions next to nothing, for models with words that captions lack), and how sure captions are.
    """
    terms = image_terms(bundle.model, dev.features)
    if bundle.model.config.feature == 0 or len(terms) < _LEAST:
        return bundle
    bundle = replace(bundle, distances=quantiles(Trust(bundle).distances(terms)))
    captioner = Captioner(bundle, features_only(bundle.model.config.feature))
    tokenise = bundle.vocabulary.tokenise
    references = [[tuple(tokenise(s)) for s in example.sentences] for example in examples]
    ratios = RATIOS if bundle.imagined else (bundle.ratio,)
    written = {ratio: captioner.caption_terms(terms, ratio=ratio) for ratio in ratios}
    ratio = _best_ratio(bundle.vocabulary, written, references) if bundle.imagined else bundle.ratio
    sureness = _sureness(captioner.trust, written[ratio], references)
    return replace(bundle, ratio=ratio, sureness=sureness)


def _best_ratio(
    vocabulary: Vocabulary, written: Mapping[float, list[Caption]], references: References
) -> float:
    """The highest whose captions are nearly as good as the best."""
    scores = {
        ratio: cider_d([tuple(vocabulary.tokenise(c.text)) for c in captions], references)
        for ratio, captions in written.items()
    }
    best = max(scores.values())
    return max(ratio for ratio, score in scores.items() if score >= (1 - _LOSS) * best)


def _sureness(trust: Trust, captions: list[Caption], references: References) -> Sureness | None:
    """Fitted to the main words of captions: they are right if a reference has them."""
    found = []
    for caption, several in zip(captions, references, strict=True):
        if main := trust.main_word(caption):
            word, gain = main
            found.append((word.logprob, gain, any(word.text in said for said in several)))
    logprobs, gains, is_right = np.array(found, dtype=np.float64).reshape(-1, 3).T
    return fit_sureness(logprobs, gains, is_right)
