"""A library as people look at it: pages of pictures by date, what to filter by, and exports."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import IO, Any, Literal, cast

from ..errors import ImageError
from ..images.finding import Picture, printable
from ..images.xmp import with_description
from ..library.away import is_there
from ..library.contents import Content, key_of
from ..library.library import Library
from ..library.timeline import EVERY, Dated, Filter
from .problems import Problem

Format = Literal["csv", "xmp"]
Known = tuple[Dated, Content, list[Picture]]  # and where it lies
FolderOf = Callable[[bytes], str]  # of a file, by its key
COLUMNS = ("image", "folder", "date", "date_of", "caption")
LEFT_OUT = "left-out.txt"  # of a zip, where photos have no sidecar in it
_AT_ONCE = 500  # pictures
_PIECE = 1 << 18  # bytes of an export that are sent together
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # begin what a spreadsheet would compute


def file_name(picture: Picture) -> str:
    """The last part of where a picture lies: the folders above it are nobody's business."""
    return printable(PurePath(picture.name).name)


def dated_document(dated: Dated | None, folder: str) -> dict[str, Any]:
    """When a picture was, and where its file is, as all answers tell it."""
    if dated is None:  # it came just now
        return {"date": None, "date_of": None, "folder": folder}
    date_of = "exif" if dated.is_taken else "file"
    return {"date": dated.when, "date_of": date_of, "folder": folder}


def page_document(library: Library, which: Filter, start: int, k: int) -> dict[str, Any]:
    """Some pictures of a filter, newest first, from a place on."""
    timeline = library.timeline()
    found = timeline.among(which)
    results = [
        {
            "image": dated.digest.hex(),
            "name": file_name(places[0]),
            "copies": [file_name(copy) for copy in places[1:]],
            "caption": content.caption[0] if content.caption else None,
            **dated_document(dated, timeline.folder_of(key_of(places[0]))),
        }
        for dated, content, places in _known(library, found[start : start + k], which)
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


def export(
    library: Library, pictures: Sequence[Dated], which: Filter, form: Format
) -> Iterator[bytes]:
    """Captions, piece by piece: a table, or a zip of XMP sidecars; of each file of a filter."""
    timeline = library.timeline()
    files = (
        (dated, content, [place for place in places if timeline.is_in(place, which)])
        for dated, content, places in _known(library, pictures, which)
    )
    yield from (_table if form == "csv" else _sidecars)(files, timeline.folder_of)


def require_captions(library: Library, pictures: Sequence[Dated]) -> None:
    """Raise Problem where there is nothing that sidecars could hold."""
    if not any(content.caption for _, content, _ in _known(library, pictures, EVERY)):
        raise Problem(
            "not-found",
            "none of these pictures has a caption; mrnn index without --no-captions writes them",
        )


def _known(library: Library, pictures: Sequence[Dated], which: Filter) -> Iterator[Known]:
    """What the catalogue knows of pictures, in their order, but for those that went meanwhile.

    Of the places of each come first those that the filter means, and of these those that are there.
    """
    timeline = library.timeline()
    for start in range(0, len(pictures), _AT_ONCE):
        part = pictures[start : start + _AT_ONCE]
        known = library.catalogue.pictures([dated.row for dated in part])
        for dated in part:
            content, places = known.get(dated.row, (None, []))
            if content is not None and content.digest == dated.digest:  # else it was rebuilt
                if len(places) > 1:
                    places = [*filter(is_there, places)] or places
                yield dated, content, timeline.places(places, which)


def _table(known: Iterable[Known], folder_of: FolderOf) -> Iterator[bytes]:
    """A row a file, in UTF-8 with the mark by which spreadsheets know it."""
    text = io.StringIO(newline="")
    text.write("\ufeff")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for dated, content, places in known:
        caption = content.caption[0] if content.caption else ""
        for place in places:
            told = dated_document(dated, folder_of(key_of(place)))
            paths = [_inert(path, "./") for path in (file_name(place), told["folder"])]
            rows.writerow([*paths, told["date"], told["date_of"], _inert(caption, "'")])
        if text.tell() >= _PIECE:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _inert(cell: str, mark: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"{mark}{cell}" if cell.startswith(_FORMULA) else cell


def _sidecars(known: Iterable[Known], folder_of: FolderOf) -> Iterator[bytes]:
    """`photo.jpg.xmp` in the folders of the photos: unpacked there, they lie beside them.

    A text tells which photos have none, and why.
    """
    names: set[str] = set()
    left_out: list[str] = []
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_DEFLATED) as archive:
        for _, content, places in known:
            document, why = _sidecar(content)
            for picture in places:
                place = "/".join(filter(None, (folder_of(key_of(picture)), file_name(picture))))
                fault = why or _hindrance(picture, place)
                if fault:
                    left_out.append(f"{place}: {fault}\n")
                elif place not in names:
                    names.add(place)
                    archive.writestr(f"{place}.xmp", document)
            if len(sink.written) >= _PIECE:
                yield sink.taken()
        if left_out:
            archive.writestr(LEFT_OUT, "".join(left_out))
    yield sink.taken()


def _sidecar(content: Content) -> tuple[bytes, str]:
    """The sidecar of a picture, or why there is none."""
    if content.caption is None:
        return b"", "it has no caption; mrnn index without --no-captions writes one"
    try:
        return with_description(None, content.caption[0], ""), ""
    except ImageError:
        return b"", "XML cannot hold its caption; the table of captions has it"


def _hindrance(picture: Picture, place: str) -> str:
    """Why nothing can lie beside a picture, when it is unpacked from a zip at its place."""
    if not isinstance(picture, Path):
        return "it lies in a tar file, beside which no sidecar is read"
    name = "/".join(picture.parts[-place.count("/") - 1 :])
    if printable(name) != name:
        return "a zip cannot have its name as it is; mrnn caption --xmp writes beside it"
    return ""


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
