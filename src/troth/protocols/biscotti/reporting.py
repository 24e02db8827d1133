"""How a peer reports the rounds that are over."""

from __future__ import annotations

from dataclasses import dataclass

from troth.errors import PeerError
from troth.ids import Round
from troth.protocols.biscotti.catching_up.branch import Branch
from troth.records import Rejection
from troth.roles.node import Node

MAX_REPORTED_BYTES = 2**62
"""More bytes than any chain has: all blocks that were not reported yet are read."""
MAX_REFUSED = 64
"""The most refusals that one report lists."""


@dataclass
class Reporter:
    """Reports each round once, when its block or one above it is certified, or all are over."""

    node: Node
    branch: Branch
    speaks: bool
    """Whether this peer is the one that reports; the others say nothing, as they would say the
    same."""
    reported: Round
    """The last round that this peer has reported."""
    refused: list[Rejection]
    """Refusals that the next report will list."""

    async def report(self) -> None:
        """Report all rounds of this peer's chain that were not reported yet. All peers would report
        the same."""
        if not self.speaks:
            return
        reported = self.reported
        if reported >= self.branch.head.height:
            # As they were on a longer chain that has lost: what was said cannot be taken back.
            return
        head = await self.branch.head_at(self.branch.hashes[reported])
        assert head is not None
        refused, self.refused = self.refused, []
        rules = self.branch.rules
        for block in await self.branch.blocks(above=reported, most_bytes=MAX_REPORTED_BYTES):
            head = rules.follow(head, block)
            content = block.block.content
            accepted = [part.contributor for part in content.contributions]
            drawn = rules.context(head.recent[-1]).contributors
            await self.node.report(
                content.round,
                head.params_D,
                accepted=accepted,
                rejected=[
                    *(
                        Rejection(node=peer, reason="its update is not in the block")
                        for peer in drawn
                        if peer not in accepted
                    ),
                    *(
                        Rejection(node=part.accused, reason=f"punished for {part.kind}")
                        for part in content.evidence
                    ),
                    *refused,
                ],
            )
            refused = []
            self.reported = content.round

    def refuse(self, error: PeerError) -> None:
        """Remember a message that was refused, and its culprits, for the next report."""
        if len(self.refused) < MAX_REFUSED:
            self.refused += [
                Rejection(node=culprit, reason=error.message) for culprit in error.culprits
            ]
