"""Read captioned pictures into examples; a data set is read, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from ..errors import DataError
from ..images.finding import printable
from .assembly import assemble
from .coco import COCO
from .entries import Format, Listing
from .examples import SPLITS, DataSet, Example, Examples, Problem, split_name
from .flickr import FLICKR
from .folder import FOLDER
from .iapr import IAPR
from .karpathy import KARPATHY
from .lines import read_lines, read_sentences
from .pairs import PAIRS
from .parquet import ARROW, PARQUET
from .records import RECORDS
from .shards import SHARDS
from .tables import CSV, IMAGEFOLDER, JSON_LINES, TSV
from .unused import unused

__all__ = [
    "SPLITS",
    "DataSet",
    "Example",
    "Examples",
    "Problem",
    "read_dataset",
    "read_lines",
    "read_sentences",
    "split_name",
]

_FORMATS = (
    *(FLICKR, KARPATHY, COCO, RECORDS, IAPR),
    *(PAIRS, CSV, TSV, JSON_LINES, PARQUET, ARROW, IMAGEFOLDER, FOLDER, SHARDS),
)

# Files that hold captions often, with what to do about them.
_UNREAD = {
    **dict.fromkeys((".mat", ".xlsx", ".xls", ".ods", ".h5", ".hdf5"), "save it as a CSV file"),
    **dict.fromkeys((".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst"), "unpack it"),
    **dict.fromkeys((".pkl", ".pickle", ".npy", ".pt"), "it could run any code; save a CSV file"),
    ".tfrecord": "write a WebDataset shard or a CSV file of it",
}
_SHOWN = 3  # such files in a message

_Choice = tuple[Format, Sequence[Path]]


def read_dataset(data: Path, images: Path | None = None, split_seed: int = 1) -> DataSet:
    """Read a data set of any known format from its folder, or from its caption file.

    Pictures lie where the file that names them says, seen from its folder or from a usual one in
    it (`images/`), or under `images` alone. Splits that the data does not give are chosen by
    `split_seed`. A line or picture that cannot be used becomes a Problem; raises DataError when
    nothing can be used, or when it is not clear what the captions are.
    """
    listing = Listing.of(data)
    kind, files = _recognised(data, listing)
    found = kind.read(files, images)
    if data.is_dir():
        found = chain(found, unused(listing, kind, files))
    return assemble(found, _name(data), kind.name, split_seed)


def _recognised(data: Path, listing: Listing) -> _Choice:
    """The only format that fits the content, or that alone fits the names."""
    for by_content in (True, False):
        fitting = [(kind, files) for kind in _FORMATS if (files := kind.find(listing, by_content))]
        if len(fitting) == 1:
            return fitting[0]
        if fitting and by_content:
            raise DataError(_ambiguous(data, fitting))
    looked_for = "; ".join(kind.signs for kind in _FORMATS)
    others = [
        f"; {name} is not read: {reason}"
        for name in listing.files
        if (reason := _UNREAD.get(Path(name).suffix.lower()))
    ]
    unread = printable("".join(others[:_SHOWN]))
    raise DataError(f"{printable(data)}: no captions found; looked for: {looked_for}{unread}")


def _ambiguous(data: Path, fitting: Sequence[_Choice]) -> str:
    shown = ", ".join(f"{kind.name} ({printable(files[0].name)})" for kind, files in fitting)
    first = next((files[0] for _, files in fitting if files[0].is_file()), data)
    return (
        f"{printable(data)}: several kinds of captions: {shown}; name the file to be read, for "
        f"example {printable(first)}, or move the others"
    )


def _name(data: Path) -> str:
    whole = data.resolve()
    return printable(f"{whole.parent.name}/{whole.name}" if whole.is_file() else whole.name)
