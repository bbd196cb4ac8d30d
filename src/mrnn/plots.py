"""Plots as inline SVG: no scripts, no dependency, the colours of `pages` by light and by dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from .pages import escape

_WIDTH, _HEIGHT = 410, 260  # of the whole drawing, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 386, 30, 216  # edges of the field inside the axes
_TICKS = 5  # about as many on an axis
_LETTER = 6.2  # width of a letter of the legend, roughly

Scale = Callable[[float], float]
Curve = tuple[Sequence[float], Sequence[float]]  # x and y of its points


def line_plot(
    title: str, x_label: str, y_label: str, curves: Mapping[str, Curve], log_x: bool = False
) -> str:
    """Named curves over common axes, told apart by colour and dashes; y starts at 0.

    With `log_x` every x must be positive. Raises ValueError when there is no point to draw, or
    one that is not finite.
    """
    xs = [float(x) for curve in curves.values() for x in curve[0]]
    ys = [float(y) for curve in curves.values() for y in curve[1]]
    if not xs or not all(map(math.isfinite, xs + ys)):
        raise ValueError(f"{title}: points to draw must be finite, and at least one")
    x_ticks = log_ticks(min(xs), max(xs)) if log_x else round_ticks(min(xs), max(xs))
    y_ticks = round_ticks(0, max(ys))
    across = _scale(x_ticks, _LEFT, _RIGHT, log_x)
    up = _scale(y_ticks, _BOTTOM, _TOP)
    lines = [
        f'<polyline class="curve c{number}" points="{_points(curve, across, up)}"/>'
        for number, curve in enumerate(curves.values(), start=1)
    ]
    x_marks = [(across(tick), f"{tick:,g}") for tick in x_ticks]
    drawing = [_axes(x_label, y_label, x_marks, y_ticks, up), *lines, _legend(list(curves))]
    return _figure(title, drawing)


def bar_plot(
    title: str, x_label: str, y_label: str, bars: Sequence[tuple[str, float]], unit: str = ""
) -> str:
    """Labelled bars from 0, each with its value to hover over; raises ValueError without bars."""
    if not bars or not all(math.isfinite(value) for _, value in bars):
        raise ValueError(f"{title}: bars to draw must be finite, and at least one")
    y_ticks = round_ticks(0, max(value for _, value in bars))
    up = _scale(y_ticks, _BOTTOM, _TOP)
    pitch = (_RIGHT - _LEFT) / len(bars)
    drawing = []
    marks = []
    for number, (label, value) in enumerate(bars):
        x = _LEFT + pitch * number
        marks.append((x + pitch / 2, label))
        drawing.append(
            f'<rect class="bar" x="{x + pitch * 0.1:.1f}" y="{up(value):.1f}" '
            f'width="{pitch * 0.8:.1f}" height="{_BOTTOM - up(value):.1f}">'
            f"<title>{escape(label)}: {value:.1f}{escape(unit)}</title></rect>"
        )
    return _figure(title, [_axes(x_label, y_label, marks, y_ticks, up), *drawing])


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers at equal steps of 1, 2 or 5 times a power of ten; they enclose the range."""
    if high <= low:
        high = low + 1
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that enclose the range; the outer ones are drawn in to 2 or 5 times one."""
    if low <= 0:
        raise ValueError(f"{low} has no place on a logarithmic axis")
    if high < low * 1.001:  # a single point needs an axis too
        high = low * 2
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [10.0**power for power in range(first, last + 1)]
    lowest = max(powers[0] * f for f in (1, 2, 5) if powers[0] * f <= low * (1 + 1e-9))
    highest = min(powers[-1] / f for f in (1, 2, 5) if powers[-1] / f >= high * (1 - 1e-9))
    return [lowest, *(p for p in powers if lowest < p < highest), highest]


def _scale(ticks: Sequence[float], start: float, end: float, log: bool = False) -> Scale:
    """From values to the drawing: the first tick lies at `start`, the last at `end`."""
    along: Scale = math.log if log else float
    low, high = along(ticks[0]), along(ticks[-1])
    return lambda value: start + (end - start) * (along(value) - low) / (high - low)


def _points(curve: Curve, across: Scale, up: Scale) -> str:
    """The points to half a unit, without those that fall on the one before."""
    halves = [(round(2 * across(x)) / 2, round(2 * up(y)) / 2) for x, y in zip(*curve, strict=True)]
    return " ".join(f"{x:g},{y:g}" for (x, y), _ in groupby(halves))


def _axes(
    x_label: str,
    y_label: str,
    x_marks: Sequence[tuple[float, str]],
    y_ticks: Sequence[float],
    up: Scale,
) -> str:
    """Grid lines at the y ticks, labels at both axes' ticks, and what the axes show."""
    parts = []
    for tick in y_ticks:
        y = up(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{tick:,g}</text>')
    for x, text in x_marks:
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 16}">{escape(text)}</text>')
    middle = (_LEFT + _RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{_HEIGHT - 8}">{escape(x_label)}</text>')
    height = (_TOP + _BOTTOM) / 2
    turn = f'transform="rotate(-90 11 {height})"'
    parts.append(f'<text class="name" x="11" y="{height}" {turn}>{escape(y_label)}</text>')
    return "".join(parts)


def _legend(names: Sequence[str]) -> str:
    """A row above the field, a dash and a name a curve."""
    parts = []
    x = float(_LEFT)
    for number, name in enumerate(names, start=1):
        line = f'<line class="curve c{number}" x1="{x:.0f}" x2="{x + 18:.0f}" y1="12" y2="12"/>'
        parts.append(f'{line}<text class="start" x="{x + 23:.0f}" y="16">{escape(name)}</text>')
        x += 23 + _LETTER * len(name) + 14
    return "".join(parts)


def _figure(title: str, drawing: Sequence[str]) -> str:
    return (
        f'<figure class="plot"><figcaption>{escape(title)}</figcaption>'
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{escape(title)}</title>'
        f"{''.join(drawing)}</svg></figure>"
    )
