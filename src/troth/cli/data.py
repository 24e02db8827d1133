"""`troth data`: which data sets there are, and whether they are here."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from troth.cli.columns import columns
from troth.cli.verb import Format, Verbs, format_option, talk


@click.group(cls=Verbs)
def data() -> None:
    """List, check and fetch data sets.

    Some come with scikit-learn. The others are looked for in the folder that the environment
    variable TROTH_DATA names.
    """


@data.command("list")
@format_option
def list_(format: Format) -> None:
    """List the data sets that troth knows, and whether they are here."""
    from troth.data import catalogue
    from troth.data.root import data_root

    root = data_root()
    entries = catalogue.list_sets(root)
    if format == "json":
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    head = ("name", "task", "rows", "features", "classes", "status", "source", "licence")
    rows = [
        (
            entry.name,
            entry.task,
            f"{entry.rows:,}",
            f"{entry.features:,}",
            str(entry.classes or ""),
            entry.status,
            entry.source,
            entry.licence,
        )
        for entry in entries
    ]
    click.echo(columns([head, *rows], right=(2, 3, 4)))
    if root is None:
        talk("TROTH_DATA is not set; what is missing is looked for in the folder that it names")
    for entry in entries:
        if root is not None and entry.problem is not None:
            talk(f"{entry.status}: {entry.problem}")


@data.command()
@click.argument("name", required=False)
def check(name: str | None) -> None:
    """Compare the files of a data set with their checksums.

    Without NAME, those of every data set that is here.
    """
    from troth.data import catalogue
    from troth.data.root import data_root

    root = data_root()
    here = [entry.name for entry in catalogue.list_sets(root) if entry.status != "missing"]
    for each in [name] if name is not None else here:
        files = catalogue.check(each, root)
        click.echo(f"{each}: sound" + "".join(f"\n  {file}" for file in files))


@data.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Get a data set from OpenML into the folder that TROTH_DATA names."""
    from troth.data import catalogue
    from troth.data.root import data_root

    root = data_root()
    written = catalogue.fetch(name, root)
    for file in written or catalogue.check(name, root):
        click.echo(file)
    talk(f"{name}: fetched" if written else f"{name}: is here already")
