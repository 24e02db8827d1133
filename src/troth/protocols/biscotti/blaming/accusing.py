"""The offences that a peer knows of and no block has punished yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from troth.protocols.biscotti.blaming.offences import fits
from troth.protocols.biscotti.duties.desk import Desk
from troth.protocols.biscotti.ledger.block import Evidence
from troth.protocols.biscotti.ledger.head import EVIDENCE_ROUNDS, Head

MAX_PENDING = 16
"""Offences that a peer keeps in mind until a block punishes them."""


@dataclass
class Accuser:
    """Tells each round's leader of them, until one puts them into a block or it is too late."""

    pending: tuple[Evidence, ...]

    async def accuse(self, desk: Desk) -> None:
        """Tell the leader of a round that begins."""
        for part in self.pending:
            await desk.accuse(part)
        desk.accusations.clear()

    def add(self, evidence: Evidence) -> None:
        """One more, if there is room for it."""
        if fits(evidence) and len(self.pending) < MAX_PENDING:
            self.pending = (*self.pending, evidence)

    def leave_round(self, found: Iterable[Evidence], head: Head) -> None:
        """Take along what was found out in a round, and forget what is over.

        Args:
          head: the chain after the round.
        """
        self.pending = tuple(
            part
            for part in (*self.pending, *found)
            if (part.accused, part.kind, part.round) not in head.state.punished
            and part.round + EVIDENCE_ROUNDS > head.height
        )[:MAX_PENDING]
