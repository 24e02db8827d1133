"""Stake: how much say each peer has in the lotteries, and how blocks change it.

Section 3.1 of the paper and its table 1: who gave an update to the model, or had a part in checking
and adding it, gains a constant. What the paper leaves open is what cheating costs: whoever is
blamed gains nothing in that block and loses the penalty, or all that is left. It is burnt, since
whoever received it would gain by accusing others.

Stake is made and burnt by these changes and by nothing else, each with its reason, so the sum of a
table is that of the genesis plus all changes since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import accumulate, pairwise

from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.block import Reason, StakeChange
from troth.protocols.biscotti.ledger.genesis import MAX_STAKE, StakeUpdate


@dataclass(frozen=True)
class StakeTable:
    """How much stake every peer holds, by ascending name. A peer without stake stays in it, at
    0."""

    peers: tuple[NodeId, ...]
    stake: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.peers) == len(self.stake)
        assert all(before < after for before, after in pairwise(self.peers))
        assert all(amount >= 0 for amount in self.stake)
        assert self.total <= MAX_STAKE

    @classmethod
    def of(cls, stake: Mapping[NodeId, int]) -> StakeTable:
        """The table of the stake that each of these peers holds."""
        peers = tuple(sorted(stake))
        return cls(peers, tuple(stake[peer] for peer in peers))

    def as_dict(self) -> dict[NodeId, int]:
        """The stake of each peer, by its name."""
        return dict(zip(self.peers, self.stake, strict=True))

    @cached_property
    def total(self) -> int:
        """The stake of all peers together."""
        return sum(self.stake)

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """Where the tickets of each peer end: peer i holds those from `bounds[i-1]` to below
        `bounds[i]`."""
        return tuple(accumulate(self.stake))

    @cached_property
    def holders(self) -> frozenset[NodeId]:
        """The peers that hold any stake."""
        return frozenset(
            peer for peer, amount in zip(self.peers, self.stake, strict=True) if amount
        )

    def digest(self) -> bytes:
        """32 bytes that bind every peer's name and stake."""
        hashed = sha256(b"troth-stake\0")
        for peer, amount in zip(self.peers, self.stake, strict=True):
            name = peer.encode()
            hashed.update(len(name).to_bytes(4) + name + amount.to_bytes(8))
        return hashed.digest()


def stake_changes(
    update: StakeUpdate,
    table: StakeTable,
    *,
    contributors: Collection[NodeId] = (),
    verifiers: Collection[NodeId] = (),
    aggregators: Collection[NodeId] = (),
    blamed: Collection[NodeId] = (),
) -> tuple[StakeChange, ...]:
    """How a block changes the stake, by peer and reason; a peer is paid for each of its roles.

    Rewards that would take the total above `MAX_STAKE` are not paid.

    Args:
      contributors: of the updates that the block adds to the model.
      verifiers, aggregators: those that took part.
      blamed: against whom the block holds evidence.
    """
    # Biscotti, section 4: "All peers who contribute a share to the final update along with the
    # peers chosen for the verification and aggregation committees receive additional stake in the
    # system."
    rewards: tuple[tuple[Reason, int, Collection[NodeId]], ...] = (
        ("aggregated", update.aggregated, aggregators),
        ("contributed", update.contributed, contributors),
        ("verified", update.verified, verifiers),
    )
    paid = [
        StakeChange(peer, amount, reason)
        for reason, amount, peers in rewards
        for peer in peers
        if amount and peer not in blamed
    ]
    if table.total + sum(change.amount for change in paid) > MAX_STAKE:
        paid = []
    held = table.as_dict()
    lost = [
        StakeChange(peer, -min(update.penalty, held[peer]), "penalty")
        for peer in blamed
        if update.penalty and held[peer]
    ]
    return tuple(sorted([*paid, *lost], key=_place))


def apply_changes(
    table: StakeTable, changes: Sequence[StakeChange], *, sender: NodeId
) -> StakeTable:
    """The stake table after the changes of a block.

    Checks what can be said without the block's other contents: see `stake_changes` for the rest.

    Raises:
      PeerError: a change concerns nobody of the table, comes twice or out of order, is nothing, has
        the wrong sign for its reason, or takes more than there is; the culprit is `sender`.
    """
    held = table.as_dict()
    for problem in _problems(held, changes):
        raise PeerError(f"sent a block that {problem}", culprits=(sender,))
    for change in changes:
        held[change.peer] += change.amount
    short = [peer for peer, amount in held.items() if amount < 0]
    if short:
        raise PeerError(
            f"sent a block that takes more stake from {short[0]} than it has", culprits=(sender,)
        )
    if sum(held.values()) > MAX_STAKE:
        raise PeerError(f"sent a block that makes more stake than {MAX_STAKE}", culprits=(sender,))
    return StakeTable.of(held)


def _problems(held: Mapping[NodeId, int], changes: Sequence[StakeChange]) -> Iterator[str]:
    for change in changes:
        if change.peer not in held:
            yield "changes the stake of somebody who is no peer"
        if (change.amount < 0) != (change.reason == "penalty") or change.amount == 0:
            yield f"changes the stake of {change.peer} by {change.amount} as {change.reason}"
    for before, after in pairwise(changes):
        if _place(before) >= _place(after):
            yield f"lists the changes of {after.peer}'s stake out of order"


def _place(change: StakeChange) -> tuple[NodeId, Reason]:
    return change.peer, change.reason
