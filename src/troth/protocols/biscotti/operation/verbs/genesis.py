"""`troth genesis`: the verbs by which peers make and check what they agree on before the first
round of a ledger."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from troth.cli.columns import columns
from troth.cli.verb import FILE, Format, Verbs, format_option, set_option, talk

if TYPE_CHECKING:
    from troth.protocols.biscotti.ledger.genesis import CheckedGenesis
    from troth.protocols.biscotti.operation.founding import Terms


@click.group(cls=Verbs)
def genesis() -> None:
    """Make and check the genesis that a run of peers stands on.

    Each peer makes its entry and gives it to everybody. Anybody builds the
    genesis of all entries. Each peer checks it, and compares the chain's id
    with the others, by telephone for example.

    SCENARIO is the file that all of them have.
    """


@genesis.command()
@click.argument("scenario", type=FILE)
@click.option("--name", required=True, metavar="PARTY", help="Which party this is: party-03.")
@click.option(
    "--secret",
    type=FILE,
    required=True,
    help="The party's secret; made where there is none. A secret is for one run.",
)
@click.option("--into", type=FILE, required=True, metavar="FILE", help="The entry, for everybody.")
@set_option
def entry(scenario: Path, name: str, secret: Path, into: Path, changes: tuple[str, ...]) -> None:
    """Make a party's entry: public keys, and what binds its noise.

    The noise takes some milliseconds for each parameter, round and slot, and is kept beside the
    secret.
    """
    from troth.charter.loading import load_scenario
    from troth.ids import NodeId
    from troth.protocols.biscotti.ledger.genesis import write_public_file
    from troth.protocols.biscotti.operation.founding import make_own, terms_of

    terms = terms_of(load_scenario(scenario, overrides=changes))

    def progress(done: int, slots: int) -> None:
        talk(f"noise: {done:,} of {slots:,} slots")

    own = make_own(terms, NodeId(name), secret, progress=progress)
    write_public_file(into, own.entry)
    click.echo(own.entry.signing.hex())
    talk(f"charter: {terms.charter}")
    talk(f"keep {quote(str(secret))} to yourself, and give {quote(str(into))} to everybody")
    talk(f"next: troth genesis build {quote(str(scenario))} ENTRY... --into genesis.bin")


@genesis.command()
@click.argument("scenario", type=FILE)
@click.argument("entries", type=FILE, nargs=-1, required=True)
@click.option("--into", type=FILE, required=True, metavar="FILE", help="The genesis.")
@set_option
def build(scenario: Path, entries: tuple[Path, ...], into: Path, changes: tuple[str, ...]) -> None:
    """Build the genesis of all ENTRIES, and print the chain's id.

    Whoever does it makes the same file. It is trusted with nothing: each party checks what it made.
    """
    from troth.charter.loading import load_scenario
    from troth.protocols.biscotti.ledger.genesis import read_public_file
    from troth.protocols.biscotti.operation.founding import build as build_genesis
    from troth.protocols.biscotti.operation.founding import missing, terms_of, write_genesis_file

    terms = terms_of(load_scenario(scenario, overrides=changes))
    built = build_genesis(terms, [read_public_file(path) for path in entries])
    write_genesis_file(into, built)
    click.echo(built.id.hex())
    left_out = missing(terms, built)
    if left_out:
        talk(f"without {', '.join(left_out)}")
    talk(f"next: troth genesis check {quote(str(into))} {quote(str(scenario))}")


@genesis.command()
@click.argument("file", type=FILE)
@click.argument("scenario", type=FILE)
@click.option("--name", metavar="PARTY", help="Which party this is.")
@click.option("--secret", type=FILE, help="Its secret.")
@set_option
@format_option
def check(
    file: Path,
    scenario: Path,
    name: str | None,
    secret: Path | None,
    changes: tuple[str, ...],
    format: Format,
) -> None:
    """Check the genesis in FILE, and print the chain's id.

    Everything in it is compared with what follows from SCENARIO; with --name and --secret, one's
    own entry with what one has published. Exit code 7 where something is not as it should be.
    """
    from troth.charter.loading import load_scenario
    from troth.errors import UsageError
    from troth.ids import NodeId
    from troth.protocols.biscotti.operation.founding import check as check_genesis
    from troth.protocols.biscotti.operation.founding import read_genesis_file, read_own, terms_of

    if (name is None) != (secret is None):
        raise UsageError(
            "--name and --secret go together", hint="give both, or neither to check for others"
        )
    terms = terms_of(load_scenario(scenario, overrides=changes))
    found = read_genesis_file(file)
    own = None
    if name is not None and secret is not None:
        own = read_own(terms, NodeId(name), secret).entry
    check_genesis(terms, found, own)
    _say(terms, found, format)
    if own is None:
        talk("nobody's own entry was compared: give --name and --secret")
    talk("compare the id with the other parties before you start")


def _say(terms: Terms, found: CheckedGenesis, format: Format) -> None:
    from troth.protocols.biscotti.operation.founding import missing, notes_of

    content, notes = found.content, notes_of(terms, found)
    if format == "json":
        said = {
            "id": found.id.hex(),
            "charter": content.charter,
            "stake": found.stake(),
            "missing": missing(terms, found),
            "notes": notes,
        }
        click.echo(json.dumps(said, indent=2))
        return
    rows = [
        ("id", found.id.hex()),
        ("charter", content.charter),
        ("rounds", f"{content.rounds:,}"),
        ("parameters", f"{content.dimension:,}"),
    ]
    stake = found.stake()
    rows += [("peer", f"{peer}, stake {stake[peer]:,}") for peer in content.names()]
    rows += [("left out", party) for party in missing(terms, found)]
    rows += [("note", note) for note in notes]
    click.echo(columns(rows))
