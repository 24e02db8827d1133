"""`troth join` takes part in the training of a model at a broker."""

from __future__ import annotations

from pathlib import Path

import click

from troth.cli.nodes import (
    give_up_option,
    leash_option,
    patience_s,
    progress_of,
    reach_of,
    reach_options,
    show,
)
from troth.cli.verb import FILE, Format, Verb, format_option, set_option
from troth.errors import UsageError


@click.command(cls=Verb)
@click.argument("address")
@click.option(
    "--data", type=FILE, metavar="ROWS", help="A CSV, Parquet or NPZ file, as the charter wants it."
)
@click.option(
    "--scenario", "file", type=FILE, help="Instead: take the rows that this scenario deals ..."
)
@click.option("--as", "name", metavar="PARTY", help="... to this party: party-3.")
@click.option(
    "--privacy",
    type=FILE,
    help="A TOML table with the noise to add and the budget: see docs/privacy.md.  [default: none]",
)
@click.option("--identity", type=FILE, help="The key on the charter's allow list, if it has one.")
@click.option(
    "--code",
    type=FILE,
    metavar="FOLDER",
    help="Modules that the charter may name; it runs what it names.  [default: it may name none]",
)
@set_option
@click.option(
    "--into",
    type=FILE,
    metavar="FOLDER",
    help="Where the provider keeps its journal; one that is there is gone on with.  "
    "[default: runs/provider]",
)
@give_up_option
@reach_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
@leash_option
@format_option
def join(
    address: str,
    data: Path | None,
    file: Path | None,
    name: str | None,
    privacy: Path | None,
    identity: Path | None,
    code: Path | None,
    changes: tuple[str, ...],
    into: Path | None,
    give_up_after: float | None,
    tor: bool,
    tor_config: Path | None,
    tor_socks: str | None,
    tor_key: Path | None,
    quiet: bool,
    format: Format,
) -> None:
    """Take part in the training of a model with rows of your own.

    ADDRESS is what the broker, or the curator, prints for providers. The rows never leave this
    machine; updates do, with the noise that --privacy asks for. One that was stopped or killed goes
    on when it is started again with the same --into.
    """
    from troth.charter.loading import load_scenario
    from troth.charter.own_privacy import read_own_privacy
    from troth.crypto.identity import Identity
    from troth.ids import NodeId, PartyId
    from troth.privacy.spec import NoPrivacy
    from troth.protocols.tormentor.operation.asking import PROVIDER, ProviderOptions, run_provider
    from troth.worlds.real.api.address import parse_address
    from troth.worlds.real.limits import Limits
    from troth.worlds.real.rows import rows_of_file, rows_of_scenario

    broker = parse_address(address)
    if broker.model_id is None:
        raise UsageError(
            f"{address} names no model", hint="a broker prints the address with it once it has one"
        )
    if (data is None) == (file is None) or (file is None) != (name is None):
        raise UsageError(
            "a provider needs either --data, or --scenario and --as",
            hint="--data rows.csv for rows of your own",
        )
    own = NoPrivacy() if privacy is None else read_own_privacy(privacy)
    party = PROVIDER
    if file is not None and name is not None:
        loaded = load_scenario(file, overrides=changes)
        party = PartyId(NodeId(name))
        rows = rows_of_scenario(loaded, party)
        if privacy is None:
            own = loaded.scenario.parties.privacy
    place = into or Path("runs/provider")
    options = ProviderOptions(
        place,
        party,
        None if identity is None else Identity.load(identity),
        own,
        code,
    )
    progress, events = progress_of(format, quiet)
    result = run_provider(
        broker,
        lambda charter: rows if data is None else rows_of_file(charter, data),
        options,
        progress=progress,
        limits=Limits(unreachable_s=patience_s(give_up_after, by_tor=tor or tor_socks is not None)),
        reach=reach_of(tor, tor_config, tor_socks, tor_key, place.with_name(f"{place.name}.tor")),
    )
    if events is None:
        show(result.folder)
