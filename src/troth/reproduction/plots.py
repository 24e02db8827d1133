"""The plot of an experiment, as PNG and SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from troth.report.atomic import replace_file
from troth.report.read import Run
from troth.report.series import PALETTE, look
from troth.report.text import number
from troth.reproduction.computing import Computed
from troth.reproduction.curves import means, over_seconds
from troth.reproduction.offered import CURVES
from troth.reproduction.readings import Unit
from troth.reproduction.results import Column, Results
from troth.reproduction.spec import Bars, Curves, Experiment, Lines, Plot, Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INSIDE = 6
"""Curves that are named inside the plot; the names of more would hide them."""

_LINES = ("-", "--", ":", "-.")
_UNITS: dict[Unit, str] = {
    "share": ", %",
    "seconds": ", simulated seconds",
    "count": "",
    "number": "",
}
_COMPUTED_UNITS = _UNITS | {"seconds": ", seconds"}


def save_plot(
    experiment: Experiment,
    results: Results,
    runs: Mapping[str, Run],
    computed: Mapping[str, Computed],
    to: Path,
) -> Path:
    """Draw the experiment's plot and write it to `to` with the endings `.png` and `.svg`; gives
    the PNG's path."""
    # Imported here: it takes a second, and only a run that has finished needs it.
    import matplotlib as mpl
    from matplotlib import pyplot

    # Without these an SVG holds the date and random names, and no two are equal.
    with mpl.rc_context({"svg.hashsalt": results.experiment}):
        plots = _panels(experiment.plot)
        figure, (panels,) = pyplot.subplots(
            1, len(plots), figsize=(1 + 6 * len(plots), 4.5), layout="constrained", squeeze=False
        )
        pyplot.close(figure)
        columns = {column.name: column for column in results.columns}
        units = _UNITS if experiment.compute is None else _COMPUTED_UNITS
        for axes, plot in zip(panels, plots, strict=True):
            match plot:
                case Curves(y=y):
                    scale = 100 if CURVES[y].unit == "share" else 1
                    _draw_curves(axes, results, {n: curve(r, plot) for n, r in runs.items()}, scale)
                    _name_axes_of_curves(axes, plot)
                case Points(curve=name):
                    _draw_curves(axes, results, {n: c.curves[name] for n, c in computed.items()}, 1)
                    axes.set_xlabel(plot.x)
                    axes.set_ylabel(plot.y)
                case Bars(reading=reading):
                    _draw_bars(axes, columns[reading], results)
                    axes.set_ylabel(f"{columns[reading].label}{units[columns[reading].unit]}")
                case Lines(readings=readings, x=x):
                    shown = [columns[reading] for reading in readings]
                    _draw_lines(axes, experiment, shown, results)
                    axes.set_xlabel(x)
                    label = shown[0].label if len(shown) == 1 else ""
                    axes.set_ylabel(f"{label}{units[shown[0].unit]}".removeprefix(", "))
        figure.suptitle(f"{results.title}\n{results.source}", fontsize=10)
        handles, labels = panels[0].get_legend_handles_labels()
        if len(labels) > INSIDE:
            figure.legend(handles, labels, loc="outside right upper", fontsize=8)
        else:
            panels[0].legend()
        for ending, metadata in ((".png", {}), (".svg", {"Date": None})):
            image = io.BytesIO()
            figure.savefig(image, format=ending[1:], dpi=150, metadata=metadata)
            replace_file(to.with_suffix(ending), image.getvalue())
    return to.with_suffix(".png")


def _panels(plot: Plot) -> list[Plot]:
    if isinstance(plot, Curves) and plot.x == "both":
        return [msgspec.structs.replace(plot, x=x) for x in ("seconds", "rounds")]
    return [plot]


def curve(run: Run, plot: Curves) -> list[tuple[float, float]]:
    """What a plot of curves shows of this run: (seconds or round, value), in order."""
    points = CURVES[plot.y].points(run)
    if plot.x == "rounds":
        return [(float(round), value) for round, value in points]
    timed = over_seconds(run, points)
    return timed if plot.mean_over_s is None else means(timed, plot.mean_over_s)


def _draw_curves(axes: Axes, results: Results, points: Mapping[str, ArrayLike], scale: int) -> None:
    """A curve for each variant that there are points of."""
    for index, row in enumerate(results.rows):
        if row.name not in points:
            continue
        colour, dash = look(index)
        places, values = np.array(points[row.name]).reshape(-1, 2).T
        axes.plot(
            places,
            scale * values,
            # A dollar sign would start a formula.
            label=row.label.replace("$", r"\$"),
            color=PALETTE[colour],
            linestyle=_LINES[dash],
            linewidth=1.2,
        )
    axes.grid(alpha=0.3)


def _name_axes_of_curves(axes: Axes, plot: Curves) -> None:
    shown = CURVES[plot.y]
    axes.set_xlim(0, plot.until_s if plot.x == "seconds" else None)
    axes.set_xlabel("round" if plot.x == "rounds" else "simulated seconds")
    over = "" if plot.mean_over_s is None else f", mean of {plot.mean_over_s:g} s"
    axes.set_ylabel(f"{shown.axis}{over}{_UNITS[shown.unit]}")


def _draw_lines(
    axes: Axes, experiment: Experiment, columns: Sequence[Column], results: Results
) -> None:
    """A line for each series and reading, through the variants that were run."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for variant, row in zip(experiment.variants, results.rows, strict=True):
        for series, column in product(variant.series, columns):
            value = row.readings[column.name].measured
            if variant.at is not None and value is not None:
                points.setdefault((series, column.label), []).append((variant.at, value))
    several = len({series for series, _ in points}) > 1
    unit = columns[0].unit
    for index, ((series, name), line) in enumerate(points.items()):
        colour, dash = look(index)
        places, values = np.array(sorted(line)).T
        axes.plot(
            places,
            values * (100 if unit == "share" else 1),
            label=series if len(columns) == 1 else f"{series}: {name}" if several else name,
            color=PALETTE[colour],
            linestyle=_LINES[dash],
            linewidth=1.2,
            marker="o",
            markersize=3,
        )
    if all(value >= 0 for line in points.values() for _, value in line):
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _height(value: float, unit: Unit) -> str:
    return number(value) if unit == "number" else f"{value:,.{0 if value >= 100 else 1}f}"


def _draw_bars(axes: Axes, column: Column, results: Results) -> None:
    place_V = np.arange(len(results.rows))
    pairs = [row.readings[column.name] for row in results.rows]
    scale = 100.0 if column.unit == "share" else 1.0
    paper = [np.nan if pair.paper is None else scale * pair.paper for pair in pairs]
    measured = [np.nan if pair.measured is None else scale * pair.measured for pair in pairs]
    beside = 0.0 if np.isnan(paper).all() else 0.2
    bars = [axes.bar(place_V + beside, measured, 0.4, label="measured here", color=PALETTE[0])]
    if beside:
        bars.append(axes.bar(place_V - beside, paper, 0.4, label="paper", color=PALETTE[7]))
    for drawn in bars:
        axes.bar_label(drawn, fmt=lambda v: _height(v, column.unit), fontsize=8)
    if column.unit == "seconds":
        axes.set_yscale("log")
    labels = [row.label.replace("$", r"\$") for row in results.rows]
    axes.set_xticks(place_V, labels, rotation=30, ha="right")
    axes.grid(alpha=0.3, axis="y")
