"""`troth broker` starts a broker that curators deploy models to and providers join."""

from __future__ import annotations

from pathlib import Path

import click

from troth.cli.nodes import (
    leash_option,
    parse_host,
    parse_listen,
    progress_of,
    show,
    tor_options,
)
from troth.cli.verb import FILE, Format, Verb, format_option
from troth.errors import UsageError


@click.command(cls=Verb)
@click.option("--identity", type=FILE, required=True, help="Made with: troth identity new FILE.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where to wait for curator and providers.  [default, and only choice, with --tor: "
    "127.0.0.1, any port]",
)
@click.option(
    "--address",
    "host",
    metavar="HOST[:PORT]",
    help="What others reach it by, where that is not what it listens at.",
)
@click.option(
    "--curator",
    "curators",
    metavar="PUBLIC_ID",
    multiple=True,
    help="Deploy this curator's charter only. May be given several times.  [default: anybody's]",
)
@click.option(
    "--code",
    type=FILE,
    metavar="FOLDER",
    help="Modules that a charter may name; it runs what it names.  [default: it may name none]",
)
@click.option(
    "--into",
    type=FILE,
    metavar="FOLDER",
    default=Path("runs/broker"),
    show_default=True,
    help="Where the broker keeps its model and journal; one that is there is gone on with.",
)
@click.option(
    "--linger",
    type=click.FloatRange(min=0.0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to stay, at most, until all providers have heard that the training is over.",
)
@click.option(
    "--tell-after",
    type=click.FloatRange(min=1.0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Say what the training waits for when nothing has come of it for so long.",
)
@tor_options
@click.option(
    "--tor-client",
    "clients",
    metavar="KEY",
    multiple=True,
    help="With --tor: only who has this client key, or another one given, can connect.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@leash_option
@format_option
def broker(
    identity: Path,
    listen: str | None,
    host: str | None,
    curators: tuple[str, ...],
    code: Path | None,
    into: Path,
    linger: float,
    tell_after: float,
    tor: bool,
    tor_config: Path | None,
    clients: tuple[str, ...],
    quiet: bool,
    format: Format,
) -> None:
    """Run a broker for one model, over TLS.

    It prints its address, waits for a curator's charter, lets in providers that solve its puzzles,
    trains the model, hands it over and ends. One that was stopped or killed goes on when it is
    started again with the same --into.
    """
    from troth.crypto.identity import Identity, PublicId, parse_public_id
    from troth.deployment.publication import Told, as_onion, at_host
    from troth.protocols.tormentor.operation.serving import BrokerOptions, run_broker
    from troth.worlds.real.tor.authorisation import parse_client_public_key

    for curator in curators:
        if parse_public_id(curator) is None:
            raise UsageError(
                f"--curator {curator} is not a public id of 64 hexadecimal digits",
                hint="troth identity show FILE prints it",
            )
    who = Identity.load(identity)
    if tor:
        if listen is not None or host is not None:
            raise UsageError(
                "with --tor a broker is reached at its onion address only",
                hint="leave --listen and --address out",
            )
        where = parse_listen("127.0.0.1:0")
        keys = [parse_client_public_key(client) for client in clients]
        folder = into.with_name(f"{into.name}.tor")
        publish = as_onion(who.public, folder, clients=keys, config=tor_config)
    else:
        if tor_config is not None or clients:
            raise UsageError("--tor-config and --tor-client say how --tor works", hint="add --tor")
        if listen is None:
            raise UsageError("a broker needs --listen, or --tor", hint="--listen 0.0.0.0:8443, say")
        where = parse_listen(listen)
        name, port = (where.address, None) if host is None else parse_host(host)
        publish = at_host(who.public, name, port)
    progress, events = progress_of(format, quiet)
    result = run_broker(
        who,
        where,
        BrokerOptions(
            into, tuple(PublicId(curator) for curator in curators), code, linger, tell_after
        ),
        publish,
        told=Told(progress, events),
        progress=progress,
    )
    if events is None:
        show(result.folder)
