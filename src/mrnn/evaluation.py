"""Evaluate a bundle on a split: perplexity and the `coco` generation protocol."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .captioner import Captioner, Decoding
from .datasets import Example
from .errors import ImageError
from .features import OnProgress
from .metrics import bleu, bleu_signature, distinct
from .pairs import read_pairs
from .scoring import perplexity
from .text import TOKENISER, tokenise

_BATCH = 100  # images captioned at once


@dataclass(frozen=True)
class Evaluation:
    """The document that `mrnn evaluate --json` prints, and what it was made from."""

    document: dict[str, Any]  # its keys: docs/schemas/evaluate.json
    captions: tuple[tuple[Path, str], ...]
    errors: tuple[ImageError, ...]


def evaluate(
    captioner: Captioner,
    split: str,
    examples: Sequence[Example],
    decoding: Decoding,
    cache: Path,
    on_features: OnProgress,
    on_captions: OnProgress,
) -> Evaluation:
    """Perplexity of all sentences, and BLEU of one generated caption an image.

    Figures that this version does not compute are null. Raises DataError when no image can be
    read; images that cannot be read are left out and returned as errors.
    """
    metric = bleu_signature()  # first: without sacrebleu there is no use in starting
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        seconds[name], clock = round(now - clock, 2), now

    pairs, readable, errors = read_pairs(
        examples, captioner.vocabulary, captioner.encoder, cache, on_features
    )
    lap("features")
    score = perplexity(captioner.model, pairs)
    lap("perplexity")
    captions = []
    for start in range(0, len(readable), _BATCH):
        images = np.arange(start, min(start + _BATCH, len(readable)))
        captions += captioner.caption_features(pairs.features[images], decoding)
        on_captions(len(captions), len(readable))
    lap("captions")
    candidates = [tokenise(caption.text) for caption in captions]
    references = [[tokenise(sentence) for sentence in e.sentences] for e in readable]
    found = bleu(candidates, references)
    lap("bleu")
    counts = sorted({len(e.sentences) for e in readable})
    document = {
        "signature": {
            "protocol": "coco",
            "split": split,
            "images": len(readable),
            "sentences": len(pairs.corpus),
            "vocabulary": len(captioner.vocabulary),
            "tokeniser": TOKENISER,
            "unknown": "counted",
            "end": "counted",
            "decoding": _describe(decoding),
            "references": "-".join(map(str, sorted({counts[0], counts[-1]}))),
            "bleu": metric,
        },
        "split": split,
        "images": len(readable),
        "sentences": len(pairs.corpus),
        "perplexity": score,
        "bleu": found,
        "bleu_paper": None,
        "rouge_l": None,
        "cider": None,
        "meteor": None,
        "image_to_text": dict.fromkeys(("r1", "r5", "r10", "med_r")),
        "text_to_image": dict.fromkeys(("r1", "r5", "r10", "med_r")),
        "distinct_captions": distinct(candidates),
        "health": None,
        "seconds": seconds,
    }
    texts = tuple((e.image, c.text) for e, c in zip(readable, captions, strict=True))
    return Evaluation(document, texts, tuple(errors))


def _describe(decoding: Decoding) -> str:
    how = "greedy" if decoding.beam == 1 else f"beam {decoding.beam}"
    return f"{how}, at most {decoding.max_length} words"
