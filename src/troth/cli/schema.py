"""`troth schema` prints the JSON schema of scenario files."""

from __future__ import annotations

import json

import click

from troth.cli.verb import Verb


@click.command(cls=Verb)
def schema() -> None:
    """Print the JSON Schema of a scenario file.

    Editors use it to complete and to check: troth schema > scenario.schema.json
    """
    from troth.charter.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
