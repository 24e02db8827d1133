"""The whole way: from an experiment's name to its results."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from troth.errors import UsageError
from troth.records import pretty_json
from troth.report.atomic import replace_file
from troth.report.page import COMPARISON, write_report
from troth.report.progress import Display
from troth.report.read import Run, load_run
from troth.reproduction.computing import Computation, Computed, check_names, load_computed
from troth.reproduction.loading import LoadedExperiment
from troth.reproduction.page import write_page
from troth.reproduction.plots import save_plot
from troth.reproduction.results import Results, results_of
from troth.reproduction.runs import finished, run_variants

RESULTS = "results.json"
PLOT = "plot"


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` leaves behind."""

    results: Results
    plot: Path
    """A PNG; an SVG of the same name stands beside it."""
    page: Path
    """The page that compares all variants."""


def reproduce(
    loaded: LoadedExperiment,
    into: Path,
    *,
    only: Collection[str] = (),
    again: bool = False,
    jobs: int = 1,
    progress: Display,
) -> Reproduction:
    """Run an experiment's variants and write `results.json`, the plot and the page into `into`.

    Each variant leaves an ordinary run folder, `into/VARIANT`, or one with a `variant.json` where
    the experiment computes. A variant that has finished there with exactly the same scenario, or
    call, and version of troth is taken from there.

    Args:
      only: names of the variants to run; none: all. Of the others, what is there already is shown.
      again: run those that have finished, too.
      jobs: how many run side by side.

    Raises:
      UsageError: there is no such variant, or `into` cannot be written.
      LocalError: a run or a computation failed, or the file reads off it what it does not have.
    """
    work = loaded.work()
    for name in only:
        if name not in work:
            raise UsageError(
                f"{loaded.name} has no variant {name}", hint=f"it has: {', '.join(work)}"
            )
    chosen = [name for name in work if not only or name in only]
    folders = {
        name: found
        for name, each in work.items()
        if not (again and name in chosen) and (found := finished(into, name, each)) is not None
    }
    for name in chosen:
        if name in folders:
            progress.message(f"{name}: taken from {folders[name]}; --again runs it anew")
    left = {name: work[name] for name in chosen if name not in folders}
    folders |= run_variants(left, into, jobs=jobs, progress=progress)
    folders = {name: folders[name] for name in work if name in folders}
    runs: dict[str, Run] = {}
    computed: dict[str, Computed] = {}
    for name, folder in folders.items():
        if isinstance(work[name], Computation):
            computed[name] = load_computed(folder)
        else:
            runs[name] = load_run(folder)
    check_names(loaded.experiment, loaded.file, computed)
    results = results_of(loaded, runs, computed, folders)
    replace_file(into / RESULTS, pretty_json(results) + b"\n")
    plot = save_plot(loaded.experiment, results, runs, computed, into / PLOT)
    if loaded.computations:
        page = write_page(results, computed, plot, into / COMPARISON)
    else:
        page = write_report([run.path for run in runs.values()], into / COMPARISON)
    return Reproduction(results=results, plot=plot, page=page)
