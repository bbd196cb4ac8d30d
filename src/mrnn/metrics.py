"""Metrics of generated text: pure functions on lists of words. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from .errors import DependencyError

Words = Sequence[str]


def bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> dict[str, float]:
    """Corpus BLEU-1..4, cumulative, as fractions by order ("1" to "4").

    `references[i]` are all references of `candidates[i]`, any number of them; the brevity penalty
    takes the closest length. No smoothing; words are taken as they are.
    """
    hypotheses = [" ".join(words) for words in candidates]
    streams = list(zip_longest(*([" ".join(words) for words in r] for r in references)))
    return {
        str(order): _bleu_of_order(order).corpus_score(hypotheses, streams).score / 100
        for order in (1, 2, 3, 4)
    }


def bleu_signature() -> str:
    """What settles the numbers of `bleu`, in sacrebleu's form; raises DependencyError."""
    version = _sacrebleu().__version__
    return f"nrefs:var|case:mixed|eff:no|tok:none|smooth:none|version:{version}"


def distinct(candidates: Sequence[Words]) -> int:
    """How many different sentences there are."""
    return len({tuple(words) for words in candidates})


def _bleu_of_order(order: int) -> Any:
    metrics = _sacrebleu().metrics
    return metrics.BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError:
        raise DependencyError(
            "BLEU needs the package sacrebleu; type: pip install sacrebleu"
        ) from None
    return sacrebleu
