"""`troth new` writes the files of a first scenario."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from troth.cli.verb import FILE, Verb, talk


@click.command(cls=Verb)
@click.argument("folder", type=FILE)
def new(folder: Path) -> None:
    """Write a charter, a scenario and a task to begin with.

    They come to lie in FOLDER, run as they are, and the charter is named after the folder.
    """
    from troth.charter.scaffold import scaffold

    written = scaffold(folder, folder.resolve().name.lower().replace(" ", "-"))
    for path in written:
        click.echo(path)
    talk(f"next: troth simulate {shlex.quote(str(folder / 'scenario.toml'))}")
