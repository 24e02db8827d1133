"""`troth report` shows runs, and compares them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from troth.cli.verb import FILE, Format, Verb, format_option, talk


@click.command(cls=Verb)
@click.argument("runs", metavar="RUN...", type=FILE, nargs=-1, required=True)
@click.option(
    "--output",
    type=FILE,
    metavar="FILE",
    help="The page to write.  [default: report.html in the run's folder; of several runs "
    "comparison.html beside the first]",
)
@format_option
def report(runs: tuple[Path, ...], output: Path | None, format: Format) -> None:
    """Write one page about one run or several.

    Every RUN is the folder of a run, which may be unfinished or still going on. Several are
    compared side by side. Their results are printed, too.
    """
    from troth.report.page import write_report
    from troth.report.read import load_run
    from troth.report.table import summary_json, summary_table

    loaded = [load_run(path) for path in runs]
    page = write_report(runs, output)
    if format == "json":
        results = [json.loads(summary_json(run)) for run in loaded]
        click.echo(json.dumps({"report": str(page), "runs": results}, indent=2))
    else:
        click.echo("\n\n".join(summary_table(run) for run in loaded))
    talk(f"report: {page}")
