"""What `mrnn index` and `mrnn search` tell: JSON documents, lines of text, and a contact sheet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MrnnError
from ..images.finding import Picture, printable, suffixes_told
from ..pages.html import cards, escape, page, section, thumbnail
from ..pages.notebook import SHOWN, TILE, left_out, notes_html, tiles
from ..records import likely_right, percent, unknown_line
from .indexing import Indexed

if TYPE_CHECKING:
    from .found import Found, Results

Errors = Sequence[tuple[str, MrnnError]]

_PIXELS = 400  # longer side of a picture of the contact sheet


_FITS = (
    "Perplexity: between how many words the model hesitates while it reads the sentence with "
    "this picture before it; the lowest comes first. Log ratio: how much likelier this picture "
    "makes the sentence than the average picture does, in nats. How likely a picture is right is "
    "known from searches among pictures that people had described."
)
_LIKE = "The nearest pictures, by the cosine of what the model sees in them."


def indexed_document(
    library: Path, counts: Mapping[str, int], done: Indexed, errors: Errors
) -> dict[str, Any]:
    """The JSON object of an update; `counts` are of the whole library, `errors` by place."""
    return {
        "library": str(library),
        **counts,
        "looked_at": done.files,
        "new": done.new,
        "changed": done.changed,
        "moved": done.moved,
        "deleted": done.deleted,
        "read": done.read,
        "others": sum(done.others.values()),
        "other_suffixes": dict(done.others),
        "left_out": dict(done.left_out),
        "errors": _errors(errors),
    }


def unreadable_document(library: Path, errors: Errors) -> dict[str, Any]:
    """The JSON object of the files that are known to be unreadable."""
    return {"library": str(library), "errors": _errors(errors)}


def _errors(errors: Errors) -> list[dict[str, Any]]:
    return [
        {"image": place, "error": {"code": error.code, "message": str(error)}}
        for place, error in errors
    ]


def indexed_lines(library: Path, counts: Mapping[str, int], done: Indexed) -> list[str]:
    """An update to read."""
    which = f" ({suffixes_told(done.others)})" if done.others else ""
    see = ": mrnn index --problems lists them" if counts["unreadable"] else ""
    return [
        f"{done.files:,} files looked at: {done.new:,} new, {done.changed:,} changed, "
        f"{done.moved:,} moved, {done.deleted:,} deleted; {done.read:,} pictures read; "
        f"{sum(done.others.values()):,} files of other kinds left out{which}",
        f"{printable(library)}: {counts['pictures']:,} distinct pictures in {counts['files']:,} "
        f"files, {counts['unreadable']:,} of them cannot be read{see}",
    ]


def watched_line(counts: Mapping[str, int], done: Indexed, when: datetime) -> str:
    """One of many updates to read."""
    return (
        f"{when:%Y-%m-%d %H:%M:%S}  {done.new:,} new, {done.changed:,} changed, "
        f"{done.moved:,} moved, {done.deleted:,} deleted; {counts['pictures']:,} distinct pictures "
        f"in {counts['files']:,} files"
    )


def search_document(results: Results) -> dict[str, Any]:
    """The JSON object of a search; figures that do not apply are null."""
    return {
        "query": results.query,
        "pictures": results.pictures,
        "threshold": results.threshold,
        "unknown": list(results.unknown),
        "from_text_only": list(results.from_text_only),
        "results": [found_document(found) for found in results.found],
        "errors": [],
    }


def found_document(found: Found) -> dict[str, Any]:
    """The JSON object of a picture found."""
    return {
        "rank": found.rank,
        "image": str(found.picture),
        "logprob": found.logprob,
        "perplexity": found.perplexity,
        "log_ratio": found.log_ratio,
        "chance": found.chance,
        "match": found.match,
        "similarity": found.similarity,
        "caption": found.caption,
        "copies": [str(copy) for copy in found.copies],
    }


def search_lines(results: Results) -> Iterator[str]:
    """A search to read: a line a picture, under a header; none where nothing was found."""
    if not results.found:
        return
    if results.found[0].similarity is not None:
        yield f"{'similarity':>10}  image: caption"
        yield from (f"{found.similarity:10.3f}  {_named(found)}" for found in results.found)
        return
    first = results.found[0]  # a model of before 0.2.0 has matches and no chances
    head = "match" if first.chance is None and first.match is not None else "right"
    yield f"{'log P':>9} {'perplexity':>11} {'log ratio':>10} {head:>6}  image: caption"
    for found in results.found:
        told = _yes(found.match) if found.chance is None else percent(found.chance)
        yield (
            f"{found.logprob:9.2f} {found.perplexity:11.2f} {found.log_ratio:+10.2f} "
            f"{told:>6}  {_named(found)}"
        )


def search_notes(results: Results) -> Iterator[str]:
    """What a person should know of a search beside its results."""
    if results.unknown:
        yield unknown_line(results.unknown, bool(results.found))
    if told := why_no_chance(results):
        yield told
    if not results.pictures and results.is_part:
        yield "no picture of the library is of this folder and these days"
    elif not results.pictures:
        yield "the library has no pictures: mrnn index PATH... --library DIR takes some in"
    elif results.found and {found.match for found in results.found} == {False}:
        others = "" if results.pictures == 1 else "; the right one may still be among them"
        yield f"{_none_stands_out(results)}{others}"
    if results.absent:
        yield (
            f"{results.absent:,} of the pictures found are not where they were; if their folder "
            "lies elsewhere now: mrnn index THAT-FOLDER, which decodes none of them again"
        )
    if results.note:
        yield results.note


def why_no_chance(results: Results) -> str:
    """Why it cannot be told how likely a picture is right; empty where it can, or for others."""
    if not results.found or results.found[0].match is not None:
        return ""
    if results.from_text_only:
        named = ", ".join(map(printable, results.from_text_only))
        return f"known from text only: {named}; how likely a picture is right cannot be told"
    if not results.tells_apart:
        return "no word of it tells pictures apart; how likely one is right cannot be told"
    return ""


def contact_sheet(results: Results, roots: Sequence[Path], title: str) -> str:
    """An HTML page of the pictures found, which it carries with it, to be sent to others.

    Places are told from the folders of the library on (`roots`), and nothing of what is above.
    """
    explanation = _LIKE if any(f.similarity is not None for f in results.found) else _FITS
    for_others = replace(results, absent=0, note="")  # those are for who has the library
    notes = "".join(f"<p><strong>{escape(note)}</strong></p>" for note in search_notes(for_others))
    introduction = f"<p class='dim'>{results.pictures:,} pictures searched</p>{notes}"
    found = cards(_card(found, roots) for found in results.found)
    sheet = section(f"{len(results.found)} found", explanation, found)
    return page(title, introduction, [sheet])


def search_html(results: Results) -> str:
    """The same for a notebook, where a cell needs less."""
    shown = tiles(
        (
            _image(found, found.picture.name, TILE),
            f"{found.rank}. {printable(Path(found.picture.name).name)}",
            [*_judged(found), *_figures(found)],
        )
        for found in results.found[:SHOWN]
    )
    notes = [*search_notes(results), *left_out(len(results.found))]
    heading = f'<div style="font-size:1.15em">{escape(printable(results.query))}</div>'
    return f"<div>{heading}{shown}{notes_html(notes)}</div>"


def _image(found: Found, name: str, side: int) -> str:
    return thumbnail(found.picture, found.caption or printable(name), side)


def _judged(found: Found) -> list[str]:
    """What people are told first: how likely it is right, where that is known."""
    if found.chance is not None:
        return [likely_right(found.chance)]
    return ["match"] if found.match else []


def _figures(found: Found) -> list[str]:
    if found.similarity is not None:
        return [f"similarity {found.similarity:.3f}"]
    return [f"perplexity {found.perplexity:.2f}", f"log ratio {found.log_ratio:+.2f}"]


def _card(found: Found, roots: Sequence[Path]) -> str:
    name, *others = (_place(place, roots) for place in (found.picture, *found.copies))
    caption, image = found.caption or "", _image(found, name, _PIXELS)
    judged = [f"<strong>{escape(text)}</strong>" for text in _judged(found)]
    figures = " · ".join([*judged, *_figures(found)])
    kind = " class='right'" if found.match else ""
    places = "<br>".join(map(escape, (name, *others)))
    return (
        f"<article><div{kind}>{image}</div><div class='text'><p class='said'>{found.rank}. "
        f"{escape(caption)}</p><p class='dim'>{figures}</p><p class='dim'>{places}</p></div>"
        "</article>"
    )


def _place(picture: Picture, roots: Sequence[Path]) -> str:
    """Where a picture lies below the outermost folder of the library, but in a home below that."""
    path = picture if isinstance(picture, Path) else picture.shard
    above = sorted({*roots} & {*path.parents}, key=lambda folder: len(folder.parts))
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - never raises
    if above and home in path.parents and above[0] in home.parents:
        above = [home]
    place = str(path.relative_to(above[0]) if above else path.name)
    if not isinstance(picture, Path):
        name = picture.name
        place += f": {name.rpartition('/')[2] if name.startswith('/') else name}"
    return printable(place)


def _named(found: Found) -> str:
    copies = f" (and {len(found.copies)} more of it)" if found.copies else ""
    caption = f": {printable(found.caption)}" if found.caption is not None else ""
    return f"{printable(str(found.picture))}{copies}{caption}"


def _none_stands_out(results: Results) -> str:
    """That there is no match, and how near the best one came."""
    one = results.pictures == 1
    none = "the only picture is not " if one else f"none of {results.pictures:,} pictures is "
    best = max(results.found, key=lambda found: found.log_ratio or 0)
    if best.chance is not None:
        return f"{none}more likely right than not (the best {percent(best.chance)})"
    return (
        f"{none}standing out: a match has a log-ratio of {results.threshold:+.2f} or more "
        f"(best {best.log_ratio:+.2f})"
    )


def _yes(match: bool | None) -> str:
    return "" if match is None else "yes" if match else "-"
