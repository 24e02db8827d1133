"""`troth launch` runs each node of a scenario as a process of this machine."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import click

from troth.cli.nodes import tor_options
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
from troth.errors import UsageError


@click.command(cls=Verb)
@click.argument("file", type=FILE, required=False)
@set_option
@click.option(
    "--into",
    type=FILE,
    metavar="FOLDER",
    help="Where the run is kept; a taken name gets a number.  [default: runs/NAME]",
)
@click.option(
    "--resume", type=FILE, metavar="RUN", help="Go on with the unfinished launch in this folder."
)
@tor_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
@format_option
def launch(
    file: Path | None,
    changes: tuple[str, ...],
    into: Path | None,
    resume: Path | None,
    tor: bool,
    tor_config: Path | None,
    quiet: bool,
    format: Format,
) -> None:
    """Run all nodes of a scenario here, over TLS.

    Every node of the scenario in FILE gets a process of its own on this machine. What is left is as
    after a simulation, with a folder for every node in it. The scenario's network, churn and faults
    are for simulations: here they are those of this machine. With --tor, a broker is an onion
    service, and its curator and providers share another tor. A launch that was interrupted or
    killed goes on with --resume, from what its nodes keep in their folders.
    """
    if (file is None) == (resume is None):
        raise UsageError(
            "there is nothing to launch"
            if file is None
            else "--resume goes on with a launch and takes no FILE",
            hint="give a scenario file, as in: troth launch examples/digits/scenario.toml"
            if file is None
            else f"to begin a launch: troth launch {shlex.quote(str(file))}",
        )
    if tor_config is not None and not tor and resume is None:
        raise UsageError("--tor-config says how --tor works", hint="add --tor")
    given = {"--set": changes, "--into": into, "--tor": tor, "--tor-config": tor_config}
    besides = [option for option, value in given.items() if value]
    if resume is not None and besides:
        raise UsageError(
            f"{besides[0]} does not go with --resume, which goes on with the launch as it was "
            "begun",
            hint="to run something else, launch the scenario.toml in the run's folder",
        )
    from troth.charter.loading import load_scenario
    from troth.deployment import launch as launches
    from troth.deployment.launching import ThroughTor
    from troth.report.atomic import numbered
    from troth.report.folder import is_empty
    from troth.report.page import write_report
    from troth.report.progress import QuietProgress, live_progress

    progress = QuietProgress() if quiet else live_progress()
    if file is None:
        assert resume is not None
        folder, run = resume, partial(launches.resume, resume, progress)
    else:
        loaded = load_scenario(file, overrides=changes)
        place = into or Path("runs") / loaded.scenario.charter.name
        # The name that the run's folder will get, unless somebody else takes it just now.
        folder = next(free for free in numbered(place) if not free.exists() or is_empty(free))
        launched = launches.Launch(loaded, progress, ThroughTor(tor_config) if tor else None)
        run = partial(launched.run, folder)
    try:
        folder = run()
    except KeyboardInterrupt as stop:
        raise interrupted(stop, folder, verb="launch") from None
    page = write_report([folder])
    show_run(folder, format)
    if not quiet:
        talk(f"report: {page}")
