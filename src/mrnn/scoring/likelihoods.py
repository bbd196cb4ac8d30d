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
import torch
from torch import Tensor

from ..config import MEMORY_GB
from ..images.features import FeatureRows
from ..model.language_model import JointModel
from ..model.mrnn import MRNN
from ..model.normaliser import Normaliser, float_normaliser
from ..words.packing import Corpus
from ..words.prefixes import PrefixTree, prefix_tree
from .pairs import to_tensor

MEMORY = MEMORY_GB * 1e9  # bytes
_IMAGES = 64  # scored together
_ENCODED = 4096  # features at once
_ROWS = 1024  # prefixes times images at once on a CPU: their logits stay near its cache
_PAIR_BYTES = 64  # a word of a chosen pair: keys, their order, positions

OnProgress = Callable[[int, int], None]  # done, in all


@torch.inference_mode()
def image_terms(model: MRNN, features: np.ndarray | FeatureRows) -> Tensor:
    """VI I of every image, (I, M), from features (I, D): all that scoring needs to know of it."""
    device = model.wo.device
    terms = model.wo.new_empty(len(features), model.config.multimodal)
    for part in _slices(len(features), _ENCODED):
        # The last product is as large as the others: equal features shall give equal bits.
        rows = np.arange(max(0, part.stop - _ENCODED), part.stop)
        terms[rows[0] : part.stop] = model.image_terms(to_tensor(features[rows], device))
    return terms


@torch.inference_mode()
def log_likelihoods(
    model: JointModel,
    corpus: Corpus,
    terms: Tensor,
    memory: float = MEMORY,
    normaliser: Normaliser | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Tensor:
    """Log P of every sentence given every image, (S, I), from image terms (I, M).

    Takes about `memory` bytes beside the result. As exact as the normaliser. Progress counts words
    times images.
    """
    normalise = normaliser or float_normaliser(model)
    totals = terms.new_zeros(len(corpus), len(terms))
    costs = corpus.lengths * prefix_bytes(model)
    in_all, done = int(corpus.lengths.sum()) * len(terms), 0
    for chosen in sentence_groups(corpus, np.arange(len(corpus)), costs, memory / 4):
        tree = prefix_tree(corpus.pack(chosen)).to(totals.device)
        sentences = torch.from_numpy(chosen).to(totals.device)[tree.sentences]
        prefix_terms = model.prefix_terms(tree)
        for images in _slices(len(terms), _IMAGES):
            block = max(1, _rows(model, memory) // (images.stop - images.start))
            for prefixes in _slices(len(prefix_terms), block):
                words = span(tree.prefixes, prefixes)
                at = tree.prefixes[words] - prefixes.start
                m = model.multimodal(prefix_terms[prefixes, None], terms[images])  # (P', I', M)
                logp = _block(model, normalise, m, at, tree.targets[words])  # (N', I')
                totals[:, images].index_add_(0, sentences[words], logp)
                done += logp.numel()
                on_progress(done, in_all)
    return totals


def log_prior(
    model: JointModel,
    corpus: Corpus,
    prior_terms: Tensor,
    memory: float = MEMORY,
    normaliser: Normaliser | None = None,
) -> Tensor:
    """Log P(s), (S,): P(s | I') averaged over sampled training images I' (paper sec. 6).

    Takes about `memory` bytes. As exact as the normaliser.
    """
    prior = prior_terms.new_empty(len(corpus))
    costs = corpus.lengths * prefix_bytes(model) + 2 * prior_terms.element_size() * len(prior_terms)
    for group in sentence_groups(corpus, np.arange(len(corpus)), costs, memory / 2):
        part = Corpus(corpus.sentences(group))
        scores = log_likelihoods(model, part, prior_terms, memory / 2, normaliser)
        at = torch.from_numpy(group).to(prior.device)
        prior[at] = scores.logsumexp(1) - math.log(len(prior_terms))
    return prior


@torch.inference_mode()
def pair_likelihoods(
    model: JointModel,
    corpus: Corpus,
    terms: Tensor,
    sentences: np.ndarray,
    images: np.ndarray,
    memory: float = MEMORY,
    normaliser: Normaliser | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Tensor:
    """Log P of chosen sentences (K,), each given its image (K,): (K,); terms are (I, M).

    What two sentences for the same image begin with is computed once. Takes about `memory` bytes,
    is as exact as the normaliser, and its progress counts pairs.
    """
    normalise = normaliser or float_normaliser(model)
    totals = terms.new_zeros(len(sentences))
    counts = np.bincount(sentences, minlength=len(corpus))
    order = np.argsort(sentences, kind="stable")  # pairs by sentence
    first = np.concatenate([[0], np.cumsum(counts)])
    costs = corpus.lengths * (prefix_bytes(model) + _PAIR_BYTES * counts)
    done = 0
    for chosen in sentence_groups(corpus, np.flatnonzero(counts), costs, memory / 2):
        pairs = np.concatenate([order[first[s] : first[s + 1]] for s in chosen])
        tree = prefix_tree(corpus.pack(chosen)).to(totals.device)
        prefix_terms = model.prefix_terms(tree)
        owner, word = _words_of(tree, np.repeat(np.arange(len(chosen)), counts[chosen]))
        pair = torch.from_numpy(pairs).to(totals.device)[owner]
        image = torch.from_numpy(images).to(totals.device)[pair]
        keys, by_key = (tree.prefixes[word] * len(terms) + image).sort()
        rows, row = torch.unique_consecutive(keys, return_inverse=True)  # each (prefix, image) once
        pair, target = pair[by_key], tree.targets[word[by_key]]
        for part in _slices(len(rows), _rows(model, memory)):
            words = span(row, part)
            image_part = terms[rows[part] % len(terms)]
            m = model.multimodal(prefix_terms[rows[part] // len(terms)], image_part)
            logp = _block(model, normalise, m[:, None], row[words] - part.start, target[words])
            totals.index_add_(0, pair[words], logp[:, 0])
            on_progress(done + len(pairs) * part.stop // len(rows), len(sentences))
        done += len(pairs)
    return totals


def _block(
    model: JointModel, normalise: Normaliser, m: Tensor, at: Tensor, targets: Tensor
) -> Tensor:
    """Log P (N, I) of words at positions (N,) among the first dimension of m (P, I, M)."""
    z = normalise(m.flatten(0, 1)).view(m.shape[:2])
    logits = [
        torch.bmm(m[a], model.wo[t, :, None])[:, :, 0]  # few words at once: m is copied for each
        for a, t in zip(at.split(len(m)), targets.split(len(m)), strict=True)
    ]
    return torch.cat(logits) + model.wo_bias[targets, None] - z[at]


def _words_of(tree: PrefixTree, sentences: np.ndarray) -> tuple[Tensor, Tensor]:
    """All words of the tree's sentences (K,) with repetitions: positions in K, and in the tree."""
    device = tree.sentences.device
    by_sentence = torch.argsort(tree.sentences, stable=True)
    lengths = torch.bincount(tree.sentences)
    first = lengths.cumsum(0) - lengths
    chosen = torch.from_numpy(sentences).to(device)
    owner = torch.repeat_interleave(lengths[chosen])
    starts = lengths[chosen].cumsum(0) - lengths[chosen]
    within = torch.arange(len(owner), device=device) - starts[owner]
    return owner, by_sentence[first[chosen][owner] + within]


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


def span(rising: Tensor, values: slice) -> slice:
    """Where the values of a slice lie in a tensor that never falls."""
    bounds = torch.tensor([values.start, values.stop], device=rising.device)
    return slice(*torch.searchsorted(rising, bounds).tolist())


def prefix_bytes(model: JointModel) -> int:
    """About what `prefix_terms` takes for each prefix."""
    c = model.config
    return 4 * (4 * c.recurrent + c.multimodal)


def _rows(model: JointModel, memory: float) -> int:
    """How many (prefix, image) rows are computed at once."""
    row_bytes = 4 * (2 * model.config.vocabulary + 4 * model.config.multimodal)
    most = int(min(memory, 1e15) / 4 / row_bytes)
    return max(1, most if model.wo.is_cuda else min(most, _ROWS))
