"""The epochs of a training run as plain data, and as lines of its metrics.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..images.finding import printable

_HIGHEST = 1e300  # so that sums are finite
# Sentences alone, then with pictures, then the encoder with them, then with stand-ins for pictures.
PHASES = ("text", "captions", "encoder", "words")


@dataclass(frozen=True)
class Sample:
    """What the model says of a dev picture after an epoch."""

    image: str  # printable(example.image), the same in every epoch
    caption: str
    perplexity: float


@dataclass(frozen=True)
class EpochRecord:
    """Where training stands after an epoch: a line of metrics.jsonl.

    A perplexity that is not finite, of training that diverges, is infinite.
    """

    phase: str  # one of PHASES
    epoch: int  # from 1, within the phase
    update: int  # since the beginning of the phase
    updates: int  # planned in the phase
    words: int  # trained on in this epoch
    seconds: float  # spent on them
    train_perplexity: float  # with dropout
    dev_perplexity: float
    temperature: float  # divisor of the logits that gives it
    is_best: bool
    samples: tuple[Sample, ...] = ()


def record_line(record: EpochRecord) -> str:
    """The record as one line of JSON, without its line feed; what is not finite becomes null."""
    return json.dumps(_without_infinity(asdict(record)), allow_nan=False)


def read_records(path: Path) -> list[EpochRecord]:
    """The records of a metrics.jsonl in its order.

    A last line that breaks off, left by a process that was killed, is ignored. Raises DataError
    when the file cannot be read, and for every other line that is not a record.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    if _breaks_off(lines[-1]):
        lines.pop()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(_read(EpochRecord, _parsed(line), _RECORD))
        except ValueError as error:
            raise DataError(
                f"{printable(path)}:{number}: not an epoch of mrnn train ({error}); "
                "take the line out, or move the file away"
            ) from None
    return records


def latest(records: Iterable[EpochRecord]) -> list[EpochRecord]:
    """The records that count: an epoch trained again revokes itself and all that came after."""
    kept: list[EpochRecord] = []
    for record in records:
        while kept and _place(kept[-1]) >= _place(record):
            kept.pop()
        kept.append(record)
    return kept


def _place(record: EpochRecord) -> tuple[int, int]:
    return PHASES.index(record.phase), record.epoch


def _without_infinity(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {name: _without_infinity(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_without_infinity(inner) for inner in value]
    return value


def _breaks_off(line: bytes) -> bool:
    try:
        _parsed(line)
    except ValueError:
        return True
    return False


def _parsed(line: bytes) -> Any:
    """The JSON value of a line; raises ValueError with the reason."""
    try:
        return json.loads(line.decode(), parse_constant=_refuse)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value < 2**63:
            raise ValueError(f"expected a whole number from {least}")
        return value

    return read


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < _HIGHEST:
        raise ValueError("expected a number from 0")
    return float(value)


def _perplexity(value: Any) -> float:
    if value == 0:  # it has no logarithm
        raise ValueError("expected a number above 0, or null")
    return math.inf if value is None else _number(value)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("expected text")
    return value


def _phase(value: Any) -> str:
    if value not in PHASES:
        raise ValueError(f"expected one of {', '.join(PHASES)}")
    return str(value)


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("expected true or false")
    return value


def _samples(value: Any) -> tuple[Sample, ...]:
    if type(value) is not list:
        raise ValueError("expected a list")
    return tuple(_read(Sample, sample, _SAMPLE) for sample in value)


_SAMPLE = {"image": _text, "caption": _text, "perplexity": _perplexity}
_RECORD = {
    "phase": _phase,
    "epoch": _whole(1),
    "update": _whole(1),
    "updates": _whole(1),
    "words": _whole(0),
    "seconds": _number,
    "train_perplexity": _perplexity,
    "dev_perplexity": _perplexity,
    "temperature": _number,
    "is_best": _truth,
    "samples": _samples,
}


def _read(kind: Any, values: Any, readers: Mapping[str, Callable[[Any], Any]]) -> Any:
    """A dataclass from a JSON object with exactly its fields."""
    names = [field.name for field in fields(kind)]
    if type(values) is not dict or set(values) != set(names):
        raise ValueError(f"expected an object with {', '.join(names)}")
    read = {}
    for name in names:
        try:
            read[name] = readers[name](values[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return kind(**read)
