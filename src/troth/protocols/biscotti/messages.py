"""What peers of `biscotti` say to each other.

Everything travels over links on which both ends have proven who they are and nobody else can read.
What is signed besides is what others may have to be shown: it goes into blocks, or is evidence.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from troth.crypto import vrf
from troth.crypto.certificates import SIGNATURE_BYTES as CERTIFICATE_SIGNATURE_BYTES
from troth.crypto.digest import DIGEST_BYTES, Digest
from troth.crypto.merkle import Path
from troth.protocols.biscotti.ledger.block import (
    DEALING_BYTES,
    MAX_BLOCK_BYTES,
    MAX_CERTIFICATE_BYTES,
    MAX_COMMITMENT_BYTES,
    MAX_PEERS,
    Acknowledgement,
    Contribution,
    Evidence,
    NoiseOpening,
    Part,
    PeerName,
    Signature,
    Verdict,
)
from troth.roles.messages import RoundMessage, protocol_messages
from troth.wire import Channel, Message, UInt32s

MAX_SHARE_BYTES = 2**26
"""The largest share of one update."""
MAX_LOCATOR = 64
"""The most hashes in a request for blocks."""
MAX_BLOCKS = 64
"""The most blocks in one answer."""
MAX_NOISERS = 64
"""The most noisers of one masked update."""

Proof = Annotated[bytes, msgspec.Meta(min_length=vrf.PROOF_BYTES, max_length=vrf.PROOF_BYTES)]
Slot = Annotated[int, msgspec.Meta(ge=0, lt=2**16)]
Rows = Annotated[bytes, msgspec.Meta(max_length=MAX_COMMITMENT_BYTES)]
"""Commitments to rows, or blinding factors of rows, one after another."""


class NoiseRequest(RoundMessage, frozen=True):
    """Contributor to noiser: I have drawn you (step 2 of the paper's figure 1)."""

    channel = Channel.CONFIDENTIAL

    proof: Proof
    """Proof of the contributor's VRF, from which its noisers and its slot follow."""


class NoiseGrant(RoundMessage, frozen=True):
    """Noiser to contributor: noise for you alone. A secret between the two."""

    channel = Channel.CONFIDENTIAL

    slot: Slot
    """Which of the noiser's slots of this round it is."""
    seed: Digest
    """What the noise is expanded from."""
    blinding_seed: Digest
    """What the blinding factors of its commitments are expanded from."""
    rows: Rows
    """The slot's commitments: checking that they hold the noise is quicker than making them."""
    path: Path
    """The Merkle path from the slot's leaf to the noiser's root in the genesis."""
    signature: Signature
    """The noiser's signature, for `GRANT`, of `grant_text`."""


class NoNoise(RoundMessage, frozen=True):
    """Noiser to contributor: all my slots of this round are taken."""

    channel = Channel.CONFIDENTIAL


class NoiseUse(Part, frozen=True):
    """The noise of one noiser in a masked update, by its commitments."""

    noiser: PeerName
    slot: Slot
    """Which of the noiser's slots of this round it is."""
    rows: Rows
    """The commitments to the slot's noise, one for each row of coordinates."""
    path: Path
    """The Merkle path from the slot's leaf to the noiser's root in the genesis."""
    seeds: Digest
    """SHA-256 of the two seeds, which stay secret."""
    signature: Signature
    """The noiser's signature of `grant_text`: the contributor that it is for keeps the slot,
    whoever else shows it."""


class Masked(RoundMessage, frozen=True):
    """Contributor to verifiers: the update with noise on it (steps 3 and 4)."""

    channel = Channel.AUTHENTICATED

    commitments: Rows
    """COMM(dw); its SHA-256 is the update's id."""
    values: UInt32s
    """dw + sum of noise in steps of the grid, shape (D,), each plus 2^31."""
    blindings: Rows
    """The blinding factors of dw and of the noise, added up: 32 bytes for each row."""
    proof: Proof
    """Proof of the contributor's VRF, from which its noisers follow."""
    noise: Annotated[tuple[NoiseUse, ...], msgspec.Meta(max_length=MAX_NOISERS)]
    """The noise of each noiser, ascending by noiser."""
    signature: Signature
    """The contributor's signature, for `MASKED_UPDATE`, of `masked_text`."""


class NoUpdate(RoundMessage, frozen=True):
    """Contributor to verifiers: do not wait for me, too few noisers had noise left."""

    channel = Channel.AUTHENTICATED


class Accepted(RoundMessage, frozen=True):
    """Verifier to contributors and aggregators: the updates that it accepts (step 5)."""

    channel = Channel.BROADCAST

    updates: Annotated[bytes, msgspec.Meta(max_length=MAX_PEERS * DIGEST_BYTES)]
    """The ids of the accepted updates, ascending, one after another."""
    contributors: Annotated[tuple[PeerName, ...], msgspec.Meta(max_length=MAX_PEERS)]
    """Who sent these updates, in their order: a hint, which shares are then checked against."""
    signature: Signature
    """The verifier's signature, for `VERDICT`, of `signed_list` of the ids."""


class Shares(RoundMessage, frozen=True):
    """Contributor to one aggregator: its shares of the update without noise (step 6)."""

    channel = Channel.CONFIDENTIAL

    commitments: Rows
    """Commitments to the data rows and, unless sharing is optimistic, to the random rows."""
    root: Digest
    """The root of the Merkle tree over the SHA-256 of all aggregators' shares."""
    path: Path
    """The Merkle path from this share's leaf to the root."""
    share: Annotated[bytes, msgspec.Meta(max_length=MAX_SHARE_BYTES)]
    """This aggregator's share: the values of each polynomial at its points."""
    signature: Signature
    """The contributor's signature, for `DEALING`, of `signed_list` of update id and dealing."""


class Held(RoundMessage, frozen=True):
    """Aggregator to the leader: the dealings of which I hold good shares."""

    channel = Channel.AUTHENTICATED

    dealings: Annotated[bytes, msgspec.Meta(max_length=MAX_PEERS * DEALING_BYTES)]
    """Update id and dealing of each share that holds, ascending, one after another."""
    signature: Signature
    """The aggregator's signature, for `ACKNOWLEDGEMENT`, of `signed_list` of the dealings."""


class SumSet(RoundMessage, frozen=True):
    """Leader to aggregators: the agreed set U, and why it may be opened. Fields as in a block."""

    channel = Channel.BROADCAST

    contributions: Annotated[tuple[Contribution, ...], msgspec.Meta(max_length=MAX_PEERS)]
    dealings: Annotated[bytes, msgspec.Meta(max_length=2 * MAX_PEERS * DEALING_BYTES)]
    acknowledgements: Annotated[tuple[Acknowledgement, ...], msgspec.Meta(max_length=MAX_PEERS)]
    candidates: Annotated[bytes, msgspec.Meta(max_length=MAX_PEERS * DIGEST_BYTES)]
    verdicts: Annotated[tuple[Verdict, ...], msgspec.Meta(max_length=MAX_PEERS)]
    signature: Signature
    """The leader's signature, for `SUM_SET`, of `set_text`."""


class SetVote(RoundMessage, frozen=True):
    """Aggregator to the leader: this is the set that I would sum. One in a round, ever."""

    channel = Channel.AUTHENTICATED

    signature: Signature
    """The aggregator's signature, for `SET_VOTE`, of `set_text`."""


class Vote(Part, frozen=True):
    """An aggregator's vote, as the leader shows it."""

    aggregator: PeerName
    signature: Signature


class SetQuorum(RoundMessage, frozen=True):
    """Leader to aggregators: tau of you would sum this set, so nobody can have that for another.

    Without it a leader could have some sum U and the others U without one member: no second sum
    would open, but the first tells everybody's share of it, and so those of the member that is
    missing in the second.
    """

    channel = Channel.BROADCAST

    votes: Annotated[tuple[Vote, ...], msgspec.Meta(max_length=MAX_PEERS)]


class SumShare(RoundMessage, frozen=True):
    """Aggregator to the leader: the sum of the shares of U (step 7). One in a round, ever."""

    channel = Channel.AUTHENTICATED

    share: Annotated[bytes, msgspec.Meta(max_length=MAX_SHARE_BYTES)]
    signature: Signature
    """The aggregator's signature, for `SUM_SHARE`, of `sum_text`."""


class Doubt(RoundMessage, frozen=True):
    """Leader to contributors: the sum did not hold, and you have not committed to your random rows.
    Commit to them now."""

    channel = Channel.AUTHENTICATED


class RandomRows(RoundMessage, frozen=True):
    """Contributor to aggregators: the commitments that were left out. They tell nothing of it."""

    channel = Channel.BROADCAST

    rows: Rows
    signature: Signature
    """The contributor's signature, for `ROWS`, of `rows_text`."""


class Opened(RoundMessage, frozen=True):
    """Peer to the leader: the slot of this round that is audited."""

    channel = Channel.AUTHENTICATED

    opening: NoiseOpening


class Proposal(RoundMessage, frozen=True):
    """Leader to aggregators: the block of this round, for them to certify (step 8)."""

    channel = Channel.BROADCAST

    block: Annotated[bytes, msgspec.Meta(max_length=MAX_BLOCK_BYTES)]


class Endorsement(RoundMessage, frozen=True):
    """Aggregator to the leader: its part of the block's certificate."""

    channel = Channel.AUTHENTICATED

    block: Digest
    signature: Annotated[
        bytes,
        msgspec.Meta(
            min_length=CERTIFICATE_SIGNATURE_BYTES, max_length=CERTIFICATE_SIGNATURE_BYTES
        ),
    ]


class Accusation(RoundMessage, frozen=True):
    """Peer to the leader: somebody's offence, for the block."""

    channel = Channel.AUTHENTICATED

    evidence: Evidence


class Announce(Message, frozen=True):
    """Peer to its neighbours: the last certified block of the chain that I have."""

    channel = Channel.AUTHENTICATED

    anchor: Digest
    """Hash of that block; the chain's id where there is none."""
    certified: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    """How many certified blocks the chain has up to it."""


class Want(Message, frozen=True):
    """Send me what comes after the first of these blocks that you have on your chain."""

    channel = Channel.AUTHENTICATED

    locator: Annotated[tuple[Digest, ...], msgspec.Meta(min_length=1, max_length=MAX_LOCATOR)]
    """Hashes of blocks of the asking peer's chain, the highest first, ever fewer of older ones."""


class WireBlock(Part, frozen=True):
    """A block as a peer sends it to another."""

    block: Annotated[bytes, msgspec.Meta(max_length=MAX_BLOCK_BYTES)]
    """The block in its one encoding."""
    certificate: Annotated[bytes, msgspec.Meta(max_length=MAX_CERTIFICATE_BYTES)] | None
    """Its certificate; None for the empty block of a round that failed."""


class Blocks(Message, frozen=True):
    """The answer to `Want`: blocks that follow each other, as many as fit."""

    channel = Channel.AUTHENTICATED

    blocks: Annotated[tuple[WireBlock, ...], msgspec.Meta(max_length=MAX_BLOCKS)]
    more: bool
    """Whether the sender's chain has others after them."""


MESSAGES = protocol_messages(
    NoiseRequest,
    NoiseGrant,
    NoNoise,
    Masked,
    NoUpdate,
    Accepted,
    Shares,
    Held,
    SumSet,
    SetVote,
    SetQuorum,
    SumShare,
    Doubt,
    RandomRows,
    Opened,
    Proposal,
    Endorsement,
    Accusation,
    Announce,
    Want,
    Blocks,
)
