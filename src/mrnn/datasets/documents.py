"""JSON documents of captions: faults with their place, and no more kept than is needed."""

from __future__ import annotations

import json
import mmap
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..images.finding import printable

_BEGINNING = 1 << 20  # bytes of a file that tell what it is
_REMEDY = "get a fresh copy"
_FIRST_KEYS = 100  # of an object
_SPACE = re.compile(r"[ \t\n\r]*")


def parse(path: Path, keep: Callable[[dict[str, Any]], Any], with_repeated: bool = False) -> Any:
    """Read a JSON file, with `keep(object)` in the place of every object.

    Of keys that stand twice in an object the last counts, or `with_repeated` a list of all values.
    Raises DataError when the file cannot be read or is no JSON, naming line, column and byte.
    """
    name = printable(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if with_repeated:
            return json.loads(text, object_pairs_hook=lambda pairs: keep(_united(pairs)))
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
        is_lines = error.msg == "Extra data" and error.colno == 1
        remedy = "if it has an object a line, rename it to .jsonl" if is_lines else _REMEDY
        raise DataError(
            f"{name}:{error.lineno}: not JSON ({error.msg}, column {error.colno}, byte {byte:,}); "
            + remedy
        ) from None
    except RecursionError:
        raise DataError(f"{name}: not a caption file (nested too deeply)") from None
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{name}: not a caption file ({error})") from None


def _united(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        found |= {key: [] for key, count in counts.items() if count > 1}
        for key, value in pairs:
            if counts[key] > 1:
                found[key].append(value)
    return found


def glimpse(path: Path, keep: Callable[[dict[str, Any]], Any]) -> Any:
    """What `parse` would give of the beginning: an array or object with fewer items, or None.

    Of an array that does not end there, the first item is taken.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_BEGINNING).decode("utf-8-sig", "replace")
        return _begun(text, 0, json.JSONDecoder(object_hook=keep))
    except (OSError, ValueError, RecursionError):
        return None


def _begun(text: str, start: int, decoder: json.JSONDecoder) -> Any:
    start = _after_space(text, start)
    if text[start : start + 1] == "[":
        first, _ = decoder.raw_decode(text, _after_space(text, start + 1))
        return [first]
    found: dict[str, Any] = {}
    while len(found) < _FIRST_KEYS and text[start : start + 1] in ("{", ","):
        try:
            key, end = decoder.raw_decode(text, _after_space(text, start + 1))
            value = _after_space(text, _after_space(text, end) + 1)  # after the colon
        except ValueError:
            break
        try:
            found[key], end = decoder.raw_decode(text, value)
        except ValueError:  # it does not end here
            if text[value : value + 1] == "[":
                found[key] = _begun(text, value, decoder)
            break
        start = _after_space(text, end)
    return found


def _after_space(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


def mentions(path: Path, *words: str) -> bool:
    """Whether all words stand in a file in quotes: a quick look before it is parsed."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return all(text.find(f'"{word}"'.encode()) >= 0 for word in words)
    except (OSError, ValueError):  # ValueError: the file is empty
        return False
