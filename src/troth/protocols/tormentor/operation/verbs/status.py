"""`troth status` asks a broker how a model is doing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from troth.cli.nodes import give_up_option, patience_s, reach_of, reach_options
from troth.cli.verb import Format, Verb, format_option


@click.command(cls=Verb)
@click.argument("address")
@give_up_option
@reach_options
@format_option
def status(
    address: str,
    give_up_after: float | None,
    tor: bool,
    tor_config: Path | None,
    tor_socks: str | None,
    tor_key: Path | None,
    format: Format,
) -> None:
    """Ask a broker how far the training of a model is.

    ADDRESS is what the broker, or the curator, prints for providers.
    """
    import msgspec

    from troth.protocols.tormentor.messages import Progress
    from troth.protocols.tormentor.operation.face import fetch_status
    from troth.worlds.real.api.address import parse_address
    from troth.worlds.real.limits import Limits

    broker = parse_address(address)
    limits = Limits(unreachable_s=patience_s(give_up_after, by_tor=tor or tor_socks is not None))

    async def ask(folder: Path) -> Progress:
        async with reach_of(tor, tor_config, tor_socks, tor_key, folder)(broker) as socks:
            return await fetch_status(broker, socks=socks, limits=limits)

    with TemporaryDirectory() as folder:
        progress = asyncio.run(ask(Path(folder) / "tor"))
    said = {name: getattr(progress, name) for name in Progress.__struct_fields__}
    if format == "json":
        click.echo(msgspec.json.encode(said).decode())
        return
    for name, value in said.items():
        click.echo(f"{name:<14} {value:,}")
