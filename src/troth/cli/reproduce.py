"""`troth reproduce`: the experiments of the papers, paper and measured side by side."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from troth.cli.columns import columns
from troth.cli.verb import FILE, Format, Verb, format_option, talk
from troth.errors import UsageError

if TYPE_CHECKING:
    from troth.reproduction.results import Results

WIDTH = 100
"""Columns to which paragraphs are wrapped."""


@click.command(cls=Verb)
@click.argument("name", required=False)
@click.option("--only", metavar="VARIANT", multiple=True, help="Run this variant. May be repeated.")
@click.option("--again", is_flag=True, help="Run variants that have finished, too.")
@click.option(
    "--into", type=FILE, metavar="FOLDER", help="Where it is kept.  [default: runs/reproduce/NAME]"
)
@click.option(
    "--experiments",
    type=FILE,
    metavar="FOLDER",
    default="experiments",
    show_default=True,
    help="Where the experiments' files are: PAPER/NAME.toml.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Variants that run side by side.  [default: one per core]",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@format_option
def reproduce(
    name: str | None,
    only: tuple[str, ...],
    again: bool,
    into: Path | None,
    experiments: Path,
    jobs: int | None,
    quiet: bool,
    format: Format,
) -> None:
    """Run an experiment of a paper, and compare the two.

    What the paper says and what was measured are shown side by side. Without NAME, the experiments
    there are are listed. Every variant of an experiment is kept, as an ordinary run unless it is a
    computation; what has finished is not run again.
    """
    from troth.reproduction.loading import list_experiments, load_experiment, read_experiment

    if name is None:
        if only or again or into is not None:
            raise UsageError("no experiment is named", hint="troth reproduce lists what there is")
        found = {each: read_experiment(each, experiments) for each in list_experiments(experiments)}
        if format == "json":
            entries = [
                {"name": each, "title": experiment.title, "source": experiment.source}
                for each, experiment in found.items()
            ]
            click.echo(json.dumps(entries, indent=2))
        elif found:
            rows = [(each, e.title, e.source) for each, e in found.items()]
            click.echo(columns([("name", "title", "source"), *rows]))
        return
    from troth.records import pretty_json
    from troth.report.progress import QuietProgress, live_progress
    from troth.reproduction.reproduce import reproduce as run

    done = run(
        load_experiment(name, experiments),
        into or Path("runs") / "reproduce" / name,
        only=only,
        again=again,
        jobs=jobs or os.cpu_count() or 1,
        progress=QuietProgress() if quiet else live_progress(),
    )
    click.echo(pretty_json(done.results).decode() if format == "json" else _text(done.results))
    if not quiet:
        talk(f"plot: {done.plot}")
        talk(f"report: {done.page}")


def _text(results: Results) -> str:
    parts = [f"{results.title} ({results.source})", _filled(results.about), _table(results)]
    if results.statements:
        parts += [
            f"paper: {_filled(said.paper, 7)}\nhere:  {_filled(said.here, 7)}"
            for said in results.statements
        ]
    parts.append(f"where it differs:\n{_filled(results.differences)}")
    return "\n\n".join(parts)


def _table(results: Results) -> str:
    from troth.reproduction.tables import ratios_table, readings_table

    head, rows = readings_table(results)
    lines = [
        [row.label, *(cell.text for cell in cells)]
        for row, cells in zip(results.rows, rows, strict=True)
    ]
    text = columns([["", *head], *lines], right=range(1, len(head) + 1))
    if not results.ratios:
        return text
    ratios = [(label, *(cell.text for cell in cells)) for label, cells in ratios_table(results)]
    return f"{text}\n\n{columns([('', 'paper', 'measured'), *ratios], right=(1, 2))}"


def _filled(text: str, indent: int = 0) -> str:
    """Paragraphs, wrapped; lines after the first begin `indent` columns in."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    filled = [
        textwrap.fill(paragraph, WIDTH - indent, subsequent_indent=" " * indent)
        for paragraph in paragraphs
    ]
    return "\n\n".join(filled)
