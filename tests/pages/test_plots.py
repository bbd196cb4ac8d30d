"""Plots: well-formed SVG whose points and bars lie where the axes say."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mrnn.pages import html as pages
from mrnn.pages.plots import bar_plot, line_plot, log_ticks, round_ticks

NUMBERS = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


def texts(figure, kind=None):
    return [t for t in figure.iter("text") if t.get("class") == kind]


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def along(ticks, pixel, values, log=False):
    """The value that the labels of two ticks give to a pixel, by interpolation."""
    (low, first), (high, last) = ticks[0], ticks[-1]
    share = (pixel - first) / (last - first)
    if log:
        return low * (high / low) ** share
    return low + (high - low) * share


def axis(figure, kind, coordinate):
    """(value, pixel) of an axis' labels, in order."""
    return [
        (float(t.text.replace(",", "")), float(t.get(coordinate)) - (4 if kind else 0))
        for t in texts(figure, kind)
    ]


@pytest.mark.parametrize("log", [False, True])
def test_points_lie_where_the_axes_say(log):
    x, y = [0.5, 3, 20, 100], [61.0, 70, 80.5, 93]
    figure = ET.fromstring(line_plot("A", "b", "c", {"one": (x, y)}, log_x=log))
    [line] = figure.iter("polyline")
    across, up = axis(figure, None, "x"), axis(figure, "end", "y")
    found = points(line)
    assert [along(across, px, x, log) for px, _ in found] == pytest.approx(x, rel=0.02, abs=0.3)
    assert [along(up, py, y) for _, py in found] == pytest.approx(y, abs=0.5)
    assert up[0][0] == 0
    assert up[-1][0] == 100
    assert across[0][0] == (0.5 if log else 0)


def test_curves_are_named_and_told_apart():
    curves = {name: ([1, 2], [n, n]) for n, name in enumerate(["one", "two & three", "four"])}
    figure = ET.fromstring(line_plot("Recall <of> all", "b <", "c >", curves))
    classes = [line.get("class") for line in figure.iter("polyline")]
    assert classes == ["curve c1", "curve c2", "curve c3"]
    keys = [line.get("class") for line in figure.iter("line") if "curve" in line.get("class")]
    assert keys == classes
    assert [t.text for t in texts(figure, "start")] == list(curves)
    assert [t.text for t in texts(figure, "name")] == ["b <", "c >"]
    starts = [float(t.get("x")) for t in texts(figure, "start")]
    lengths = [b - a for a, b in pairwise(starts)]
    assert all(room > 18 + 5 * len(name) for room, name in zip(lengths, curves, strict=False))


@pytest.mark.parametrize(
    "svg",
    [line_plot("T <1>", "x", "y", {"a": ([1], [2])}), bar_plot("T <1>", "x", "y", [("a", 1)])],
)
def test_a_plot_has_a_name_for_those_who_cannot_see_it(svg):
    figure = ET.fromstring(svg)
    drawing = figure.find("svg")
    assert drawing.get("role") == "img"
    assert drawing[0].tag == "title"
    assert drawing[0].text == figure.find("figcaption").text == "T <1>"
    assert "<script" not in svg
    assert "style=" not in svg


def test_what_lies_outside_the_ranges_is_cut_off_at_the_edge():
    x, y = [10, 20, 30], [400, 21, 16]
    svg = line_plot("A", "b", "c", {"a": (x, y)}, x_range=(0, 40), y_range=(16, 32))
    figure = ET.fromstring(svg)
    across, up = axis(figure, None, "x"), axis(figure, "end", "y")
    assert (across[0][0], across[-1][0]) == (0, 40)
    assert (up[0][0], up[-1][0]) == (15, 35)
    field = figure.find("svg/svg")  # in the units of the drawing, so that it cuts at its own edges
    left, top, width, height = (float(field.get(k)) for k in ("x", "y", "width", "height"))
    assert list(map(float, field.get("viewBox").split())) == [left, top, width, height]
    assert (left + 4, left + width - 4) == (across[0][1], across[-1][1])
    assert (top + 4, top + height - 4) == pytest.approx((up[-1][1], up[0][1]))
    [line] = field.iter("polyline")
    found = points(line)
    assert found[0][1] < top - 100
    assert [along(up, py, y) for _, py in found[1:]] == pytest.approx(y[1:], abs=0.1)
    assert [along(across, px, x) for px, _ in found] == pytest.approx(x, abs=0.1)


def test_the_outer_field_is_as_wide_as_its_card_but_not_the_one_inside():
    assert ".plot > svg { display: block; width: 100%" in pages._STYLE
    assert ".plot svg" not in pages._STYLE


def test_points_far_outside_stay_numbers_that_browsers_can_draw():
    curves = {"a": ([1, 2, 3], [1e300, 20, 16])}
    svg = line_plot("A", "b", "c", curves, x_range=(0, 3), y_range=(16, 32))
    [line] = ET.fromstring(svg).iter("polyline")
    assert max(abs(place) for point in points(line) for place in point) <= 1e5


def test_a_curve_of_few_points_shows_each_with_its_value():
    few, many = ([1000, 2], [3.5, 4]), (list(range(16)), list(range(16)))
    svg = line_plot("A", "b", "c", {"few": few, "many": many})
    figure = ET.fromstring(svg)
    dots = list(figure.iter("circle"))
    assert [dot.get("class") for dot in dots] == ["dot d1"] * 2
    assert [dot.find("title").text for dot in dots] == ["1,000: 3.50", "2: 4.00"]
    line = next(figure.iter("polyline"))
    assert [(float(d.get("cx")), float(d.get("cy"))) for d in dots] == points(line)


@pytest.mark.parametrize("log", [False, True])
def test_a_mark_rings_its_point_and_is_told_in_the_legend(log):
    curves = {"a": ([1, 10, 90], [5, 3, 4])}
    figure = ET.fromstring(line_plot("A", "b", "c", curves, log_x=log, mark=(10, 3, "best <3>")))
    [line] = figure.iter("polyline")
    on_curve, in_legend = (c for c in figure.iter("circle") if c.get("class") == "mark")
    assert (float(on_curve.get("cx")), float(on_curve.get("cy"))) == points(line)[1]
    [through] = (c for c in figure.iter("line") if c.get("class") == "mark")
    assert through.get("x1") == through.get("x2") == on_curve.get("cx")
    name, words = texts(figure, "start")
    assert words.text == "best <3>"
    assert float(name.get("x")) + 10 < float(in_legend.get("cx")) - 5
    assert float(in_legend.get("cx")) + 5 < float(words.get("x"))


def test_large_numbers_of_an_axis_are_short():
    ends = ((0, 4e4, "40k"), (0, 8000, "8,000"), (0, 1e6, "1M"), (0, 3e6, "3M"), (0, 0.9, "1"))
    for low, high, expected in ends:
        figure = ET.fromstring(line_plot("A", "b", "c", {"a": ([low, high], [low, high])}))
        assert texts(figure)[-1].text == expected
        assert texts(figure, "end")[-1].text == expected
    figure = ET.fromstring(line_plot("A", "b", "c", {"a": ([0, 1e6], [0, 1])}))
    labels = ["0", "0.2M", "0.4M", "0.6M", "0.8M", "1M"]
    assert [text.text for text in texts(figure)] == labels
    svg = line_plot("A", "b", "c", {"a": ([1, 1e6], [0, 1])}, log_x=True)
    labels = ["1", "10", "100", "1,000", "10,000", "100,000", "1,000,000"]
    assert [text.text for text in texts(ET.fromstring(svg))] == labels


def test_bars_stand_on_zero_and_are_as_high_as_their_values():
    bars = [("1", 20.0), ("2 < 3", 0.0), ("5", 7.5)]
    figure = ET.fromstring(bar_plot("A", "b", "c", bars, " %"))
    up = axis(figure, "end", "y")
    rects = list(figure.iter("rect"))
    heights = [float(r.get("height")) for r in rects]
    tops = [float(r.get("y")) for r in rects]
    assert [along(up, top, ()) for top in tops] == pytest.approx([20, 0, 7.5], abs=0.1)
    zero = up[0][1]
    assert [t + h for t, h in zip(tops, heights, strict=True)] == pytest.approx([zero] * 3, abs=0.2)
    assert [r.find("title").text for r in rects] == ["1: 20.0 %", "2 < 3: 0.0 %", "5: 7.5 %"]
    middles = [float(r.get("x")) + float(r.get("width")) / 2 for r in rects]
    assert [float(t.get("x")) for t in texts(figure)] == pytest.approx(middles, abs=0.1)
    assert [t.text for t in texts(figure)] == ["1", "2 < 3", "5"]


def test_long_curves_are_thinned_but_keep_their_ends():
    x = list(range(1, 50_001))
    svg = line_plot("A", "b", "c", {"a": (x, [100 * v / 50_000 for v in x])}, log_x=True)
    [line] = ET.fromstring(svg).iter("polyline")
    found = points(line)
    assert len(svg) < 30_000
    assert len(found) == len(set(found)) > 100
    assert found[0][0] == 46
    assert found[-1] == (386, 30)


@given(NUMBERS, NUMBERS)
def test_round_ticks_enclose_the_range_at_equal_round_steps(low, high):
    assume(high - low > 1e-3)
    ticks = round_ticks(low, high)
    slack = (high - low) * 1e-6
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 3 <= len(ticks) <= 8
    steps = [b - a for a, b in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    digits = steps[0] / 10 ** math.floor(math.log10(steps[0] * 1.0001))
    assert min(abs(digits - round_one) for round_one in (1, 2, 5)) < 1e-3


def test_golden_ticks():
    assert round_ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert round_ticks(0, 37.2) == [0, 10, 20, 30, 40]
    assert round_ticks(0, 0) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert round_ticks(0, 4e-13) == [0, 1e-13, 2e-13, 3e-13, 4e-13]
    assert round_ticks(2.0**60, 2.0**60)[-1] > 2.0**60
    assert log_ticks(0.02, 100) == [0.02, 0.1, 1, 10, 100]
    assert log_ticks(1, 1000) == [1, 10, 100, 1000]
    assert log_ticks(30, 400) == [20, 100, 500]
    assert log_ticks(1, 1) == [1, 2]
    assert log_ticks(0.5, 0.5 + 1e-12) == [0.5, 1]


@given(st.floats(-1e200, 1e200), st.floats(0, 1e200))
@example(0.0, 5e-324)
def test_ticks_of_any_size_are_finite_and_rise(low, more):
    ticks = round_ticks(low, low + more)
    assert 2 <= len(ticks) <= 8
    assert all(math.isfinite(tick) for tick in ticks)
    assert ticks == sorted(set(ticks))


@given(st.floats(1e-5, 1e6), st.floats(1, 1e6))
def test_log_ticks_enclose_the_range_and_rise(low, factor):
    ticks = log_ticks(low, low * factor)
    assert ticks[0] <= low * 1.001
    assert ticks[-1] >= low * factor * 0.999
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize("bad", [{}, {"a": ([], [])}, {"a": ([1], [math.nan])}])
def test_what_cannot_be_drawn_is_refused(bad):
    with pytest.raises(ValueError, match="My plot: points"):
        line_plot("My plot", "x", "y", bad)


def test_bars_that_cannot_be_drawn_are_refused():
    for bad in ([], [("a", math.inf)]):
        with pytest.raises(ValueError, match="My plot: bars"):
            bar_plot("My plot", "x", "y", bad)
    with pytest.raises(ValueError, match="logarithmic"):
        line_plot("My plot", "x", "y", {"a": ([0, 1], [1, 1])}, log_x=True)


def test_every_class_of_a_plot_has_its_style_for_light_and_dark():
    for name in ("plot", "curve", "c2", "c3", "c4", "bar", "grid", "end", "start", "name", "mark"):
        assert f".{name}" in pages._STYLE
    light, dark = pages._STYLE.split("@media (prefers-color-scheme: dark)")
    for variable in ("--text", "--dim", "--line", "--tint", "--warm"):
        assert f"{variable}:" in light
        assert f"{variable}:" in dark
