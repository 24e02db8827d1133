"""Writing the chain of a simulated ledger as the file that a peer of a real run keeps."""

from __future__ import annotations

from pathlib import Path

from troth.chain.block import VerifiedBlock
from troth.chain.ledger import MemoryLedger
from troth.charter.digest import canonical_json
from troth.protocols.biscotti.ledger.head import model_bytes
from troth.protocols.biscotti.ledger.kind import open_chain
from troth.protocols.biscotti.members import Members
from troth.report.read import CHAIN
from troth.worlds.simulated.stage import Stage


def write_chain(folder: Path, stage: Stage, ledger: MemoryLedger) -> None:
    """Write all blocks that one peer has kept, with the genesis below them. The file appears when
    it is whole.

    Raises:
      UsageError: it cannot be written.
    """
    assert isinstance(stage.brought, Members)
    path = folder / CHAIN
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with open_chain(
        partial,
        stage.brought.rules.genesis,
        charter=canonical_json(stage.scenario.charter),
        model=model_bytes(stage.initial_D),
    ) as store:
        for block in ledger.blocks():
            store.keep(VerifiedBlock(block))
    partial.replace(path)
