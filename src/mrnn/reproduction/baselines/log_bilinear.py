"""Log-bilinear language models: LBL (Mnih and Hinton 2007), MLBL-B and MLBL-F (Kiros et al. 2014).

Linear maps of the last five words predict the representation of the next; a word is as likely as
its representation is like that. MLBL-B adds what a linear map makes of the image. In MLBL-F the
image gates the factors through which words are predicted. Both see an image as the m-RNN does:
scaled to one length.

Dimension key: B or S sentences, I images, N packed words, P prefixes, C context, E word vectors, K
factors, D image feature, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...config import ModelConfig
from ...model.arrays import log_softmax, logsumexp, unit
from ...scoring.likelihoods import add_rows, span
from ...weight_files import Shape
from ...words.packing import Corpus, Packed
from ...words.prefixes import PrefixTree, prefix_tree
from ...words.text import START

CONTEXT = 5  # words, as in the paper's table 1
_PREFIXES = 1024  # whose denominators are computed at once


def shapes(config: ModelConfig) -> dict[str, Shape]:
    """The weights of LBL and MLBL-B by their names, as their file has them."""
    c = config
    return {
        "wo": (c.vocabulary, c.embedding),
        "wo_bias": (c.vocabulary,),
        "maps": (c.embedding, CONTEXT * c.embedding),
        "image_map": (c.embedding, c.feature),
    }


def factored_shapes(config: ModelConfig) -> dict[str, Shape]:
    """The weights of MLBL-F by their names, as its file has them."""
    c = config
    return {
        "wo": (c.vocabulary, c.multimodal),
        "wo_bias": (c.vocabulary,),
        "through": (c.multimodal, c.embedding),
        "gate": (c.multimodal, c.feature),
        "maps": (c.embedding, CONTEXT * c.embedding),
        "image_map": (c.embedding, c.feature),
    }


@dataclass(frozen=True, eq=False)
class LogBilinear:
    """softmax(R r + b), r = sum_i C_i R[w_i] + C_m x: LBL without an image (D = 0), else MLBL-B."""

    config: ModelConfig
    wo: np.ndarray  # R, (V, E): words read and predicted
    wo_bias: np.ndarray  # (V,)
    maps: np.ndarray  # C_i, (E, C * E), nearest word first
    image_map: np.ndarray  # C_m, (E, D)

    bound = math.inf

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name."""
        return {name: getattr(self, name) for name in shapes(self.config)}

    def image_terms(self, features: np.ndarray) -> np.ndarray:
        """C_m x of image features (B, D): (B, E)."""
        return _scaled(features, self.config) @ self.image_map.T

    def sentence_logits(self, packed: Packed, image_terms: np.ndarray) -> np.ndarray:
        """Logits of the next word, (N, V); terms (B, E)."""
        return self._logits(self._predicted(contexts(packed)) + image_terms[packed.rows])

    def initial_state(self, sentences: int) -> np.ndarray:
        """The words before the first, (B, C)."""
        return _no_words(sentences)

    def step(
        self, words: np.ndarray, state: np.ndarray, image_terms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of generation: words (B,), context (B, C), (B, E) -> log P (B, V), context."""
        state = _shifted(state, words)
        return log_softmax(self._logits(self._predicted(state) + image_terms)), state

    def prefix_terms(self, tree: PrefixTree) -> np.ndarray:
        """sum_i C_i R[w_i] after each of P distinct prefixes, (P, E)."""
        return self._predicted(prefix_contexts(tree))

    def multimodal(self, sentence_terms: np.ndarray, image_terms: np.ndarray) -> np.ndarray:
        """r, (P, I, E), from (P, 1, E) and (I, E)."""
        return sentence_terms + image_terms

    def _predicted(self, context: np.ndarray) -> np.ndarray:
        return _read(self.wo, context) @ self.maps.T

    def _logits(self, r: np.ndarray) -> np.ndarray:
        return r @ self.wo.T + self.wo_bias


@dataclass(frozen=True, eq=False)
class FactoredLogBilinear:
    """MLBL-F: softmax(Wfv' ((Wfk r) * (Wfd x)) + b), r as in MLBL-B with words read as Wfk' Wfv."""

    config: ModelConfig
    wo: np.ndarray  # Wfv', (V, K)
    wo_bias: np.ndarray  # (V,)
    through: np.ndarray  # Wfk, (K, E)
    gate: np.ndarray  # Wfd, (K, D)
    maps: np.ndarray  # C_i, (E, C * E), nearest word first
    image_map: np.ndarray  # C_m, (E, D)

    bound = math.inf

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name."""
        return {name: getattr(self, name) for name in factored_shapes(self.config)}

    def image_terms(self, features: np.ndarray) -> np.ndarray:
        """Wfk C_m x, and Wfd x, of image features (B, D): (B, 2K)."""
        x = _scaled(features, self.config)
        return np.concatenate((x @ (self.through @ self.image_map).T, x @ self.gate.T), 1)

    def sentence_logits(self, packed: Packed, image_terms: np.ndarray) -> np.ndarray:
        """Logits of the next word, (N, V); terms (B, 2K)."""
        factors = self._factors(contexts(packed))
        return self._logits(self.multimodal(factors, image_terms[packed.rows]))

    def initial_state(self, sentences: int) -> np.ndarray:
        """The words before the first, (B, C)."""
        return _no_words(sentences)

    def step(
        self, words: np.ndarray, state: np.ndarray, image_terms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """One step of generation: words (B,), context (B, C), (B, 2K) -> log P (B, V), context."""
        state = _shifted(state, words)
        return log_softmax(self._logits(self.multimodal(self._factors(state), image_terms))), state

    def prefix_terms(self, tree: PrefixTree) -> np.ndarray:
        """Wfk sum_i C_i E[w_i] after each of P distinct prefixes, (P, K)."""
        return self._factors(prefix_contexts(tree))

    def multimodal(self, sentence_terms: np.ndarray, image_terms: np.ndarray) -> np.ndarray:
        """(Wfk r) * (Wfd x), (..., K), from the sentence's (..., K) and the image's (..., 2K)."""
        seen, gate = np.split(image_terms, 2, axis=-1)
        return (sentence_terms + seen) * gate

    def _factors(self, context: np.ndarray) -> np.ndarray:
        return _read(self.wo @ self.through, context) @ self.maps.T @ self.through.T

    def _logits(self, m: np.ndarray) -> np.ndarray:
        return m @ self.wo.T + self.wo_bias


def all_pairs(
    model: LogBilinear, corpus: Corpus, terms: np.ndarray, on_progress: Callable[[int, int], None]
) -> np.ndarray:
    """Log P of every sentence given every image, (S, I), nats, from C_m x (I, E).

    As `likelihoods.log_likelihoods`, but fast: words before and image only add to a word's logit,
    so that the denominators of all pairs are one matrix product over the vocabulary.
    """
    tree = prefix_tree(corpus.pack())
    r, totals = model.prefix_terms(tree), np.zeros((len(corpus), len(terms)), dtype=np.float32)
    added = terms @ model.wo.T  # (I, V) by the image
    most = logsumexp(added.astype(np.float64))
    shares = np.exp(added - most[:, None]).T  # (V, I), in 64 bits: no sum of products vanishes
    for start in range(0, len(r), _PREFIXES):
        logits = r[start : start + _PREFIXES] @ model.wo.T + model.wo_bias  # (P', V)
        top = logsumexp(logits.astype(np.float64), keepdims=True)
        denominators = np.log(np.exp(logits - top) @ shares) + top + most  # (P', I)
        words = span(tree.prefixes, slice(start, start + len(logits)))
        at, targets = tree.prefixes[words] - start, tree.targets[words]
        logp = logits[at, targets, None] + added[:, targets].T - denominators[at]
        add_rows(totals, tree.sentences[words], logp.astype(np.float32))
        on_progress(start + len(logits), len(r))
    return totals


def contexts(packed: Packed) -> np.ndarray:
    """The words before each packed word, nearest first, START where there is none: (N, C)."""
    starts = np.array([step.start for step in packed.steps], dtype=np.int64)
    steps = np.repeat(np.arange(len(starts)), packed.sizes)  # (N,) of each packed word
    columns = []
    for back in range(CONTEXT):
        before = packed.inputs[starts[np.maximum(steps - back, 0)] + packed.rows]
        columns.append(np.where(steps >= back, before, START))
    return np.stack(columns, 1)


def prefix_contexts(tree: PrefixTree) -> np.ndarray:
    """The last words of each of P distinct prefixes, nearest first: (P, C)."""
    found = np.full((len(tree.words), CONTEXT), START)
    found[:, 0] = tree.words
    for level in tree.levels[1:]:
        found[level, 1:] = found[tree.parents[level], :-1]
    return found


def _read(words: np.ndarray, context: np.ndarray) -> np.ndarray:
    """Representations (V, E) of words (N, C), side by side: (N, C * E)."""
    return words[context].reshape(len(context), -1)


def _scaled(features: np.ndarray, config: ModelConfig) -> np.ndarray:
    return unit(features.astype(np.float32)) * config.feature_norm


def _no_words(sentences: int) -> np.ndarray:
    return np.full((sentences, CONTEXT), START)


def _shifted(context: np.ndarray, words: np.ndarray) -> np.ndarray:
    return np.concatenate((words[:, None], context[:, :-1]), 1)
