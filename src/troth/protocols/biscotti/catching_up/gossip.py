"""How blocks spread, and how a peer that was away catches up (section 4.7 of the paper).

Peers are neighbours in a random mesh. Who has a new last block announces its hash; who likes it
better than its own asks for what it lacks. So a block crosses each link once, and what waits
anywhere is a hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from troth.chain.forks import preference
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.head import Head
from troth.protocols.biscotti.messages import MAX_LOCATOR, Announce, Want

MAX_ANSWER_BYTES = 2**23
"""Blocks sent at once, unless the first alone is larger."""
_CLOSE = 8
"""Hashes in a locator before their distance doubles."""


def neighbours(chain: bytes, peers: Sequence[NodeId], me: NodeId, least: int) -> tuple[NodeId, ...]:
    """The peers that `me` passes blocks on to, ascending: at least `least`, if there are so many.

    Those next to it on rings, each of which holds all peers in another random order that follows
    from the chain's id. One ring alone connects all of them; a few make an expander. There are as
    many as it takes until all peers have enough, as two may be next to each other on several.
    """
    found: dict[NodeId, set[NodeId]] = {peer: set() for peer in peers}
    wanted = min(least, len(peers) - 1)
    ring = 0
    while any(len(others) < wanted for others in found.values()):
        prefix = b"troth-ring\0" + chain + ring.to_bytes(4)
        order = sorted(peers, key=lambda peer: sha256(prefix + peer.encode()).digest())
        for place, peer in enumerate(order):
            found[peer] |= {order[place - 1], order[(place + 1) % len(order)]} - {peer}
        ring += 1
    return tuple(sorted(found[me]))


def announcement(head: Head) -> Announce:
    """What a peer says of its chain."""
    return Announce(head.anchor, head.certified)


def is_better(message: Announce, head: Head) -> bool:
    """Whether the chain that is announced wins over ours; its blocks are still to be seen."""
    return preference(message.certified, message.anchor) > head.preference()


def locator(branch: Sequence[bytes]) -> Want:
    """A request for what follows our chain.

    Args:
      branch: the hashes of our chain, from the genesis on.
    """
    hashes: list[bytes] = []
    step, place = 1, len(branch) - 1
    while place > 0 and len(hashes) < MAX_LOCATOR - 1:
        hashes.append(branch[place])
        if len(hashes) >= _CLOSE:
            step *= 2
        place -= step
    return Want((*hashes, branch[0]))
