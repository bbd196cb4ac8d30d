"""Plots as inline SVG: no scripts, no dependency, the colours of `pages` by light and by dark."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from .html import escape

_WIDTH, _HEIGHT = 410, 260  # of the whole drawing, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 386, 30, 216  # edges of the field inside the axes
_TICKS = 5  # about as many on an axis
_LETTER = 6.2  # width of a letter of the legend, roughly
_DOTS = 15  # points up to which a curve shows each of them
_EDGE = 4  # that curves and dots may stand over the field
_FAR = 1e5  # units beyond which browsers need not draw

_STYLE = """
svg { --text: #1c1c1e; --dim: #63636a; --line: #dedbd4; --tint: #266ea8; --warm: #c45816;
  font: 11px system-ui, sans-serif; background: #fff; }
@media (prefers-color-scheme: dark) { svg { --text: #ececee; --dim: #a3a3ab; --line: #3a3a3f;
  --tint: #6eb2e8; --warm: #f09a5e; background: #212124; } }
text { fill: var(--dim); text-anchor: middle; } .end { text-anchor: end; }
.start { text-anchor: start; } .start, .name { fill: var(--text); } .grid { stroke: var(--line); }
.curve { fill: none; stroke: var(--tint); stroke-width: 2; stroke-linejoin: round; }
.c2, .c4 { stroke: var(--warm); } .c3, .c4 { stroke-dasharray: 5 3; }
.dot { fill: var(--tint); } .d2, .d4 { fill: var(--warm); }
"""  # of a drawing alone; colours as in `html`

Scale = Callable[[float], float]
Curve = tuple[Sequence[float], Sequence[float]]  # x and y of its points
Mark = tuple[float, float, str]  # x and y of a point, and what it is
Range = tuple[float, float]


def line_plot(
    title: str,
    x_label: str,
    y_label: str,
    curves: Mapping[str, Curve],
    log_x: bool = False,
    x_range: Range | None = None,
    y_range: Range | None = None,
    mark: Mark | None = None,
) -> str:
    """Named curves over common axes, told apart by colour and dashes.

    The axes enclose `x_range` and `y_range`, else all x, and all y with 0; what lies outside is cut
    off. A curve of few points shows each with its value to hover over. With `log_x` every x must
    be positive. Raises ValueError when there is no point to draw, or one that is not finite.
    """
    xs = [float(x) for curve in curves.values() for x in curve[0]]
    ys = [float(y) for curve in curves.values() for y in curve[1]]
    if not xs or not all(map(math.isfinite, xs + ys)):
        raise ValueError(f"{title}: points to draw must be finite, and at least one")
    x_ticks = (log_ticks if log_x else round_ticks)(*x_range or (min(xs), max(xs)))
    y_ticks = round_ticks(*y_range or (0, max(ys)))
    across = _scale(x_ticks, _LEFT, _RIGHT, log_x)
    up = _scale(y_ticks, _BOTTOM, _TOP)
    lines = [
        f'<polyline class="curve c{number}" points="{_points(curve, across, up)}"/>'
        for number, curve in enumerate(curves.values(), start=1)
    ]
    for number, curve in enumerate(curves.values(), start=1):
        if len(curve[0]) <= _DOTS:
            lines += [_dot(x, y, number, across, up) for x, y in zip(*curve, strict=True)]
    marked = [_marked(mark, across, up)] if mark else []
    x_marks = [(across(x), label) for x, label in zip(x_ticks, _labels(x_ticks), strict=True)]
    axes = _axes(x_label, y_label, x_marks, y_ticks, up)
    return _figure(title, [axes, _inside([*lines, *marked]), _legend(list(curves), mark)])


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


def document(figure: str) -> str:
    """The drawing of a plot as a file of its own; raises ValueError for a figure without one."""
    drawing = re.search("<svg.*</svg>", figure, re.DOTALL)
    if drawing is None:
        raise ValueError("a figure without a drawing")
    head = '<svg xmlns="http://www.w3.org/2000/svg"'
    return drawing[0].replace("<svg", head, 1).replace(">", f"><style>{_STYLE}</style>", 1) + "\n"


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers at equal steps of 1, 2 or 5 times a power of ten; they enclose the range."""
    if high - low <= max(1e-9 * abs(low), 1e-300):
        high = low + max(1, 1e-3 * abs(low))
    rough = (high - low) / _TICKS
    digits = -math.floor(math.log10(rough))  # after the point; may be negative
    power = 10.0**-digits
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, digits) for number in range(first, last + 1)]


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
    halves = [(_half(across(x)), _half(up(y))) for x, y in zip(*curve, strict=True)]
    return " ".join(f"{x:g},{y:g}" for (x, y), _ in groupby(halves))


def _half(position: float) -> float:
    return round(2 * min(max(position, -_FAR), _FAR)) / 2


def _dot(x: float, y: float, number: int, across: Scale, up: Scale) -> str:
    return (
        f'<circle class="dot d{number}" cx="{_half(across(x)):g}" cy="{_half(up(y)):g}" r="3">'
        f"<title>{x:,g}: {y:,.2f}</title></circle>"
    )


def _marked(mark: Mark, across: Scale, up: Scale) -> str:
    """A ring about a point, and a line through it from top to bottom."""
    x, y = _half(across(mark[0])), _half(up(mark[1]))
    line = f'<line class="mark" x1="{x:g}" x2="{x:g}" y1="{_TOP}" y2="{_BOTTOM}"/>'
    return line + _ring(x, y)


def _ring(x: float, y: float) -> str:
    return f'<circle class="mark" cx="{x:g}" cy="{y:g}" r="5"/>'


def _inside(drawing: Sequence[str]) -> str:
    """The parts that are cut off at the field's edge: an <svg> in the same units."""
    x, y = _LEFT - _EDGE, _TOP - _EDGE
    width, height = _RIGHT - _LEFT + 2 * _EDGE, _BOTTOM - _TOP + 2 * _EDGE
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<svg {place} viewBox="{x} {y} {width} {height}">{"".join(drawing)}</svg>'


def _labels(ticks: Sequence[float]) -> list[str]:
    """The ticks of an axis, to be read, all in one unit: 5,000 or 5k or 0.5M."""
    smallest = min(abs(tick) for tick in ticks if tick)
    for unit, letter, least in ((1e6, "M", 1e6), (1e3, "k", 1e4)):
        if ticks[-1] >= least and smallest >= unit / 10:
            return [f"{tick / unit:,g}{letter if tick else ''}" for tick in ticks]
    return [f"{tick:,.9g}" for tick in ticks]


def _axes(
    x_label: str,
    y_label: str,
    x_marks: Sequence[tuple[float, str]],
    y_ticks: Sequence[float],
    up: Scale,
) -> str:
    """Grid lines at the y ticks, labels at both axes' ticks, and what the axes show."""
    parts = []
    for tick, label in zip(y_ticks, _labels(y_ticks), strict=True):
        y = up(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{label}</text>')
    for x, text in x_marks:
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 16}">{escape(text)}</text>')
    middle = (_LEFT + _RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{_HEIGHT - 8}">{escape(x_label)}</text>')
    height = (_TOP + _BOTTOM) / 2
    turn = f'transform="rotate(-90 11 {height})"'
    parts.append(f'<text class="name" x="11" y="{height}" {turn}>{escape(y_label)}</text>')
    return "".join(parts)


def _legend(names: Sequence[str], mark: Mark | None) -> str:
    """A row above the field, a dash and a name a curve, a ring and its words for the mark."""
    parts = []
    x = float(_LEFT)
    for number, name in enumerate(names, start=1):
        line = f'<line class="curve c{number}" x1="{x:.0f}" x2="{x + 18:.0f}" y1="12" y2="12"/>'
        parts.append(f'{line}<text class="start" x="{x + 23:.0f}" y="16">{escape(name)}</text>')
        x += 23 + _LETTER * len(name) + 14
    if mark:
        words = f'<text class="start" x="{x + 15:.0f}" y="16">{escape(mark[2])}</text>'
        parts.append(_ring(round(x + 5), 12) + words)
    return "".join(parts)


def _figure(title: str, drawing: Sequence[str]) -> str:
    return (
        f'<figure class="plot"><figcaption>{escape(title)}</figcaption>'
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{escape(title)}</title>'
        f"{''.join(drawing)}</svg></figure>"
    )
