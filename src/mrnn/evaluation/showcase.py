"""Examples for a report: what was found and what was missed, and generated captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..datasets import Example
from ..images.finding import printable
from ..pages.html import cards, escape, section, thumbnail
from .ranks import Ranked

_SEED = 0  # of the choice among examples that are equally good
_PIXELS = 320  # longer side of an embedded picture
_BEST, _WORST = 3, 6  # examples of a direction
_BESIDE = 2  # pictures beside a sentence's own
_CAPTIONS = 24


def images_found(examples: Sequence[Example], ranked: Ranked) -> str:
    """Some sentences with the images found for them; `ranked` has a row a sentence."""
    sentences, owners = _flat(examples)

    def card(row: int) -> str:
        own = int(owners[row])
        place = f"its own picture has rank {ranked.ranks[row]:,} of {len(examples):,}"
        others = [(n, int(i)) for n, i in enumerate(ranked.best[row], 1) if i != own][:_BESIDE]
        shown = [_framed(examples[own], "its own", right=True)]
        shown += [_framed(examples[image], f"rank {n}") for n, image in others]
        return _card("", sentences[row], place, f'<div class="strip">{"".join(shown)}</div>')

    return section(
        "Images for a sentence",
        "Each sentence with its own picture, and beside it the others that the model found best.",
        *_best_and_worst(card, ranked.ranks, owners),
    )


def sentences_found(examples: Sequence[Example], ranked: Ranked) -> str:
    """Some images with the sentences found for them.

    `ranked` has a rank an image that has sentences, and a row of the best an image.
    """
    sentences, owners = _flat(examples)
    queries = np.unique(owners)

    def card(row: int) -> str:
        image = queries[row]
        place = f"first right sentence at rank {ranked.ranks[row]:,} of {len(sentences):,}"
        found = [(sentences[i], bool(owners[i] == image)) for i in ranked.best[image]]
        items = "".join(
            f'<li class="right">{escape(text)} ✓</li>' if right else f"<li>{escape(text)}</li>"
            for text, right in found
        )
        return _card(_thumbnail(examples[image]), "", place, f'<ol class="list">{items}</ol>')

    return section(
        "Sentences for an image",
        "Each picture with the sentences that the model found best; those that people wrote for "
        "it are marked.",
        *_best_and_worst(card, ranked.ranks, queries),
    )


def generated(examples: Sequence[Example], captions: Sequence[str]) -> str:
    """Some images with the caption of each and what people wrote."""
    drawn = np.random.default_rng(_SEED).permutation(len(captions))[:_CAPTIONS]

    def card(image: int) -> str:
        example = examples[image]
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in example.sentences)
        people = f'<ul class="list">{items}</ul>'
        return _card(_thumbnail(example), captions[image], "people wrote", people)

    return section(
        "Generated captions",
        f"{len(drawn)} of {len(captions):,}, drawn with seed {_SEED}: neither the best nor the "
        "worst.",
        cards(map(card, sorted(drawn.tolist()))),
    )


def _flat(examples: Sequence[Example]) -> tuple[list[str], np.ndarray]:
    """All sentences, and the image (S,) of each."""
    counts = [len(example.sentences) for example in examples]
    sentences = [sentence for example in examples for sentence in example.sentences]
    return sentences, np.repeat(np.arange(len(counts)), counts)


def _best_and_worst(
    card: Callable[[int], str], ranks: np.ndarray, owners: np.ndarray
) -> Iterator[str]:
    for heading, rows in zip(
        ("Some of the best", "The worst"), _extremes(ranks, owners), strict=True
    ):
        if rows:
            yield f"<h3>{heading}</h3>{cards(map(card, rows))}"


def _extremes(ranks: np.ndarray, owners: np.ndarray) -> tuple[list[int], list[int]]:
    """Rows of the best ranks, and of the worst, the very worst first; each of another owner."""
    shuffled = np.random.default_rng(_SEED).permutation(len(ranks))  # equal ranks in any order
    order = shuffled[np.argsort(ranks[shuffled], kind="stable")].tolist()
    rows: dict[int, int] = {}  # by owner
    for candidates, size in ((order, _BEST), (order[::-1], _BEST + _WORST)):
        for row in candidates:
            if len(rows) < size:
                rows.setdefault(int(owners[row]), row)
    chosen = list(rows.values())
    return chosen[:_BEST], chosen[_BEST:]


def _card(top: str, said: str, below: str, rest: str) -> str:
    words = f'<p class="said">{escape(said)}</p>' if said else ""
    return (
        f'<article>{top}<div class="text">{words}<p class="dim">{escape(below)}</p>{rest}</div>'
        "</article>"
    )


def _framed(example: Example, label: str, right: bool = False) -> str:
    """A picture of a strip, with its label."""
    kind = ' class="right"' if right else ""
    caption = f"<figcaption>{escape(label)}</figcaption>"
    return f"<figure{kind}>{_thumbnail(example)}{caption}</figure>"


def _thumbnail(example: Example) -> str:
    """A small picture, described by its first sentence."""
    description = next(iter(example.sentences), printable(example.image.name))
    return thumbnail(example.image, description, _PIXELS)
