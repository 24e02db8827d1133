"""`troth curate` deploys a model at a broker and watches it."""

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


@click.command(cls=Verb)
@click.argument("file", type=FILE)
@click.option(
    "--broker", metavar="ADDRESS", required=True, help="As the broker says it: https://..."
)
@click.option("--identity", type=FILE, required=True, help="Signs; made with: troth identity new.")
@click.option(
    "--validation",
    type=FILE,
    metavar="ROWS",
    help="A CSV, Parquet or NPZ file of rows to measure updates on; the broker is given them.  "
    "[default: those that the scenario in FILE keeps]",
)
@set_option
@click.option(
    "--into",
    type=FILE,
    metavar="FOLDER",
    help="Where the model is kept; a curation that is there is gone on with.  "
    "[default: runs/NAME.curator]",
)
@give_up_option
@reach_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
@leash_option
@format_option
def curate(
    file: Path,
    broker: str,
    identity: Path,
    validation: Path | None,
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
    """Have a broker train a model by the charter in FILE.

    The charter is signed and sent, with a validation set. Then it waits for the model. FILE is a
    charter, or a scenario that holds one.
    """
    from troth.charter.loading import load_charter, load_scenario
    from troth.crypto.identity import Identity
    from troth.protocols.tormentor.operation.asking import run_curator
    from troth.protocols.tormentor.operation.terms import of_scenario
    from troth.protocols.tormentor.protocol import CURATOR
    from troth.worlds.real.api.address import parse_address
    from troth.worlds.real.limits import Limits
    from troth.worlds.real.rows import rows_of_file, rows_of_scenario

    who, address = Identity.load(identity), parse_address(broker)
    if validation is None:
        loaded = load_scenario(file, overrides=changes)
        charter, rows = of_scenario(loaded.scenario), rows_of_scenario(loaded, CURATOR)
        base = loaded.base
    else:
        charter = load_charter(file, overrides=changes)
        rows = rows_of_file(charter, validation)
        base = file.parent
    progress, events = progress_of(format, quiet)
    place = into or Path("runs") / f"{charter.name}.curator"
    result = run_curator(
        charter,
        who,
        rows,
        address,
        base=base,
        into=place,
        progress=progress,
        limits=Limits(unreachable_s=patience_s(give_up_after, by_tor=tor or tor_socks is not None)),
        reach=reach_of(tor, tor_config, tor_socks, tor_key, place.with_name(f"{place.name}.tor")),
    )
    if events is None:
        show(result.folder)
