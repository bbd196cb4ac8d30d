"""Self-contained HTML pages: escaped text, embedded pictures, no request to anywhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from ..errors import ImageError
from ..images.finding import Picture, printable
from ..images.reading import read_image

_LONG_SIDE = 640  # pixels of an embedded picture

_STYLE = """
:root { color-scheme: light dark; --text: #1c1c1e; --dim: #63636a; --page: #f5f4f1;
  --card: #fff; --line: #dedbd4; --tint: 38 110 168; --warm: 196 88 22; }
@media (prefers-color-scheme: dark) { :root { --text: #ececee; --dim: #a3a3ab; --page: #161618;
  --card: #212124; --line: #3a3a3f; --tint: 110 178 232; --warm: 240 154 94; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 3rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; } .dim { color: var(--dim); font-size: .875rem; }
main { margin-top: 1.5rem; } main, .cards { display: grid; gap: 1.25rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; }
article img { display: block; width: 100%; height: 15rem; object-fit: contain; background: #0002; }
.text { padding: 1rem 1.1rem; }
.caption { font-size: 1.2rem; line-height: 1.9; margin-bottom: .25rem; }
.word { padding: .12em .28em; border-radius: 5px; cursor: default; }
.word:focus { outline: 2px solid rgb(var(--tint)); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th { text-align: left; font-weight: 600; } td, th { padding: .2rem .5rem .2rem 0;
  vertical-align: top; } .number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
section { grid-column: 1 / -1; min-width: 0; }
h2 { font-size: 1.25rem; margin: 1.5rem 0 .25rem; } h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
h2 + p { max-width: 46rem; }
.tiles { display: grid; gap: .75rem; margin: 0;
  grid-template-columns: repeat(auto-fill, minmax(min(11rem, 45%), 1fr)); }
.tiles div, .plot, .sheet { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; padding: .8rem 1rem; margin: 0; }
dt { color: var(--dim); font-size: .875rem; } dd { margin: 0; overflow-wrap: anywhere; }
.tiles dd { font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.sheet { overflow-x: auto; } .sheet + .dim, .cards + .dim { margin-top: .5rem; }
.figures td, .figures th { padding: .3rem .6rem; white-space: nowrap; }
.figures thead th { color: var(--dim); font-weight: 500; vertical-align: bottom; }
.figures thead th[colspan] { text-align: center; }
.figures tbody tr { border-top: 1px solid var(--line); }
.figures tbody th { font-weight: 400; }
.figures .group th { color: var(--dim); padding-top: .9rem; }
.figures .ours { background: rgb(var(--tint) / .15); } .figures .ours > * { font-weight: 600; }
.figures .start { padding-left: 1.6rem; } sup { line-height: 0; font-size: .7em; }
.notes { margin: .75rem 0 0; padding-left: 1.25rem; overflow-wrap: anywhere; }
.facts { margin: 0; } .facts div { display: grid; grid-template-columns: 11rem 1fr; gap: 1rem;
  padding: .2rem 0; } .facts dd { font-size: .9rem; }
figcaption { font-size: .875rem; color: var(--dim); } .plot figcaption { font-weight: 600; }
.plot > svg { display: block; width: 100%; height: auto; margin-top: .5rem; }
.plot text { font-size: 11px; fill: var(--dim); text-anchor: middle; }
.plot .end { text-anchor: end; } .plot .start { text-anchor: start; }
.plot .start, .plot .name { fill: var(--text); } .grid { stroke: var(--line); }
.curve { fill: none; stroke: rgb(var(--tint)); stroke-width: 2; stroke-linejoin: round; }
.c2, .c4 { stroke: rgb(var(--warm)); } .c3, .c4 { stroke-dasharray: 5 3; }
.dot { fill: rgb(var(--tint)); } .d2, .d4 { fill: rgb(var(--warm)); }
.mark { fill: none; stroke: var(--text); stroke-width: 1.5; }
line.mark { stroke-width: 1; stroke-dasharray: 2 3; }
.bar { fill: rgb(var(--tint)); } .bar:hover { fill: rgb(var(--warm)); }
.said { font-size: 1.1rem; line-height: 1.4; margin-bottom: .25rem; }
.strip { display: grid; grid-template-columns: repeat(3, 1fr); gap: .5rem; }
figure { margin: 0; } .strip img, .strip .missing { height: auto; aspect-ratio: 1; width: 100%;
  object-fit: cover; border-radius: 6px; }
.right img, .right .missing { outline: 3px solid rgb(var(--tint)); outline-offset: -3px; }
.missing { display: grid; place-content: center; height: 15rem; padding: .5rem; text-align: center;
  background: #0002; color: var(--dim); font-size: .8rem; overflow-wrap: anywhere; }
.list { margin: 0; padding-left: 1.5rem; font-size: .925rem; }
.list li { margin: .2rem 0; }
.told { width: 100%; font-size: .875rem; } .told th { font-weight: 400; color: var(--dim);
  white-space: nowrap; padding-right: .9rem; } .told td { width: 100%; }
summary { cursor: pointer; color: var(--dim); font-size: .875rem; padding: .2rem 0; }
summary:focus-visible { outline: 2px solid rgb(var(--tint)); } .label { margin: .9rem 0 .2rem; }
.label:first-child { margin-top: 0; }
li.right { font-weight: 600; } li.right::marker { color: rgb(var(--tint)); }
"""


def page(title: str, introduction: str, blocks: Iterable[str], style: str = "") -> str:
    """An HTML document; `introduction` and `blocks` are HTML already, `style` is more CSS."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>{introduction}\n<main>\n"
        + "\n".join(blocks)
        + "\n</main></body></html>\n"
    )


def escape(text: str) -> str:
    """Text as HTML, in content and in quoted attributes."""
    return html.escape(text.encode("utf-8", "replace").decode(), quote=True)


def picture(path: Picture, description: str, long_side: int = _LONG_SIDE) -> str:
    """An <img> that carries the picture itself, that many pixels long; raises ImageError."""
    return embedded(reduced(path, long_side), description)


def reduced(path: Picture, long_side: int) -> Image.Image:
    """A picture, at most that many pixels long; raises ImageError."""
    image = read_image(path, at_least=long_side)
    image.thumbnail((long_side, long_side))
    return image


def embedded(image: Image.Image, description: str) -> str:
    """An <img> that carries the picture itself, and nothing that its file tells of it."""
    return f'<img src="data:image/jpeg;base64,{jpeg(image)}" alt="{escape(description)}">'


def jpeg(image: Image.Image) -> str:
    """A picture as a JPEG file, in base64, with nothing that its own file tells of it."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, comment=b"")  # else Pillow hands on the file's own
    return base64.b64encode(buffer.getvalue()).decode()


def thumbnail(path: Picture, description: str, long_side: int) -> str:
    """A small picture; its name in its place where it cannot be read."""
    try:
        return picture(path, description, long_side)
    except ImageError:
        return missing(f"{printable(path.name)}: cannot be read")


def missing(words: str) -> str:
    """Words that stand where a picture would."""
    return f'<div class="missing">{escape(words)}</div>'


def shaded(word: str, probability: float, explanation: str) -> str:
    """A word on a background the stronger the more probable it was; hover or focus explains."""
    style = f"background: rgb(var(--tint) / {0.05 + 0.4 * probability:.2f})"
    return (
        f'<span class="word" tabindex="0" style="{style}" title="{escape(explanation)}">'
        f"{escape(word)}</span>"
    )


def table(header: Iterable[str], rows: Iterable[Iterable[str | float]]) -> str:
    """A table; numbers are set right, to two decimals."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = [f"<tr>{cells}</tr>"]
    for row in rows:
        lines.append("<tr>" + "".join(_cell(value) for value in row) + "</tr>")
    return f"<table>{''.join(lines)}</table>"


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{value:.2f}</td>'


@dataclass(frozen=True)
class Line:
    """A line of a table of figures."""

    labels: Sequence[str]
    figures: Sequence[str]
    source: str = ""  # where the figures come from
    ours: bool = False  # to be set off


def figures_table(
    labels: Sequence[str],
    columns: Sequence[tuple[str, Sequence[str]]],
    blocks: Sequence[tuple[str, Sequence[Line]]],
) -> str:
    """A table of figures, ours set off among others', with notes on where those come from.

    `labels` name the first columns. `columns` are groups of the others, and `blocks` groups of
    lines, each under a heading that may be empty.
    """
    sources = list(dict.fromkeys(line.source for _, lines in blocks for line in lines))
    notes = {source: number for number, source in enumerate(filter(None, sources), start=1)}
    width = len(labels) + sum(len(names) for _, names in columns)
    starts = [n == 0 for _, names in columns for n in range(len(names))]
    body = []
    for heading, lines in blocks:
        if heading and lines:
            title = f'<th colspan="{width}" scope="rowgroup">{escape(heading)}</th>'
            body.append(f'<tr class="group">{title}</tr>')
        body += [_line(line, starts, notes) for line in lines]
    listed = "".join(f"<li>{escape(source)}</li>" for source in notes)
    return (
        f'<div class="sheet"><table class="figures"><thead>{_head(labels, columns, starts)}</thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
        + (f'<ol class="notes dim">{listed}</ol>' if listed else "")
        + "</div>"
    )


def _head(
    labels: Sequence[str], columns: Sequence[tuple[str, Sequence[str]]], starts: Sequence[bool]
) -> str:
    names = [name for _, group in columns for name in group]
    texts = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    texts += "".join(
        f'<th scope="col" class="{_kind(start)}">{escape(name)}</th>'
        for name, start in zip(names, starts, strict=True)
    )
    if not any(heading for heading, _ in columns):
        return f"<tr>{texts}</tr>"
    groups = "".join(
        f'<th colspan="{len(group)}" scope="colgroup">{escape(heading)}</th>'
        for heading, group in columns
    )
    return f'<tr><td colspan="{len(labels)}"></td>{groups}</tr><tr>{texts}</tr>'


def _line(line: Line, starts: Sequence[bool], notes: Mapping[str, int]) -> str:
    note = f"<sup>{notes[line.source]}</sup>" if line.source else ""
    first, *others = line.labels
    cells = f'<th scope="row">{escape(first)}{note}</th>'
    cells += "".join(f"<td>{escape(other)}</td>" for other in others)
    cells += "".join(
        f'<td class="{_kind(start)}">{escape(figure)}</td>'
        for figure, start in zip(line.figures, starts, strict=True)
    )
    mark = ' class="ours"' if line.ours else ""
    return f"<tr{mark}>{cells}</tr>"


def _kind(start: bool) -> str:
    return "number start" if start else "number"


def section(heading: str, explanation: str, *blocks: str) -> str:
    """A part of a page with its heading; the explanation is text, the blocks are HTML already."""
    words = f"<p class='dim'>{escape(explanation)}</p>" if explanation else ""
    return f"<section><h2>{escape(heading)}</h2>{words}{''.join(blocks)}</section>"


def cards(blocks: Iterable[str]) -> str:
    """HTML blocks beside each other, as many in a row as there is room for."""
    return f'<div class="cards">{"".join(blocks)}</div>'


def details(summary: str, *blocks: str) -> str:
    """HTML blocks that show when their summary is chosen."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(blocks)}</details>"


def terms(pairs: Iterable[tuple[str, str]], look: str) -> str:
    """Names with what they stand for; `look` is "tiles" or "facts"."""
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs
    )
    return f'<dl class="{look}">{items}</dl>'
