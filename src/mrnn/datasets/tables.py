"""Tables with an image and a caption column: CSV, TSV, JSON lines, and imagefolder's metadata."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import DataError
from ..images.finding import printable
from .captions import is_absent
from .cells import captions_in
from .columnar import COLUMNAR, Stored, columnar_rows
from .entries import (
    CAPTION_NAMES,
    FOLDER_NAMES,
    IMAGE_NAMES,
    MAYBE_SPLIT_NAMES,
    SPLIT_NAMES,
    Entry,
    Format,
    Found,
    Listing,
    column_kind,
    identity,
    in_folder,
    known_split,
    one_a_split,
    picture_folders,
    plain_name,
    shown,
    split_of_file,
)
from .examples import Problem
from .lines import numbered_lines
from .naming import Names, is_picture

_ID = "image_id"
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")  # of Hugging Face's imagefolder
_DATA = "data"  # the folder that may hold all of it
_SEPARATOR = re.compile(r'"?sep=([,;|\t])"?', re.IGNORECASE)  # Excel's first line

TAB = "\t"
_NAMES = {",": "commas", ";": "semicolons", "|": "bars", TAB: "tabs"}  # of delimiters
_DELIMITERS = {".csv": ",;|\t", ".tsv": TAB, ".txt": ","}

Row = tuple[int, Mapping[str, object]]  # number of its first line, cells by column


@dataclass(frozen=True)
class _Columns:
    image: str
    captions: tuple[str, ...]
    split: str | None
    is_split: bool  # its cells must be words of splits
    spare: tuple[str, ...]  # of other names, where the first row has such a word
    folder: str | None = None  # of the picture, beside its name
    id: str | None = None  # of the picture, beside its name


def _find(suffixes: tuple[str, ...], listing: Listing, by_content: bool) -> list[Path]:
    """Tables of one kind; by content, those with the columns."""
    found = [path for path in listing.ending(*suffixes) if path.name not in METADATA]
    return _with_columns(found) if by_content else found


def _find_csv(listing: Listing, by_content: bool) -> list[Path]:
    """Comma-separated texts too: in a folder `captions.txt`, as Flickr8K is often copied."""
    is_alone = len(listing.files) == 1 and not listing.folders
    return _find((".csv", ".txt" if is_alone else "captions.txt"), listing, by_content)


def _with_columns(found: Sequence[Path]) -> list[Path]:
    """Tables with the columns, and those of other splits that should have them."""
    right = [path for path in found if has_columns(path)]
    if not any(map(split_of_file, right)):
        return right
    return [path for path in found if path in right or split_of_file(path)]


def _find_metadata(listing: Listing, by_content: bool) -> list[Path]:
    """The metadata beside the pictures, or in folders named after splits, perhaps in `data/`."""
    tops = [listing, *(Listing.of(listing.folder / f) for f in listing.folders if f == _DATA)]
    inside = [folder for top in tops for folder in top.of_splits()]
    files = [path for place in (*tops, *inside) for path in place.ending(*METADATA)]
    found = [path for path in files if path.name in METADATA]
    return found if not by_content or any(map(has_columns, found)) else []


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    for path, split in one_a_split(files):
        yield from table_entries(path, split, picture_folders(path.parent, images))


def _read_metadata(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    for path in files:
        folders = picture_folders(path.parent, images)[-1:]  # nowhere but beside it
        yield from table_entries(path, known_split(path.parent.name), folders)


def table_entries(path: Path, split: str | None, folders: tuple[Path, ...]) -> Iterator[Found]:
    """What the rows of a table of any kind say; raises DataError where the columns are missing."""
    columns: _Columns | None = None
    pictures, own = Names(folders), (path,)
    names: set[str] = set()  # the columns as they were chosen from; JSON lines may differ in them
    file = printable(path)
    said: dict[str, set[str | None]] = {}  # splits, in columns that are not read as theirs
    for row in _rows(path):
        if isinstance(row, Problem):
            yield row
            continue
        number, cells = row
        place = f"{file}:{number}"
        if columns is None or cells.keys() != names:
            found = _columns(list(cells), list(cells.values()))
            if isinstance(found, str) and columns is None:
                raise DataError(f"{place}: {found}")
            if isinstance(found, str):
                yield Problem(place, f"{found}; skipped")
                continue
            columns, names = found, set(cells)
        for name in columns.spare:
            said.setdefault(name, set()).add(known_split(cells.get(name)))
        entry = _entry(place, cells, columns, split, pictures)
        if isinstance(entry, Entry) and entry.span is not None:
            entry = entry._replace(folders=own)
        yield entry
    for name, splits in said.items():
        if len(splits) > 1 and None not in splits:
            what = f"the column '{shown(name)}' seems to tell splits, but is not read"
            yield Problem(file, f"{what}; rename it to split", split)


def _entry(
    place: str,
    cells: Mapping[str, object],
    columns: _Columns,
    split: str | None,
    pictures: Names,
) -> Found:
    image = _image(cells.get(columns.image), columns.image)
    if image is None:
        return Problem(place, f"no image in the column '{shown(columns.image)}'; skipped")
    if columns.split is not None:
        named = cells.get(columns.split)
        if named is not None and (word := str(named).strip()) and not is_absent(word):
            told = known_split(word)
            if told is None and columns.is_split:
                return Problem(place, f"unknown split '{shown(str(named))}'; skipped")
            split = told or split
    captions: Sequence[str] = ()
    for column in columns.captions:
        found = captions_in(cells.get(column))
        if isinstance(found, str):
            return Problem(place, f"{found}; skipped", split)
        captions = (*captions, *found) if captions else found
    if isinstance(image, Stored):
        return Entry(place, image.name, (), captions, split, image.span)
    if columns.folder is not None and isinstance(image, str) and image.strip():
        image = in_folder(cells.get(columns.folder), image.strip())
    own = None if columns.id is None else identity(cells.get(columns.id))
    if isinstance(own, str) and (not own.strip() or is_absent(own.strip())):
        own = None
    return pictures.entry(place, (image,), captions, split, own)


def _image(cell: object, column: str) -> Stored | str | int | None:
    """The picture that a cell names or holds; none where it names several."""
    if isinstance(cell, dict):  # as Hugging Face writes it to JSON lines
        cell = cell.get("path")
    elif isinstance(cell, list) and len(cell) == 1:  # as file_names of its imagefolder
        [cell] = cell
    if isinstance(cell, float) or (isinstance(cell, str) and cell.endswith(".0")):
        cell = identity(cell) if plain_name(column) == _ID else cell  # whole, as a float has it
    if isinstance(cell, str):
        return cell if cell.strip() else None
    if isinstance(cell, Stored):
        return cell
    return cell if type(cell) is int and plain_name(column) == _ID else None


def _columns(names: Sequence[str], cells: Sequence[object]) -> _Columns | str:
    """Which column is which; or what is wrong where one is missing or several could be it.

    The column of pictures may have any name, as in Label Studio, if its cell in the first row, and
    no other, is a picture's name; where there is none, ids will do.
    """
    images = [name for name in names if plain_name(name) in IMAGE_NAMES]
    images = images or [name for name, cell in zip(names, cells, strict=False) if is_picture(cell)]
    images = images or [name for name in names if plain_name(name) == _ID]
    captions = [name for name in names if column_kind(name) in CAPTION_NAMES]
    pairs = zip(names, cells, strict=False)
    words = [name for name, cell in pairs if isinstance(cell, str) and known_split(cell)]
    splits = [name for name in names if plain_name(name) in SPLIT_NAMES]
    maybe = [name for name in names if plain_name(name) in MAYBE_SPLIT_NAMES]
    splits = splits or [name for name in maybe if name in words] or maybe[:1]
    for what, found, accepted in (
        ("image", images, IMAGE_NAMES),
        ("caption", captions, CAPTION_NAMES),
    ):
        if not found:
            known = ", ".join(map(shown, names[:20])) or "nothing"
            return f"no {what} column; found {known}; accepted names are {', '.join(accepted)}"
    several = list({column_kind(name): name for name in captions}.values())
    twice = captions if len(set(captions)) < len(captions) else several
    for what, found in (("image", images), ("caption", twice), ("split", splits)):
        if len(found) > 1:
            known = " and ".join(map(shown, found))
            return f"{known} may each be the {what} column; rename all but one"
    split = splits[0] if splits else None
    is_split = split is not None and plain_name(split) in SPLIT_NAMES
    beside = [name for name in names if name != images[0]]
    [folder, *_] = [*(n for w in FOLDER_NAMES for n in beside if plain_name(n) == w), None]
    [own, *_] = [*(name for name in beside if plain_name(name) == _ID), None]
    spare = (
        ()
        if split in words or is_split
        else tuple(n for n in words if n not in (images[0], *captions))
    )
    return _Columns(images[0], tuple(captions), split, is_split, spare, folder, own)


def has_columns(path: Path) -> bool:
    """Whether a table of any kind has an image and a caption column."""
    try:
        first = next((row for row in _rows(path) if not isinstance(row, Problem)), None)
    except DataError:
        return False
    return first is not None and isinstance(
        _columns(list(first[1]), list(first[1].values())), _Columns
    )


def _rows(path: Path) -> Iterator[Row | Problem]:
    if path.suffix.lower() in COLUMNAR:
        return columnar_rows(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_rows(path)
    return _delimited_rows(path)


def _json_rows(path: Path) -> Iterator[Row | Problem]:
    for number, line in numbered_lines(path):
        row, reason = None, ""
        try:
            row = json.loads(line.rstrip())
        except json.JSONDecodeError as error:
            reason = f" ({error.msg}, column {error.colno})"
        except (ValueError, RecursionError):  # thousands of digits or of brackets
            pass
        if isinstance(row, dict):
            yield number, row
        else:
            what = f"not a JSON object{reason}; line skipped"
            yield Problem(f"{printable(path)}:{number}", what)


def _delimited_rows(path: Path) -> Iterator[Row | Problem]:
    """Rows of a CSV or TSV file by the names of its first row."""
    delimiter, first = _delimiter(path)
    header: list[str] | None = None
    for row in _cells(path, delimiter):
        if isinstance(row, Problem):
            yield row
        elif row[0] < first:
            continue
        elif header is None:
            header = [cell.strip() for cell in row[1]]
        elif len(row[1]) == len(header):
            yield row[0], dict(zip(header, row[1], strict=True))
        else:
            what = f"{len(row[1])} cells where the header has {len(header)}; row skipped"
            yield Problem(f"{printable(path)}:{row[0]}", what)


def _delimiter(path: Path) -> tuple[str, int]:
    """What separates the columns, and the line of the header.

    Raises DataError where the header has not the right columns.
    """
    lines = numbered_lines(path)
    number, line = next(lines)
    usual = _DELIMITERS[path.suffix.lower()]
    if told := _SEPARATOR.fullmatch(line.strip("\r\n ")):
        usual = told[1]
        number, line = next(lines, (number, line))
    _, row = next(lines, (0, ""))
    place = f"{printable(path)}:{number}"
    found = {d: _columns(_header(line, d), _header(row, d)) for d in _NAMES}
    right = [d for d in _NAMES if isinstance(found[d], _Columns)]
    if not right:
        raise DataError(f"{place}: {found[max(usual, key=line.count)]}")
    if not set(right) & set(usual):
        raise DataError(
            f"{place}: the columns are separated by {_NAMES[right[0]]}, but {path.suffix} stands "
            f"for {_NAMES[usual[0]]}; rename the file to {'.tsv' if right[0] == TAB else '.csv'}"
        )
    return next(d for d in right if d in usual), number


def _header(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(_reader([line], delimiter))]
    except csv.Error:
        return []


def _reader(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Quotes count, but for those of Flickr30K's `|` file, which are in captions."""
    if delimiter == "|":
        return _unquoted(lines, delimiter)
    is_csv = delimiter in ",;"
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=is_csv, strict=True)


def _unquoted(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)


def _cells(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]] | Problem]:
    """Rows with the number of their first line.

    A row that is not sound is given up as a line, and reading goes on with the line after: a
    quote that is never closed costs one row. In TSV, where some write quotes as they are, such a
    line is read without them, and so is one whose quotes would reach over tabs of other lines.
    """
    lines = _Lines(numbered_lines(path))
    reader = _reader(lines, delimiter)
    while True:
        lines.taken.clear()
        fault: csv.Error | None = None
        row: list[str] = []
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = error
        several = delimiter == TAB and len(lines.taken) > 1
        if delimiter == TAB and (fault or (several and any(TAB in cell for cell in row))):
            taken = lines.take_back()
            fault = None
            try:
                row = next(_unquoted([taken[1]], delimiter))
            except csv.Error as error:
                fault = error
            lines.taken = [taken]
        if fault:
            number, _ = lines.take_back()
            yield Problem(f"{printable(path)}:{number}", f"not a sound row ({fault}); line skipped")
        else:
            yield lines.taken[0][0], row


class _Lines:
    """Lines for csv.reader; all but the first of a row can be read again."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._again: list[tuple[int, str]] = []  # the next one last
        self.taken: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self.taken.append(line)
        return line[1]

    def take_back(self) -> tuple[int, str]:
        """Lay back all lines that were taken but the first."""
        self._again += self.taken[:0:-1]
        return self.taken[0]


CSV = Format("CSV", "a .csv file with an image and a caption column", _find_csv, _read)
TSV = Format("TSV", "such a .tsv file", partial(_find, (".tsv",)), _read)
JSON_LINES = Format(
    "JSON lines", "such a .jsonl file", partial(_find, (".jsonl", ".ndjson")), _read
)
IMAGEFOLDER = Format(
    "Hugging Face imagefolder", "metadata.jsonl beside pictures", _find_metadata, _read_metadata
)
