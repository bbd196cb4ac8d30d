"""The demonstration behind `mrnn demo`: captions of real photos, and a page to look at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..captioner import Captioner
from ..errors import DataError, ImageError
from ..files import write_whole
from ..images.features import encode_images
from ..images.finding import printable
from ..pages.html import escape, page, picture, shaded, table
from ..results import Caption, Word

BEAM = 5  # sentences that are kept while each is written
_SENTENCES = 10  # most sentences ranked for a photo on the page


def run_demo(
    captioner: Captioner, photos: Sequence[Path], output: Path
) -> Iterator[str | ImageError]:
    """Caption the photos and write the page; yields lines to print, and the errors met.

    Raises DataError when the page cannot be written.
    """
    features: dict[Path, np.ndarray] = {}
    for photo, result in zip(photos, encode_images(photos, captioner.encoder), strict=True):
        if isinstance(result, ImageError):
            yield result
        else:
            features[photo] = result
    if not features:
        return
    matrix = np.stack(list(features.values()))
    captions = captioner.caption_features(matrix, beam=BEAM, n_best=3, alternatives=4)
    for photo, caption in zip(features, captions, strict=True):
        yield f"{printable(photo.name)}: {caption.text}  ({caption.how_sure})"
    yield "\nWhich of these sentences fits which photo best, by log P(s|I)/P(s):"
    sentences = list(dict.fromkeys(caption.text for caption in captions))
    ratios = captioner.log_ratios(matrix, sentences)  # (sentences, photos)
    articles = []
    for photo, caption, column in zip(features, captions, ratios.T, strict=True):
        order = (-column).argsort(kind="stable")
        ranked = [(sentences[i], float(column[i])) for i in order]
        yield f"{printable(photo.name)}: {ranked[0][0]}  ({ranked[0][1]:+.1f})"
        articles.append(_article(photo, caption, ranked[:_SENTENCES]))
    try:
        introduction = _INTRODUCTION + (_BY_RATIO if captioner.bundle.ratio else "")
        write_whole(output, page("mrnn: photos explained", introduction, articles))
    except OSError as error:
        raise DataError(f"{printable(output)}: cannot be written ({error.strerror})") from None
    yield f"\nOpen {printable(output)} to see them with their pictures."


_INTRODUCTION = (
    "<p>Captions written on this machine by a multimodal recurrent neural network, with the "
    f"probability of every word, as <code>mrnn caption --beam {BEAM}</code> writes them.</p>"
    "<p class='dim'>A word on a strong ground was a sure one; hover "
    "over it, or move to it with Tab, for what else the model considered. Under each "
    "caption stands whether it is sure of the word that the photo speaks for most, and how likely "
    "that one is right. The second table orders the captions "
    "of all photos by how much likelier this photo makes them.</p>"
)
_BY_RATIO = (
    "<p class='dim'>Words are chosen by log P less a share of what it would be of any photo, a "
    "larger one the stranger the photo is: the best sentence suits this photo most, and the next "
    "best may have a higher log P. <code>--ratio 0</code> of <code>mrnn caption</code> goes by "
    "log P alone.</p>"
)


def _article(photo: Path, caption: Caption, ranked: Sequence[tuple[str, float]]) -> str:
    words = " ".join(_word(word) for word in caption.words if word.text != "##END##")
    n_best = table(
        ("next best", "log P", "perplexity"),
        [(other.text, other.logprob, other.perplexity) for other in caption.n_best[1:]],
    )
    ranking = table(("ranked for this photo", "log P(s|I)/P(s)"), ranked)
    return (
        f"<article>{picture(photo, caption.text)}<div class='text'><p class='caption'>{words}</p>"
        f"<p>{escape(caption.in_words)}</p><p class='dim'>{escape(printable(photo.name))} · "
        f"log P {caption.logprob:.2f}</p>{n_best}<br>{ranking}</div></article>"
    )


def _word(word: Word) -> str:
    others = ", ".join(f"{text} {math.exp(p):.0%}" for text, p in word.alternatives)
    probability = math.exp(word.logprob)
    return shaded(word.text, probability, f"{word.text}: {probability:.0%}. Considered: {others}")
