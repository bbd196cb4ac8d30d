"""Captions and scores as JSON documents and as lines of text: contracts with others' scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .captioner import Caption, Score, Word
from .errors import ImageError
from .images import printable


def caption_document(image: Path, result: Caption | ImageError, n_best: bool) -> dict[str, Any]:
    """The JSON object of one image: its caption, or its error."""
    if isinstance(result, ImageError):
        return {"image": str(image), "error": {"code": result.code, "message": str(result)}}
    sentence = _sentence(result)
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


def caption_lines(image: Path, caption: Caption) -> str:
    """The caption of an image to read, with the n best below it."""
    lines = [f"{printable(image)}: {caption.text}  (perplexity {caption.perplexity:.2f})"]
    lines += [f"{other.logprob:10.2f}  {other.text}" for other in caption.n_best]
    return "\n".join(lines)


def _sentence(caption: Caption) -> dict[str, Any]:
    return {
        "caption": caption.text,
        "logprob": caption.logprob,
        "perplexity": caption.perplexity,
        "complete": caption.complete,
    }


def _word(word: Word) -> dict[str, Any]:
    document: dict[str, Any] = {"word": word.text, "logprob": word.logprob}
    return {**document, "given": True} if word.given else document
