"""`troth` itself: its verbs, and the way in and out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import FrameType
from typing import NoReturn

import click

from troth import protocols
from troth.cli.check import check
from troth.cli.data import data
from troth.cli.failure import from_click
from troth.cli.identity import identity
from troth.cli.launch import launch
from troth.cli.new import new
from troth.cli.node import node
from troth.cli.report import report
from troth.cli.reproduce import reproduce
from troth.cli.schema import schema
from troth.cli.simulate import simulate
from troth.cli.verb import Verbs
from troth.errors import ExitCode


def verbs_of_protocols() -> Iterator[click.Command]:
    """The commands that protocols bring: module NAME in `protocols/*/operation/verbs/` has NAME.

    They are found by their place and not by the protocols' records, which come with tables that
    load too slowly for a help text.
    """
    for package in iter_modules(protocols.__path__, f"{protocols.__name__}."):
        place = f"{package.name}.operation"
        if package.ispkg and find_spec(place) is not None and find_spec(f"{place}.verbs"):
            for found in iter_modules(import_module(f"{place}.verbs").__path__):
                yield getattr(import_module(f"{place}.verbs.{found.name}"), found.name)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="troth", message="troth %(version)s")
def troth() -> None:
    """Parties that do not trust one another train one model together.

    Start with:  troth new my-task  and  troth simulate my-task/scenario.toml
    """


for verb in (simulate, check, report, reproduce, data, new, schema, launch, node, identity):
    troth.add_command(verb)
for brought in verbs_of_protocols():
    troth.add_command(brought)


def main() -> NoReturn:
    """Runs the `troth` command and ends the process with its exit code."""
    heed_signals()
    sys.exit(run())


def heed_signals() -> None:
    """From here on SIGTERM and SIGHUP end a command as Ctrl-C does, also in process 1 of a
    container, which the kernel spares whatever it has not asked for. Who was started with SIGHUP
    ignored (nohup) goes on ignoring it."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _as_interrupt)
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _as_interrupt(_: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    # A shell starts what is in the background with SIGINT ignored; that is no reason to stay.
    (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (absent: this process's), and give its exit code."""
    try:
        code = troth.main(arguments, prog_name="troth", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        failure = from_click(error)
        failure.say(as_json=False)
        return failure.exit_code
    return code if isinstance(code, int) else ExitCode.OK
