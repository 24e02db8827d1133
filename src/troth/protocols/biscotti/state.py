"""The state that a peer saves, so that it breaks no rule after a crash."""

from __future__ import annotations

import msgspec

from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import Evidence
from troth.protocols.biscotti.ledger.head import Head
from troth.protocols.biscotti.messages import Announce
from troth.records import Rejection
from troth.wire import Float32s


class PeerState(msgspec.Struct, frozen=True):
    """What a peer saves when a round begins, before it sends anything in that round.

    A peer takes part in each round once in its life, on whichever branch: in rounds up to `begun`
    it does nothing any more. So whatever it forgets in a crash, it never signs a second verdict,
    sum or block of a round, and gives no slot of noise twice. One that has lost this, too, makes up
    for it by waiting: see `forgot`.
    """

    head: Head
    """Where the peer's chain stood then."""
    begun: Round
    """The last round that the peer has begun."""
    branch: tuple[bytes, ...] = msgspec.field(name="line")
    """Hashes of the blocks of the peer's branch by height, from the genesis on. They are saved as
    `line`."""
    forgot: bool = False
    """Whether the peer may have begun rounds that it does not know of, as what it saved in them was
    lost. It listens until it begins a round that it cannot have begun then."""
    checkpoint: bytes | None = None
    """Hash of the block up to which the peer took the chain on somebody's word; None if it checked
    all of it."""
    since_s: float = -1.0
    """When this state was saved, on the peer's own clock."""
    takes_part: bool = False
    """Whether the peer had duties in the round that then began."""
    stash: tuple[tuple[NodeId, bytes], ...] = ()
    """Messages of that round that came before it began, encoded, with their senders."""
    rumours: dict[NodeId, Announce] = {}
    """The better chains that others say they have."""
    failed: dict[NodeId, int] = {}
    """How often each peer has not sent the better chain that it announced."""
    refused: tuple[Rejection, ...] = ()
    """Refusals that the next report will list."""
    velocity_D: Float32s | None = None
    """What the peer's next local update goes on with, shape (D,); None where there is none."""
    pending: tuple[Evidence, ...] = ()
    """Evidence of the offences that the peer knows of and no block has punished yet."""
    masked: int = 0
    """Rounds in which verifiers may have seen a masked update of the peer."""
    contributed: int = 0
    """Rounds in which the peer may have dealt shares of an update, so that a sum with it may be
    opened."""
    reported: Round = Round(0)
    """The last round that the peer has reported; reports wait until a block is certified."""
