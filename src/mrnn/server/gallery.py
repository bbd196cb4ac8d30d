"""A library as people look at it: pages of pictures by date, what to filter by, and exports."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import IO, Any, Literal, cast

from ..errors import ImageError
from ..images.finding import Picture, printable
from ..images.xmp import with_description
from ..library.contents import Content, key_of
from ..library.library import Library
from ..library.timeline import EVERY, Dated, Filter

Format = Literal["csv", "xmp"]
COLUMNS = ("image", "folder", "date", "date_of", "caption")
_AT_ONCE = 500  # pictures
_PIECE = 1 << 18  # bytes of an export that are sent together
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # begin what a spreadsheet would compute


def file_name(picture: Picture) -> str:
    """The last part of where a picture lies: the folders above it are nobody's business."""
    return printable(PurePath(picture.name).name)


def dated_document(dated: Dated | None) -> dict[str, Any]:
    """When and where a picture was, as all answers tell it."""
    if dated is None:  # it came just now
        return {"date": None, "date_of": None, "folder": None}
    date_of = "exif" if dated.is_taken else "file"
    return {"date": dated.when, "date_of": date_of, "folder": dated.folders[0]}


def page_document(library: Library, which: Filter, start: int, k: int) -> dict[str, Any]:
    """Some pictures of a filter, newest first, from a place on."""
    found = library.timeline().among(which)
    results = [
        {
            "image": dated.digest.hex(),
            "name": file_name(places[0]),
            "copies": [file_name(copy) for copy in places[1:]],
            "caption": content.caption[0] if content.caption else None,
            **dated_document(dated),
        }
        for dated, content, places in _known(library, found[start : start + k])
    ]
    return {"pictures": len(found), "results": results}


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
    """The pictures of these digests that there are, or else those of a filter."""
    timeline = library.timeline()
    if digests is None:
        return list(timeline.among(which))
    found = map(timeline.of, dict.fromkeys(digests))
    return [dated for dated in found if dated is not None]


def export(library: Library, pictures: Sequence[Dated], form: Format) -> Iterator[bytes]:
    """Captions, piece by piece: a table, or a zip of XMP sidecars, one for each file."""
    known = _known(library, pictures)
    if form == "csv":
        yield from _table(known)
    else:
        yield from _sidecars(known, library.timeline().folder_of)


def _known(
    library: Library, pictures: Sequence[Dated]
) -> Iterator[tuple[Dated, Content, list[Picture]]]:
    """What the catalogue knows of pictures, in their order, but for those that went meanwhile."""
    for start in range(0, len(pictures), _AT_ONCE):
        part = pictures[start : start + _AT_ONCE]
        known = library.catalogue.pictures([dated.row for dated in part])
        for dated in part:
            content, places = known.get(dated.row, (None, []))
            if content is not None and content.digest == dated.digest:  # else it was rebuilt
                yield dated, content, places


def _table(known: Iterable[tuple[Dated, Content, list[Picture]]]) -> Iterator[bytes]:
    """A row a picture, in UTF-8 with the mark by which spreadsheets know it."""
    text = io.StringIO(newline="")
    text.write("\ufeff")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for dated, content, places in known:
        told = dated_document(dated)
        caption = content.caption[0] if content.caption else ""
        paths = [_inert(path, "./") for path in (file_name(places[0]), told["folder"])]
        rows.writerow([*paths, told["date"], told["date_of"], _inert(caption, "'")])
        if text.tell() >= _PIECE:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _inert(cell: str, mark: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"{mark}{cell}" if cell.startswith(_FORMULA) else cell


def _sidecars(
    known: Iterable[tuple[Dated, Content, list[Picture]]], folder_of: Callable[[bytes], str]
) -> Iterator[bytes]:
    """`photo.jpg.xmp` in the folders of the photos: unpacked there, they lie beside them."""
    names: set[str] = set()
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_DEFLATED) as archive:
        for _, content, places in known:
            if content.caption is None:
                continue
            try:
                document = with_description(None, content.caption[0], file_name(places[0]))
            except ImageError:  # XML cannot hold it; the table has it
                continue
            for picture in places:
                name = f"{file_name(picture)}.xmp"
                place = "/".join(filter(None, (folder_of(key_of(picture)), name)))
                if place not in names:
                    names.add(place)
                    archive.writestr(place, document)
            if len(sink.written) >= _PIECE:
                yield sink.taken()
    yield sink.taken()


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
