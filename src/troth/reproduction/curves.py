"""What became of a run over its rounds, as curves that a plot can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from troth.report.read import Run
from troth.report.series import points
from troth.reproduction.readings import Unit


@dataclass(frozen=True)
class RunCurve:
    """A number that a run has after each of some rounds.

    Attributes:
      name: by which a plot's `y` asks for it.
      axis: what the number is, as the axis says it.
      points: (round, value) of a run, rounds ascending; 0 is before the first round.
    """

    name: str
    axis: str
    points: Callable[[Run], list[tuple[int, float]]]
    unit: Unit = "share"


def _series(key: str, run: Run) -> list[tuple[int, float]]:
    return list(zip(*points(run, key), strict=True))


CURVES = (
    RunCurve("error", "error on the test set", partial(_series, "error")),
    RunCurve("attack_rate", "attack rate", partial(_series, "attack_rate")),
)
"""Those of every protocol's runs."""


def over_seconds(run: Run, points: list[tuple[int, float]]) -> list[tuple[float, float]]:
    """The points with the simulated seconds at which their rounds ended in place of the rounds."""
    ends_s = {0: 0.0} | {int(record.round): float(record.simulated_s) for record in run.rounds}
    return [(ends_s[round], value) for round, value in points]


def means(points: list[tuple[float, float]], over_s: float) -> list[tuple[float, float]]:
    """The mean of the values in every span of `over_s` seconds, at the middle of the span; spans
    without a value are left out."""
    spans: dict[int, list[float]] = {}
    for seconds, value in points:
        spans.setdefault(int(seconds // over_s), []).append(value)
    return [((span + 0.5) * over_s, sum(v) / len(v)) for span, v in sorted(spans.items())]
