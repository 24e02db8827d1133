"""`troth node` runs one node of a real run."""

from __future__ import annotations

import re
from pathlib import Path

import click

from troth.cli.nodes import (
    give_up_option,
    leash_option,
    parse_listen,
    patience_s,
    progress_of,
    show,
)
from troth.cli.verb import FILE, Format, Verb, format_option, set_option
from troth.errors import UsageError


@click.command(cls=Verb)
@click.option("--scenario", "file", type=FILE, required=True, help="The file that all nodes have.")
@click.option(
    "--as", "name", required=True, metavar="NODE", help="Which node this is: server, party-03."
)
@click.option("--identity", type=FILE, required=True, help="Made with: troth identity new FILE.")
@click.option(
    "--peers",
    type=FILE,
    required=True,
    help="The public id of every node it speaks to, in TOML; without a server also where they are.",
)
@click.option("--listen", metavar="HOST:PORT", help="Where a server, or a peer, waits for others.")
@click.option("--connect", metavar="URL", help="Where the server is: https://HOST:PORT.")
@click.option("--secret", type=FILE, help="A peer's own, made with: troth genesis entry.")
@click.option("--genesis", type=FILE, help="Of all peers, made with: troth genesis build.")
@click.option(
    "--chain", type=FILE, help="A chain to begin with: a copy of another peer's chain.sqlite."
)
@click.option(
    "--trust",
    metavar="HASH",
    help="Take that chain on trust up to the block of this hash, which somebody you trust named.",
)
@set_option
@click.option(
    "--into",
    type=FILE,
    metavar="FOLDER",
    help="Where the node keeps its run and its journal; one that is there is gone on with.  "
    "[default: runs/NAME.NODE]",
)
@give_up_option
@click.option(
    "--patience",
    type=click.FloatRange(min=0.0),
    default=4.0,
    show_default=True,
    help="How much longer than usual a round waits for answers, in mean deviations; never less "
    "than the protocol's deadline.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@leash_option
@format_option
def node(
    file: Path,
    name: str,
    identity: Path,
    peers: Path,
    listen: str | None,
    connect: str | None,
    secret: Path | None,
    genesis: Path | None,
    chain: Path | None,
    trust: str | None,
    changes: tuple[str, ...],
    into: Path | None,
    give_up_after: float | None,
    patience: float,
    quiet: bool,
    format: Format,
) -> None:
    """Run one node of a scenario, over TLS.

    The server listens and every other node connects to it; nothing connects to a party. In a
    protocol without a server every peer listens, and connects to those whose names are smaller. A
    node that was stopped or killed goes on when it is started again with the same --into. With
    --format json, events are printed as they happen, one JSON object a line.

    A peer that comes late or has lost its disk takes --chain, which is checked as peers check
    blocks. With --trust, whoever named the hash can have made up everything up to it.
    """
    if (listen is None) == (connect is None):
        raise UsageError(
            "a node needs either --listen or --connect",
            hint="--listen HOST:PORT for the server, --connect https://HOST:PORT for others",
        )
    if (secret is None) != (genesis is None):
        raise UsageError(
            f"--{'genesis' if secret is None else 'secret'} needs --"
            f"{'secret' if secret is None else 'genesis'} beside it",
            hint="a peer of a ledger takes both, and no other node takes either",
        )
    if chain is not None and genesis is None:
        raise UsageError(
            "--chain needs --secret and --genesis beside it", hint="only a peer of a ledger has one"
        )
    trusted = None if trust is None else _hash(trust)
    if trusted is not None and chain is None:
        raise UsageError(
            "--trust needs --chain beside it", hint="give the chain file that the hash is of"
        )
    from dataclasses import replace

    from troth.charter.loading import load_scenario
    from troth.crypto.identity import Identity
    from troth.deployment.bringing import NodeFiles
    from troth.deployment.events import Event
    from troth.deployment.node import play
    from troth.ids import NodeId
    from troth.worlds.real.limits import Limits
    from troth.worlds.real.node import Connect, Listen
    from troth.worlds.real.peers import node_url, read_addresses, read_peers

    where = (
        Connect(node_url(connect, "--connect"))
        if connect is not None
        else parse_listen(str(listen))
    )
    who, pinned = Identity.load(identity), read_peers(peers)
    loaded = load_scenario(file, overrides=changes)
    progress, events = progress_of(format, quiet)
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
        addresses=read_addresses(peers),
        files=None
        if secret is None or genesis is None
        else NodeFiles(secret, genesis, chain, trusted),
        limits=Limits(unreachable_s=patience_s(give_up_after), patience=patience),
    )
    if events is None:
        show(result.folder)


def _hash(text: str) -> bytes:
    if re.fullmatch("[0-9a-fA-F]{64}", text) is None:
        raise UsageError(
            f"--trust={text[:80]!r} is not the hash of a block, 64 hexadecimal digits",
            hint="troth chain show FILE --format json prints them in full",
        )
    return bytes.fromhex(text)
