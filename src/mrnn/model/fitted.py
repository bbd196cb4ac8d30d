"""What was fitted to the pictures of a split, read from a bundle's config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)

LARGEST = 1e6  # of a figure


def read_fitted(
    kind: type[T], section: str, found: Mapping[str, Any], least: Mapping[str, float]
) -> T:
    """From an object with exactly the keys of a dataclass, and values that can be.

    `least` tells what the figures are, and from where on they can be. Of the others `split` is a
    text, `galleries` are counts, and so is every other. Raises ValueError, which names the key in
    its section of config.json.
    """
    names = [field.name for field in fields(kind)]
    for name in sorted(found.keys() - set(names)):
        raise ValueError(f"unknown key {f'{section}.{name}'!r}")
    for name in names:
        if name not in found:
            raise ValueError(f"missing key {f'{section}.{name}'!r}")
        if not _is_possible(name, found[name], least.get(name)):
            raise ValueError(f"{f'{section}.{name}'!r} is {found[name]!r}, which cannot be")
    return kind(
        **{name: tuple(value) if name == "galleries" else value for name, value in found.items()}
    )


def _is_possible(name: str, value: Any, least: float | None) -> bool:
    if least is not None:
        return type(value) in (int, float) and least <= value <= LARGEST
    if name == "split":
        return type(value) is str
    if name == "galleries":
        return type(value) in (list, tuple) and len(value) > 0 and all(map(_is_count, value))
    return _is_count(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**63
