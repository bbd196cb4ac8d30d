"""Results as notebooks show them: HTML without a style sheet, ids or scripts, pictures within.

A cell's output stands among others, on a light page or a dark one: all style is in the elements,
and text has the page's own colour.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ..errors import ImageError
from ..images.finding import printable
from ..images.given import PictureLike, is_path
from ..images.looking import small
from ..records import ranking_notes
from .heat_map import label, overlay, scales
from .html import embedded, escape, jpeg, reduced, thumbnail

if TYPE_CHECKING:
    from ..results import Caption, Evidence, Explanation, Match, Ranking, Word

_THUMBNAIL = 240  # pixels of a picture's longer side
TILE = 160  # the same, of one among others
SHOWN = 20  # matches, tiles or errors
_DIM = "font-size:.85em;opacity:.75"


def caption_html(caption: Caption) -> str:
    """A caption beside its picture; the words on a ground the stronger the more probable."""
    words = " ".join(_word(word) for word in caption.words if word.text != "##END##")
    others = "".join(f"<li>{escape(other.text)}</li>" for other in caption.n_best[1:])
    text = (
        f'<div style="font-size:1.15em;line-height:1.8">{words}</div>'
        f'<div style="{_DIM}">{escape(caption.how_sure)} · log P {caption.logprob:.2f}</div>'
        + (f'<ol start="2" style="margin:.5em 0 0;padding-left:1.5em">{others}</ol>')
        * bool(others)
    )
    return _row(_of_caption(caption), _block(text))


def ranking_html(ranking: Ranking) -> str:
    """The best sentences of a picture in a table, or the best pictures of a sentence as tiles."""
    matches = ranking.matches[:SHOWN]
    if ranking.items == "image":
        found = tiles(
            (
                _picture(match.thumbnail, match.item, match.in_memory, TILE),
                f"{match.rank}. {_name(match.item)}",
                _fit(match),
            )
            for match in matches
        )
        heading = f'<div style="font-size:1.15em">{escape(ranking.query)}</div>'
        body = heading + found
    else:
        rows = "".join(
            f'<tr><td style="text-align:right">{match.rank}</td>'
            f'<td style="text-align:left">{escape(match.item)}</td>'
            f'<td style="text-align:right">{match.log_ratio:+.2f}</td></tr>'
            for match in matches
        )
        head = '<tr><th></th><th style="text-align:left">sentence</th><th>log ratio</th></tr>'
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        body = _row(_picture("", ranking.query, ranking.in_memory, _THUMBNAIL), _block(table))
    notes = [str(error) for _, error in ranking.errors[:SHOWN]]
    notes += ranking_notes(ranking)
    if len(ranking.errors) > SHOWN:
        notes.append(f"and {len(ranking.errors) - SHOWN:,} more that cannot be read")
    notes += left_out(len(ranking.matches))
    return f"<div>{body}{notes_html(notes)}</div>"


def with_thumbnails(matches: Sequence[Match], pictures: Sequence[PictureLike]) -> tuple[Match, ...]:
    """Matches that know which of their pictures are in memory, with the first few of these."""

    def kept(match: Match, picture: PictureLike) -> Match:
        image = small(picture) if match.rank <= SHOWN else None
        return replace(match, in_memory=True, thumbnail="" if image is None else jpeg(image))

    each = zip(matches, pictures, strict=True)
    return tuple(match if is_path(picture) else kept(match, picture) for match, picture in each)


def explanation_html(explanation: Explanation) -> str:
    """A caption, and for each of its words where in the picture it came from."""
    caption = explanation.caption
    photo = _small(caption)
    each = zip(caption.words, explanation.evidence, scales(explanation.evidence), strict=True)
    found = tiles(
        (
            embedded(
                overlay(photo, why.heat, scale, explanation.area) if why.heat else photo,
                label(word.text),
            ),
            f"{label(word.text)} {math.exp(word.logprob):.0%}",
            _parts(why),
        )
        for word, why, scale in each
    )
    legend = "orange parts of the picture spoke for the word, blue ones against it; nats added by"
    method = "the model does not look at pictures" if explanation.method == "none" else legend
    notes = [f"{method} the last word, the sentence so far and the image"]
    if explanation.unknown:
        notes.append(f"not in the vocabulary: {', '.join(explanation.unknown)}")
    return f"<div>{caption_html(caption)}{found}{notes_html(notes)}</div>"


def tiles(cells: Iterable[tuple[str, str, Sequence[str]]]) -> str:
    """Pictures beside each other: HTML of each, and text below: a title and smaller lines."""
    found = (
        f'<div style="width:{TILE}px;overflow-wrap:anywhere">{photo}<div>{escape(title)}</div>'
        f'<div style="{_DIM}">{"<br>".join(map(escape, lines))}</div></div>'
        for photo, title, lines in cells
    )
    return _row(*found)


def left_out(count: int) -> list[str]:
    """What is to be said where there are more than are shown."""
    return [f"{SHOWN} of {count:,} are shown"] if count > SHOWN else []


def notes_html(notes: Sequence[str]) -> str:
    """What a person should know beside the results, a line each."""
    lines = "".join(f"<div>{escape(note)}</div>" for note in notes)
    return f'<div style="{_DIM};margin-top:.5em">{lines}</div>' if lines else ""


def _row(*blocks: str) -> str:
    style = "display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;margin:.25em 0"
    return f'<div style="{style}">{"".join(blocks)}</div>'


def _block(text: str) -> str:
    return f'<div style="flex:1 1 16em;max-width:46em">{text}</div>'


def _word(word: Word) -> str:
    probability = math.exp(word.logprob)
    others = ", ".join(f"{text} {math.exp(p):.0%}" for text, p in word.alternatives)
    told = f"{word.text}: {probability:.0%}" + (f"; considered: {others}" if others else "")
    ground = f"background:rgba(64,140,200,{0.05 + 0.4 * probability:.2f})"
    return (
        f'<span style="padding:.1em .25em;border-radius:4px;{ground}" title="{escape(told)}">'
        f"{escape(word.text)}</span>"
    )


def _parts(why: Evidence) -> list[str]:
    return [" ".join(f"{nats:+.1f}" for nats in astuple(why.contributions))]


def _fit(match: Match) -> list[str]:
    return [f"perplexity {match.perplexity:.2f}", f"log ratio {match.log_ratio:+.2f}"]


def _name(item: str) -> str:
    return printable(Path(item).name)


def _of_caption(caption: Caption) -> str:
    return _picture(caption.thumbnail, caption.image, caption.in_memory, _THUMBNAIL)


def _picture(kept: str, name: str, in_memory: bool, side: int) -> str:
    """A picture that was kept since it lay in memory, else the file's; nothing without either."""
    if kept:
        image = _kept(kept)
        image.thumbnail((side, side))
        return embedded(image, name)
    return "" if in_memory or not name else thumbnail(Path(name), _name(name), side)


def _small(caption: Caption) -> Image.Image:
    """The picture under heat maps; plain grey where it is not at hand."""
    grey = Image.new("RGB", (TILE, TILE), "grey")
    photo = _kept(caption.thumbnail) if caption.thumbnail else grey
    if not caption.thumbnail and not caption.in_memory and caption.image:
        with suppress(ImageError):
            photo = reduced(Path(caption.image), TILE)
    photo.thumbnail((TILE, TILE))
    return photo


def _kept(content: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(content)), formats=("JPEG",))
    image.load()
    return image
