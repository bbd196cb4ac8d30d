"""Self-contained HTML pages: escaped text, embedded pictures, no request to anywhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from pathlib import Path

from .images import read_image

_LONG_SIDE = 640  # pixels of an embedded picture

_STYLE = """
:root { color-scheme: light dark; --text: #1c1c1e; --dim: #63636a; --page: #f5f4f1;
  --card: #fff; --line: #dedbd4; --tint: 38 110 168; }
@media (prefers-color-scheme: dark) { :root { --text: #ececee; --dim: #a3a3ab; --page: #161618;
  --card: #212124; --line: #3a3a3f; --tint: 110 178 232; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 3rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; } .dim { color: var(--dim); font-size: .875rem; }
main { display: grid; gap: 1.25rem; margin-top: 1.5rem;
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
h2 { font-size: .95rem; margin: 1rem 0 .25rem; }
"""


def page(title: str, introduction: str, blocks: Iterable[str]) -> str:
    """An HTML document; `introduction` and `blocks` are HTML already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>{introduction}\n<main>\n"
        + "\n".join(blocks)
        + "\n</main></body></html>\n"
    )


def escape(text: str) -> str:
    """Text as HTML, in content and in quoted attributes."""
    return html.escape(text.encode("utf-8", "replace").decode(), quote=True)


def picture(path: Path, description: str) -> str:
    """An <img> that carries the picture itself; raises ImageError."""
    image = read_image(path, at_least=_LONG_SIDE)
    image.thumbnail((_LONG_SIDE, _LONG_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escape(description)}">'


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
