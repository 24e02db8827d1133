"""`troth chain`: the verbs that show, verify and export what a run's chain file holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from troth.cli.columns import columns
from troth.cli.verb import FILE, Format, Verbs, format_option, talk

if TYPE_CHECKING:
    from troth.protocols.biscotti.ledger.block import CertifiedBlock
    from troth.protocols.biscotti.ledger.genesis import CheckedGenesis
    from troth.protocols.biscotti.parameters import Biscotti
    from troth.protocols.protocol import CharterTables


@click.group(cls=Verbs)
def chain() -> None:
    """Show, verify and export the chain of a run.

    FILE is a chain.sqlite. All three verbs check it first, and end with exit
    code 7 at the first block that is wrong. They need nothing but the file.
    Only verify checks everything; the others check its structure.
    """


@chain.command()
@click.argument("file", type=FILE)
@click.option("--height", type=click.IntRange(min=0), help="One block in full; 0 is the genesis.")
@format_option
def show(file: Path, height: int | None, format: Format) -> None:
    """List the blocks of a chain, or show one as JSON."""
    from troth.chain.export import block_json, blocks_of, genesis_json
    from troth.chain.store import ChainFile
    from troth.errors import UsageError
    from troth.protocols.biscotti.ledger.kind import audit_structure

    with ChainFile(file) as opened:
        audit = audit_structure(opened)
        last = audit.tip.height
        if height is not None and height > last:
            raise UsageError(f"{file}: there is no block {height}; the last one is {last}")
        if height == 0:
            click.echo(json.dumps(genesis_json(audit.genesis), indent=2))
            return
        summaries = []
        for block in blocks_of(opened, audit):
            if height is None:
                summaries.append(_summary(audit.genesis, block))
            elif block.block.content.height == height:
                click.echo(json.dumps(block_json(audit, block), indent=2))
                return
    if format == "json":
        click.echo(json.dumps(summaries, indent=2))
        return
    names = ("height", "proposer", "updates", "verdicts", "signers", "evidence", "stake")
    rows = [(*(str(found[name]) for name in names), str(found["hash"])[:16]) for found in summaries]
    click.echo(columns([(*names, "hash"), *rows], right=(0, 2, 3, 4, 5, 6)))
    talk(f"next: troth chain show {quote(str(file))} --height {last}")


@chain.command()
@click.argument("file", type=FILE)
@click.option("--id", "id_", metavar="HEX", help="The chain must be this one.")
@click.option("--block", metavar="HEX", help="A block of this hash must be on the chain.")
@format_option
def verify(file: Path, id_: str | None, block: str | None, format: Format) -> None:
    """Replay a run from its chain file alone.

    Every block is checked as peers check it, and every slot of noise that was
    opened, of which each of them checks one a round.

    A file cannot show that its genesis is the right one, or that no block was
    cut off at its end: give what peers told you as --id and --block.
    """
    from troth.chain.audit import not_on_the_chain
    from troth.chain.store import ChainFile
    from troth.errors import VerificationError
    from troth.protocols.biscotti.ledger.replay import replay

    with ChainFile(file) as opened:
        audit = replay(opened, _read_charter)
    if id_ is not None and id_.lower() != audit.genesis.id.hex():
        raise VerificationError(f"{file}: genesis: is {audit.genesis.id.hex()}, not {id_}")
    if block is not None and block.lower() not in {found.hex() for found in audit.branch}:
        raise not_on_the_chain(file, block)
    run = audit.state
    doubles = [
        {
            "round": found.height,
            "blocks": [each.hex() for each in found.blocks],
            "peers": found.peers,
        }
        for found in audit.double_signatures
    ]
    result = {
        "id": audit.genesis.id.hex(),
        "height": audit.tip.height,
        "certified": audit.tip.certified,
        "hash": audit.tip.hash.hex(),
        "stake": run.head.state.stake.total,
        "blocks": audit.blocks,
        "branches": audit.branches,
        "opened_slots": run.opened,
        "bad_slots": [asdict(slot) for slot in run.bad_slots],
        "double_signatures": doubles,
    }
    if format == "json":
        click.echo(json.dumps(result, indent=2))
    else:
        del result["double_signatures"], result["bad_slots"]
        click.echo(columns([(name, str(value)) for name, value in result.items()]))
        for found in audit.double_signatures:
            click.echo(f"round {found.height}: {', '.join(found.peers)} signed two blocks")
        for slot in run.bad_slots:
            click.echo(
                f"round {slot.round}: slot {slot.slot} of {slot.noiser} is not the noise that it "
                "has committed to"
            )
    talk(
        "checked: genesis and charter, hashes, links, signatures, certificates, seeds, committees, "
        "verdicts, sums against commitments, models, stake, evidence, opened noise"
    )
    talk(
        "not checked, as no file shows it: that this is the chain of the peers that you mean, and "
        "that it ends here; compare id and hash with theirs"
    )


@chain.command()
@click.argument("file", type=FILE)
def export(file: Path) -> None:
    """Print a chain as JSON lines: the genesis, then every block."""
    from troth.chain.export import export_lines
    from troth.chain.store import ChainFile
    from troth.protocols.biscotti.ledger.kind import audit_structure

    with ChainFile(file) as opened:
        audit = audit_structure(opened)
        for line in export_lines(opened, audit):
            click.echo(line)


def _summary(genesis: CheckedGenesis, certified: CertifiedBlock) -> dict[str, object]:
    """What a table of blocks says of it; `stake` is how much stake there is more than before."""
    from troth.protocols.biscotti.ledger.link import signers_of

    block = certified.block.content
    return {
        "height": block.height,
        "proposer": block.proposer or "",
        "updates": len(block.contributions),
        "verdicts": len(block.verdicts),
        "signers": len(signers_of(genesis, certified)),
        "evidence": len(block.evidence),
        "stake": sum(change.amount for change in block.stake_changes),
        "hash": certified.hash.hex(),
    }


def _read_charter(data: bytes) -> CharterTables[Biscotti]:
    from troth.charter.loading import charter_of
    from troth.errors import CharterError
    from troth.protocols.biscotti.parameters import Biscotti

    charter = charter_of(data)
    if not isinstance(charter.protocol, Biscotti):
        raise CharterError(
            "keeps no chain",
            key="protocol.name",
            value=str(charter.protocol.__struct_config__.tag),
        )
    return charter.charter_tables
