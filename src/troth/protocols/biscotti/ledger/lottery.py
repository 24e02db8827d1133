"""Who does what in a round: lotteries in which a peer's chance is its share of the stake.

Section 4.3 of the paper: a hash is repeated, each result falls on a peer's part of a ring that is
divided by stake, and peers are taken until a committee is full. The committee that verifies and the
one that aggregates are the same for all and follow from a public seed; each peer draws its own
noisers by a verifiable random function, whose output nobody else knows before.

A ticket is SHA-512 of the role, the seed and a counter, as a 512-bit number modulo all stake: no
ticket is likelier than another by more than 2^-450 of its chance.

Differs from the paper:
- The seed of the next round is a hash of this one and of the proposer's VRF output, not the block's
  hash, which a proposer could change until it likes the committees. A proposer can still withhold
  its block, and so choose between two seeds; and where an adversary has several of those who may
  propose, it chooses among theirs.
- Verifiers and aggregators are drawn together, and then told apart by another hash. Drawn one after
  the other, the second committee would come from what the first has left: fewer of the large peers,
  and so more of an adversary that has split its stake into many small ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256, sha512

from troth.crypto import vrf
from troth.errors import RoundFailedError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.stake import StakeTable

MAX_TICKETS = 2**16
"""The most tickets that are drawn for one committee, which takes 0.1 s. With nearly all stake in
few hands more may be needed; then the round has no committee, for everybody alike."""

_TICKET = b"troth-ticket\0"
_SEED = b"troth-seed\0"


@dataclass(frozen=True)
class Committees:
    """The two public committees of a round, disjoint, each in the order that indices refer to."""

    verifiers: tuple[NodeId, ...]
    aggregators: tuple[NodeId, ...]


def draw(
    table: StakeTable, seed: bytes, role: str, size: int, *, excluded: Collection[NodeId] = ()
) -> tuple[NodeId, ...]:
    """Draw `size` different peers, each ticket falling to a peer with the chance that is its share
    of the stake; in the order drawn.

    Args:
      role: what they are drawn as; each role has tickets of its own.
      excluded: peers that cannot be drawn.

    Raises:
      RoundFailedError: there are not so many with stake, or `MAX_TICKETS` did not find them.
    """
    eligible = len(table.holders.difference(excluded))
    if eligible < size:
        raise RoundFailedError(
            f"there are {eligible} peers with stake to draw {size} of as {role}",
            hint="let more peers take part, or make committees smaller",
        )
    # Biscotti, section 4.3: "The initial SHA-256 hash of the last block is repeatedly re-hashed:
    # each new hash result is mapped onto a hash ring where portions of the ring are proportionally
    # assigned to peers based on their stake."
    # Differs from the paper: a ticket is SHA-512 of the seed and a counter, because 512 bits modulo
    # the stake favour nobody noticeably.
    # A dictionary keeps the order in which peers were drawn.
    drawn: dict[NodeId, None] = {}
    prefix = sha512(_TICKET + _framed(role.encode()) + _framed(seed))
    for counter in range(MAX_TICKETS):
        if len(drawn) == size:
            break
        ticket = prefix.copy()
        ticket.update(counter.to_bytes(4))
        place = int.from_bytes(ticket.digest()) % table.total
        peer = table.peers[bisect_right(table.bounds, place)]
        if peer not in excluded:
            drawn[peer] = None
    if len(drawn) < size:
        raise RoundFailedError(f"{MAX_TICKETS} tickets found {len(drawn)} of {size} as {role}")
    return tuple(drawn)


def draw_committees(
    table: StakeTable, seed: bytes, *, verifiers: int, aggregators: int
) -> Committees:
    """The verifiers and aggregators of a round, which all peers compute alike from its seed.

    Raises:
      RoundFailedError: as `draw`.
    """
    # Biscotti, section 4.3: "The hash is repeated until verifier/aggregator committees of the
    # correct size are obtained."; peers "cannot be a verifier and aggregator in the same round."
    drawn = draw(table, seed, "committee", verifiers + aggregators)
    prefix = _TICKET + _framed(b"seat") + _framed(seed)
    seated = sorted(drawn, key=lambda peer: sha512(prefix + peer.encode()).digest())
    return Committees(tuple(seated[:verifiers]), tuple(seated[verifiers:]))


def draw_noisers(
    table: StakeTable, output: bytes, size: int, *, contributor: NodeId
) -> tuple[NodeId, ...]:
    """The peers whose noise hides this contributor's update; never itself.

    Args:
      output: of the contributor's VRF for `noiser_input`, verified where it is somebody else's.

    Raises:
      RoundFailedError: as `draw`.
    """
    # Biscotti, section 4.3: "Each peer can arrive at a unique committee for itself via consistent
    # hashing by using a different initial hash."
    return draw(table, output, "noiser", size, excluded=(contributor,))


def noiser_input(chain: bytes, round: Round, seed: bytes) -> bytes:
    """The input (alpha) of a contributor's VRF from which it draws its noisers."""
    return _vrf_input(b"noiser", chain, round, seed)


def seed_input(chain: bytes, round: Round, seed: bytes) -> bytes:
    """The input (alpha) of a proposer's VRF from which it makes the next seed."""
    return _vrf_input(b"seed", chain, round, seed)


def first_seed(chain: bytes) -> bytes:
    """The seed of round 1, 32 bytes. Whoever puts the genesis together can try several."""
    return sha256(_SEED + _framed(b"first") + chain).digest()


def next_seed(seed: bytes, round: Round, output: bytes | None) -> bytes:
    """The seed of the round after `round`, 32 bytes.

    Args:
      output: of the proposer's VRF for `seed_input`, verified; None where `round` made no block.
    """
    step = b"empty" if output is None else b"block"
    return sha256(
        _SEED + _framed(step) + round.to_bytes(8) + _framed(seed) + (output or b"")
    ).digest()


def verified_noisers(
    table: StakeTable,
    public_key: bytes,
    proof: bytes,
    size: int,
    *,
    alpha: bytes,
    contributor: NodeId,
) -> tuple[bytes, tuple[NodeId, ...]]:
    """A contributor's VRF output and noisers, from the proof that it sent.

    Args:
      public_key: the contributor's VRF key.
      alpha: `noiser_input` of the round.

    Raises:
      PeerError: the proof is wrong; the culprit is `contributor`.
      RoundFailedError: as `draw`.
    """
    # Biscotti, section 4.3: "The VRF hash is also accompanied by a proof that can be combined with
    # a peer's public key PK_i, allowing other peers to determine that the correct noising committee
    # is selected by the peer."
    output = vrf.verify(public_key, alpha, proof, prover=contributor)
    return output, draw_noisers(table, output, size, contributor=contributor)


def _vrf_input(role: bytes, chain: bytes, round: Round, seed: bytes) -> bytes:
    return b"troth-vrf\0" + _framed(role) + _framed(chain) + round.to_bytes(8) + _framed(seed)


def _framed(part: bytes) -> bytes:
    """A part with its length in front, so that no two lists of parts give the same bytes."""
    return len(part).to_bytes(4) + part
