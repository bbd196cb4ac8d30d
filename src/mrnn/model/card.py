"""The card of a bundle, its README.md: what the model is, its data, its scores, its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..images.alexnet import VARIANT
from ..images.encoders import FEATURES
from .threshold import MatchThreshold

if TYPE_CHECKING:
    from .bundle import Bundle


def card(bundle: Bundle, size: int) -> str:
    """The README of a bundle: what it is, its data, scores with signatures, limits."""
    t, c = bundle.training, bundle.model.config
    name = "RNN-Base (no image)" if c.feature == 0 else "m-RNN"
    lines = [
        f"# {name} trained on {t['data']}",
        "",
        "A multimodal recurrent neural network (Mao et al. 2014, arXiv:1410.1090) made by `mrnn`.",
        "It gives log P(sentence | image): captions, and scores of sentences.",
        "",
        f"- Data: {t['data']}, split `{t['split']}`: {t['images']:,} images, "
        f"{t['sentences']:,} sentences; stopped on `{t['stopped_on']}`; "
        f"seed {t['config']['seed']}.",
        *_more_about_data(t),
        f"- Vocabulary: {c.vocabulary:,} (words seen at least "
        f"{t['config']['minimum_count']} times, and four signs).",
        f"- Encoder: {_encoder_line(bundle)}.",
        f"- Sizes: embedding {c.embedding}, recurrent {c.recurrent}, multimodal {c.multimodal}, "
        f"feature {c.feature}; {size / 1e6:.1f} MB.",
        *_how_made(bundle),
        "",
        "## Scores",
        "",
    ]
    for s in bundle.scores:
        lines += _score_lines(s)
    if not bundle.scores:
        lines.append("None yet; `mrnn evaluate` gives them.")
    lines += _match_lines(bundle.match)
    lines += ["", "## Licence and limits", "", *_LIMITS]
    return "\n".join(lines) + "\n"


def _more_about_data(training: Mapping[str, Any]) -> list[str]:
    """Who chose the splits, and what was read without pictures, where a bundle says so."""
    lines = []
    if origin := training.get("split_origin"):
        lines.append(f"- Splits: {origin}.")
    if text := training.get("text_sentences"):
        lines.append(f"- Read before: {text:,} sentences without pictures.")
    return lines


def _how_made(bundle: Bundle) -> list[str]:
    """The command, and what came with it, where a bundle says so."""
    lines = []
    if bundle.consensus:
        images = len(bundle.consensus.codes)
        lines.append(f"- `--consensus` goes by n-grams of the captions of {images:,} images.")
    if command := bundle.training.get("command"):
        lines += ["", "Made by", "", f"    {command}"]
    return lines


def _encoder_line(bundle: Bundle) -> str:
    encoder, file = bundle.encoder, bundle.encoder_file
    if encoder.name == FEATURES:
        return "features computed elsewhere; it knows no pictures, only such features"
    line = (
        f"{encoder.name}, input {encoder.preprocessing.size} pixels, "
        f"weights SHA-256 {encoder.digest[:16] or '-'}"
    )
    if encoder.name == "alexnet":
        line = line.replace("alexnet", f"alexnet ({VARIANT}), layer 7", 1)
    if file is not None:
        line += f", carried in {file.name} ({len(file.content) / 1e6:.1f} MB; its own terms apply)"
    return line


def _score_lines(s: Mapping[str, Any]) -> list[str]:
    """The figures of one evaluation; those that it left out are null or missing."""
    lines = [
        f"- perplexity {s['perplexity']:.2f}, BLEU-1..4 "
        + " / ".join(f"{s['bleu'][n]:.3f}" for n in "1234")
        + f", {s['distinct_captions']} distinct captions of {s['images']}"
    ]
    if s.get("cider") is not None:
        lines.append(f"  ROUGE-L {s['rouge_l']:.3f}, CIDEr-D {s['cider']:.3f}")
    for key, name in (("image_to_text", "sentences"), ("text_to_image", "images")):
        recall = s.get(key) or {"r1": None}
        if recall["r1"] is not None:
            lines.append(
                f"  {name}: R@1 {recall['r1']:.1f}, R@5 {recall['r5']:.1f}, "
                f"R@10 {recall['r10']:.1f}, Med r {recall['med_r']:g}"
            )
    return [*lines, f"  ({', '.join(f'{k} {v}' for k, v in s['signature'].items())})"]


def _match_lines(match: MatchThreshold | None) -> list[str]:
    """What a search calls a match, where the bundle says so."""
    if match is None:
        return []
    return [
        "",
        f"A match in a search among N pictures has a log-ratio of at least {match.intercept:.2f} + "
        f"{match.slope:.2f} ln N nats:",
        f"{match.percentile}% of sentences reach less when their own picture is not there "
        f"({match.sentences:,} sentences of `{match.split}`, {match.images:,} pictures).",
    ]


_LIMITS = (
    "The weights carry no pictures. They, and the words that several images were described with,",
    "come from the data named above, whose own terms apply to what may be done with them.",
    "The model knows only the words of its vocabulary and the kinds of pictures it was trained on.",
    "It repeats the habits of those who wrote the captions (guesses of sex, age and mood among",
    "them) and is often wrong: do not let it decide anything about a person.",
)
