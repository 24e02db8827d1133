"""What a peer must not forget."""

from __future__ import annotations

import msgspec

from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import Evidence
from troth.protocols.biscotti.ledger.head import Head
from troth.protocols.biscotti.messages import Announce
from troth.records import Rejection
from troth.wire import Float32s


class PeerState(msgspec.Struct, frozen=True):
    """Saved when a round begins, before anything of it is sent.

    A peer takes part in each round once in its life, on whichever branch: in rounds up to `begun`
    it does nothing any more. So whatever it forgets in a crash, it never signs a second verdict,
    sum or block of a round, and gives no slot of noise twice. One that has lost this, too, makes up
    for it by waiting: see `forgot`.
    """

    head: Head
    """The chain as it was then."""
    begun: Round
    """The last round that it has begun."""
    branch: tuple[bytes, ...] = msgspec.field(name="line")
    """Hashes of the chain by height, from the genesis on. It is saved as `line`."""
    forgot: bool = False
    """Whether it may have begun rounds that it does not know of, as what it saved in them was lost.
    It listens until it begins a round that it cannot have begun then."""
    checkpoint: bytes | None = None
    """Hash of the block up to which it took the chain on somebody's word; None if it checked all of
    it."""
    since_s: float = -1.0
    """When this was saved, on the peer's own clock."""
    takes_part: bool = False
    """Whether it had duties in the round that then began."""
    stash: tuple[tuple[NodeId, bytes], ...] = ()
    """Messages of that round that came before it, with their senders."""
    rumours: dict[NodeId, Announce] = {}
    """Better chains that others say they have."""
    refused: tuple[Rejection, ...] = ()
    """What the next report will say was refused."""
    velocity_D: Float32s | None = None
    """What the next local update goes on with."""
    pending: tuple[Evidence, ...] = ()
    """Offences that it knows of and no block has punished yet."""
    masked: int = 0
    """Rounds in which verifiers may have seen an update of it with noise."""
    contributed: int = 0
    """Rounds in which it may have dealt shares of an update, so that a sum with it may be
    opened."""
    reported: Round = Round(0)
    """The last round that it has reported; reports wait until a block is certified."""
