"""Generation by the ratio: words that the picture speaks for, not those that are always likely.

Section 6 of the paper ranks sentences for an image by P(s | I) / P(s), since likely sentences are
likely for every image. The same holds of words: "man" is likely after "a" whatever is seen. Here
each next word is chosen by

    log P(w | words so far, I) - c log P(w | words so far, I0)

with the usual image I0, the mean of training images, and c from 0 to 1: most for pictures that are
strange to the model (`familiarity`), whose usual words are wrong, and next to none for ordinary
ones. It is chosen among the words that are at least a tenth as probable as the best one, so that
nothing improbable is said only since it is even less probable otherwise (Li et al. 2022,
arXiv:2210.15097, for language models of two sizes). Its kin: Li et al. 2016 (arXiv:1510.03055,
dialogue), Kornblith et al. 2023 (arXiv:2307.16686, captions).

Dimension key: N sentences, V vocabulary, M multimodal layer.
"""

from __future__ import annotations

import math

import numpy as np

from ..words.text import SIGNS, Vocabulary
from .blocks import in_blocks
from .generate import State, Weigh
from .mrnn import MRNN, g2
from .normaliser import float_normaliser

_RARE = 100  # a word of fewer captions than one in so many is rare
_POWER = 3  # an ordinary picture, stranger than half of dev's, has an eighth of the ratio
_PLAUSIBLE = math.log(0.1)  # of the most probable word


def shares(ratio: float, strangeness: np.ndarray) -> np.ndarray:
    """The c of images by how strange they are (B,): all of `ratio` for those unlike all others."""
    return (ratio * strangeness**_POWER).astype(np.float32)


def said_once(vocabulary: Vocabulary, captions: int) -> np.ndarray | None:
    """Words (V,) of so few of the training captions that no sentence needs them twice.

    None where nobody has counted.
    """
    if not vocabulary.captions:
        return None
    rare = np.array(vocabulary.captions) * _RARE < captions
    rare[: len(SIGNS)] = False
    return rare


def by_ratio(model: MRNN, usual: np.ndarray, across: bool) -> Weigh:
    """What words are chosen by, given the image term (M,) of the usual image.

    `across` says whether weights are compared across the N rows, as in a beam. Within a row the
    usual image's denominator is the same for all words, and is left out.

    The last arrays of a state are the c of each sentence, (N, 1), and the sentence's part of eq. 3,
    (N, M). What is not plausible weighs -inf.
    """
    normaliser = float_normaliser(model)

    def normalise(m: np.ndarray) -> tuple[np.ndarray]:
        return (normaliser(m),)

    def weigh(logp: np.ndarray, state: State) -> np.ndarray:
        ratio, of_sentence = state[-2:]
        m = g2(of_sentence + usual)
        rows, words = np.nonzero(logp >= logp.max(axis=1, keepdims=True) + _PLAUSIBLE)
        logits = (m[rows] * model.wo[words]).sum(1) + model.wo_bias[words]
        log_z = in_blocks(normalise, m)[0] if across else np.zeros(len(m), dtype=np.float32)
        weights = np.full_like(logp, -np.inf)
        weights[rows, words] = logp[rows, words] - ratio[rows, 0] * (logits - log_z[rows])
        return weights

    return weigh
