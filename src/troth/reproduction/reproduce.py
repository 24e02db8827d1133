"""The whole way: from an experiment's name to its results."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from troth.errors import UsageError
from troth.report.atomic import replace_file
from troth.report.page import COMPARISON, write_report
from troth.report.progress import Progress
from troth.report.read import load_run
from troth.reproduction.loading import LoadedExperiment
from troth.reproduction.plots import save_plot
from troth.reproduction.results import Results, results_of
from troth.reproduction.runs import finished_run, run_variants

RESULTS = "results.json"
PLOT = "plot"


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` leaves behind."""

    results: Results
    plot: Path
    """A PNG; an SVG of the same name stands beside it."""
    page: Path
    """The report that compares all variants."""


def reproduce(
    loaded: LoadedExperiment,
    into: Path,
    *,
    only: Collection[str] = (),
    again: bool = False,
    jobs: int = 1,
    progress: Progress,
) -> Reproduction:
    """Run an experiment's variants and write `results.json`, the plot and the page into `into`.

    Each variant leaves an ordinary run folder, `into/VARIANT`. A variant that has finished there
    with exactly the same scenario and version of troth is taken from there.

    Args:
      only: names of the variants to run; none: all. Of the others, what is there already is shown.
      again: run those that have finished, too.
      jobs: how many run side by side.

    Raises:
      UsageError: there is no such variant, or `into` cannot be written.
      LocalError: a run failed.
    """
    scenarios = {
        variant.name: scenario
        for variant, scenario in zip(loaded.experiment.variants, loaded.scenarios, strict=True)
    }
    for name in only:
        if name not in scenarios:
            raise UsageError(
                f"{loaded.name} has no variant {name}", hint=f"it has: {', '.join(scenarios)}"
            )
    chosen = [name for name in scenarios if not only or name in only]
    folders = {
        name: found
        for name, scenario in scenarios.items()
        if not (again and name in chosen)
        and (found := finished_run(into, name, scenario.text)) is not None
    }
    for name in chosen:
        if name in folders:
            progress.message(f"{name}: taken from {folders[name]}; --again runs it anew")
    left = {name: scenarios[name] for name in chosen if name not in folders}
    folders |= run_variants(left, into, jobs=jobs, progress=progress)
    runs = {name: load_run(folders[name]) for name in scenarios if name in folders}
    results = results_of(loaded, runs)
    content = msgspec.json.format(msgspec.json.encode(results), indent=2)
    replace_file(into / RESULTS, content + b"\n")
    return Reproduction(
        results=results,
        plot=save_plot(loaded.experiment, results, runs, into / PLOT),
        page=write_report([run.path for run in runs.values()], into / COMPARISON),
    )
