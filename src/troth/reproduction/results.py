"""What came of an experiment: the paper's numbers and the measured ones, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from troth.ids import MeasuredSeconds
from troth.records import Record
from troth.report.read import Run
from troth.reproduction.computing import Computed
from troth.reproduction.loading import LoadedExperiment
from troth.reproduction.readings import Reading, Unit, Value
from troth.reproduction.spec import Statement


class Pair(Record, frozen=True, kw_only=True):
    """A number of the paper and the measured one; None where there is none."""

    paper: float | None
    measured: float | None


class Column(Record, frozen=True, kw_only=True):
    """A reading as a column of the table: the same number for each variant."""

    name: str
    label: str
    unit: Unit


class Row(Record, frozen=True, kw_only=True):
    """A variant, with what repeats its run; a computation has no digests."""

    name: str
    label: str
    readings: dict[str, Pair]
    folder: str | None = None
    """Of the variant; None where it has not been run."""
    seed: int | None = None
    charter_digest: str | None = None
    trace_digest: str | None = None
    measured_s: MeasuredSeconds | None = None


class RatioRow(Record, frozen=True, kw_only=True):
    """A reading of one variant over that of another."""

    label: str
    value: Pair


class Results(Record, frozen=True, kw_only=True):
    """`results.json`. Simulated time stands in `readings`, wall-clock time in `measured_s`."""

    schema_version: int = 1
    experiment: str
    title: str
    source: str
    about: str
    columns: list[Column]
    rows: list[Row]
    ratios: list[RatioRow]
    statements: list[Statement]
    differences: str


def results_of(
    loaded: LoadedExperiment,
    runs: Mapping[str, Run],
    computed: Mapping[str, Computed],
    folders: Mapping[str, Path],
) -> Results:
    """The results of an experiment, of whose variants `runs` and `computed` hold those that have
    been carried out, each with its folder."""
    experiment = loaded.experiment
    rows = []
    for variant in experiment.variants:
        run, outcome = runs.get(variant.name), computed.get(variant.name)
        readings = {
            name: Pair(paper=variant.paper.get(name), measured=_measured(reading, run, outcome))
            for name, reading in experiment.readings.items()
        }
        done: dict[str, Any] = {}
        if run is not None:
            repeats = ("seed", "charter_digest", "trace_digest", "measured_s")
            done = {name: getattr(run.summary, name) for name in repeats}
        elif outcome is not None:
            done = {"seed": outcome.call.seed, "measured_s": outcome.measured_s}
        if done:
            done["folder"] = folders[variant.name].name
        rows.append(Row(name=variant.name, label=variant.label, readings=readings, **done))
    by_name = {row.name: row.readings for row in rows}
    ratios = []
    for ratio in experiment.ratios:
        over, under = by_name[ratio.over][ratio.reading], by_name[ratio.under][ratio.reading]
        value = Pair(
            paper=_ratio(over.paper, under.paper),
            measured=_ratio(over.measured, under.measured),
        )
        ratios.append(RatioRow(label=ratio.label, value=value))
    return Results(
        experiment=loaded.name,
        title=experiment.title,
        source=experiment.source,
        about=experiment.about,
        columns=[
            Column(name=name, label=reading.label, unit=reading.unit)
            for name, reading in experiment.readings.items()
        ],
        rows=rows,
        ratios=ratios,
        statements=experiment.statements,
        differences=experiment.differences,
    )


def _measured(reading: Reading | Value, run: Run | None, outcome: Computed | None) -> float | None:
    if isinstance(reading, Value):
        return None if outcome is None else outcome.values[reading.name]
    return None if run is None else reading.read_off(run)


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else over / under
