"""One sentence that looks for its images: exact scores for the best, as few as that takes.

Three kinds of scores follow each other, each better than the one before and dearer: those of the
screen for all images, of integer products for the best of these, of fp32 for the best of the
latter. Log P(s) is a mean over training images, a few of which make up nearly all of it, so it is
found in the same way.

Dimension key: I images, P training images for P(s), A anchors, M multimodal layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..model.arrays import logsumexp
from ..model.mrnn import MRNN
from ..model.normaliser import fast_normaliser
from ..words.packing import Corpus
from ..words.prefixes import prefix_tree
from .first_order import Linearised, linearise_tree
from .likelihoods import log_likelihoods
from .screening import Screen, screen
from .word_scores import to_perplexity

ANCHORS = 16  # of a query: one sentence is linearised quickly at all of them
_SCREENED, _SHARE_SCREENED = 96, 16  # images that the screen hands on: so many, or a 16th
_PLACES_SCREENED = 4  # and so many for each one wanted
_PRECISE, _PLACES_PRECISE = 16, 1.5  # that integer products hand on, alike
_LEFT = 0.01  # of P(s) may come from training images that only the screen has scored
_PRIOR_SCREENED, _PRIOR_PRECISE = 48, 8  # at least so many are scored by integers, so many in fp32


# Positions of images with their log P(s | I), perplexity and log-ratio
Ranked = list[tuple[int, float, float, float]]


@dataclass(frozen=True)
class Query:
    """A sentence, and what is quickly known of it for any image; `open_query` makes it."""

    model: MRNN
    corpus: Corpus  # of this sentence
    linearised: Linearised  # at the anchors (A, M)
    screen: Screen

    def precise(self, terms: np.ndarray) -> np.ndarray:
        """Log P of the sentence for image terms (I, M): (I,), nats, in fp32."""
        return log_likelihoods(self.model, self.corpus, terms)[0]

    def fast(self, terms: np.ndarray) -> np.ndarray:
        """The same by integer products, where the model allows them."""
        normaliser = fast_normaliser(self.model)
        return log_likelihoods(self.model, self.corpus, terms, normaliser=normaliser)[0]

    def ranked(self, terms: np.ndarray, prior_terms: np.ndarray, k: int | None) -> Ranked:
        """The k best (or all) of images, of terms (I, M), best first; of equals the first."""
        names = [row.tobytes() for row in terms]
        rows = {name: i for i, name in enumerate(names)}  # equal pictures shall tie
        places = {name: place for place, name in enumerate(sorted(rows))}  # in any order the same
        distinct = terms[[rows[name] for name in places]]
        chosen, found = self.best(distinct, len(terms) if k is None else k)
        logprobs = dict(zip(chosen.tolist(), found.tolist(), strict=True))
        scored = [(i, logprobs.get(places[name])) for i, name in enumerate(names)]
        best = sorted([(i, p) for i, p in scored if p is not None], key=lambda one: -one[1])[:k]
        prior, words = self.log_prior(prior_terms), int(self.corpus.lengths[0])
        return [(i, p, to_perplexity(p, words), p - prior) for i, p in best]

    def best(self, terms: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the `wanted` best images, best first, and their log P in fp32.

        Of terms (I, M); of equals the first; all where there are fewer.
        """
        screened = max(_SCREENED, len(terms) // _SHARE_SCREENED, _PLACES_SCREENED * wanted)
        precise = max(_PRECISE, math.ceil(_PLACES_PRECISE * wanted))
        chosen = np.arange(len(terms))
        for score, count in ((self.screen.scores, screened), (self.fast, precise)):
            if len(chosen) > count:
                chosen = np.sort(chosen[_best_first(score(terms[chosen]))[:count]])
        scores = self.precise(terms[chosen])
        order = _best_first(scores)[:wanted]
        return chosen[order], scores[order]

    def log_prior(self, prior_terms: np.ndarray) -> float:
        """Log P(s), nats, over training images (P, M): to .002 or so, .01 at most (docs/speed.md).

        Integers score all but those images that hold `_LEFT` of the mean by the screen, and fp32
        the best of these.
        """
        scores = self.screen.scores(prior_terms)
        order = _best_first(scores)
        shares = np.exp(scores[order] - logsumexp(scores, axis=0))
        needed = int((shares.cumsum() < 1 - _LEFT).sum()) + 1
        chosen = order[: max(needed, _PRIOR_SCREENED)]
        found = self.fast(prior_terms[chosen])
        _correct(scores, chosen, found, slice(len(chosen) // 2, None))
        chosen = chosen[_best_first(found)[:_PRIOR_PRECISE]]
        _correct(scores, chosen, self.precise(prior_terms[chosen]), slice(None))
        return float(logsumexp(scores, axis=0)) - math.log(len(scores))


def _correct(scores: np.ndarray, chosen: np.ndarray, better: np.ndarray, like: slice) -> None:
    """Put better scores in the place of the chosen ones, and correct the others of (P,) alike.

    Their probabilities change as those of the chosen ones that are most `like` them, on average.
    """
    scores += logsumexp((better - scores[chosen])[like], axis=0)
    scores -= np.float32(math.log(len(chosen[like])))
    scores[chosen] = better


def open_query(model: MRNN, sentence: list[int], centres: np.ndarray) -> Query:
    """What is quickly known of a sentence, from softmaxes at anchors (A, M)."""
    corpus = Corpus([sentence])
    tree = prefix_tree(corpus.pack())
    screened, softmaxes = screen(model, tree, model.prefix_terms(tree), centres)
    linearised = Linearised(centres, *linearise_tree(model, tree, 1, softmaxes))
    return Query(model, corpus, linearised, screened)


def _best_first(scores: np.ndarray) -> np.ndarray:
    """Positions of scores (N,), the highest first, of equals the first."""
    return np.argsort(-scores, kind="stable")
