"""The page that leads to the pages of several explained photos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from ..images.finding import printable
from ..pages.html import escape, page, thumbnail

_PIXELS = 400  # longer side of a photo
_STYLE = ".said a { color: inherit; }"


def contents_page(pages: Mapping[str, tuple[Path, str]]) -> str:
    """The HTML; `pages` are photos and captions by where their own pages lie from this one on."""
    introduction = "<p class='dim'>Choose a photo to see where the words came from.</p>"
    blocks = [_card(place, *told) for place, told in pages.items()]
    return page(f"{len(pages):,} explained", introduction, blocks, _STYLE)


def _card(place: str, photo: Path, caption: str) -> str:
    link = quote(place.encode("utf-8", "surrogateescape"))
    name = printable(place.removesuffix(".html"))
    return (
        f'<article><a href="./{link}">{thumbnail(photo, caption, _PIXELS)}</a><div class="text">'
        f'<p class="said"><a href="./{link}">{escape(caption or "(no words)")}</a></p>'
        f'<p class="dim">{escape(name)}</p></div></article>'
    )
