"""What a model is told of itself from captions of dev pictures: when to trust it, how to write.

Dimension key: I dev pictures, D image feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..captioner import Captioner
from ..datasets import Example
from ..evaluation.metrics import cider_d
from ..images.encoders import features_only
from ..model.bundle import Bundle
from ..model.familiarity import quantiles, surroundings
from ..model.sureness import Sureness, fit_sureness, main_word
from ..results import Caption
from ..scoring.likelihoods import image_terms
from ..scoring.pairs import Pairs
from ..words.text import tokenise

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
    around = surroundings(bundle.model.image_terms(bundle.seen))
    bundle = replace(bundle, distances=quantiles(around.distances(terms)))
    references = [[tuple(tokenise(s)) for s in example.sentences] for example in examples]
    if bundle.imagined:
        bundle = replace(bundle, ratio=_best_ratio(bundle, terms, references))
    return replace(bundle, sureness=_sureness(bundle, terms, references))


def _best_ratio(
    bundle: Bundle, terms: np.ndarray, references: Sequence[Sequence[tuple[str, ...]]]
) -> float:
    scores = {
        ratio: cider_d(
            [tuple(tokenise(c.text)) for c in _captions(bundle, terms, ratio)], references
        )
        for ratio in RATIOS
    }
    best = max(scores.values())
    return max(ratio for ratio, score in scores.items() if score >= (1 - _LOSS) * best)


def _sureness(
    bundle: Bundle, terms: np.ndarray, references: Sequence[Sequence[tuple[str, ...]]]
) -> Sureness | None:
    """Fitted to the main words of greedy captions: they are right if a reference has them."""
    captioner = _captioner(bundle)
    found = []
    for caption, said in zip(_captions(bundle, terms, bundle.ratio), references, strict=True):
        gains = captioner.trust.gains(caption)
        if gains:
            place = main_word(gains)
            word = caption.words[place]
            found.append((word.logprob, gains[place], any(word.text in s for s in said)))
    logprobs, gained, right = (np.array(column) for column in zip(*found, strict=True))
    return fit_sureness(logprobs, gained, right)


def _captions(bundle: Bundle, terms: np.ndarray, ratio: float) -> list[Caption]:
    return _captioner(bundle).caption_terms(terms, ratio=ratio)


def _captioner(bundle: Bundle) -> Captioner:
    return Captioner(bundle, features_only(bundle.model.config.feature))
