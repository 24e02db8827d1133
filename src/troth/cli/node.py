"""`troth node`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from troth.cli.verb import FILE, Format, Verb, format_option, set_option, talk
from troth.errors import UsageError

if TYPE_CHECKING:
    from troth.worlds.real.node import Connect, Listen

MAX_PORT = 65535


@click.command(cls=Verb)
@click.option("--scenario", "file", type=FILE, required=True, help="The file that all nodes have.")
@click.option(
    "--as", "name", required=True, metavar="NODE", help="Which node this is: server, party-03."
)
@click.option("--identity", type=FILE, required=True, help="Made with: troth identity new FILE.")
@click.option(
    "--peers", type=FILE, required=True, help="The public id of every node it speaks to, in TOML."
)
@click.option("--listen", metavar="HOST:PORT", help="Where the server waits for the others.")
@click.option("--connect", metavar="URL", help="Where the server is: https://HOST:PORT.")
@set_option
@click.option(
    "--into",
    type=FILE,
    metavar="FOLDER",
    help="Where the node keeps its run and its journal; one that is there is gone on with.  "
    "[default: runs/NAME.NODE]",
)
@click.option(
    "--give-up-after",
    type=click.FloatRange(min=1.0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for nodes that are not heard of at all.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0.0),
    default=4.0,
    show_default=True,
    help="How much longer than usual a round waits for answers, in mean deviations; never less "
    "than the protocol's deadline.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--leash", is_flag=True, hidden=True, help="Stop when standard input ends.")
@format_option
def node(
    file: Path,
    name: str,
    identity: Path,
    peers: Path,
    listen: str | None,
    connect: str | None,
    changes: tuple[str, ...],
    into: Path | None,
    give_up_after: float,
    patience: float,
    quiet: bool,
    leash: bool,
    format: Format,
) -> None:
    """Run one node of a scenario, over TLS.

    The server listens and every other node connects to it; nothing connects to a party. A node that
    was stopped or killed goes on when it is started again with the same --into. With --format json,
    events are printed as they happen, one JSON object a line.
    """
    if (listen is None) == (connect is None):
        raise UsageError(
            "a node needs either --listen or --connect",
            hint="--listen HOST:PORT for the server, --connect https://HOST:PORT for others",
        )
    where = _connect(connect) if connect is not None else _listen(str(listen))
    if leash:
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    from dataclasses import replace

    from troth.charter.loading import load_scenario
    from troth.crypto.identity import Identity
    from troth.deployment.events import Event, EventProgress
    from troth.deployment.node import play
    from troth.ids import NodeId
    from troth.report.progress import QuietProgress, live_progress
    from troth.report.read import load_run
    from troth.report.table import summary_table
    from troth.worlds.real.limits import Limits
    from troth.worlds.real.node import Listen
    from troth.worlds.real.peers import read_peers

    who, pinned = Identity.load(identity), read_peers(peers)
    loaded = load_scenario(file, overrides=changes)
    events = EventProgress(sys.stdout) if format == "json" else None
    progress = events or (QuietProgress() if quiet else live_progress())
    if isinstance(where, Listen):
        host = f"[{where.address}]" if ":" in where.address else where.address

        def opened(port: int) -> None:
            url = f"https://{host}:{port}"
            if events is not None:
                events.write(Event(listening=url))
            else:
                progress.message(f"{name} listens at {url}")

        where = replace(where, opened=opened)
    result = play(
        loaded,
        NodeId(name),
        who,
        pinned,
        where,
        into=into or Path("runs") / f"{loaded.scenario.charter.name}.{name}",
        progress=progress,
        limits=Limits(unreachable_s=give_up_after, patience=patience),
    )
    if events is None:
        click.echo(summary_table(load_run(result.folder)))
        talk(f"folder: {result.folder}")


def _listen(text: str) -> Listen:
    from troth.worlds.real.node import Listen

    address, _, port = text.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not address or not port.isascii() or not port.isdigit() or int(port[:6]) > MAX_PORT:
        raise UsageError(
            f"--listen {text} is not of the form HOST:PORT",
            hint="0.0.0.0:8443 listens at every address of this machine",
        )
    return Listen(address, int(port))


def _connect(url: str) -> Connect:
    from troth.worlds.real.node import Connect

    return Connect(url)


def _stop_at_end_of_input() -> None:
    # Not through `sys.stdin`, whose lock this thread would hold when the process ends.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)
