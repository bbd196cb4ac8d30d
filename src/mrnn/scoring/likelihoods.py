"""Log P(sentence | image) in nats, of all pairs or of chosen ones; exact.

The image enters only the multimodal layer: VI I is computed once an image, the rest of eq. 3 once a
distinct prefix, and what is left for a (prefix, image) is g2 and the softmax.

Dimension key: S sentences, I images, K chosen pairs, P distinct prefixes, N words, M multimodal
layer, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from ..config import MEMORY_GB
from ..images.features import FeatureRows
from ..model.arrays import logsumexp
from ..model.blocks import NUMPYS_ROWS, in_blocks
from ..model.language_model import JointModel
from ..model.mrnn import MRNN
from ..model.normaliser import Normaliser, float_normaliser
from ..words.packing import Corpus
from ..words.prefixes import PrefixTree, prefix_tree

MEMORY = MEMORY_GB * 1e9  # bytes
_IMAGES = 128  # scored together
_ENCODED = 4096  # features at once
_ROWS = 512  # prefixes times images at once: their logits stay near the cache
_COPIED = 4096  # rows of m at once
_PAIR_BYTES = 64  # a word of a chosen pair: keys, their order, positions

OnProgress = Callable[[int, int], None]  # done, in all


def image_terms(model: MRNN, features: np.ndarray | FeatureRows) -> np.ndarray:
    """VI I of every image, (I, M), from features (I, D): all that scoring needs to know of it."""
    terms = np.empty((len(features), model.config.multimodal), dtype=np.float32)
    for part in _slices(len(features), _ENCODED):
        rows = np.asarray(features[np.arange(part.start, part.stop)])
        # In blocks: equal features shall give equal bits.
        [terms[part]] = in_blocks(lambda f: (model.image_terms(f),), rows, size=NUMPYS_ROWS)
    return terms


def log_likelihoods(
    model: JointModel,
    corpus: Corpus,
    terms: np.ndarray,
    memory: float = MEMORY,
    normaliser: Normaliser | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> np.ndarray:
    """Log P of every sentence given every image, (S, I), from image terms (I, M).

    Takes about `memory` bytes beside the result. As exact as the normaliser. Progress counts words
    times images.
    """
    normalise = normaliser or float_normaliser(model)
    totals = np.zeros((len(corpus), len(terms)), dtype=np.float32)
    costs = corpus.lengths * prefix_bytes(model)
    in_all, done = int(corpus.lengths.sum()) * len(terms), 0
    for chosen in sentence_groups(corpus, np.arange(len(corpus)), costs, memory / 4):
        tree = prefix_tree(corpus.pack(chosen))
        sentences = chosen[tree.sentences]
        prefix_terms = model.prefix_terms(tree)
        for images in _slices(len(terms), _IMAGES):
            block = max(1, _rows(model, memory) // (images.stop - images.start))
            for prefixes in _slices(len(prefix_terms), block):
                words = span(tree.prefixes, prefixes)
                at = tree.prefixes[words] - prefixes.start
                m = model.multimodal(prefix_terms[prefixes, None], terms[images])  # (P', I', M)
                z = normalise(m.reshape(-1, m.shape[2])).reshape(m.shape[:2])
                logp = _by_prefix(model, m, at, tree.targets[words]) - z[at]  # (N', I')
                add_rows(totals[:, images], sentences[words], logp)
                done += logp.size
                on_progress(done, in_all)
    return totals


def log_prior(
    model: JointModel,
    corpus: Corpus,
    prior_terms: np.ndarray,
    memory: float = MEMORY,
    normaliser: Normaliser | None = None,
) -> np.ndarray:
    """Log P(s), (S,): P(s | I') averaged over sampled training images I' (paper sec. 6).

    Takes about `memory` bytes. As exact as the normaliser.
    """
    prior = np.empty(len(corpus), dtype=np.float32)
    costs = corpus.lengths * prefix_bytes(model) + 2 * prior_terms.itemsize * len(prior_terms)
    for group in sentence_groups(corpus, np.arange(len(corpus)), costs, memory / 2):
        part = Corpus(corpus.sentences(group))
        scores = log_likelihoods(model, part, prior_terms, memory / 2, normaliser)
        prior[group] = logsumexp(scores) - math.log(len(prior_terms))
    return prior


def pair_likelihoods(
    model: JointModel,
    corpus: Corpus,
    terms: np.ndarray,
    sentences: np.ndarray,
    images: np.ndarray,
    memory: float = MEMORY,
    normaliser: Normaliser | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> np.ndarray:
    """Log P of chosen sentences (K,), each given its image (K,): (K,); terms are (I, M).

    What two sentences for the same image begin with is computed once. Takes about `memory` bytes,
    is as exact as the normaliser, and its progress counts pairs.
    """
    normalise = normaliser or float_normaliser(model)
    totals = np.zeros(len(sentences), dtype=np.float32)
    counts = np.bincount(sentences, minlength=len(corpus))
    order = np.argsort(sentences, kind="stable")  # pairs by sentence
    first = np.concatenate([[0], np.cumsum(counts)])
    costs = corpus.lengths * (prefix_bytes(model) + _PAIR_BYTES * counts)
    done = 0
    for chosen in sentence_groups(corpus, np.flatnonzero(counts), costs, memory / 2):
        pairs = np.concatenate([order[first[s] : first[s + 1]] for s in chosen])
        tree = prefix_tree(corpus.pack(chosen))
        prefix_terms = model.prefix_terms(tree)
        owner, word = _words_of(tree, np.repeat(np.arange(len(chosen)), counts[chosen]))
        pair = pairs[owner]
        keys = tree.prefixes[word] * len(terms) + images[pair]
        by_key = np.argsort(keys, kind="stable")
        rows, row = np.unique(keys[by_key], return_inverse=True)  # each (prefix, image) once
        pair, target = pair[by_key], tree.targets[word[by_key]]
        for part in _slices(len(rows), _rows(model, memory)):
            words = span(row, part)
            image_part = terms[rows[part] % len(terms)]
            m = model.multimodal(prefix_terms[rows[part] // len(terms)], image_part)
            at = row[words] - part.start
            logp = _by_row(model, m, at, target[words]) - normalise(m)[at]
            np.add.at(totals, pair[words], logp)
            on_progress(done + len(pairs) * part.stop // len(rows), len(sentences))
        done += len(pairs)
    return totals


def _by_prefix(model: JointModel, m: np.ndarray, at: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Logits (N, I) of words after the prefixes at positions (N,), rising, of m (P, I, M)."""
    logits = np.empty((len(at), m.shape[1]), dtype=np.float32)
    places, starts = np.unique(at, return_index=True)
    for place, start, stop in zip(places, starts, [*starts[1:], len(at)], strict=True):
        np.matmul(model.wo[targets[start:stop]], m[place].T, out=logits[start:stop])
    return logits + model.wo_bias[targets, None]


def _by_row(model: JointModel, m: np.ndarray, at: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Logits (N,) of words at positions (N,) of rows m (R, M); few at once are copied."""
    parts = [slice(start, start + _COPIED) for start in range(0, len(at), _COPIED)]
    found = [np.einsum("nm,nm->n", m[at[p]], model.wo[targets[p]]) for p in parts]
    return np.concatenate(found) + model.wo_bias[targets]


def add_rows(totals: np.ndarray, at: np.ndarray, rows: np.ndarray) -> None:
    """Add each of the rows (N, I) to the row of totals (S, I) that `at` (N,) names."""
    order = np.argsort(at, kind="stable")
    names, starts = np.unique(at[order], return_index=True)
    totals[names] += np.add.reduceat(rows[order], starts, axis=0) if len(names) else 0


def _words_of(tree: PrefixTree, sentences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All words of the tree's sentences (K,) with repetitions: positions in K, and in the tree."""
    by_sentence = np.argsort(tree.sentences, kind="stable")
    lengths = np.bincount(tree.sentences)
    first = np.cumsum(lengths) - lengths
    counts = lengths[sentences]
    owner = np.repeat(np.arange(len(sentences)), counts)
    within = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    return owner, by_sentence[first[sentences][owner] + within]


def sentence_groups(
    corpus: Corpus, chosen: np.ndarray, costs: np.ndarray, budget: float
) -> Iterator[np.ndarray]:
    """Cut the `chosen` sentences into groups whose costs (S,) stay in a budget, in bytes.

    Similar beginnings come together, for the sake of shared prefixes.
    """
    if costs[chosen].sum() > budget:
        chosen = corpus.alphabetical(chosen)
    total = np.cumsum(costs[chosen])
    start = 0
    while start < len(chosen):
        spent = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, spent + budget, side="right")))
        yield chosen[start:stop]
        start = stop


def _slices(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def span(rising: np.ndarray, values: slice) -> slice:
    """Where the values of a slice lie in an array that never falls."""
    return slice(*np.searchsorted(rising, (values.start, values.stop)).tolist())


def prefix_bytes(model: JointModel) -> int:
    """About what `prefix_terms` takes for each prefix."""
    c = model.config
    return 4 * (4 * c.recurrent + c.multimodal)


def _rows(model: JointModel, memory: float) -> int:
    """How many (prefix, image) rows are computed at once."""
    row_bytes = 4 * (2 * model.config.vocabulary + 4 * model.config.multimodal)
    most = int(min(memory, 1e15) / 4 / row_bytes)
    return max(1, min(most, _ROWS))
