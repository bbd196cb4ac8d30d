"""Evaluate a bundle on a split: perplexity, generated captions, retrieval both ways, health."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from ..captioner import Captioner
from ..config import Decoding
from ..datasets import Example
from ..errors import ImageError
from ..explanation.faithfulness import measure
from ..scoring.first_order import PRIOR_SCORED
from ..scoring.likelihoods import image_terms
from ..scoring.pairs import Pairs
from ..scoring.ranking import (
    EXACT_PRIOR_SCORED,
    IMAGE_CANDIDATES,
    RESCORED,
    SENTENCE_CANDIDATES,
    Rankings,
    Stage,
    rank_all,
    require_memory,
)
from ..scoring.word_scores import perplexity, score_words
from ..words.text import Vocabulary
from .metrics import (
    Words,
    bleu,
    bleu_signature,
    cider_d,
    distinct,
    meteor,
    require_meteor,
    rouge_l,
)
from .paper2014 import bleu_figures, perplexity_from, written
from .plan import Plan
from .ranks import (
    Ranked,
    best_items,
    image_ranks,
    kept,
    recall_table,
    sentence_ranks,
    shortlist_ranks,
)
from .reading import FeatureSource, read_pairs

_BATCH = 100  # images captioned at once
_BEST = 5  # retrieved items kept to be shown
_COUNTS = (10, 20, 50, 100, 200, 500, 1000)  # candidates, for the share that the first stage keeps
_SEES = 1.02  # other people's pictures must raise the perplexity by this factor
_NO_RECALL = recall_table(np.zeros(0))
_NOTHING: Mapping[str, Any] = {  # the keys of every document, for figures that do not apply
    "bleu": None,
    "bleu_paper": None,
    "rouge_l": None,
    "cider": None,
    "meteor": None,
    "perplexity_after_context": None,
    "image_to_text": _NO_RECALL,
    "text_to_image": _NO_RECALL,
    "image_to_text_raw": _NO_RECALL,
    "image_to_text_nearest_100": _NO_RECALL,
    "two_stage": None,
    "distinct_captions": None,
    "health": None,
    "faithfulness": None,
}


@dataclass(frozen=True)
class Evaluation:
    """The document that `mrnn evaluate --json` prints, and what it was made from."""

    document: Mapping[str, Any]  # its keys: docs/schemas/evaluate.json
    examples: tuple[Example, ...]  # those whose image could be read
    captions: tuple[str, ...]  # generated, one an example; none in the protocol paper2014
    text_to_image: Ranked | None  # by sentence, in the order of the examples
    image_to_text: Ranked | None  # by image
    errors: tuple[ImageError, ...]


def evaluate(
    captioner: Captioner,
    data: str,
    split: str,
    examples: Sequence[Example],
    plan: Plan,
    source: FeatureSource,
    stage: Stage,
) -> Evaluation:
    """Everything that the plan asks for; figures that do not apply are null.

    Raises DataError when no image can be read and DependencyError for a missing package; images
    that cannot be read are left out and returned as errors.
    """
    captioner.writer.require(plan.decoding)
    metric = bleu_signature()  # first what may be missing or too little: before minutes of work
    if plan.meteor:
        require_meteor()
    if plan.retrieval != "none":
        require_memory(sum(len(e.sentences) for e in examples), len(examples), plan.memory)
    seconds: dict[str, float] = {}
    with _timed(seconds, "features"), stage("features", "images") as on_progress:
        pairs, readable, errors = read_pairs(examples, captioner.vocabulary, source, on_progress)
    with _timed(seconds, "perplexity"):
        figures: dict[str, Any] = {"perplexity": perplexity(captioner.model, pairs)}
    captions: tuple[str, ...] = ()
    with _timed(seconds, "captions"):
        if plan.protocol == "coco":
            captions = _captions(captioner, pairs, plan.decoding, stage)
        else:
            figures |= _paper2014(captioner, pairs, readable, plan.context, stage)
    if captions:
        with _timed(seconds, "metrics"):
            figures |= _caption_figures(captioner.vocabulary, captions, readable, plan.meteor)
    rankings, retrieved = None, {}
    if plan.retrieval != "none":
        with _timed(seconds, "retrieval"):
            rankings = rank_all(
                captioner.model,
                pairs.corpus,
                image_terms(captioner.model, pairs.features),
                captioner.prior_terms,
                plan.retrieval == "exact",
                plan.memory,
                stage,
            )
            retrieved = _ranked(rankings, pairs)
            figures |= _retrieval_figures(rankings, retrieved, pairs)
    if plan.health:
        with _timed(seconds, "health"):
            figures["health"] = _health(captioner, pairs, rankings, figures, plan.seed)
    if plan.faithfulness:
        with _timed(seconds, "faithfulness"), stage("faithfulness", "images") as on_progress:
            figures["faithfulness"] = measure(
                captioner.model,
                captioner.encoder,
                captioner.vocabulary,
                captioner.trust.usual_term,
                [example.image for example in readable],
                captions,
                plan.seed,
                on_progress,
                plan.quick,
            )
    document = {
        "signature": _signature(captioner, data, split, readable, plan, metric),
        "split": split,
        "images": len(readable),
        "sentences": len(pairs.corpus),
        **_NOTHING,
        **figures,
        "seconds": seconds,
    }
    return Evaluation(
        document,
        tuple(readable),
        captions,
        retrieved.get("text_to_image"),
        retrieved.get("image_to_text"),
        tuple(errors),
    )


def _captions(
    captioner: Captioner, pairs: Pairs, decoding: Decoding, stage: Stage
) -> tuple[str, ...]:
    captions: list[str] = []
    count = len(pairs.features)
    with stage("captions", "images") as on_progress:
        for start in range(0, count, _BATCH):
            images = np.arange(start, min(start + _BATCH, count))
            found = captioner.caption_features(pairs.features[images], decoding)
            captions += [caption.text for caption in found]
            on_progress(len(captions), count)
    return tuple(captions)


def _caption_figures(
    vocabulary: Vocabulary,
    captions: Sequence[str],
    examples: Sequence[Example],
    with_meteor: bool,
) -> dict[str, Any]:
    candidates = [vocabulary.tokenise(caption) for caption in captions]
    references = _references(vocabulary, examples)
    return {
        "bleu": bleu(candidates, references),
        "rouge_l": rouge_l(candidates, references),
        # With one image no n-gram is rarer than another: nothing was measured.
        "cider": cider_d(candidates, references) if len(references) > 1 else None,
        "meteor": meteor(candidates, references) if with_meteor else None,
        "distinct_captions": distinct(candidates),
    }


def _paper2014(
    captioner: Captioner, pairs: Pairs, examples: Sequence[Example], context: int, stage: Stage
) -> dict[str, Any]:
    """A sentence of the length of each reference, which gives its first `context` words."""

    def write(images: np.ndarray, given: Sequence[Words], lengths: Sequence[int]) -> list[Any]:
        step, state = captioner.begin(pairs.features[images])
        return written(step, state, captioner.vocabulary, given, lengths)

    with stage("captions", "sentences") as on_progress:
        references = _references(captioner.vocabulary, examples)
        found = bleu_figures(write, pairs, references, context, on_progress)
    scored = [words.logprobs.tolist() for words in score_words(captioner.model, pairs)]
    return {"bleu_paper": found, "perplexity_after_context": perplexity_from(scored, context)}


def _ranked(rankings: Rankings, pairs: Pairs) -> dict[str, Ranked]:
    return {
        "text_to_image": Ranked(
            image_ranks(rankings.images, pairs.images), best_items(rankings.images, _BEST)
        ),
        "image_to_text": Ranked(
            sentence_ranks(rankings.sentences, pairs.images),
            best_items(rankings.sentences.T, _BEST),
        ),
    }


def _retrieval_figures(
    rankings: Rankings, retrieved: Mapping[str, Ranked], pairs: Pairs
) -> dict[str, Any]:
    """Recall and median rank of both directions, and how many of the best two stages keep."""
    figures: dict[str, Any] = {name: recall_table(r.ranks) for name, r in retrieved.items()}
    features = pairs.features[np.arange(len(pairs.features))]
    nearest = shortlist_ranks(rankings.sentences, pairs.images, features)
    figures["image_to_text_nearest_100"] = recall_table(nearest)
    if rankings.likelihoods is not None:
        raw = sentence_ranks(rankings.likelihoods, pairs.images)
        figures["image_to_text_raw"] = recall_table(raw)
        figures["two_stage"] = {
            "text_to_image": _kept(rankings.first_images, rankings.images),
            "image_to_text": _kept(rankings.first_sentences.T, rankings.sentences.T),
        }
    return figures


def _kept(coarse: np.ndarray, exact: np.ndarray) -> list[dict[str, float]]:
    counts = [count for count in _COUNTS if count < coarse.shape[1]]
    shares = zip(
        counts, kept(coarse, exact, 1, counts), kept(coarse, exact, 10, counts), strict=True
    )
    return [{"candidates": n, "top1": one, "top10": ten} for n, one, ten in shares]


def _health(
    captioner: Captioner,
    pairs: Pairs,
    rankings: Rankings | None,
    figures: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """The same figures when every sentence is given another's picture; null for a single picture.

    A model that looks at the pictures must lose much of its perplexity, and all of its recall.
    """
    health: dict[str, Any] = {
        "distinct_captions": figures.get("distinct_captions"),
        "perplexity_shuffled": None,
        "image_to_text_shuffled": _NO_RECALL,
        "text_to_image_shuffled": _NO_RECALL,
        "sees_images": None,
    }
    if len(pairs.features) < 2:
        return health
    swapped = _swapped(len(pairs.features), seed)[pairs.images]
    shuffled = perplexity(captioner.model, Pairs(pairs.corpus, swapped, pairs.features))
    health["perplexity_shuffled"] = shuffled
    health["sees_images"] = shuffled > _SEES * figures["perplexity"]
    if rankings is not None:
        for name, ranks in (
            ("image_to_text_shuffled", sentence_ranks(rankings.sentences, swapped)),
            ("text_to_image_shuffled", image_ranks(rankings.images, swapped)),
        ):
            health[name] = recall_table(ranks)
    return health


def _swapped(count: int, seed: int) -> np.ndarray:
    """A random order in which nothing stays in its place."""
    order = np.random.default_rng(seed).permutation(count)
    swapped = np.empty_like(order)
    swapped[order] = np.roll(order, 1)
    return swapped


def _signature(
    captioner: Captioner,
    data: str,
    split: str,
    examples: Sequence[Example],
    plan: Plan,
    metric: str,
) -> dict[str, Any]:
    counts = {len(example.sentences) for example in examples}
    return {
        "protocol": plan.protocol,
        "data": data,
        "split": split,
        "images": len(examples),
        "sentences": sum(len(example.sentences) for example in examples),
        "vocabulary": len(captioner.vocabulary),
        "encoder": captioner.encoder.name,
        "precision": captioner.encoder.precision,
        "tokeniser": captioner.vocabulary.tokeniser,
        "unknown": "counted",
        "end": "counted",
        "decoding": _describe_decoding(captioner, plan),
        "references": "-".join(map(str, sorted({min(counts), max(counts)}))),
        "bleu": metric,
        "metrics": f"mrnn {metadata.version('mrnn')}",
        "retrieval": _describe_retrieval(captioner, plan),
    }


def _describe_decoding(captioner: Captioner, plan: Plan) -> str:
    if plan.protocol == "paper2014":
        return f"greedy, as long as the reference, its first {plan.context} words given"
    how = "greedy" if plan.decoding.width == 1 else f"beam {plan.decoding.width}"
    how += " by consensus" if plan.decoding.consensus else ""
    if ratio := captioner.writer.ratio(plan.decoding):
        how += f", by the ratio with c {ratio:g}"
    if plan.decoding.no_repeat:
        how += f", no {plan.decoding.no_repeat} words twice"
    return f"{how}, at most {plan.decoding.max_length} words"


def _describe_retrieval(captioner: Captioner, plan: Plan) -> str:
    if plan.retrieval == "none":
        return "none"
    scored = EXACT_PRIOR_SCORED
    if plan.retrieval == "two-stage":
        how = f"two-stage, {IMAGE_CANDIDATES} images and {SENTENCE_CANDIDATES} sentences"
        scored = PRIOR_SCORED
    else:
        how = f"exact, integer products, then the best {RESCORED} in fp32"
    images, imagined = len(captioner.bundle.prior), captioner.bundle.imagined
    prior = f"P(s) over {images - imagined} training images"
    prior += f" and {imagined} stand-ins" if imagined else ""
    if scored < images:
        prior += f" from {scored} scored"
    return f"{how}; {prior}; ties count against"


def _references(vocabulary: Vocabulary, examples: Sequence[Example]) -> list[list[Words]]:
    return [[vocabulary.tokenise(sentence) for sentence in e.sentences] for e in examples]


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - started, 2)
