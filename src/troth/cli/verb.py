"""What all verbs have in common: how they fail, and the options that several take."""

from __future__ import annotations

import errno
import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import click

from troth.cli.failure import failure_of
from troth.errors import LocalError

Format: TypeAlias = Literal["text", "json"]


class Verb(click.Command):
    """A command that ends in its result, or in a `Failure` and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; an error ends it with a message and the documented exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            # The first two are how click ends a command; a closed pipe it handles itself.
            raise
        except BaseException as error:
            # An interrupt, or what code of the user's own raises to leave: nothing else says why.
            failure = failure_of(error)
            if failure.unexpected and os.environ.get("TROTH_TRACEBACK"):
                raise
        failure.say(as_json=ctx.params.get("format") == "json")
        return ctx.exit(failure.exit_code)


class Verbs(click.Group):
    """A group of verbs, listed in the order they were added in."""

    command_class = Verb
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of the commands, in the order they were added in."""
        return list(self.commands)


FILE = click.Path(path_type=Path)
"""A path that the verb itself opens, so that its errors read like all others."""


format_option = click.option(
    "--format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Of the result on standard output, and of an error on standard error.",
)
"""Gives a command the option `--format`, which is `text` or `json`."""

set_option = click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a key of the scenario: training.rounds=5. May be given several times.",
)
"""`--set key=value`, as `changes`."""


def show_run(folder: Path, format: Format) -> None:
    """Print what came of the run that is kept in `folder`, if there is still a terminal: without
    one it has ended as well."""
    from troth.report.read import load_run
    from troth.report.table import summary_json, summary_table

    run = load_run(folder)
    try:
        click.echo(summary_json(run) if format == "json" else summary_table(run))
    except OSError as error:
        if error.errno != errno.EIO:
            raise


def talk(text: str) -> None:
    """Say something that is not the result, where there is somebody to hear it."""
    with suppress(OSError, ValueError):  # closed, full, or nobody reads it
        click.echo(text, err=True)


def interrupted(stop: KeyboardInterrupt, folder: Path, *, verb: str) -> KeyboardInterrupt:
    """The interrupt, with a note on how to go on with the run in `folder` where that can be done.

    Args:
      verb: the one that goes on with it by its option `--resume`.
    """
    from troth.report.read import load_run

    try:
        unfinished = load_run(folder).summary.status != "finished"
    except LocalError:
        return stop
    if unfinished:
        stop.add_note(f"go on with: troth {verb} --resume {shlex.quote(str(folder))}")
    return stop
