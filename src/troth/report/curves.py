"""Line charts as SVG geometry: what the page's template draws, worked out from the runs' rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from troth.report.read import Run
from troth.report.series import SERIES, Series, look, points
from troth.report.text import NOT_FINITE, counted, number, percent, size

WIDTH, HEIGHT = 560, 270
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 36
MAX_POINTS = 4_000
"""Points drawn in one chart over all its lines, so that a page's size does not follow a run's
length."""

LOG_FROM = 200.0
"""A loss whose largest value is this many times its smallest is drawn on a logarithmic axis: one
poisoned run would otherwise press all others into the bottom line."""


TINY = 1e-290
"""Differences below this leave a chart no digits to work with."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, at pixel `at`."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One run's curve. `path` has a gap where a value is not finite; `dots` are points without a
    neighbour."""

    label: str
    colour: int
    dash: int
    path: str
    dots: list[tuple[float, float]]
    end: tuple[float, float]
    last: str


@dataclass(frozen=True)
class Chart:
    """One chart: geometry in a box of WIDTH x HEIGHT, and `data` for its tooltip."""

    key: str
    title: str
    axis: str
    description: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    notes: list[str]
    data: dict[str, object]


def chart(runs: Sequence[Run], names: Sequence[str], key: str) -> Chart | None:
    """Series `key` of every run that has it; None where no run has a finite value."""
    series = SERIES[key]
    curves = [(index, *points(run, key)) for index, run in enumerate(runs)]
    curves = [curve for curve in curves if any(map(drawable, curve[2]))]
    if not curves:
        return None
    dropped = sum(not drawable(y) for _, _, values in curves for y in values)
    thin_to = max(60, MAX_POINTS // len(curves))
    thinned = any(len(rounds) > thin_to for _, rounds, _ in curves)
    curves = [(index, *thin(rounds, values, thin_to)) for index, rounds, values in curves]
    finite = [y for _, _, values in curves for y in values if drawable(y)]
    x_axis = Axis.linear(
        min(rounds[0] for _, rounds, _ in curves),
        max(rounds[-1] for _, rounds, _ in curves),
        whole=True,
    )
    y_axis = vertical(series, finite)
    notes = []
    if y_axis.log:
        notes.append("logarithmic axis")
    if dropped:
        notes.append(f"{counted(dropped, 'value')} not finite, left out")
    if thinned:
        notes.append(f"of longer runs at most {thin_to:,} points, every peak among them")
    lines = [
        line(index, names[index], rounds, values, x_axis, y_axis, series)
        for index, rounds, values in curves
    ]
    return Chart(
        key=key,
        title=series.title,
        axis=series.axis,
        description="; ".join(f"{drawn.label} ends at {drawn.last}" for drawn in lines),
        x_ticks=[
            Tick(x_axis.place(value, LEFT, WIDTH - RIGHT), f"{value:,.0f}")
            for value in x_axis.ticks
        ],
        y_ticks=[
            Tick(y_axis.place(value, HEIGHT - BOTTOM, TOP), tick_text(series, value))
            for value in y_axis.ticks
        ],
        lines=lines,
        notes=notes,
        data={
            "kind": series.kind,
            "x": [x_axis.low, x_axis.high],
            "y": [y_axis.low, y_axis.high],
            "log": y_axis.log,
            "lines": [
                {
                    "name": names[index],
                    "x": rounds,
                    "y": [float(f"{y:.6g}") if drawable(y) else None for y in values],
                }
                for index, rounds, values in curves
            ],
        },
    )


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, both finite and low < high; `ticks` lie on it."""

    low: float
    high: float
    ticks: list[float]
    log: bool = False

    @classmethod
    def linear(cls, low: float, high: float, *, whole: bool = False) -> Axis:
        """Ends at the data; about five ticks at 1, 2 or 5 times a power of ten, whole ones if
        asked."""
        if high - low <= max(1e-9 * max(abs(low), abs(high)), TINY):
            margin = 1.0 if whole or abs(low) <= TINY else abs(low) / 2
            low, high = low - margin, high + margin
        step = nice_step((high - low) / 5)
        step = max(1.0, step) if whole else step
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return cls(low, high, [index * step for index in range(first, last + 1)])

    @classmethod
    def rounded(cls, low: float, high: float) -> Axis:
        """As `linear`, with ends moved outwards to ticks."""
        plain = cls.linear(low, high)
        step = nice_step((plain.high - plain.low) / 5)
        first, last = math.floor(plain.low / step + 1e-9), math.ceil(plain.high / step - 1e-9)
        return cls(first * step, last * step, [index * step for index in range(first, last + 1)])

    @classmethod
    def logarithmic(cls, low: float, high: float) -> Axis:
        """From power of ten to power of ten, with at most seven ticks."""
        low = max(low, high * 1e-12)
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        last = max(last, first + 1)
        every = math.ceil((last - first) / 6)
        ticks = [10.0**power for power in range(first, last + 1, every)]
        return cls(10.0**first, 10.0**last, ticks, log=True)

    def place(self, value: float, start: float, end: float) -> float:
        """The pixel of `value` between `start` and `end`, to a tenth."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        return round(start + (value - low) / (high - low) * (end - start), 1)


def drawable(value: float) -> bool:
    """Whether a chart can show `value`: finite, and with room for an axis around it."""
    return math.isfinite(value) and abs(value) < 1e300


def nice_step(step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(
        factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= step * (1 - 1e-9)
    )


def vertical(series: Series, values: Sequence[float]) -> Axis:
    """The y axis for `values`: from 0 where that costs little, logarithmic for a loss that
    exploded."""
    low, high = min(values), max(values)
    if series.kind == "number" and low > 0 and high > max(LOG_FROM * low, TINY):
        return Axis.logarithmic(low, high)
    if high <= 0 == low:
        return Axis.linear(0.0, 1.0)
    if 0 < low < 0.75 * high or series.kind == "bytes":
        low = 0.0
    return Axis.rounded(low, high)


def line(
    index: int,
    name: str,
    rounds: list[int],
    values: list[float],
    x_axis: Axis,
    y_axis: Axis,
    series: Series,
) -> Line:
    """The curve of run `index`."""
    colour, dash = look(index)
    path, dots = [], []
    end = (0.0, 0.0)
    for finite, stretch in groupby(
        zip(rounds, values, strict=True), key=lambda point: drawable(point[1])
    ):
        if not finite:
            continue
        pixels = [
            (x_axis.place(x, LEFT, WIDTH - RIGHT), y_axis.place(y, HEIGHT - BOTTOM, TOP))
            for x, y in stretch
        ]
        end = pixels[-1]
        if len(pixels) == 1:
            dots.append(end)
        else:
            path.append("M" + "L".join(f"{x:g} {y:g}" for x, y in pixels))
    return Line(
        label=name,
        colour=colour,
        dash=dash,
        path="".join(path),
        dots=dots,
        end=end,
        last=value_text(series, values[-1]),
    )


def thin(rounds: list[int], values: list[float], limit: int) -> tuple[list[int], list[float]]:
    """At most `limit` of the points, with the first, the last, and the peaks and troughs of equal
    stretches."""
    if len(rounds) <= limit:
        return rounds, values
    buckets = (limit - 2) // 2
    kept = {0, len(rounds) - 1}
    for bucket in range(buckets):
        stretch = range(bucket * len(rounds) // buckets, (bucket + 1) * len(rounds) // buckets)
        finite = [index for index in stretch if drawable(values[index])]
        if finite:
            kept.add(min(finite, key=values.__getitem__))
            kept.add(max(finite, key=values.__getitem__))
        else:
            kept.add(stretch[0])
    order = sorted(kept)
    return [rounds[index] for index in order], [values[index] for index in order]


def value_text(series: Series, value: float) -> str:
    """A value of the series, as the page writes it."""
    if not math.isfinite(value):
        return NOT_FINITE
    return {"share": percent, "bytes": size, "number": number}[series.kind](value)


def tick_text(series: Series, value: float) -> str:
    """A value on the y axis, without digits it does not have."""
    if series.kind == "share":
        return f"{100 * value:.6g} %"
    return size(value) if series.kind == "bytes" else f"{value:.6g}"
