"""Captions and scores as JSON documents and as lines of text: contracts with others' scripts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .errors import ImageError
from .images.finding import printable

if TYPE_CHECKING:
    from .results import Caption, Evidence, Explanation, Match, Ranking, Score, Word


def caption_document(
    image: str | Path, result: Caption | ImageError, n_best: bool
) -> dict[str, Any]:
    """The JSON object of one image: its caption, or its error."""
    if isinstance(result, ImageError):
        return result.to_dict() | {"image": str(image)}
    sentence = _sentence(result) | _trust(result)
    document = {"image": str(image), **sentence, "words": [_word(word) for word in result.words]}
    return {**document, "n_best": [_sentence(c) for c in result.n_best]} if n_best else document


def score_document(score: Score) -> dict[str, Any]:
    """The JSON object of one scored sentence."""
    return {
        "sentence": score.sentence,
        "logprob": score.logprob,
        "perplexity": score.perplexity,
        "log_ratio": score.log_ratio,
        "words": [_word(word) for word in score.words],
        "unknown": list(score.unknown),
    }


def explanation_document(image: str, explanation: Explanation, n_best: bool) -> dict[str, Any]:
    """The JSON object of one explained sentence: that of a caption, and the evidence a word."""
    caption = explanation.caption
    words = zip(caption.words, explanation.evidence, strict=True)
    document = {
        "image": image,
        **_sentence(caption),
        **_trust(caption),
        "words": [{**_word(word), **_evidence(word, evidence)} for word, evidence in words],
        "heat": {"method": explanation.method, "area": list(explanation.area)},
        "unknown": list(explanation.unknown),
    }
    return {**document, "n_best": [_sentence(c) for c in caption.n_best]} if n_best else document


def ranking_document(ranking: Ranking, item: Literal["sentence", "image"]) -> dict[str, Any]:
    """The JSON object of the best sentences of an image, or images of a sentence."""
    return {
        "query": ranking.query,
        "unknown": list(ranking.unknown),
        "results": [
            {
                "rank": m.rank,
                item: m.item,
                "logprob": m.logprob,
                "perplexity": m.perplexity,
                "log_ratio": m.log_ratio,
            }
            for m in ranking.matches
        ],
        "errors": [error.to_dict() | {"image": path} for path, error in ranking.errors],
    }


def unknown_line(words: Sequence[str], has_found: bool) -> str:
    """What words outside the vocabulary mean for a search."""
    left = "left out" if has_found else "nothing else in the sentence tells pictures apart"
    return f"{_unknown(words)}; {left}"


def _unknown(words: Sequence[str]) -> str:
    named = ", ".join(map(printable, words[:_NAMED]))
    more = f" and {len(words) - _NAMED:,} more" if len(words) > _NAMED else ""
    return f"not in the vocabulary (mrnn words --list): {named}{more}"


_NAMED = 20  # words at most


def percent(chance: float) -> str:
    """A chance to read, never 0% or 100%: nothing is certain."""
    return "<1%" if chance < 0.01 else ">99%" if chance > 0.99 else f"{chance:.0%}"


def likely_right(chance: float) -> str:
    """How likely a picture that a search found is right, to read."""
    return f"{percent(chance)} likely right"


def evaluation_lines(document: Mapping[str, Any]) -> list[str]:
    """The figures of an evaluation to read; those that do not apply are left out."""
    d = document
    lines = [_figures("perplexity", [d["perplexity"]])]
    if d["bleu"]:
        lines.append(_figures("BLEU-1..4", d["bleu"].values()))
        line = _figures("ROUGE-L, CIDEr-D", [d["rouge_l"], d["cider"]])
        lines.append(line if d["cider"] is not None else f"{line} (CIDEr-D needs two images)")
        lines.append(_line("distinct captions", f"{d['distinct_captions']} of {d['images']}"))
    if d["meteor"] is not None:
        lines.append(_figures("METEOR", [d["meteor"]]))
    if d["bleu_paper"]:
        lines.append(_figures("perplexity after context", [d["perplexity_after_context"]]))
        for reading, values in d["bleu_paper"].items():
            for name, of in values.items():
                label = f"BLEU-1..3 {reading}, {name.replace('_', ' ')}"
                lines.append(_figures(label, of.values()))
    among = f"among {d['images']:,} images, {d['sentences']:,} sentences"
    for key, name in _DIRECTIONS.items():
        lines += _recall(name, d[key], among)
    if d["health"]:
        h = d["health"]
        lines.append(_figures("shuffled perplexity", [h["perplexity_shuffled"]]))
        lines += _recall("shuffled sentences", h["image_to_text_shuffled"], among)
        lines += _recall("shuffled images", h["text_to_image_shuffled"], among)
        if h["sees_images"] is not None:
            seen = "sees" if h["sees_images"] else "does not see"
            lines.append(_line("does it look?", f"the model {seen} the pictures"))
    if d["faithfulness"]:
        f = d["faithfulness"]
        lines.append(
            _line(
                "log P lost without hottest quarter",
                f"{f['hottest']:.3f}  (random {f['random']:.3f}, moved {f['moved']:.3f}, coldest "
                f"{f['coldest']:.3f}; {f['words']} words)",
            )
        )
    signature = " ".join(f"{k}={v}" for k, v in d["signature"].items())
    return [*lines, _line("signature", signature)]


_DIRECTIONS = {
    "image_to_text": "sentences for an image",
    "text_to_image": "images for a sentence",
    "image_to_text_raw": "sentences by P(s|I) alone",
    "image_to_text_nearest_100": "of the 100 nearest images",
}


def _figures(name: str, values: Iterable[float | None]) -> str:
    return _line(name, " ".join("-" if value is None else f"{value:.3f}" for value in values))


def _recall(name: str, of: Mapping[str, float | None], among: str) -> list[str]:
    if of["r1"] is None:
        return []
    at = "  ".join(f"R@{k} {of[f'r{k}']:.1f}" for k in (1, 5, 10))
    return [_line(name, f"{at}  Med r {of['med_r']:g}  {among}")]


def _line(name: str, text: str) -> str:
    return f"{name:38} {text}"


SCORE_HEADER = f"{'log P':>9} {'perplexity':>11} {'log ratio':>10}"


def score_line(score: Score | Match, item: str) -> str:
    """How well a sentence and an image fit, under `SCORE_HEADER`."""
    ratio = "-" if score.log_ratio is None else f"{score.log_ratio:+.2f}"
    return f"{score.logprob:9.2f} {score.perplexity:11.2f} {ratio:>10}  {printable(item)}"


def ranking_lines(ranking: Ranking) -> list[str]:
    """A ranking to read: a line a match, under a header; none without matches."""
    lines = [score_line(match, match.item) for match in ranking.matches]
    return [SCORE_HEADER, *lines] if lines else []


def ranking_notes(ranking: Ranking) -> list[str]:
    """What a person should know of a ranking beside its matches."""
    if not ranking.unknown:
        return []
    if ranking.items == "image":
        return [unknown_line(ranking.unknown, bool(ranking.matches))]
    apart = "and so are sentences where nothing else tells pictures apart"
    return [f"{_unknown(ranking.unknown)}; left out, {apart}"]


def caption_lines(image: str | Path, caption: Caption) -> str:
    """The caption of an image to read, with the n best below it."""
    lines = [f"{printable(image)}: {caption.text}  ({caption.how_sure})"]
    lines += [f"{other.logprob:10.2f}  {other.text}" for other in caption.n_best]
    return "\n".join(lines)


def explanation_lines(image: str | Path, explanation: Explanation) -> list[str]:
    """An explained sentence to read: a line a word, all but P in nats."""
    caption = explanation.caption
    words = list(zip(caption.words, explanation.evidence, strict=True))
    width = max(4, *(len(printable(word.text)) for word in caption.words))
    lines = [caption_lines(image, caption), f"{'':{width}}{_COLUMNS}"]
    for word, evidence in words:
        parts = asdict(evidence.contributions).values()
        figures = "".join(f"{part:+11.2f}" for part in parts)
        others = ", ".join(f"{printable(t)} {math.exp(p):.0%}" for t, p in word.alternatives)
        lines.append(
            f"{printable(word.text):{width}}{math.exp(word.logprob):6.0%}{evidence.baseline:10.2f}"
            f"{figures}   {others}"
        )
    return lines


_COLUMNS = "     P  baseline  last word   sentence      image   considered"


def _sentence(caption: Caption) -> dict[str, Any]:
    return {
        "caption": caption.text,
        "logprob": caption.logprob,
        "perplexity": caption.perplexity,
        "complete": caption.complete,
    }


def _trust(caption: Caption) -> dict[str, Any]:
    """What the model knows of how far to trust it."""
    known = {
        "main_word": caption.main_word,
        "sure": caption.sure,
        "strangeness": caption.strangeness,
        "certainty": caption.certainty,
    }
    return {name: value for name, value in known.items() if value is not None}


def _word(word: Word) -> dict[str, Any]:
    document: dict[str, Any] = {"word": word.text, "logprob": word.logprob}
    if word.captions is not None:
        document["captions"] = word.captions
    if word.given:
        document["given"] = True
    if word.alternatives:
        document["alternatives"] = [{"word": text, "logprob": p} for text, p in word.alternatives]
    return document


def _evidence(word: Word, evidence: Evidence) -> dict[str, Any]:
    return {
        "alternatives": [{"word": text, "logprob": p} for text, p in word.alternatives],
        "baseline": evidence.baseline,
        "contributions": asdict(evidence.contributions),
        "heat": [list(row) for row in evidence.heat] or None,
    }
