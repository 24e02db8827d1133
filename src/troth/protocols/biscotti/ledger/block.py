"""The block: what one round of Biscotti came to, and what others need to check it.

Section 4.2 of the paper and its figure 2 list the contents. Ours differ in this:

- The aggregate is the sum of fixed-point integers, which is exact, and w_t is named by its digest:
  w_t = w_{t-1} + sum, so the chain determines it, and 100 copies of a model would be most of it.
- A verifier signs the list of all updates it accepts once, not each of them.
- The block carries a seed for the next committees, so that whoever makes the block cannot choose
  them by choosing its contents.
- A round that fails leaves an empty block, the same at every peer.

A certificate is no part of a block: it signs the block's hash, and certificates by different
majorities may certify the same block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from troth.chain.block import SealedBlock
from troth.chain.errors import BlockError
from troth.chain.sealed import Sealed, seal, unseal
from troth.crypto import certificates
from troth.crypto.digest import DIGEST_BYTES, Digest
from troth.crypto.merkle import MAX_PATH
from troth.crypto.signatures import SIGNATURE_BYTES
from troth.errors import PeerError, VerificationError
from troth.ids import NodeId, Round
from troth.specification import NAME_PATTERN
from troth.wire import Codec, Int64s, Message

MAX_PEERS = 1024
"""Peers of one chain. A block names each of them several times, and stays below the wire's
`MAX_ELEMENTS` values."""
MAX_BLOCK_BYTES = 64 * 2**20
"""The largest block, in bytes."""
MAX_CERTIFICATE_BYTES = 1024
"""The largest certificate, in bytes."""
MAX_COMMITMENT_BYTES = 2**20
"""The largest commitment to one update: 96 bytes for each of its rows."""
MAX_SEED_PROOF_BYTES = 128
"""The largest proof of a seed, in bytes."""
MAX_OPENINGS = 8 * MAX_PEERS
"""The most noise slots opened in one block: as many as all peers have in a round by default."""
MAX_EVIDENCE = 64
MAX_EVIDENCE_BYTES = 2**20

DEALING_BYTES = 2 * DIGEST_BYTES
MAX_BLINDINGS_BYTES = 2**20
"""The most bytes of blinding factors: 32 for each row of the commitments."""

VERDICT = "biscotti verdict"
DEALING = "biscotti dealing"
OPENING = "biscotti opening"
ACKNOWLEDGEMENT = "biscotti acknowledgement"

PeerName = Annotated[NodeId, msgspec.Meta(pattern=NAME_PATTERN)]
Height = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
RoundNumber = Annotated[Round, msgspec.Meta(ge=1, le=2**32 - 1)]
Signature = Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Bitmap = Annotated[bytes, msgspec.Meta(max_length=2 * MAX_PEERS // 8)]
"""Some of a list's entries, as `bitmap.of` writes them."""
Reason = Literal["contributed", "verified", "aggregated", "penalty"]


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of the records that a block, or a message with parts of one, is made of."""


class Contribution(Part, frozen=True):
    """One update of the sum, by its commitments. Verifiers sign its id."""

    # Biscotti, section 4.2: "By including a list of commitments for each peer i's update COMM(Δw_i)
    # in the block, we can provide both privacy and verifiability of the aggregate."
    contributor: PeerName
    update: Digest
    """The update's id: SHA-256 of its commitments."""
    commitments: Annotated[bytes, msgspec.Meta(max_length=MAX_COMMITMENT_BYTES)]
    """COMM(dw): commitments to the data rows, points one after another. The block's sum
    is checked against their sum."""
    dealing: Digest
    """The digest that binds the shares that were dealt; see `texts.dealing_of`."""
    signature: Signature
    """The contributor's signature, for `DEALING`, of `signed_list` of update and dealing: nobody
    else can take the update for its own."""


class Acknowledgement(Part, frozen=True):
    """An aggregator's word that it holds good shares of these updates."""

    aggregator: PeerName
    held: Bitmap
    """Which of the block's dealings these are."""
    signature: Signature
    """The aggregator's signature, for `ACKNOWLEDGEMENT`, of `signed_list` of these dealings."""


class Verdict(Part, frozen=True):
    """Which updates a verifier accepts, signed once over all of them."""

    verifier: PeerName
    accepted: Bitmap
    """Which of the block's candidates these are."""
    signature: Signature
    """The verifier's signature, for `VERDICT`, of `signed_list` of the ids of these updates."""


class NoiseOpening(Part, frozen=True):
    """A noise slot that hides nothing, opened for everybody to check."""

    noiser: PeerName
    slot: Annotated[int, msgspec.Meta(ge=0, lt=2**16)]
    seed: Digest
    blinding_seed: Digest
    path: Annotated[bytes, msgspec.Meta(max_length=MAX_PATH * DIGEST_BYTES)]
    """The Merkle path from the slot's leaf to the noiser's root in the genesis, one digest after
    another."""
    signature: Signature
    """The noiser's signature, for `OPENING`, of `opening_text`."""

    def text(self, chain: bytes, round: Round) -> bytes:
        """What the noiser has signed."""
        return opening_text(chain, round, self.slot, self.seed, self.blinding_seed, self.path)


class Evidence(Part, frozen=True):
    """What a peer did wrong, in a form that anybody can check and nobody can make up."""

    kind: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    """Which of the protocol's offences it is; it determines what `data` holds."""
    accused: PeerName
    round: RoundNumber
    """The round in which it happened. A peer is punished once for each kind and round."""
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_EVIDENCE_BYTES)]

    @property
    def offence(self) -> tuple[NodeId, str, Round]:
        """What is punished at most once."""
        return self.accused, self.kind, self.round


class StakeChange(Part, frozen=True):
    """How much a block adds to a peer's stake, or takes from it, and why."""

    peer: PeerName
    amount: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    reason: Reason


class Block(Message, frozen=True):
    """One block, as its proposer built it. `sealed.digest` of the sealed block is its hash."""

    chain: Digest
    """The id of the chain: the digest of its genesis."""
    height: Height
    """The number of the round that the block ends; every round leaves one block, from 1 on."""
    # Biscotti, section 4.2: "Each block holds a pointer to its previous block as a cryptographic
    # hash of its contents."
    previous: Digest
    """Hash of the block below, or the chain's id at height 1."""
    proposer: PeerName | None
    """The peer that built the block; None for the empty block, which all peers make alike."""
    seed: Digest
    """The seed that the committees of the next round follow from."""
    seed_proof: Annotated[bytes, msgspec.Meta(max_length=MAX_SEED_PROOF_BYTES)]
    """The proposer's proof that it did not choose the seed."""
    model: Digest
    """The digest of w_t; see `model_digest`."""
    aggregate: Int64s | None
    """The sum of the contributions, fixed-point integers of shape (D,); None if there is none."""
    blindings: Annotated[bytes, msgspec.Meta(max_length=MAX_BLINDINGS_BYTES)]
    """The sum of their blinding factors: opens the sum of their commitments, with the aggregate."""
    contributions: Annotated[tuple[Contribution, ...], msgspec.Meta(max_length=MAX_PEERS)]
    """The updates of the agreed set U, ascending by contributor."""
    dealings: Annotated[bytes, msgspec.Meta(max_length=2 * MAX_PEERS * DEALING_BYTES)]
    """What an acknowledgement speaks of: update id and dealing, ascending, one after another."""
    acknowledgements: Annotated[tuple[Acknowledgement, ...], msgspec.Meta(max_length=MAX_PEERS)]
    """The aggregators' acknowledgements, ascending by aggregator."""
    candidates: Annotated[bytes, msgspec.Meta(max_length=MAX_PEERS * DIGEST_BYTES)]
    """The ids of all updates that a verdict accepts, ascending, one after another."""
    verdicts: Annotated[tuple[Verdict, ...], msgspec.Meta(max_length=MAX_PEERS)]
    """The verifiers' verdicts, ascending by verifier."""
    openings: Annotated[tuple[NoiseOpening, ...], msgspec.Meta(max_length=MAX_OPENINGS)]
    """The opened slots of noise, ascending by noiser and slot."""
    evidence: Annotated[tuple[Evidence, ...], msgspec.Meta(max_length=MAX_EVIDENCE)]
    """The evidence of offences, ascending by accused, kind and round."""
    stake_changes: Annotated[tuple[StakeChange, ...], msgspec.Meta(max_length=4 * MAX_PEERS)]
    """The changes of stake, ascending by peer and reason."""
    stake: Digest
    """The digest of the stake table after these changes."""

    @property
    def round(self) -> Round:
        """The round that the block ends: its height."""
        return Round(self.height)

    @property
    def empty(self) -> bool:
        """Whether the block adds nothing to the model, as its round has failed."""
        return self.aggregate is None


class Certificate(Message, frozen=True):
    """Signatures of a majority under a block's hash."""

    signers: Bitmap
    """Which of the genesis' peers have signed."""
    signature: Annotated[
        bytes,
        msgspec.Meta(
            min_length=certificates.SIGNATURE_BYTES, max_length=certificates.SIGNATURE_BYTES
        ),
    ]
    """Their BLS signatures of `certified_text`, added up."""


_BLOCKS = Codec([Block], max_bytes=MAX_BLOCK_BYTES)
_CERTIFICATES = Codec([Certificate], max_bytes=MAX_CERTIFICATE_BYTES)
_OURSELVES = NodeId("ourselves")


@dataclass(frozen=True)
class CertifiedBlock:
    """A block with its certificate, as somebody sent or stored it."""

    block: Sealed[Block]
    certificate: Certificate | None
    """None for an empty block only, which follows from the block below and needs nobody's word."""

    @property
    def hash(self) -> bytes:
        """The block's hash, by which the next block and certificates name it."""
        return self.block.digest

    @property
    def sealed(self) -> SealedBlock:
        """The same as bytes, as a chain keeps it."""
        block, certificate = self.block, self.certificate
        return SealedBlock(
            hash=block.digest,
            height=block.content.height,
            previous=block.content.previous,
            index=block.index,
            data=block.data,
            certificate=None if certificate is None else encode_certificate(certificate),
        )


def seal_block(block: Block) -> Sealed[Block]:
    """The block's record; its digest is the block's hash.

    Raises:
      LocalError: it is larger than a block may be.
    """
    return seal(_BLOCKS, block)


def read_block(data: bytes, *, sender: NodeId) -> Sealed[Block]:
    """The block that a peer sent, not verified.

    Raises:
      PeerError: `data` is no block in its canonical encoding; the culprit is `sender`.
    """
    return unseal(_BLOCKS, Block, data, sender=sender)


def read_certificate(data: bytes, *, sender: NodeId) -> Certificate:
    """The certificate that a peer sent, not verified.

    Raises:
      PeerError: `data` is no certificate in its canonical encoding; the culprit is `sender`.
    """
    return unseal(_CERTIFICATES, Certificate, data, sender=sender).content


def read_certified(data: bytes, certificate: bytes | None, *, sender: NodeId) -> CertifiedBlock:
    """A block, and its certificate if there is one, from their encodings.

    Raises:
      PeerError: they are not the encodings of any; the culprit is `sender`.
    """
    return CertifiedBlock(
        read_block(data, sender=sender),
        None if certificate is None else read_certificate(certificate, sender=sender),
    )


def read_sealed(block: SealedBlock, sender: NodeId) -> CertifiedBlock:
    """The block that somebody's chain holds, not verified.

    Raises:
      BlockError: its `encoding` or its `certificate` is wrong; the culprit is `sender`.
    """
    field = "encoding"
    try:
        record = read_block(block.data, sender=sender)
        field = "certificate"
        certificate = block.certificate
        return CertifiedBlock(
            record, None if certificate is None else read_certificate(certificate, sender=sender)
        )
    except PeerError as error:
        problem = f"is wrong: {error.message}"
        raise BlockError(block.height, field, problem, sender=sender) from None


def read_kept(block: SealedBlock) -> CertifiedBlock:
    """One of a node's own blocks, which was verified before its ledger took it.

    Raises:
      VerificationError: it was altered since.
    """
    try:
        return read_sealed(block, _OURSELVES)
    except BlockError as error:
        raise VerificationError(f"block {block.height}: {error.field} {error.problem}") from None


def encode_certificate(certificate: Certificate) -> bytes:
    """The bytes of a certificate, as `read_certificate` reads them."""
    return _CERTIFICATES.encode(certificate)


def pieces(table: bytes, width: int) -> list[bytes]:
    """The entries, each of `width` bytes, of a table that is kept as one piece."""
    return [table[start : start + width] for start in range(0, len(table), width)]


def signed_list(chain: bytes, round: Round, entries: bytes) -> bytes:
    """What a verifier or aggregator signs: entries of `candidates` or `dealings`, in their order.

    It needs nothing of the block, which comes later and may speak of more.
    """
    return chain + round.to_bytes(8) + entries


def opening_text(
    chain: bytes, round: Round, slot: int, seed: bytes, blinding_seed: bytes, path: bytes
) -> bytes:
    """What a noiser signs when it opens a slot for everybody."""
    return chain + round.to_bytes(8) + slot.to_bytes(4) + seed + blinding_seed + path


def certified_text(block_hash: bytes) -> bytes:
    """What the signers of a certificate sign; the hash binds chain and height."""
    return b"troth-block-certificate\0" + block_hash
