"""The settings of a training run, each with its origin: default < data's size < TOML < flag."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from ..config import DropoutShares, ModelConfig, TrainConfig
from ..errors import UsageError
from ..images.finding import printable

_FILLED_IN = ("vocabulary", "feature", "feature_norm")  # by training; no setting


@dataclass(frozen=True)
class Setting:
    """A value and where it comes from."""

    value: Any
    origin: str  # "default", "suits N sentences", the name of a file, or "flag"


@dataclass(frozen=True)
class Settings:
    """All settings of a run by name; the names are those of the flags without dashes before."""

    by_name: Mapping[str, Setting]

    def train_config(self) -> TrainConfig:
        """How to train."""
        shares = {f.name: self._value(f"dropout-{f.name}") for f in fields(DropoutShares)}
        values = {f.name: self._value(f.name) for f in fields(TrainConfig) if f.name != "dropout"}
        return TrainConfig(dropout=DropoutShares(**shares), **values)

    def model_config(self) -> ModelConfig:
        """The sizes of the network, but for those that training fills in."""
        names = [f.name for f in fields(ModelConfig) if f.name not in _FILLED_IN]
        return ModelConfig(**{name: self._value(name) for name in names})

    def _value(self, name: str) -> Any:
        return self.by_name[name.replace("_", "-")].value

    def with_values(self, values: Mapping[str, Any], origin: str) -> Settings:
        """The settings with some that are given by something else; equal ones stay as they are."""
        changed = {
            name: Setting(value, origin)
            for name, value in values.items()
            if self.by_name[name].value != value
        }
        return Settings({**self.by_name, **changed})

    def lines(self) -> list[str]:
        """A line an origin, for people."""
        groups: dict[str, list[str]] = {}
        for name, setting in self.by_name.items():
            groups.setdefault(setting.origin, []).append(f"{name} {_toml(setting.value)}")
        return [f"{origin}: {', '.join(parts)}" for origin, parts in groups.items()]

    def facts(self) -> list[tuple[str, str]]:
        """Each setting with its value and origin, as texts."""
        return [(k, f"{_toml(s.value)} ({s.origin})") for k, s in self.by_name.items()]

    def toml(self) -> str:
        """A file that gives the same settings again, with the origins as remarks."""
        lines = [f"{k} = {_toml(s.value)}  # {s.origin}" for k, s in self.by_name.items()]
        return "\n".join(lines) + "\n"


def defaults() -> dict[str, Any]:
    """Every setting by name, with its default."""
    train, shares, model = TrainConfig(), DropoutShares(), ModelConfig()
    values = {f.name: getattr(train, f.name) for f in fields(train) if f.name != "dropout"}
    values |= {f"dropout_{f.name}": getattr(shares, f.name) for f in fields(shares)}
    values |= {f.name: getattr(model, f.name) for f in fields(model) if f.name not in _FILLED_IN}
    return {name.replace("_", "-"): value for name, value in values.items()}


def suited(sentences: int) -> dict[str, Any]:
    """Settings that suit so many training sentences, as docs/experiments.md found them."""
    return next(values for least, values in _BY_SIZE if sentences >= least)


_BY_SIZE: tuple[tuple[int, dict[str, Any]], ...] = (  # from so many sentences
    (200_000, {"epochs": 6, "batch": 256, "minimum-count": 5}),
    (15_000, {"epochs": 9, "batch": 128, "minimum-count": 5}),
    (4_000, {"epochs": 12, "batch": 64, "minimum-count": 3}),
    (1_000, {"epochs": 15, "batch": 32, "minimum-count": 2}),
    (0, {"epochs": 15, "batch": 16, "minimum-count": 2}),
)


_GOING_ON = {"learning-rate": 5e-4}  # a trained model soon forgets what it knows


def settle(
    flags: Mapping[str, Any],
    file: Path | None = None,
    sentences: int | None = None,
    goes_on: bool = False,
) -> Settings:
    """Settle every setting: a flag that is not None wins, then the TOML file, then the defaults.

    `sentences` is the size of the training split; `goes_on`, that a trained model is gone on from.

    Raises UsageError naming the file and key of a value that cannot be used.
    """
    settings = {name: Setting(value, "default") for name, value in defaults().items()}
    for name, value in suited(sentences).items() if sentences is not None else ():
        settings[name] = Setting(value, f"suits {sentences:,} sentences")
    for name, value in _GOING_ON.items() if goes_on else ():
        settings[name] = Setting(value, "suits a trained model")
    for name, value in (read_toml(file) if file else {}).items():
        settings[name] = Setting(value, printable(file.name if file else ""))
    for name, value in flags.items():
        if value is not None:
            settings[name] = Setting(value, "flag")
    for name, setting in settings.items():
        _require_in_range(name, setting)
    return Settings(settings)


_SEEDS = ("seed", "split-seed")
_SIZES = ("embedding", "recurrent", "multimodal")


def _require_in_range(name: str, setting: Setting) -> None:
    """Raise UsageError for a number that no training could use, naming where it was given."""
    value = setting.value
    low: float
    high: float
    if type(value) is int:
        low, high = (0, 2**63 - 1) if name in _SEEDS else (1, 2**16 if name in _SIZES else 10**9)
    elif name.startswith("dropout-"):
        low, high = 0, 0.98
    elif type(value) in (int, float):
        low, high = (0 if name == "l2" else 1e-12), 1e6
    else:
        return
    if not low <= value <= high:
        place = f"--{name}" if setting.origin == "flag" else f"{setting.origin}: {name}"
        raise UsageError(f"{place} is {value}, not from {low} to {high}")


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file; raises UsageError for an unknown key or a wrong type."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{printable(path)}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError too
        raise UsageError(f"{printable(path)}: not TOML ({error})") from None
    kinds = _kinds()
    for key, value in found.items():
        if key not in kinds:
            raise UsageError(
                f"{printable(path)}: unknown key {key!r}; known: {', '.join(sorted(kinds))}"
            )
        kind = kinds[key]
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise UsageError(f"{printable(path)}: {key} is {value!r}, not of type {kind.__name__}")
    return {key: kinds[key](value) for key, value in found.items()}


def _kinds() -> dict[str, type]:
    """The type of every setting."""
    hints: dict[str, type] = {}
    for kind in (TrainConfig, ModelConfig):
        hints |= get_type_hints(kind)
    hints |= {f"dropout_{name}": float for name in get_type_hints(DropoutShares)}
    return {name: hints[name.replace("-", "_")] for name in defaults()}


def _toml(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode().replace("\x7f", "\\u007f")
