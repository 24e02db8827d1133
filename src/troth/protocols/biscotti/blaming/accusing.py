"""How a peer remembers the offences that it knows of, until a block has punished them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from troth.protocols.biscotti.blaming.offences import fits
from troth.protocols.biscotti.duties.desk import Desk
from troth.protocols.biscotti.ledger.block import Evidence
from troth.protocols.biscotti.ledger.head import EVIDENCE_ROUNDS, Head

MAX_PENDING = 16
"""The most offences that a peer remembers."""


@dataclass
class Accuser:
    """Tells the leader of each round of the offences that this peer knows of, until one puts them
    into a block or it is too late to punish them."""

    pending: tuple[Evidence, ...]
    """The evidence that no block has taken up yet."""

    async def accuse(self, desk: Desk) -> None:
        """Tell the leader of the round that begins of all pending offences."""
        for part in self.pending:
            await desk.accuse(part)
        desk.accusations.clear()

    def add(self, evidence: Evidence) -> None:
        """Remember one more offence, if it fits into a block and there is room for it."""
        if fits(evidence) and len(self.pending) < MAX_PENDING:
            self.pending = (*self.pending, evidence)

    def leave_round(self, found: Iterable[Evidence], head: Head) -> None:
        """Remember what was found out in a round, and forget what was punished or is too old.

        Args:
          found: the offences that were found out in the round.
          head: where the chain stands after it.
        """
        self.pending = tuple(
            part
            for part in (*self.pending, *found)
            if part.offence not in head.state.punished
            and part.round + EVIDENCE_ROUNDS > head.height
        )[:MAX_PENDING]
