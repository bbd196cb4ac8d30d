"""Parquet files and Arrow streams as tools lay them out.

Hugging Face's hub has `data/train-00000-of-00002.parquet`, img2dataset `00000.parquet`, both with
the pictures in it; `save_to_disk` writes `data-00000-of-00001.arrow`, in a folder a split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ..errors import UsageError
from .entries import Entry, Format, Found, Listing, known_split, one_a_split, picture_folders
from .tables import METADATA, has_columns, table_entries

_DATA = "data"  # the folder on the hub


def _find(suffix: str, listing: Listing, by_content: bool) -> list[Path]:
    """Files with the columns, here or in folders named after splits."""
    hub = [Listing.of(listing.folder / name) for name in listing.folders if name == _DATA]
    places = (listing, *hub, *listing.of_splits())
    found = [path for place in places for path in place.ending(suffix)]
    found = [path for path in found if path.name not in METADATA]
    if not by_content:
        return found
    # Without pyarrow nobody can tell, and the name must do.
    return [path for path in found if find_spec("pyarrow") is not None and has_columns(path)]


def _read(files: Sequence[Path], images: Path | None) -> Iterator[Found]:
    """Files of a folder named after a split are of that split."""
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        by_folder.setdefault(path.parent, []).append(path)
    for folder, inside in by_folder.items():
        of_folder = known_split(folder.name)
        home = folder.parent if folder.name == _DATA else folder
        for path, of_file in one_a_split(inside):
            split = of_folder or of_file
            folders = picture_folders(home, images)
            for found in table_entries(path, split, folders):
                if images is not None and isinstance(found, Entry) and found.span is not None:
                    raise UsageError(f"--images does not go with {path.name}, which has pictures")
                yield found


PARQUET = Format(
    "Parquet", "such a .parquet file, with pictures in it or not", partial(_find, ".parquet"), _read
)
ARROW = Format("Arrow", "an .arrow file of save_to_disk", partial(_find, ".arrow"), _read)
