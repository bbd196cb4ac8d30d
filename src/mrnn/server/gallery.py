"""A library as people look at it: pages of pictures by date, what to filter by, and exports."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import IO, Any, Literal, cast

from ..errors import ImageError
from ..images.finding import Member, Picture, printable
from ..images.xmp import with_description
from ..library.contents import Content, key_of
from ..library.library import Library
from ..library.timeline import EVERY, Dated, Filter, Timeline

Format = Literal["csv", "xmp"]
Known = tuple[Dated, Content, list[Picture]]  # and where it lies
COLUMNS = ("image", "folder", "date", "date_of", "caption", "copies")
ABOUT = "about-these-files.txt"  # in a zip: what else there is to say
_AT_ONCE = 500  # pictures
_PIECE = 1 << 18  # bytes of an export that are sent together
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # begin what a spreadsheet would compute


def file_name(picture: Picture) -> str:
    """The last part of where a picture lies: the folders above it are nobody's business."""
    return printable(PurePath(picture.name).name)


def shown_document(
    timeline: Timeline, digest: bytes, places: Sequence[Picture], which: Filter
) -> dict[str, Any]:
    """The name, folder and copies of a picture, and its date, as all answers tell them."""
    first, *copies = timeline.places(places, which)
    names = {"name": file_name(first), "copies": [file_name(copy) for copy in copies]}
    dated = timeline.of(digest)
    if dated is None:  # it came just now
        return {**names, "date": None, "date_of": None, "folder": None}
    date_of = "exif" if dated.is_taken else "file"
    folder = timeline.folder_of(key_of(first))
    return {**names, "date": dated.when, "date_of": date_of, "folder": folder}


def page_document(
    library: Library, which: Filter, start: int, k: int, after: str | None = None
) -> dict[str, Any]:
    """Some pictures of a filter, newest first, from a place on: behind the `next` of a page."""
    timeline = library.timeline()
    found = timeline.among(which)
    start += _behind(found, after) if after else 0
    page = found[start : start + k]
    is_last = start + k >= len(found)
    results = [
        {
            "image": dated.digest.hex(),
            "caption": content.caption[0] if content.caption else None,
            **shown_document(timeline, dated.digest, places, which),
        }
        for dated, content, places in _known(library, page)
    ]
    following = None if is_last else f"{page[-1].when},{page[-1].digest.hex()}"
    return {"pictures": len(found), "next": following, "results": results}


def _behind(found: Sequence[Dated], last: str) -> int:
    """The place behind a picture, whatever came before it meanwhile.

    Where it is gone, that of the first one as old: some of its second may come twice, none is lost.
    """
    when, _, identity = last.rpartition(",")
    digest = bytes.fromhex(identity)
    older = len(found)
    for i, picture in enumerate(found):
        if picture.digest == digest:
            return i + 1
        if picture.when <= when:
            older = min(older, i)
    return older


def contents_document(library: Library) -> dict[str, Any]:
    """What there is to filter by."""
    timeline = library.timeline()
    return {
        "pictures": len(timeline.among(EVERY)),
        "dated": timeline.is_dated,
        "months": [{"month": m, "pictures": n} for m, n in timeline.months.items()],
        "folders": [{"folder": f, "pictures": n} for f, n in timeline.folders.items()],
    }


def chosen(library: Library, digests: Sequence[bytes] | None, which: Filter) -> list[Dated]:
    """The pictures of a filter; of these digests, in their order, where some are given."""
    meant = {dated.digest: dated for dated in library.timeline().among(which)}
    if digests is None:
        return list(meant.values())
    return [meant[digest] for digest in dict.fromkeys(digests) if digest in meant]


def export(
    library: Library, pictures: Sequence[Dated], which: Filter, form: Format
) -> Iterator[bytes]:
    """Captions, piece by piece: a table, or a zip of XMP sidecars, one for each file."""
    make = _table if form == "csv" else _sidecars
    yield from make(_known(library, pictures), library.timeline(), which)


def _known(library: Library, pictures: Sequence[Dated]) -> Iterator[Known]:
    """What the catalogue knows of pictures, in their order, but for those that went meanwhile."""
    for start in range(0, len(pictures), _AT_ONCE):
        part = pictures[start : start + _AT_ONCE]
        known = library.catalogue.pictures([dated.row for dated in part])
        for dated in part:
            content, places = known.get(dated.row, (None, []))
            if content is not None and content.digest == dated.digest:  # else it was rebuilt
                yield dated, content, places


def _table(known: Iterable[Known], timeline: Timeline, which: Filter) -> Iterator[bytes]:
    """A row a picture, in UTF-8 with the mark by which spreadsheets know it."""
    text = io.StringIO(newline="")
    text.write("\ufeff")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for dated, content, places in known:
        told = shown_document(timeline, dated.digest, places, which)
        caption = content.caption[0] if content.caption else ""
        _, *copies = (_place(timeline, place) for place in timeline.places(places, which))
        paths = [_inert(path or "", "./") for path in (told["name"], told["folder"])]
        row = [*paths, told["date"], told["date_of"], _inert(caption, "'")]
        rows.writerow([*row, _inert("; ".join(copies), "./")])
        if text.tell() >= _PIECE:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _inert(cell: str, mark: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"{mark}{cell}" if cell.startswith(_FORMULA) else cell


def _place(timeline: Timeline, picture: Picture) -> str:
    return "/".join(filter(None, (timeline.folder_of(key_of(picture)), file_name(picture))))


def _sidecars(known: Iterable[Known], timeline: Timeline, which: Filter) -> Iterator[bytes]:
    """`photo.jpg.xmp` in the folders of the photos: unpacked there, they lie beside them.

    Where that is not so, a text in the zip says it.
    """
    names: set[str] = set()
    told: list[str] = []
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_DEFLATED) as archive:
        for _, content, places in known:
            for picture in places:
                place = _place(timeline, picture)
                if place in names or not timeline.is_in(picture, which):
                    continue
                names.add(place)
                document = _document(content, picture)
                if isinstance(document, str):
                    told.append(f"{place}: left out, {document}")
                    continue
                archive.writestr(f"{place}.xmp", document)
                if not key_of(picture).endswith(os.fsencode(f"/{place}")):
                    told.append(f"{place}.xmp: to be moved, the photo's folder has another name")
            if len(sink.written) >= _PIECE:
                yield sink.taken()
        if told:
            archive.writestr(ABOUT, "".join(f"{line}\n" for line in told))
    yield sink.taken()


def _document(content: Content, picture: Picture) -> bytes | str:
    """The sidecar of a file, or why there can be none."""
    if content.caption is None:
        return "it has no caption (mrnn index without --no-captions writes one)"
    if isinstance(picture, Member):
        return "it lies in a tar file, where nothing can lie beside it"
    if not picture.name.isprintable():
        return "its name cannot be written into a zip as it is"
    try:
        return with_description(None, content.caption[0], file_name(picture))
    except ImageError:
        return "XML cannot hold its caption (the table has it)"


class _Sink:
    """A file that is only written, and read by taking what was written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, content: bytes) -> int:
        """Add bytes."""
        self.written += content
        return len(content)

    def flush(self) -> None:
        """There is nothing to wait for."""

    def taken(self) -> bytes:
        """What was written since."""
        content, self.written = bytes(self.written), bytearray()
        return content
