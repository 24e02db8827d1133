"""How blocks spread, and how a peer that was away catches up (section 4.7 of the paper).

Peers are neighbours in a random mesh. Who has a new last block announces its hash; who likes it
better than its own asks for what it lacks. So a block crosses each link once, and what waits
anywhere is a hash.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from troth.chain.forks import preference
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.head import Head
from troth.protocols.biscotti.messages import MAX_LOCATOR, Announce, Want

MAX_ANSWER_BYTES = 2**23
"""Bytes of blocks that are sent in one answer, unless the first block alone is larger."""
_CLOSE = 8
"""Hashes in a locator before their distance doubles."""


def neighbours(chain: bytes, peers: Sequence[NodeId], me: NodeId, least: int) -> tuple[NodeId, ...]:
    """The peers that `me` passes blocks on to, ascending: at least `least`, if there are so many.

    Those next to it on rings, each of which holds all peers in another random order that follows
    from the chain's id. One ring alone connects all of them; a few make an expander. There are as
    many as it takes until all peers have enough, as two may be next to each other on several.
    """
    # Biscotti, section 3.1: "Each peer is connected to some subset of other peers in a topology
    # that allows flooding-based dissemination of blocks to eventually reach all peers. For example,
    # this could be a random mesh topology with flooding".
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
    """What a peer announces of the chain that stands at `head`."""
    return Announce(head.anchor, head.certified)


def is_better(message: Announce, head: Head) -> bool:
    """Whether the chain that is announced wins over the one that stands at `head`; its blocks are
    still to be seen."""
    # Biscotti, section 4.7: "ledger forks should rarely occur in Biscotti."
    # Differs from the paper: there is a fork choice, because the paper gives no rule for the forks
    # that do occur.
    return preference(message.certified, message.anchor) > head.preference()


def locator(branch: Sequence[bytes]) -> Want:
    """A request for the blocks that follow the last one which both peers have.

    Args:
      branch: the hashes of the asking peer's chain, from the genesis on.
    """
    hashes: list[bytes] = []
    step, place = 1, len(branch) - 1
    while place > 0 and len(hashes) < MAX_LOCATOR - 1:
        hashes.append(branch[place])
        if len(hashes) >= _CLOSE:
            step *= 2
        place -= step
    return Want((*hashes, branch[0]))
