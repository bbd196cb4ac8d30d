"""The retrieval rows of `mrnn benchmark`: exact scoring, and two stages against it.

Sentences and pictures are the dev split of a data set, where one is named, and otherwise what the
model samples for the 1,000 training pictures whose features its bundle holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .captioner import load
from .datasets import read_dataset
from .devices import has_int8
from .features import default_cache
from .first_order import (
    anchors,
    estimated_log_prior,
    first_order_likelihoods,
    first_order_log_prior,
)
from .likelihoods import image_terms, log_likelihoods, pair_likelihoods
from .measuring import Row, gemm_flops, seconds
from .model import MRNN
from .normaliser import int8_normaliser
from .packing import Corpus
from .pairs import read_pairs
from .prefixes import prefix_tree
from .ranking import IMAGE_CANDIDATES, SENTENCE_CANDIDATES
from .ranks import kept
from .synthetic import synthetic_gallery

_IMAGES = 16  # of the scoring rows
_QUERIES = 500  # sentences that look for their image among the real ones
_SENTENCE_QUERIES = 100  # images that look for their sentence among all
_GALLERY, _GALLERY_QUERIES = 100_000, 50
_GALLERY_CANDIDATES = 300
_BATCH = 256  # sentences scored together by the ordinary way
_SEED = 1


@dataclass(frozen=True)
class Scene:
    """A model with S sentences and the features of I pictures."""

    model: MRNN
    corpus: Corpus
    features: np.ndarray  # (I, D)
    all_features: np.ndarray  # (J, D) of all pictures there are, these included
    prior_terms: Tensor  # (P, M)


@cache
def open_scene(data: Path | None) -> Scene:
    """The dev split of a data set, or sampled sentences for the bundle's own pictures."""
    captioner = load(device="cpu")
    model, prior = captioner.model, captioner.bundle.prior
    if data is None:
        samples = [
            captioner.caption_features(prior, temperature=1.0, seed=seed) for seed in range(5)
        ]
        sentences = [c.text for same in zip(*samples, strict=True) for c in same]
        corpus = Corpus([captioner.vocabulary.encode(sentence) for sentence in sentences])
        return Scene(model, corpus, prior, prior, captioner.prior_terms)
    dataset = read_dataset(data)
    read = [
        read_pairs(
            dataset.split(split),
            captioner.vocabulary,
            captioner.encoder,
            default_cache(),
            lambda done, total: None,
        )[0]
        for split in ("dev", "train")
    ]
    dev, train = (pairs.features[np.arange(len(pairs.features))] for pairs in read)
    everything = np.concatenate([dev, train])
    return Scene(model, read[0].corpus, dev, everything, captioner.prior_terms)


def scoring(data: Path | None) -> Row:
    """Words a second of exact scoring against scoring one pair after the other."""
    scene = open_scene(data)
    terms = image_terms(scene.model, scene.features[:_IMAGES])
    ours = _scoring_seconds(data)
    pairwise = seconds(lambda: _pairwise(scene.model, scene.corpus, terms), 1)
    words = int(scene.corpus.lengths.sum()) * len(terms)
    return Row(
        "scoring",
        "exact scoring: words/s over batched pairwise scoring, both fp32",
        ">= 1.7",
        pairwise / ours,
        {"words/s": words / ours, "pairwise words/s": words / pairwise},
    )


def scoring_peak(data: Path | None) -> Row:
    """The share of the processor's matrix product speed that exact scoring reaches."""
    scene = open_scene(data)
    prefixes = len(prefix_tree(scene.corpus.pack()).words)
    c = scene.model.config
    flops = 2 * c.multimodal * c.vocabulary * prefixes * _IMAGES
    peak = gemm_flops(torch.float32)
    ours = _scoring_seconds(data)
    return Row(
        "scoring-peak",
        "exact scoring: 2MV a (prefix, image) over the peak of matrix products, fp32",
        ">= 0.5",
        flops / ours / peak,
        {"GFLOP/s": flops / ours / 1e9, "peak GFLOP/s": peak / 1e9},
    )


def scoring_int8(data: Path | None) -> Row:
    """What 8-bit products gain."""
    meaning = "scoring with 8-bit products: words/s over fp32"
    if not has_int8(torch.device("cpu")):
        return Row("scoring-int8", meaning, ">= 2", skipped="no 8-bit products here")
    scene = open_scene(data)
    terms = image_terms(scene.model, scene.features[:_IMAGES])
    normaliser = int8_normaliser(scene.model)
    words = int(scene.corpus.lengths.sum()) * len(terms)
    ours = seconds(
        lambda: log_likelihoods(scene.model, scene.corpus, terms, normaliser=normaliser), 1
    )
    fp32 = _scoring_seconds(data)
    return Row(
        "scoring-int8",
        meaning,
        ">= 2",
        fp32 / ours,
        {"words/s": words / ours, "fp32 words/s": words / fp32},
    )


def images(data: Path | None) -> Row:
    """Two-stage image retrieval among the real pictures."""
    scene = open_scene(data)
    return _image_row(
        "images", scene, image_terms(scene.model, scene.features), _QUERIES, IMAGE_CANDIDATES, 5
    )


def images_100k(data: Path | None) -> Row:
    """Two-stage image retrieval in a synthetic gallery."""
    scene = open_scene(data)
    gallery = synthetic_gallery(scene.all_features, _GALLERY, _SEED)
    terms = image_terms(scene.model, gallery)
    return _image_row("images-100k", scene, terms, _GALLERY_QUERIES, _GALLERY_CANDIDATES, 100)


def sentences(data: Path | None) -> Row:
    """Two-stage sentence retrieval, log P(s) included in both times."""
    scene = open_scene(data)
    model, corpus = scene.model, scene.corpus
    terms = image_terms(model, scene.features[:_SENTENCE_QUERIES])
    found: list[Tensor] = []

    def first_order() -> tuple[Tensor, Tensor]:
        both = torch.cat([terms, scene.prior_terms])
        scores = first_order_likelihoods(model, corpus, both, anchors(scene.prior_terms))
        return scores[:, : len(terms)], scores[:, len(terms) :]

    def exact() -> None:
        prior = estimated_log_prior(model, corpus, scene.prior_terms, first_order()[1])
        found.append(_exact(model, corpus, terms) - prior[:, None])

    def two_stage() -> None:
        scores, of_prior = first_order()
        estimated_log_prior(model, corpus, scene.prior_terms, of_prior)
        coarse = scores - first_order_log_prior(of_prior)[:, None]
        best = coarse.topk(min(SENTENCE_CANDIDATES, len(corpus)), dim=0).indices.numpy()
        owners = np.tile(np.arange(len(terms)), len(best))
        pair_likelihoods(model, corpus, terms, best.flatten(), owners)
        found.append(coarse)

    slow, fast = seconds(exact, 1), seconds(two_stage, 1)
    precise, coarse = (part.T.numpy() for part in found)
    [share] = kept(coarse, precise, 10, [SENTENCE_CANDIDATES])
    return Row(
        "sentences",
        f"sentence retrieval among {len(corpus):,}: exact time over two-stage, log P(s) in both",
        "the curve",
        slow / fast,
        {"exact s": slow, "two-stage s": fast, "top 10 kept %": share},
    )


ROWS: Mapping[str, Callable[[Path | None], Row]] = {
    "scoring": scoring,
    "scoring-peak": scoring_peak,
    "scoring-int8": scoring_int8,
    "images": images,
    "images-100k": images_100k,
    "sentences": sentences,
}


def _image_row(
    name: str, scene: Scene, terms: Tensor, queries: int, candidates: int, aim: int
) -> Row:
    chosen = np.random.default_rng(_SEED).permutation(len(scene.corpus))[:queries]
    corpus = Corpus(scene.corpus.sentences(chosen))
    centres = anchors(scene.prior_terms)
    found: list[Tensor] = []

    def two_stage() -> None:
        coarse = first_order_likelihoods(scene.model, corpus, terms, centres)
        best = coarse.topk(min(candidates, len(terms)), dim=1).indices
        owners = np.repeat(np.arange(len(corpus)), best.shape[1])
        pair_likelihoods(scene.model, corpus, terms, owners, best.flatten().numpy())
        found.append(coarse)

    def exact() -> None:
        found.append(_exact(scene.model, corpus, terms))

    fast, slow = seconds(two_stage, 1), seconds(exact, 1)
    coarse, precise = (part.numpy() for part in found)
    [share] = kept(coarse, precise, 10, [candidates])
    return Row(
        name,
        f"image retrieval among {len(terms):,}, {len(corpus)} sentences: exact time over "
        f"two-stage, {candidates} candidates (seed {_SEED})",
        f">= {aim}, 98% kept",
        slow / fast,
        {"exact s": slow, "two-stage s": fast, "top 10 kept %": share},
    )


def _exact(model: MRNN, corpus: Corpus, terms: Tensor) -> Tensor:
    """Every pair, as `mrnn evaluate` scores it first."""
    normaliser = int8_normaliser(model) if has_int8(terms.device) else None
    return log_likelihoods(model, corpus, terms, normaliser=normaliser)


@cache
def _scoring_seconds(data: Path | None) -> float:
    scene = open_scene(data)
    terms = image_terms(scene.model, scene.features[:_IMAGES])
    return seconds(lambda: log_likelihoods(scene.model, scene.corpus, terms), 1)


@torch.inference_mode()
def _pairwise(model: MRNN, corpus: Corpus, terms: Tensor) -> Tensor:
    """Every sentence given every image on its own, in batches of similar length, (S, I)."""
    totals = terms.new_zeros(len(corpus), len(terms))
    order = np.argsort(corpus.lengths, kind="stable")
    for image, term in enumerate(terms):
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            packed = corpus.pack(chosen)
            logits = model(packed, term.expand(len(chosen), -1))
            logp = -F.cross_entropy(logits, packed.targets, reduction="none")
            rows = torch.from_numpy(chosen)[packed.order[packed.rows]]
            totals[:, image].index_add_(0, rows, logp)
    return totals
