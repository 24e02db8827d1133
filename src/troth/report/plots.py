"""Curves of runs as a matplotlib figure, for notebooks and papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from troth.errors import UsageError
from troth.report.read import Run
from troth.report.series import PALETTE, SERIES, labels, look, points

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(runs: Run | Sequence[Run], metric: str = "error") -> Figure:
    """`metric` of every run against the round.

    Args:
      runs: one run, or several to compare.
      metric: `error`, `loss`, `attack_rate` or `bytes_sent`.

    Raises:
      UsageError: there is no such metric, or no run.
    """
    # Imported here: matplotlib takes longer to import than a small run takes.
    from matplotlib import pyplot

    chosen = [runs] if isinstance(runs, Run) else list(runs)
    if not chosen:
        raise UsageError("there is no run to plot", hint="give at least one")
    if metric not in SERIES:
        raise UsageError(f"metric = {metric!r} is not one of {', '.join(SERIES)}")
    # Made through pyplot so that a notebook shows it, and closed so that it shows it once and
    # keeps no copy.
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    pyplot.close(figure)
    for index, (run, label) in enumerate(zip(chosen, labels(chosen), strict=True)):
        rounds, values = points(run, metric)
        colour, dash = look(index)
        axes.plot(
            rounds,
            values,
            # A dollar sign would start a formula.
            label=label.replace("$", r"\$"),
            color=PALETTE[colour],
            linestyle=("-", "--", ":", "-.")[dash],
            marker="o" if len(rounds) == 1 else "",
        )
    axes.set_xlabel("round")
    axes.set_ylabel(SERIES[metric].axis)
    axes.grid(alpha=0.3)
    if len(chosen) > 1:
        axes.legend()
    return figure
