"""`troth simulate` runs a scenario in one process, in simulated time."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from troth.cli.verb import (
    FILE,
    Format,
    Verb,
    format_option,
    interrupted,
    set_option,
    show_run,
    talk,
)
from troth.errors import UsageError, charter_errors_in

if TYPE_CHECKING:
    from troth.simulation import Result


@click.command(cls=Verb)
@click.argument("file", type=FILE, required=False)
@set_option
@click.option(
    "--into",
    type=FILE,
    metavar="FOLDER",
    help="Where the run is kept; a taken name gets a number.  [default: runs/NAME, with the name "
    "that the charter gives]",
)
@click.option(
    "--resume", type=FILE, metavar="RUN", help="Go on with the unfinished run in this folder."
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@format_option
def simulate(
    file: Path | None,
    changes: tuple[str, ...],
    into: Path | None,
    resume: Path | None,
    quiet: bool,
    format: Format,
) -> None:
    """Run the scenario in FILE in a simulated world.

    Progress is shown on standard error, the result on standard output, and the run is kept in a
    folder with a report to open in a browser. A run that was killed or interrupted goes on with
    --resume, to the same final model.
    """
    if file is None and resume is None:
        raise UsageError(
            "there is nothing to simulate",
            hint="give a scenario file, as in: troth simulate examples/digits/scenario.toml",
        )
    if file is not None and resume is not None:
        raise UsageError(
            "--resume goes on with a run and takes no FILE",
            hint=f"to begin a run: troth simulate {shlex.quote(str(file))}",
        )
    if resume is not None and (changes or into is not None):
        raise UsageError(
            f"{'--set' if changes else '--into'} does not go with --resume, which goes on with the "
            "run as it was begun",
            hint="to run something else, simulate the scenario.toml in the run's folder",
        )
    from troth import simulation
    from troth.charter.loading import load_scenario
    from troth.report.atomic import numbered
    from troth.report.folder import is_empty
    from troth.report.page import write_report
    from troth.report.progress import QuietProgress, live_progress

    progress = QuietProgress() if quiet else live_progress()
    with charter_errors_in(file or str(resume)):
        if file is None:
            assert resume is not None
            folder, run = resume, partial(simulation.resume, resume)
        else:
            loaded = load_scenario(file, overrides=changes)
            place = into or Path("runs") / loaded.scenario.charter.name
            # The name that the run's folder will get, unless somebody else takes it just now.
            folder = next(free for free in numbered(place) if not free.exists() or is_empty(free))
            run = partial(simulation.simulate, loaded, into=folder)
        try:
            result = run(progress=progress)
        except KeyboardInterrupt as stop:
            raise interrupted(stop, folder, verb="simulate") from None
    assert result.folder is not None
    page = write_report([result.folder])
    show_run(result.folder, format)
    if not quiet:
        talk(f"report: {page}")
        following = _next(result, file)
        if following is not None:
            talk(f"next: {shlex.join(following)}")


def _next(result: Result, file: Path | None) -> list[str] | None:
    """Compare with the newest other run beside this one; where there is none, make one."""
    from troth.report.read import SUMMARY

    folder = result.folder
    assert folder is not None
    beside = [path for path in folder.parent.iterdir() if (path / SUMMARY).is_file()]
    others = [path for path in beside if path.name != folder.name]
    if others:
        newest = max(others, key=lambda path: ((path / SUMMARY).stat().st_mtime_ns, path.name))
        return ["troth", "report", str(newest), str(folder)]
    if file is None:
        return None
    return ["troth", "simulate", str(file), "--set", f"seed={result.summary.seed + 1}"]
