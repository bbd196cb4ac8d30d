"""JSON documents of captions: faults with their place, and no more kept than is needed."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..images.finding import printable


def parse(path: Path, keep: Callable[[dict[str, Any]], Any]) -> Any:
    """Read a JSON file, with `keep(object)` in the place of every object.

    Raises DataError when the file cannot be read or is no JSON, naming line, column and byte.
    """
    name = printable(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return json.loads(text, object_hook=keep)
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: not UTF-8 (byte {error.start:,} is 0x{error.object[error.start]:02x}); "
            "save it as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        byte = len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))
        raise DataError(
            f"{name}:{error.lineno}: not JSON ({error.msg}, column {error.colno}, byte {byte:,}); "
            "get a fresh copy"
        ) from None
    except RecursionError:
        raise DataError(f"{name}: not a caption file (nested too deeply)") from None
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{name}: not a caption file ({error})") from None


def mentions(path: Path, *words: str) -> bool:
    """Whether all words stand in a file in quotes: a quick look before it is parsed."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return all(text.find(f'"{word}"'.encode()) >= 0 for word in words)
    except (OSError, ValueError):  # ValueError: the file is empty
        return False
