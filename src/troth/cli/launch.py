"""`troth launch` runs each node of a scenario as a process of this machine."""

from __future__ import annotations

from pathlib import Path

import click

from troth.cli.nodes import tor_options
from troth.cli.verb import FILE, Format, Verb, format_option, set_option, show_run, talk
from troth.errors import UsageError


@click.command(cls=Verb)
@click.argument("file", type=FILE)
@set_option
@click.option(
    "--into",
    type=FILE,
    metavar="FOLDER",
    help="Where the run is kept; a taken name gets a number.  [default: runs/NAME]",
)
@tor_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
@format_option
def launch(
    file: Path,
    changes: tuple[str, ...],
    into: Path | None,
    tor: bool,
    tor_config: Path | None,
    quiet: bool,
    format: Format,
) -> None:
    """Run all nodes of a scenario here, over TLS.

    Every node of the scenario in FILE gets a process of its own on this machine. What is left is as
    after a simulation, with a folder for every node in it. The scenario's network, churn and faults
    are for simulations: here they are those of this machine. With --tor, a broker is an onion
    service, and its curator and providers share another tor.
    """
    from troth.charter.loading import load_scenario
    from troth.deployment.launch import Launch
    from troth.deployment.launching import ThroughTor
    from troth.report.page import write_report
    from troth.report.progress import QuietProgress, live_progress

    if tor_config is not None and not tor:
        raise UsageError("--tor-config says how --tor works", hint="add --tor")
    loaded = load_scenario(file, overrides=changes)
    progress = QuietProgress() if quiet else live_progress()
    launched = Launch(loaded, file, changes, progress, ThroughTor(tor_config) if tor else None)
    folder = launched.run(into or Path("runs") / loaded.scenario.charter.name)
    page = write_report([folder])
    show_run(folder, format)
    if not quiet:
        talk(f"report: {page}")
