"""The demonstration behind `mrnn demo`: captions of real photos, and a page to look at."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from .captioner import Caption, Captioner, Decoding, Score, Word
from .errors import DependencyError, ImageError, UsageError
from .images import printable
from .pages import escape, page, picture, shaded, table

_SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def sample_photos() -> list[Path]:
    """Photographs that come with scikit-image; raises DependencyError without it."""
    found = importlib.util.find_spec("skimage")  # found, not imported: that takes a second
    if found is None or not found.submodule_search_locations:
        raise DependencyError(
            "the sample photos come with scikit-image; type: pip install 'mrnn[demo]', "
            "or name photos of your own"
        )
    return [Path(found.submodule_search_locations[0], "data", name) for name in _SAMPLES]


def run_demo(
    captioner: Captioner, photos: Sequence[Path], output: Path
) -> Iterator[str | ImageError]:
    """Caption the photos and write the page; yields lines to print, and the errors met."""
    if not photos:
        raise UsageError("no photos there")
    captions: dict[Path, Caption] = {}
    how = Decoding(beam=5, n_best=3, alternatives=4)
    for photo, result in zip(photos, captioner.caption_many(photos, how), strict=True):
        if isinstance(result, ImageError):
            yield result
        else:
            captions[photo] = result
            yield f"{printable(photo.name)}: {result.text}  (perplexity {result.perplexity:.2f})"
    if not captions:
        return
    sentences = list(dict.fromkeys(caption.text for caption in captions.values()))
    articles = []
    yield "\nWhich of these sentences fits which photo best, by log P(s|I)/P(s):"
    for photo, caption in captions.items():
        ranked = sorted(captioner.score(photo, sentences), key=lambda s: -s.log_ratio)
        yield f"{printable(photo.name)}: {ranked[0].sentence}  ({ranked[0].log_ratio:+.1f})"
        articles.append(_article(photo, caption, ranked))
    try:
        output.write_text(page("mrnn: photos explained", _INTRODUCTION, articles), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{printable(output)}: cannot be written ({error.strerror})") from None
    yield f"\nOpen {printable(output)} to see them with their pictures."


_INTRODUCTION = (
    "<p>Captions written on this machine by a multimodal recurrent neural network, with the "
    "probability of every word.</p><p class='dim'>A word on a strong ground was a sure one; hover "
    "over it, or move to it with Tab, for what else the model considered. Perplexity: between how "
    "many words it hesitated on average; lower is surer. The second table orders the captions of "
    "all photos by how much likelier this photo makes them.</p>"
)


def _article(photo: Path, caption: Caption, ranked: Sequence[Score]) -> str:
    words = " ".join(_word(word) for word in caption.words if word.text != "##END##")
    n_best = table(
        ("next best", "log P", "perplexity"),
        [(other.text, other.logprob, other.perplexity) for other in caption.n_best[1:]],
    )
    ranking = table(
        ("ranked for this photo", "log P(s|I)/P(s)"), [(s.sentence, s.log_ratio) for s in ranked]
    )
    return (
        f"<article>{picture(photo, caption.text)}<div class='text'><p class='caption'>{words}</p>"
        f"<p class='dim'>{escape(printable(photo.name))} · perplexity {caption.perplexity:.2f}"
        f" · log P {caption.logprob:.2f}</p>{n_best}<br>{ranking}</div></article>"
    )


def _word(word: Word) -> str:
    others = ", ".join(f"{text} {math.exp(p):.0%}" for text, p in word.alternatives)
    probability = math.exp(word.logprob)
    return shaded(word.text, probability, f"{word.text}: {probability:.0%}. Considered: {others}")
