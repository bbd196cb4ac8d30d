"""How likely is what a search finds right? Fitted to searches among dev pictures.

Searched for are whole dev sentences, and what people rather type: single words of them, two that
follow each other, and how they begin. A whole sentence is right of the pictures that have it. Words
are right of the pictures whose sentences have them all; others may show them, too, without a word,
so that such chances are rather too low than too high. Galleries are of many sizes, and in half of
the searches the picture that the words were taken from is not there.

Dimension key: S searched sentences, I pictures, N pictures of a gallery, G sizes of galleries, P
training images for P(s), M multimodal layer, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from ..model.arrays import highest
from ..model.bundle import Bundle
from ..model.chance import MatchChance
from ..model.logistic import fit_logistic
from ..model.mrnn import MRNN
from ..model.normaliser import fast_normaliser
from ..scoring.first_order import anchors, estimated_log_prior, linearised_groups
from ..scoring.likelihoods import OnProgress, image_terms, pair_likelihoods
from ..scoring.pairs import Pairs
from ..scoring.ranking import best_mask
from ..scoring.trust import Trust
from ..words.packing import Corpus

SENTENCES = 2000  # that are searched for at most, an even share of each kind
LEAST = 20  # pictures and sentences; with fewer nothing is known
FOUND = 10  # pictures of a search that are judged
CANDIDATES = 15  # of a gallery that are scored exactly
KINDS = ("sentence", "word", "two words", "beginning")
_BEGINNING = 4  # words at most
_TRIES = 20  # to draw what was not drawn yet, for each that is wanted
_COMMON = 0.1  # a sentence of more than this share of the pictures tells none from the others
_DIGITS = 4  # of what is stored
_MEMORY = 2e8  # bytes for sentences that are scored together


@dataclass(frozen=True)
class Queries:
    """S distinct sentences to search for."""

    corpus: Corpus
    kinds: np.ndarray  # (S,) places in KINDS
    words: np.ndarray  # (S,) how many of each one's words say something of a picture, at least 1
    right: np.ndarray  # (S, I) bool, the pictures that each is right of


@dataclass(frozen=True)
class Found:
    """The best pictures of many searches, n in all."""

    query: np.ndarray  # (n,) which of the S sentences was searched for
    pictures: np.ndarray  # (n,) how many were searched
    place: np.ndarray  # (n,) among those found, from 0
    log_ratio: np.ndarray  # (n,) nats
    log_prior: np.ndarray  # (n,) log P(s), nats
    is_right: np.ndarray  # (n,) bool

    def chosen(self, mask: np.ndarray) -> Found:
        """Those where the mask (n,) is true."""
        return Found(*(column[mask] for column in astuple(self)))


def fit_match(
    bundle: Bundle,
    dev: Pairs,
    seed: int = 1,
    on_progress: OnProgress = lambda done, total: None,
) -> MatchChance | None:
    """The chance that a picture found is right, from dev pairs, as the bundle's model sees them.

    None where there is too little to go by: fewer than 20 distinct pictures or sentences, none that
    is found or none that is not, or a model that sees no pictures. Progress counts sentences.
    """
    if bundle.model.config.feature == 0:
        return None
    # The same picture under two names is one, or it would be its own best wrong picture.
    terms, which = np.unique(image_terms(bundle.model, dev.features), axis=0, return_inverse=True)
    if len(terms) < LEAST:
        return None
    queries = draw_queries(bundle, dev.corpus, which[dev.images], len(terms), seed=seed)
    if len(queries.words) < LEAST:
        return None
    sizes = gallery_sizes(len(terms) - 1)
    found = search_all(bundle, queries, terms, sizes, seed, on_progress)
    return chance_of(queries, found, len(terms), sizes)


def chance_of(
    queries: Queries, found: Found, images: int, sizes: tuple[int, ...]
) -> MatchChance | None:
    """What tells right from wrong best among what was found; None where nothing does."""
    weights = fit_logistic(figures_of(queries, found), found.is_right)
    if weights is None or round(weights[1], _DIGITS) <= 0:
        return None
    intercept, log_ratio, pictures, one_word, prior, shared = np.round(weights, _DIGITS).tolist()
    figures = intercept, log_ratio, pictures, one_word, prior, shared
    return MatchChance(*figures, "dev", images, len(queries.words), sizes)


def figures_of(queries: Queries, found: Found) -> np.ndarray:
    """What the chances of what was found go by: (n, 5)."""
    words = queries.words[found.query]
    return MatchChance.figures(found.log_ratio, found.log_prior, words, found.pictures)


def gallery_sizes(most: int) -> tuple[int, ...]:
    """10, 30, 100, 300, ... and `most`."""
    sizes = [n * 10**power for power in range(1, len(str(most))) for n in (1, 3)]
    return (*(size for size in sizes if size < most), most)


def draw_queries(
    bundle: Bundle,
    corpus: Corpus,
    images: np.ndarray,
    count: int,
    most: int = SENTENCES,
    seed: int = 1,
) -> Queries:
    """At most `most` distinct sentences of all kinds, drawn at random from S' of dev.

    `images` (S',) is the picture of each dev sentence, one of `count`. Words that no training
    caption has are left out, the unknown word as well: a search does not judge them. What is empty
    then is passed over, and so are whole sentences of more than a tenth of the pictures.
    """
    trust = Trust(bundle)
    says = trust.content_words
    taught = [
        [word for word in words if trust.is_taught(word)]
        for words in corpus.sentences(np.arange(len(corpus)))
    ]
    generator = np.random.default_rng(seed)
    drawn: dict[tuple[int, ...], tuple[int, np.ndarray]] = {}  # its kind and pictures
    for words, own in _whole(taught, images, count, most // len(KINDS), generator):
        drawn[words] = 0, own
    bearing: dict[int, np.ndarray] = {}  # the pictures of a word
    flat = np.array([word for words in taught for word in words], dtype=np.int64)
    pictures = np.repeat(images, [len(words) for words in taught])
    for kind in range(1, len(KINDS)):
        wanted = len(drawn) + most // len(KINDS)
        for _ in range(_TRIES * most // len(KINDS) if len(flat) else 0):
            if len(drawn) == wanted:
                break
            words = _part(taught[generator.integers(len(taught))], says, kind, generator)
            if not words or words in drawn:
                continue
            for word in set(words) - bearing.keys():
                bearing[word] = np.zeros(count, dtype=bool)
                bearing[word][pictures[flat == word]] = True
            telling = [bearing[word] for word in words if says[word]]
            drawn[words] = kind, np.logical_and.reduce(telling)
    return Queries(
        Corpus(list(drawn)),
        np.array([kind for kind, _ in drawn.values()], dtype=np.int64),
        np.array([max(1, int(says[list(words)].sum())) for words in drawn], dtype=np.int64),
        np.array([own for _, own in drawn.values()], dtype=bool).reshape(len(drawn), count),
    )


def _whole(
    sentences: Sequence[Sequence[int]],
    images: np.ndarray,
    count: int,
    most: int,
    generator: np.random.Generator,
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """At most so many of the distinct sentences, with the pictures that have them, (I,) bool."""
    described: dict[tuple[int, ...], set[int]] = {}
    for words, image in zip(sentences, images.tolist(), strict=True):
        described.setdefault(tuple(words), set()).add(image)
    usable = [
        (words, own)
        for words, own in described.items()
        if words and len(own) <= max(1, _COMMON * count)
    ]
    for place in np.sort(generator.permutation(len(usable))[:most]):
        words, own = usable[place]
        yield words, np.isin(np.arange(count), list(own))


def _part(
    sentence: Sequence[int], says: np.ndarray, kind: int, generator: np.random.Generator
) -> tuple[int, ...]:
    """A part of a sentence as people search for; () where it has none that says something."""
    telling = [word for word in sentence if says[word]]
    if kind == KINDS.index("beginning"):
        part = sentence[: int(generator.integers(2, _BEGINNING + 1))]
        return tuple(part) if any(says[word] for word in part) else ()
    if len(telling) < kind:
        return ()
    start = int(generator.integers(len(telling) - kind + 1))
    return tuple(telling[start : start + kind])


def search_all(
    bundle: Bundle,
    queries: Queries,
    terms: np.ndarray,
    sizes: Sequence[int],
    seed: int = 1,
    on_progress: OnProgress = lambda done, total: None,
    candidates: int = CANDIDATES,
) -> Found:
    """Search for each sentence in two random galleries of each size (G,), rising.

    Galleries are drawn from image terms (I, M), for every sentence others: one with a picture that
    the sentence is right of, one without that one. A larger gallery holds the smaller ones.
    First-order scores choose the candidates of each; log P(s) is an estimate.
    """
    model, prior_terms = bundle.model, image_terms(bundle.model, bundle.prior)
    centres, both = anchors(prior_terms), np.concatenate([terms, prior_terms])
    generators = [np.random.default_rng((seed, s)) for s in range(len(queries.words))]
    done, found = 0, []
    groups = linearised_groups(model, queries.corpus, centres, len(both), _MEMORY)
    for group, part, linearised in groups:
        first, of_prior = np.split(linearised.scores(both), [len(terms)], axis=1)
        drawn = np.stack([_gallery(queries.right[s], sizes[-1], generators[s]) for s in group])
        exact = _scored(model, part, terms, first, drawn, sizes, candidates)
        log_prior = estimated_log_prior(model, part, prior_terms, of_prior, _MEMORY)
        is_right = queries.right[group[:, None], drawn]
        for size in sizes:
            for start in (0, 1):  # with the picture that it was taken from, and without it
                among = slice(start, start + size)
                scores = exact[:, among]
                best = highest(scores, FOUND)
                best_scores, right = (
                    np.take_along_axis(of, best, 1) for of in (scores, is_right[:, among])
                )
                row, place = np.nonzero(np.isfinite(best_scores))
                found.append(
                    Found(
                        group[row],
                        np.full(len(row), size),
                        place,
                        best_scores[row, place] - log_prior[row],
                        log_prior[row],
                        right[row, place],
                    )
                )
        done += len(group)
        on_progress(done, len(queries.words))
    return Found(*(np.concatenate(columns) for columns in zip(*map(astuple, found), strict=True)))


def _gallery(right: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """A picture of the right ones (I,), then `most` others, fewer than I, in random order."""
    own = generator.choice(np.flatnonzero(right))
    order = generator.permutation(len(right))
    return np.concatenate([[own], order[order != own][:most]])


def _scored(
    model: MRNN,
    part: Corpus,
    terms: np.ndarray,
    first: np.ndarray,
    drawn: np.ndarray,
    sizes: Sequence[int],
    candidates: int,
) -> np.ndarray:
    """Log P(s | I) of its own picture and of the candidates of each gallery, others -inf.

    `first` are first-order scores (S, I), `drawn` pictures (S, 1 + N): (S, 1 + N).
    """
    coarse = np.take_along_axis(first, drawn, 1)
    chosen = np.zeros_like(drawn, dtype=bool)
    chosen[:, 0] = True
    for size in sizes:
        chosen[:, 1 : 1 + size] |= best_mask(coarse[:, 1 : 1 + size], candidates)
    found = np.full_like(coarse, -np.inf)
    sentences, images = np.nonzero(chosen)[0], drawn[chosen]
    found[chosen] = pair_likelihoods(
        model, part, terms, sentences, images, _MEMORY, fast_normaliser(model)
    )
    return found
