"""The retrieval rows of `mrnn benchmark`: exact scoring, and two stages against it.

Sentences and pictures are the dev split of a data set, where one is named, and otherwise what the
model samples for the 1,000 training pictures whose features its bundle holds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from ..captioner import load
from ..datasets import read_dataset
from ..evaluation.ranks import image_ranks, kept, recall_at
from ..evaluation.reading import encoded_by, read_pairs
from ..images.features import default_cache
from ..library.image_index import build_index, candidates, open_index
from ..measuring import Row, gemm_flops, seconds, timed
from ..model.arrays import logsumexp
from ..model.blocks import one_thread
from ..model.mrnn import MRNN
from ..model.normaliser import fast_normaliser, integer_normaliser
from ..scoring.first_order import (
    Linearised,
    anchors,
    estimated_log_prior,
    first_order_likelihoods,
    first_order_log_prior,
    linearise,
)
from ..scoring.likelihoods import MEMORY, OnProgress, image_terms, log_likelihoods, log_prior
from ..scoring.queries import ANCHORS, Ranked, open_query
from ..scoring.ranking import (
    IMAGE_CANDIDATES,
    RESCORED,
    SENTENCE_CANDIDATES,
    best_mask,
    candidates_first,
    rank_all,
    rescored,
)
from ..words.packing import Corpus
from ..words.prefixes import prefix_tree
from .products import integer_product, numpy_product, onnx_product
from .scale import measure, write_gallery
from .synthetic import synthetic_gallery

_IMAGES = 16  # of the scoring rows
_QUERIES = 500  # sentences that look for their image among the real ones
_SENTENCE_QUERIES, _SENTENCES = 100, 2000  # images that look for their sentence among these
_GALLERY, _GALLERY_QUERIES = 100_000, 50
_GALLERY_CANDIDATES = 300
_WHOLE_QUERIES = 20
_EVALUATED = (100, 500)  # images, sentences
_PRODUCT_ROWS, _PRODUCTS = 128, 100
_LIBRARIES = (10_000, 1_000_000)
_SEARCHES, _SEARCHES_RANKED = 200, 10
_BATCH = 256  # sentences scored together by the ordinary way
_SEED = 1


@dataclass(frozen=True)
class Scene:
    """A model with S sentences and the features of I pictures."""

    model: MRNN
    corpus: Corpus
    images: np.ndarray  # (S,) the picture of each sentence
    features: np.ndarray  # (I, D)
    all_features: np.ndarray  # (J, D) of all pictures there are, these included
    prior_terms: np.ndarray  # (P, M)


@cache
def open_scene(data: Path | None) -> Scene:
    """The dev split of a data set, or sampled sentences for the bundle's own pictures."""
    captioner = load(device="cpu")
    model, prior = captioner.model, captioner.bundle.seen
    if data is None:
        samples = [
            captioner.caption_features(prior, temperature=1.0, seed=seed) for seed in range(5)
        ]
        sentences = [c.text for same in zip(*samples, strict=True) for c in same]
        corpus = Corpus([captioner.vocabulary.encode(sentence) for sentence in sentences])
        images = np.repeat(np.arange(len(prior)), len(samples))
        return Scene(model, corpus, images, prior, prior, captioner.prior_terms)
    dataset = read_dataset(data)
    read = [
        read_pairs(
            dataset.split(split),
            captioner.vocabulary,
            encoded_by(captioner.encoder, default_cache()),
            lambda done, total: None,
        )[0]
        for split in ("dev", "train")
    ]
    dev, train = (pairs.features[np.arange(len(pairs.features))] for pairs in read)
    everything = np.concatenate([dev, train])
    return Scene(model, read[0].corpus, read[0].images, dev, everything, captioner.prior_terms)


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
    peaks = gemm_flops(numpy_product), gemm_flops(onnx_product)
    ours = _scoring_seconds(data)
    return Row(
        "scoring-peak",
        "exact scoring: 2MV a (prefix, image) over the peak of matrix products, fp32, of NumPy "
        "or of ONNX Runtime",
        ">= 0.5",
        flops / ours / max(peaks),
        {
            "GFLOP/s": flops / ours / 1e9,
            "NumPy's peak GFLOP/s": peaks[0] / 1e9,
            "ONNX Runtime's peak GFLOP/s": peaks[1] / 1e9,
        },
    )


def scoring_int8(data: Path | None) -> Row:
    """What products of 8-bit integers gain."""
    scene = open_scene(data)
    terms = image_terms(scene.model, scene.features[:_IMAGES])
    normaliser = integer_normaliser(scene.model)
    words = int(scene.corpus.lengths.sum()) * len(terms)
    ours = seconds(
        lambda: log_likelihoods(scene.model, scene.corpus, terms, normaliser=normaliser), 1
    )
    fp32 = _scoring_seconds(data)
    return Row(
        "scoring-int8",
        "scoring with products of 8-bit integers: words/s over fp32",
        ">= 2",
        fp32 / ours,
        {"words/s": words / ours, "fp32 words/s": words / fp32},
    )


def exact(data: Path | None) -> Row:
    """What the first pass of exact evaluation makes of the speed of integer products."""
    scene = open_scene(data)
    terms = image_terms(scene.model, scene.features[: _EVALUATED[0]])
    own = np.flatnonzero(scene.images < _EVALUATED[0])[: _EVALUATED[1]]
    corpus = Corpus(scene.corpus.sentences(own))
    first_pass = seconds(
        lambda: log_likelihoods(
            scene.model, corpus, terms, normaliser=fast_normaliser(scene.model)
        ),
        1,
    )
    stages: dict[str, float] = {}

    @contextmanager
    def stage(name: str, unit: str) -> Iterator[OnProgress]:
        started = time.perf_counter()
        yield lambda done, total: None
        stages[f"{name} s"] = time.perf_counter() - started

    rank_all(scene.model, corpus, terms, scene.prior_terms, True, MEMORY, stage)
    rows = len(prefix_tree(corpus.pack()).words) * len(terms)
    words, size = scene.model.wo.shape
    achieved = 2 * words * size * rows / first_pass
    product = integer_product(_PRODUCT_ROWS, size, words)
    peak = 2 * words * size * _PRODUCT_ROWS / min(timed(product)[0] for _ in range(_PRODUCTS))
    return Row(
        "exact",
        f"exact evaluation, {len(terms)} images and {len(corpus)} sentences: 2MV a (prefix, image) "
        "of its first pass over 8-bit products alone",
        ">= 0.7",
        achieved / peak,
        {"GOP/s": achieved / 1e9, "peak GOP/s": peak / 1e9, **stages},
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


def search(data: Path | None) -> Row:
    """How much longer a query takes in a synthetic library a hundred times as large."""
    scene = open_scene(data)
    chosen = np.random.default_rng(_SEED).permutation(len(scene.corpus))[:_SEARCHES]
    corpus = Corpus(scene.corpus.sentences(chosen))
    centres = anchors(scene.prior_terms, ANCHORS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = write_gallery(scene.model, scene.all_features, _LIBRARIES[-1], folder, _SEED)
        small, large = (
            measure(
                scene.model, corpus, centres, store.open(n), folder / str(n), _SEARCHES_RANKED, 1
            )
            for n in _LIBRARIES
        )
    times = [float(np.median(found.total)) for found in (small, large)]
    return Row(
        "search",
        f"a query of a library of {large.pictures:,} over one of {small.pictures:,}, before its "
        "candidates are ordered",
        "< 100, < 100 ms",
        times[1] / times[0],
        {
            "small ms": times[0],
            "large ms": times[1],
            "small top 10 kept %": small.kept[small.candidates],
            "large top 10 kept %": large.kept[large.candidates],
        },
    )


def query(data: Path | None) -> Row:
    """A whole query of a synthetic library against fp32 scores of all that it chooses from."""
    scene = open_scene(data)
    model, prior_terms = scene.model, scene.prior_terms
    chosen = np.random.default_rng(_SEED).permutation(len(scene.corpus))[:_WHOLE_QUERIES]
    centres = anchors(prior_terms, ANCHORS)
    times, same, errors = [], [], []
    with tempfile.TemporaryDirectory() as name, one_thread():
        folder = Path(name)
        store = write_gallery(model, scene.all_features, _GALLERY, folder, _SEED)
        vectors = store.open(_GALLERY)
        build_index(vectors, centres, folder / "codes")
        index = open_index(vectors, centres, folder / "codes")

        def candidate_terms(found: Linearised) -> np.ndarray:
            rows, _ = index.search(found, candidates(_GALLERY))
            return vectors[rows].astype(np.float32)

        def whole(words: list[int]) -> Ranked:
            asked = open_query(model, words, centres)
            return asked.ranked(candidate_terms(asked.linearised), prior_terms, 10)

        def plain(words: list[int]) -> tuple[np.ndarray, float]:
            corpus = Corpus([words])
            terms = candidate_terms(linearise(model, corpus, centres))
            scores = log_likelihoods(model, corpus, terms)[0]
            return scores, float(log_prior(model, corpus, prior_terms)[0])

        for words in scene.corpus.sentences(chosen):  # in turns: the machine's speed may drift
            quick, found = timed(partial(whole, words))
            slow, (scores, prior) = timed(partial(plain, words))
            times.append((quick, slow))
            best = np.argsort(-scores, kind="stable")[:10]
            same.append(np.isin(best, [i for i, *_ in found]).mean())
            errors.append(abs(found[0][1] - found[0][3] - prior))
    quick, slow = np.median(times, axis=0).tolist()
    return Row(
        "query",
        f"a whole query of a library of {_GALLERY:,}: fp32 scores of all candidates and training "
        "images over those that it takes",
        ">= 4, <= 60 ms",
        slow / quick,
        {
            "ms": 1000 * quick,
            "all fp32 ms": 1000 * slow,
            "same top 10 %": 100 * float(np.mean(same)),
            "log P(s) largest error nats": max(errors),
        },
    )


def sentences(data: Path | None) -> Row:
    """Two-stage sentence retrieval, log P(s) included in both times."""
    scene = open_scene(data)
    model, prior_terms = scene.model, scene.prior_terms
    chosen = np.random.default_rng(_SEED).permutation(len(scene.corpus))[:_SENTENCES]
    corpus = Corpus(scene.corpus.sentences(chosen))
    terms = image_terms(model, scene.features[:_SENTENCE_QUERIES])

    def reordered(
        coarse: np.ndarray, ratios: np.ndarray, prior: np.ndarray, count: int
    ) -> np.ndarray:
        best = best_mask(ratios.T, count)
        precise = rescored(model, corpus, terms, coarse, best.T) - prior[:, None]
        return candidates_first(ratios.T, precise.T, best)

    def exact() -> np.ndarray:
        fast = fast_normaliser(model)
        likelihoods = log_likelihoods(model, corpus, terms, normaliser=fast)
        prior = log_prior(model, corpus, prior_terms, normaliser=fast)
        return reordered(likelihoods, likelihoods - prior[:, None], prior, RESCORED)

    def two_stage() -> np.ndarray:
        both = np.concatenate([terms, prior_terms])
        scores = first_order_likelihoods(model, corpus, both, anchors(prior_terms))
        first, of_prior = np.split(scores, [len(terms)], axis=1)
        prior = estimated_log_prior(model, corpus, prior_terms, of_prior)
        rough = first - first_order_log_prior(of_prior)[:, None]
        return reordered(first, rough, prior, SENTENCE_CANDIDATES)

    slow, right = timed(exact)
    fast, found = timed(two_stage)
    return Row(
        "sentences",
        f"sentence retrieval, {len(terms)} images among {len(corpus):,}: exact time over "
        f"two-stage, {SENTENCE_CANDIDATES} candidates, log P(s) in both",
        "the curve",
        slow / fast,
        {"exact s": slow, "two-stage s": fast, "same top 10 %": _shared(right, found)},
    )


ROWS: Mapping[str, Callable[[Path | None], Row]] = {
    "scoring": scoring,
    "scoring-peak": scoring_peak,
    "scoring-int8": scoring_int8,
    "exact": exact,
    "images": images,
    "images-100k": images_100k,
    "search": search,
    "query": query,
    "sentences": sentences,
}


def _image_row(
    name: str, scene: Scene, terms: np.ndarray, queries: int, candidates: int, aim: int
) -> Row:
    chosen = np.random.default_rng(_SEED).permutation(len(scene.corpus))[:queries]
    corpus = Corpus(scene.corpus.sentences(chosen))
    model = scene.model

    def exact() -> np.ndarray:
        fast = fast_normaliser(model)
        coarse = log_likelihoods(model, corpus, terms, normaliser=fast)
        return _images_reordered(model, corpus, terms, coarse, RESCORED)

    def two_stage() -> np.ndarray:
        centres = anchors(scene.prior_terms, ANCHORS)
        coarse = first_order_likelihoods(model, corpus, terms, centres)
        return _images_reordered(model, corpus, terms, coarse, candidates)

    fast, found = timed(two_stage)
    slow, right = timed(exact)
    own = scene.images[chosen]
    recall = [recall_at(image_ranks(scores, own), 10) for scores in (right, found)]
    return Row(
        name,
        f"image retrieval, {len(corpus)} sentences (seed {_SEED}) among {len(terms):,}: exact "
        f"time over two-stage, {candidates} candidates",
        f">= {aim}, 98% kept",
        slow / fast,
        {
            "exact s": slow,
            "two-stage s": fast,
            "same top 10 %": _shared(right, found),
            "exact R@10 %": recall[0],
            "two-stage R@10 %": recall[1],
        },
    )


def _images_reordered(
    model: MRNN, corpus: Corpus, terms: np.ndarray, coarse: np.ndarray, count: int
) -> np.ndarray:
    """Scores (S, I) with the `count` best images of each sentence scored exactly and first."""
    chosen = best_mask(coarse, count)
    return candidates_first(coarse, rescored(model, corpus, terms, coarse, chosen), chosen)


def _shared(right: np.ndarray, found: np.ndarray) -> float:
    """How many of the best ten of each row are the same, in percent."""
    return kept(found, right, 10, [10])[0]


@cache
def _scoring_seconds(data: Path | None) -> float:
    scene = open_scene(data)
    terms = image_terms(scene.model, scene.features[:_IMAGES])
    return seconds(lambda: log_likelihoods(scene.model, scene.corpus, terms), 1)


def _pairwise(model: MRNN, corpus: Corpus, terms: np.ndarray) -> np.ndarray:
    """Every sentence given every image on its own, in batches of similar length, (S, I)."""
    totals = np.zeros((len(corpus), len(terms)), dtype=np.float32)
    order = np.argsort(corpus.lengths, kind="stable")
    for image, term in enumerate(terms):
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            packed = corpus.pack(chosen)
            logits = model.sentence_logits(packed, np.broadcast_to(term, (len(chosen), len(term))))
            logp = logits[np.arange(len(logits)), packed.targets] - logsumexp(logits)
            np.add.at(totals, (chosen[packed.order[packed.rows]], image), logp)
    return totals
