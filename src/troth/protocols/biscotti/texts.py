"""The texts that peers sign. Each names its chain and round, and each kind has a purpose of its
own, so that no signature can stand for another."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from troth.crypto.noise_table import Seeds
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import signed_list
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.messages import Masked, NoiseUse, SumSet
from troth.wire import Codec

GRANT = "biscotti grant"
MASKED_UPDATE = "biscotti masked"
SUM_SET = "biscotti sum set"
SET_VOTE = "biscotti set vote"
SUM_SHARE = "biscotti sum share"
ROWS = "biscotti random rows"

_SETS = Codec([SumSet])


def start(context: RoundContext) -> bytes:
    """The bytes with which everything that is signed in a round begins, on whichever branch."""
    return context.chain + context.round.to_bytes(8)


def place(context: RoundContext) -> bytes:
    """The bytes with which texts begin that mean something on one block only: an honest peer that
    follows a branch which others leave must not look like a cheat on theirs."""
    return start(context) + context.below.hash


def seeds_digest(seeds: Seeds) -> bytes:
    """A digest, 32 bytes, that binds a slot's seeds without telling them."""
    return sha256(b"troth-noise-seeds\0" + seeds.noise + seeds.blinding).digest()


def grant_text(
    context: RoundContext,
    contributor: NodeId,
    slot: int,
    seeds: bytes,
    path: Sequence[bytes],
) -> bytes:
    """What a noiser signs to say that a slot is for this contributor alone.

    Args:
      seeds: the digest of the slot's seeds; see `seeds_digest`.
      path: from the slot's leaf to the noiser's root.
    """
    bound = sha256(b"".join(path)).digest()
    return place(context) + slot.to_bytes(4) + seeds + bound + contributor.encode()


def masked_text(context: RoundContext, message: Masked) -> bytes:
    """What a contributor signs with its masked update: everything in the message."""
    hashed = sha256()
    for part in (message.commitments, message.values.tobytes(), message.blindings, message.proof):
        hashed.update(sha256(part).digest())
    for use in message.noise:
        hashed.update(_use_digest(use))
    return place(context) + hashed.digest()


def update_id(commitments: bytes) -> bytes:
    """The id, 32 bytes, of the update with these commitments to its data rows."""
    return sha256(commitments).digest()


def dealing_of(context: RoundContext, commitments: bytes, root: bytes) -> bytes:
    """The digest, 32 bytes, that binds what a contributor dealt.

    Args:
      commitments: to the rows of its update, as they were dealt.
      root: of the Merkle tree over all shares.
    """
    bound = b"troth-dealing\0" + context.below.hash + sha256(commitments).digest() + root
    return sha256(bound).digest()


def dealing_text(context: RoundContext, update: bytes, dealing: bytes) -> bytes:
    """What a contributor signs to say that this is its update, and that it was dealt so.

    Args:
      update: its id.
      dealing: see `dealing_of`.
    """
    return signed_list(context.chain, context.round, update + dealing)


def rows_text(context: RoundContext, update: bytes, rows: bytes) -> bytes:
    """What a contributor signs to say that these are the commitments to its random rows."""
    return place(context) + update + sha256(rows).digest()


def set_digest(message: SumSet) -> bytes:
    """The digest, 32 bytes, that binds all of a set U but the leader's signature."""
    unsigned = msgspec.structs.replace(message, round=Round(0), signature=bytes(64))
    return sha256(_SETS.encode(unsigned)).digest()


def set_text(context: RoundContext, digest: bytes) -> bytes:
    """What a leader signs, for `SUM_SET`, to say that this is the set U, the only one of the round;
    and an aggregator, for `SET_VOTE`, to say that it would sum this one and no other.

    Args:
      digest: see `set_digest`.
    """
    return place(context) + digest


def sum_text(context: RoundContext, set: bytes, share: bytes) -> bytes:
    """What an aggregator signs to say that this is its sum over the set of this digest."""
    return place(context) + set + sha256(share).digest()


def _use_digest(use: NoiseUse) -> bytes:
    hashed = sha256(use.noiser.encode() + b"\0" + use.slot.to_bytes(4))
    for part in (use.rows, *use.path, use.seeds, use.signature):
        hashed.update(sha256(part).digest())
    return hashed.digest()
