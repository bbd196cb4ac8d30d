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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import ModelConfig
from ...model.mrnn import Dropout
from ...scoring.likelihoods import span
from ...words.packing import Corpus, Packed
from ...words.prefixes import PrefixTree, prefix_tree
from ...words.text import START

CONTEXT = 5  # words, as in the paper's table 1
_PREFIXES = 1024  # whose denominators are computed at once


class LogBilinear(nn.Module):
    """softmax(R r + b), r = sum_i C_i R[w_i] + C_m x: LBL without an image (D = 0), else MLBL-B."""

    bound = math.inf

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size = config.embedding
        self.wo = nn.Parameter(torch.empty(config.vocabulary, size))  # R: words read and predicted
        self.wo_bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.maps = nn.Parameter(torch.empty(size, CONTEXT * size))  # C_i, nearest word first
        self.image_map = nn.Parameter(torch.empty(size, config.feature))  # C_m

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> LogBilinear:
        """Draw all weights at random; returns itself."""
        self.wo.normal_(0, 0.1, generator=generator)
        for weight in (self.maps, self.image_map):
            _uniform(weight, generator)
        return self

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Scale what predicts, not the words that are read."""
        for weight in (self.maps, self.image_map, self.wo_bias):
            weight.div_(temperature)

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """C_m x of image features (B, D): (B, E)."""
        return F.linear(_scaled(features, self.config, dropout), self.image_map)

    def forward(self, packed: Packed, terms: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits of the next word, (N, V); terms (B, E)."""
        read = _read(self.wo, contexts(packed), dropout)
        r = F.linear(read, self.maps) + terms.index_select(0, packed.rows)
        if dropout:
            r = dropout(r, dropout.shares.multimodal)
        return F.linear(r, self.wo, self.wo_bias)

    def initial_state(self, sentences: int) -> Tensor:
        """The words before the first, (B, C)."""
        return _no_words(sentences, self.wo)

    def step(self, words: Tensor, state: Tensor, terms: Tensor) -> tuple[Tensor, Tensor]:
        """One step of generation: words (B,), context (B, C), (B, E) -> log P (B, V), context."""
        state = _shifted(state, words)
        r = F.linear(_read(self.wo, state), self.maps) + terms
        return F.log_softmax(F.linear(r, self.wo, self.wo_bias), dim=1), state

    def prefix_terms(self, tree: PrefixTree) -> Tensor:
        """sum_i C_i R[w_i] after each of P distinct prefixes, (P, E)."""
        return F.linear(_read(self.wo, prefix_contexts(tree)), self.maps)

    def multimodal(self, sentence_terms: Tensor, image_terms: Tensor) -> Tensor:
        """r, (P, I, E), from (P, 1, E) and (I, E)."""
        return sentence_terms + image_terms


class FactoredLogBilinear(nn.Module):
    """MLBL-F: softmax(Wfv' ((Wfk r) * (Wfd x)) + b), r as in MLBL-B with words read as Wfk' Wfv."""

    bound = math.inf

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size, factors = config.embedding, config.multimodal
        self.wo = nn.Parameter(torch.empty(config.vocabulary, factors))  # Wfv'
        self.wo_bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.through = nn.Parameter(torch.empty(factors, size))  # Wfk
        self.gate = nn.Parameter(torch.empty(factors, config.feature))  # Wfd
        self.maps = nn.Parameter(torch.empty(size, CONTEXT * size))  # C_i, nearest word first
        self.image_map = nn.Parameter(torch.empty(size, config.feature))  # C_m

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> FactoredLogBilinear:
        """Draw all weights at random; returns itself."""
        self.wo.normal_(0, 0.1, generator=generator)
        for weight in (self.through, self.gate, self.maps, self.image_map):
            _uniform(weight, generator)
        return self

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Scale what predicts, not the words that are read."""
        for weight in (self.gate, self.wo_bias):
            weight.div_(temperature)

    def image_terms(self, features: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Wfk C_m x, and Wfd x, of image features (B, D): (B, 2K)."""
        x = _scaled(features, self.config, dropout)
        return torch.cat((F.linear(x, self.through @ self.image_map), F.linear(x, self.gate)), 1)

    def forward(self, packed: Packed, terms: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits of the next word, (N, V); terms (B, 2K)."""
        factors = self._factors(contexts(packed), dropout)
        m = self.multimodal(factors, terms.index_select(0, packed.rows))
        if dropout:
            m = dropout(m, dropout.shares.multimodal)
        return F.linear(m, self.wo, self.wo_bias)

    def initial_state(self, sentences: int) -> Tensor:
        """The words before the first, (B, C)."""
        return _no_words(sentences, self.wo)

    def step(self, words: Tensor, state: Tensor, terms: Tensor) -> tuple[Tensor, Tensor]:
        """One step of generation: words (B,), context (B, C), (B, 2K) -> log P (B, V), context."""
        state = _shifted(state, words)
        m = self.multimodal(self._factors(state), terms)
        return F.log_softmax(F.linear(m, self.wo, self.wo_bias), dim=1), state

    def prefix_terms(self, tree: PrefixTree) -> Tensor:
        """Wfk sum_i C_i E[w_i] after each of P distinct prefixes, (P, K)."""
        return self._factors(prefix_contexts(tree))

    def multimodal(self, sentence_terms: Tensor, image_terms: Tensor) -> Tensor:
        """(Wfk r) * (Wfd x), (..., K), from the sentence's (..., K) and the image's (..., 2K)."""
        seen, gate = image_terms.chunk(2, dim=-1)
        return (sentence_terms + seen) * gate

    def _factors(self, context: Tensor, dropout: Dropout | None = None) -> Tensor:
        read = _read(self.wo @ self.through, context, dropout)
        return F.linear(F.linear(read, self.maps), self.through)


@torch.inference_mode()
def all_pairs(
    model: LogBilinear, corpus: Corpus, terms: Tensor, on_progress: Callable[[int, int], None]
) -> Tensor:
    """Log P of every sentence given every image, (S, I), nats, from C_m x (I, E).

    As `likelihoods.log_likelihoods`, but fast: words before and image only add to a word's logit,
    so that the denominators of all pairs are one matrix product over the vocabulary.
    """
    tree = prefix_tree(corpus.pack()).to(terms.device)
    r, totals = model.prefix_terms(tree), terms.new_zeros(len(corpus), len(terms))
    added = terms @ model.wo.T  # (I, V) by the image
    most = added.double().logsumexp(1)
    shares = (added - most[:, None]).exp().T  # (V, I), in 64 bits: no sum of products vanishes
    for start in range(0, len(r), _PREFIXES):
        logits = F.linear(r[start : start + _PREFIXES], model.wo, model.wo_bias)  # (P', V)
        top = logits.double().logsumexp(1, keepdim=True)
        denominators = ((logits - top).exp() @ shares).log() + top + most  # (P', I)
        words = span(tree.prefixes, slice(start, start + len(logits)))
        at, targets = tree.prefixes[words] - start, tree.targets[words]
        logp = logits[at, targets, None] + added[:, targets].T - denominators[at]
        totals.index_add_(0, tree.sentences[words], logp.to(totals.dtype))
        on_progress(start + len(logits), len(r))
    return totals


def contexts(packed: Packed) -> Tensor:
    """The words before each packed word, nearest first, START where there is none: (N, C)."""
    sizes = torch.tensor(packed.sizes, device=packed.rows.device)
    starts = sizes.cumsum(0) - sizes
    steps = torch.repeat_interleave(sizes)  # (N,) of each packed word
    columns = []
    for back in range(CONTEXT):
        before = packed.inputs[starts[(steps - back).clamp_min(0)] + packed.rows]
        columns.append(torch.where(steps >= back, before, START))
    return torch.stack(columns, 1)


def prefix_contexts(tree: PrefixTree) -> Tensor:
    """The last words of each of P distinct prefixes, nearest first: (P, C)."""
    found = torch.full((len(tree.words), CONTEXT), START, device=tree.words.device)
    found[:, 0] = tree.words
    level = tree.sizes[0] if tree.sizes else 0
    for size in tree.sizes[1:]:
        here = slice(level, level + size)
        found[here, 1:] = found[tree.parents[here], :-1]
        level += size
    return found


def _read(words: Tensor, context: Tensor, dropout: Dropout | None = None) -> Tensor:
    """Representations (V, E) of words (N, C), side by side: (N, C * E)."""
    read = F.embedding(context, words).flatten(1)
    return dropout(read, dropout.shares.words) if dropout else read


def _scaled(features: Tensor, config: ModelConfig, dropout: Dropout | None) -> Tensor:
    x = F.normalize(features.to(torch.float32), dim=1) * config.feature_norm
    return dropout(x, dropout.shares.image) if dropout else x


def _no_words(sentences: int, beside: Tensor) -> Tensor:
    return torch.full((sentences, CONTEXT), START, device=beside.device)


def _shifted(context: Tensor, words: Tensor) -> Tensor:
    return torch.cat((words[:, None], context[:, :-1]), 1)


def _uniform(weight: Tensor, generator: torch.Generator) -> None:
    bound = max(weight.shape[1], 1) ** -0.5
    weight.uniform_(-bound, bound, generator=generator)
