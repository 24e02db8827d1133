"""Readings of an experiment: of the stake in the chain that a run's folder holds."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from troth.ids import NodeId
from troth.report.read import CHAIN, Run
from troth.reproduction.curves import RunCurve
from troth.reproduction.readings import Reading, Side, Unit, parties_of
from troth.specification import Index

if TYPE_CHECKING:
    from troth.protocols.biscotti.ledger.stake import StakeTable


class StakeShare(Reading, frozen=True, tag="stake_share", kw_only=True):
    """The share of all stake that one side's parties hold, by the chain in the run's folder."""

    unit: ClassVar[Unit] = "share"

    of: Side
    round: Index | None = None
    """The round after which it is read, 0 before the first; absent: the last one."""

    def read_off(self, run: Run) -> float | None:
        shares = stake_shares(run, self.of)
        return None if not shares else shares[-1 if self.round is None else self.round]


def stake_shares(run: Run, of: Side) -> list[float]:
    """The share of all stake that these peers hold, before the first round and after each; nothing
    where the run has no chain.

    Raises:
      VerificationError: the chain's structure is not sound.
    """
    path = run.path / CHAIN
    if not path.is_file():
        return []
    peers: Collection[NodeId] = {party.party for party in parties_of(run, of)}
    return [
        sum(stake for peer, stake in table.as_dict().items() if peer in peers) / table.total
        for table in _stakes(path)
    ]


@lru_cache(maxsize=1)
def _stakes(path: Path) -> tuple[StakeTable, ...]:
    """The stake before the first round and after each block of a chain file. It is remembered for
    the last file: checking a chain takes seconds, and several readings are of the same."""
    # Imported here: whoever reads an experiment's file needs the names above, and no chain.
    from troth.chain.export import blocks_of
    from troth.chain.store import ChainFile
    from troth.protocols.biscotti.ledger.kind import audit_structure
    from troth.protocols.biscotti.ledger.link import first_state, state_after

    with ChainFile(path) as file:
        audit = audit_structure(file)
        states = [first_state(audit.genesis)]
        for block in blocks_of(file, audit):
            states.append(state_after(states[-1], block))
    return tuple(state.stake for state in states)


HONEST_STAKE = RunCurve(
    "honest_stake",
    "stake of honest peers",
    lambda run: list(enumerate(stake_shares(run, "honest"))),
)
