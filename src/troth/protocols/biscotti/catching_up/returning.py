"""A peer that begins on top of blocks which it did not live through: from a file that it was
given, or from what is left of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import CertifiedBlock
from troth.protocols.biscotti.ledger.head import Head, Rules
from troth.protocols.biscotti.state import PeerState


@dataclass(frozen=True, eq=False)
class Past:
    """What a peer takes of a chain: its blocks up to the last certified one. Empty blocks on top
    concern only the peer that made them."""

    head: Head
    """Where the chain stands after its last certified block."""
    branch: tuple[bytes, ...]
    """Hashes of the blocks by height, from the genesis on."""
    drawn: int
    """How many rounds, up to the one on top of the chain, drew the peer as a contributor."""

    @property
    def certified_height(self) -> int:
        """Height of the last certified block; 0 if there is none."""
        return self.branch.index(self.head.anchor)


def past_of(rules: Rules, first: Head, blocks: Iterable[CertifiedBlock], me: NodeId) -> Past:
    """What peer `me` takes of the chain of these blocks, which were checked.

    Args:
      first: where the chain stands before the first block.
      blocks: ascending, from the first.
    """
    head, branch = first, [first.hash]
    drawn = int(_drawn(rules, head, me))
    last = (head, len(branch), drawn)
    for block in blocks:
        head = rules.follow(head, block)
        branch.append(block.hash)
        drawn += _drawn(rules, head, me)
        if block.certificate is not None:
            last = (head, len(branch), drawn)
    head, length, drawn = last
    return Past(head, tuple(branch[:length]), drawn)


def state_on(
    rules: Rules, past: Past, before: PeerState | None, *, checkpoint: bytes | None
) -> PeerState:
    """The state that a peer begins with on top of a chain: like one that was stopped there, it does
    nothing but listen in the round that goes on.

    Args:
      before: the state that it has saved; None if that is lost. Then it may have begun any round,
        and contributed to all that drew it, and it is charged for them.
      checkpoint: see `PeerState.checkpoint`.
    """
    begun = Round(min(past.head.height + 1, rules.training.rounds))
    if before is None:
        return PeerState(
            past.head,
            begun,
            past.branch,
            forgot=True,
            checkpoint=checkpoint,
            masked=past.drawn,
            contributed=past.drawn,
        )
    return msgspec.structs.replace(
        before,
        head=past.head,
        begun=max(before.begun, begun),
        branch=past.branch,
        checkpoint=checkpoint or before.checkpoint,
        since_s=-1.0,
        takes_part=False,
        stash=(),
        rumours={},
    )


def _drawn(rules: Rules, head: Head, me: NodeId) -> bool:
    """Whether the round on top of `head` draws `me` as a contributor."""
    if head.height >= rules.training.rounds:
        return False
    return me in rules.context(head.before).contributors
