"""Metrics of generated text: pure functions on lists of words. No torch here.

Everywhere `references[i]` are all references of `candidates[i]`: one or more, and not the same
number for every image. Words are taken as they are. On its own, an empty candidate earns 0. No
candidates, an image without references, or lists of different lengths raise ValueError.
"""

from __future__ import annotations

import math
import shlex
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from ..errors import DependencyError

Words = Sequence[str]
Sentences = Sequence[Words]

NO_JAVA = (
    "METEOR needs Java 8 or newer, and there is no java on the PATH; on Debian or Ubuntu "
    "type: sudo apt install default-jre-headless; elsewhere see https://adoptium.net"
)

_ORDERS = (1, 2, 3, 4)
_PAPER_ORDERS = (1, 2, 3)
_ROUGE_BETA = 1.2  # recall counts beta times as much as precision
_CIDER_SIGMA = 6.0  # words by which a candidate may be too long or too short


def bleu(
    candidates: Sentences, references: Sequence[Sentences], orders: Sequence[int] = _ORDERS
) -> dict[str, float]:
    """Corpus BLEU by order ("1", "2", ...), cumulative, as fractions (Papineni et al. 2002).

    The brevity penalty takes the closest reference length, of two equally close the shorter. No
    smoothing: an order without any match in the corpus is 0, and so are all above it. Candidates
    equal to a reference earn 1 in the orders that they are long enough for.
    """
    found = _corpus_bleu(candidates, references, max(orders))
    return {str(n): _cumulative(found, n) for n in orders}


def paper_bleu(
    candidates: Sentences, own: Sentences, every: Sequence[Sentences]
) -> dict[str, dict[str, dict[str, float]]]:
    """BLEU-1..3 in both readings of the paper's figures, and against both sets of references.

    `candidates[i]` was generated for the reference `own[i]`, in as many words; `every[i]` are all
    references of that image. The keys: cumulative or individual, then own_reference or
    all_references, then the order.
    """
    readings: dict[str, dict[str, dict[str, float]]] = {"cumulative": {}, "individual": {}}
    for name, against in (("own_reference", [[words] for words in own]), ("all_references", every)):
        found = _corpus_bleu(candidates, against, max(_PAPER_ORDERS))
        for reading, of in (("cumulative", _cumulative), ("individual", _individual)):
            readings[reading][name] = {str(n): of(found, n) for n in _PAPER_ORDERS}
    return readings


def bleu_signature() -> str:
    """What settles the numbers of `bleu`, in sacrebleu's form; raises DependencyError."""
    version = _sacrebleu().__version__
    return f"nrefs:var|case:mixed|eff:no|tok:none|smooth:none|version:{version}"


def rouge_l(candidates: Sentences, references: Sequence[Sentences]) -> float:
    """Mean ROUGE-L over the images, as a fraction (Lin 2004), as in the COCO evaluation.

    The F-measure, beta 1.2, of the greatest precision and the greatest recall that the longest
    common subsequence has with any of the references. A candidate equal to a reference earns 1.
    """
    _check(candidates, references)
    return fmean(map(_rouge_l_of_image, candidates, references))


def cider_d(candidates: Sentences, references: Sequence[Sentences]) -> float:
    """Mean CIDEr-D over the images, 0 to 10 (Vedantam et al. 2015), as in the COCO evaluation.

    An n-gram (1 to 4) weighs its count times the log of the number of images over the number of
    those in whose references it stands. A candidate equal to its only reference earns 10 if each
    order has an n-gram that not all images have; in a corpus of one image all weigh 0 and earn 0.
    """
    _check(candidates, references)
    images_with = Counter(
        ngram
        for several in references
        for ngram in {ngram for words in several for n in _ORDERS for ngram in _ngrams(words, n)}
    )

    def rarity(ngram: Words) -> float:
        return math.log(len(references) / max(1, images_with[ngram]))

    def vectors(words: Words) -> list[dict[Words, float]]:
        counts = (Counter(_ngrams(words, n)) for n in _ORDERS)
        return [{ngram: n * rarity(ngram) for ngram, n in count.items()} for count in counts]

    def of_image(candidate: Words, several: Sentences) -> float:
        mine = vectors(candidate)
        return fmean(
            math.exp(-((len(candidate) - len(words)) ** 2) / (2 * _CIDER_SIGMA**2))
            * fmean(map(_clipped_cosine, mine, vectors(words)))
            for words in several
        )

    return 10 * fmean(map(of_image, candidates, references))


def meteor(candidates: Sentences, references: Sequence[Sentences]) -> float:
    """Corpus METEOR 1.5 for English, as a fraction (Denkowski and Lavie 2014).

    By the Java program of the package pycocoevalcap, which takes 10 to 20 seconds to start. Its
    statistics are summed over the images, as in the COCO evaluation. A candidate equal to a
    reference earns 1. Raises DependencyError without the package or Java, or when Java fails.
    """
    _check(candidates, references)
    command = require_meteor()
    try:
        with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, encoding="utf-8") as java:  # noqa: S603
            scores = _meteor_scores(java, candidates, references)
        return float(scores[len(candidates)])  # after one of each image
    except (OSError, ValueError, IndexError):
        raise DependencyError(
            f"METEOR's Java program failed; to see why, type: {shlex.join(command)}"
        ) from None


def require_meteor() -> list[str]:
    """The command that starts METEOR; raises DependencyError without its package or Java."""
    try:
        from pycocoevalcap.meteor import meteor as package
    except ImportError:
        raise DependencyError(
            "METEOR needs the package pycocoevalcap; type: pip install pycocoevalcap"
        ) from None
    java = shutil.which("java")
    if java is None:
        raise DependencyError(NO_JAVA)
    jar = Path(package.__file__).with_name(package.METEOR_JAR)
    # The parallel collector starts sooner; before Java 18 the encoding would be the locale's.
    options = ("-Xmx2G", "-XX:+UseParallelGC", "-Dfile.encoding=UTF-8")
    return [java, *options, "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]


def distinct(candidates: Sentences) -> int:
    """How many different sentences there are."""
    return len({tuple(words) for words in candidates})


def _check(candidates: Sentences, references: Sequence[Sentences]) -> None:
    if not candidates or len(candidates) != len(references) or not all(references):
        raise ValueError(
            f"{len(candidates)} candidates and {len(references)} lists of references: "
            "expected one list, not empty, for each candidate, and at least one candidate"
        )


def _corpus_bleu(candidates: Sentences, references: Sequence[Sentences], order: int) -> Any:
    """Sacrebleu's result with the n-gram precisions, in percent, up to an order."""
    _check(candidates, references)
    metric = _sacrebleu().metrics.BLEU(
        tokenize="none", smooth_method="none", max_ngram_order=order, force=True
    )
    streams = zip_longest(*(map(" ".join, several) for several in references))
    return metric.corpus_score([" ".join(words) for words in candidates], list(streams))


def _cumulative(found: Any, order: int) -> float:
    """BLEU-n: the brevity penalty times the geometric mean of the precisions up to an order."""
    precisions = [precision / 100 for precision in found.precisions[:order]]
    score = found.bp * math.prod(precisions) ** (1 / order)
    return float(min(score, 1.0))


def _individual(found: Any, order: int) -> float:
    """The brevity penalty times the precision of one order alone."""
    return float(found.bp * found.precisions[order - 1] / 100)


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError:
        raise DependencyError(
            "BLEU needs the package sacrebleu; type: pip install sacrebleu"
        ) from None
    return sacrebleu


def _rouge_l_of_image(candidate: Words, references: Sentences) -> float:
    common = [_common_subsequence(candidate, words) for words in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(candidate)
    recall = max(n / len(words) for n, words in zip(common, references, strict=True) if words)
    squared = _ROUGE_BETA**2
    return (1 + squared) * precision * recall / (recall + squared * precision)


def _common_subsequence(first: Words, second: Words) -> int:
    """Length of the longest common subsequence, a row of the table in one integer (Hyyrö 2004).

    Bit i is cleared where the common length of `first[: i + 1]` exceeds that of `first[:i]`.
    """
    places: defaultdict[str, int] = defaultdict(int)  # the bits where each word stands in `first`
    for i, word in enumerate(first):
        places[word] |= 1 << i
    full = row = (1 << len(first)) - 1
    for word in second:
        met = row & places[word]
        row = ((row + met) | (row - met)) & full
    return len(first) - row.bit_count()


def _ngrams(words: Words, order: int) -> Iterable[Words]:
    return zip(*(words[i:] for i in range(order)), strict=False)


def _clipped_cosine(candidate: Mapping[Words, float], reference: Mapping[Words, float]) -> float:
    """Cosine of two vectors, but with the candidate clipped to the reference in their product."""
    norms = math.hypot(*candidate.values()) * math.hypot(*reference.values())
    if norms == 0:  # an order with no n-grams, or none that tells images apart
        return 0.0
    shared = (ngram for ngram in candidate if ngram in reference)
    return sum(min(candidate[n], reference[n]) * reference[n] for n in shared) / norms


def _meteor_line(words: Words) -> str:
    """A sentence as one line that cannot be taken for two, or for a separator."""
    return " ".join(" ".join(words).replace("|||", " ").split())


def _meteor_scores(java: Any, candidates: Sentences, references: Sequence[Sentences]) -> list[str]:
    """Converse with METEOR, a line at a time: each image's statistics, then scores of them all."""

    def tell(*fields: str) -> None:
        java.stdin.write(" ||| ".join(fields) + "\n")
        java.stdin.flush()

    statistics = []
    for words, several in zip(candidates, references, strict=True):
        tell("SCORE", *map(_meteor_line, several), _meteor_line(words))
        statistics.append(java.stdout.readline().strip())
    tell("EVAL", *statistics)
    java.stdin.close()  # which ends the program
    return java.stdout.read().split()
