"""What the chain in a run's folder tells."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from troth.chain.export import blocks_of
from troth.chain.store import ChainFile
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.kind import audit_structure
from troth.protocols.biscotti.ledger.link import first_state, state_after
from troth.protocols.biscotti.ledger.stake import StakeTable
from troth.report.read import CHAIN, Run


def stake_shares(run: Run, peers: Collection[NodeId]) -> list[float]:
    """The share of all stake that these peers hold, before the first round and after each; nothing
    where the run has no chain.

    Raises:
      VerificationError: the chain is not sound.
    """
    path = run.path / CHAIN
    if not path.is_file():
        return []
    return [
        sum(stake for peer, stake in table.as_dict().items() if peer in peers) / table.total
        for table in _stakes(path)
    ]


@lru_cache(maxsize=1)
def _stakes(path: Path) -> tuple[StakeTable, ...]:
    """Checking a chain takes seconds, and several readings are of the same."""
    with ChainFile(path) as file:
        audit = audit_structure(file)
        states = [first_state(audit.genesis)]
        for block in blocks_of(file, audit):
            states.append(state_after(states[-1], block))
    return tuple(state.stake for state in states)
