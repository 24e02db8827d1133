"""A peer's noise, committed to before anybody knows whom it will hide.

Sections 4.1 and 4.4 of the paper: each peer commits in the genesis to noise for all T rounds, so
that it can neither undo a poisonous update with noise chosen for it, nor give a victim none. The
table has one *slot* for each round and each of J contributors who may ask for noise in it:

    seeds      32 bytes for the noise and 32 for the blinding of its commitments. Both follow from
               one secret; opening some slots tells nothing of the others.
    rows       N_0 ... N_{k-1}: commitments to the noise vector's rows, which masking is checked
               against. They are what a `RowCommitter` makes of the seeds.
    leaf       binds owner, round, slot and rows. The root of all leaves is in the genesis.

Differs from the paper, where a peer's noise of a round goes to every contributor that drew it: two
masked updates with the same noise give away their difference, so here a slot is used once.

What is certain: a contributor that gets the seeds finds out if the rows are not those of the
specified noise. What is not: a contributor and a noiser together may use rows of any noise. In each
round some owners, drawn then, open a slot that is drawn then, too, for everybody (`check_seeds`):
who has b badly formed slots of J is found with probability b / J if it is one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256, shake_256
from typing import Protocol

from troth.crypto.merkle import MerkleTree, check_path
from troth.errors import PeerError
from troth.ids import NodeId, Round

SEED_BYTES = 32


@dataclass(frozen=True)
class Seeds:
    """What the noise of one slot follows from. Whoever is sent it, in a box, can take the noise off
    again; it prints as `<redacted>`."""

    noise: bytes
    blinding: bytes

    def __repr__(self) -> str:
        return "<redacted>"


class RowCommitter(Protocol):
    """Expands noise and commits to it.

    If two nodes make different rows of the same seeds, honest noisers are blamed.
    """

    def rows(self, seeds: Seeds) -> Sequence[bytes]:
        """The encoded commitments to the rows of the noise that follows from `seeds`."""


@dataclass(frozen=True)
class TableShape:
    """How many slots a table has; the same for all peers.

    Args:
      rounds: T, counted from 1.
      slots: J, for each round.
    """

    rounds: int
    slots: int

    @property
    def size(self) -> int:
        """How many slots the table has in all rounds together."""
        return self.rounds * self.slots

    def index(self, round: Round, slot: int) -> int:
        """The place of a slot's leaf in the tree.

        Raises:
          IndexError: there is no such slot.
        """
        if not (1 <= round <= self.rounds and 0 <= slot < self.slots):
            raise IndexError(f"slot {slot} of round {round} is not in a table of {self}")
        return (round - 1) * self.slots + slot


class NoiseSecret:
    """What all of a peer's seeds follow from. It has no wire encoder and prints as `<redacted>`.

    Args:
      seed: 32 random bytes that are used for nothing else.
    """

    __slots__ = ("_seed",)

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._seed = seed

    def __repr__(self) -> str:
        return "<redacted>"

    def seeds(self, round: Round, slot: int) -> Seeds:
        """Of one slot. A SHAKE-256 of the secret and the place: what one peer is sent tells nothing
        of other slots."""
        place = round.to_bytes(8) + slot.to_bytes(4)
        both = shake_256(b"troth-noise-seed\0" + self._seed + place).digest(2 * SEED_BYTES)
        return Seeds(both[:SEED_BYTES], both[SEED_BYTES:])


class NoiseTable:
    """The commitments of one peer: root and paths.

    Making the rows is nearly all of the work, and each slot's are independent; so they come in as
    an argument, made on as many cores as there are.

    Args:
      rows: of every slot, by round and then by slot: what `RowCommitter.rows` gives for
        `NoiseSecret.seeds`.
    """

    def __init__(self, owner: NodeId, shape: TableShape, rows: Sequence[Sequence[bytes]]) -> None:
        if len(rows) != shape.size:
            raise ValueError(f"{len(rows)} slots are not the {shape.size} of {shape}")
        self.owner, self.shape = owner, shape
        self._rows = [tuple(slot_rows) for slot_rows in rows]
        self._tree = MerkleTree(
            leaf(owner, Round(index // shape.slots + 1), index % shape.slots, slot_rows)
            for index, slot_rows in enumerate(self._rows)
        )

    @property
    def root(self) -> bytes:
        """Root of the table's Merkle tree, 32 bytes, which the genesis names."""
        return self._tree.root

    def rows(self, round: Round, slot: int) -> tuple[bytes, ...]:
        """The commitments to the rows of one slot, encoded."""
        return self._rows[self.shape.index(round, slot)]

    def path(self, round: Round, slot: int) -> tuple[bytes, ...]:
        """The Merkle path which proves that a slot's commitments are of this table; 32 bytes for
        each doubling of the table's size."""
        return self._tree.path(self.shape.index(round, slot))


def leaf(owner: NodeId, round: Round, slot: int, rows: Sequence[bytes]) -> bytes:
    """A slot's leaf: no two slots, owners or lists of rows have the same."""
    name = owner.encode()
    hashed = sha256(b"troth-noise-leaf\0" + len(name).to_bytes(4) + name)
    hashed.update(round.to_bytes(8) + slot.to_bytes(4) + len(rows).to_bytes(4))
    hashed.update(b"".join([len(row).to_bytes(4) + row for row in rows]))
    return hashed.digest()


def check_rows(
    root: bytes,
    shape: TableShape,
    *,
    owner: NodeId,
    round: Round,
    slot: int,
    rows: Sequence[bytes],
    path: Sequence[bytes],
    sender: NodeId,
) -> None:
    """Check that `owner` committed to these rows for this slot.

    Args:
      root: of the owner's table, from the genesis.

    Raises:
      PeerError: it did not, or there is no such slot; the culprit is `sender`.
    """
    try:
        index = shape.index(round, slot)
    except IndexError:
        raise PeerError("names a noise slot that does not exist", culprits=(sender,)) from None
    check_path(root, shape.size, index, leaf(owner, round, slot, rows), path, sender=sender)


def check_seeds(
    committer: RowCommitter,
    root: bytes,
    shape: TableShape,
    *,
    owner: NodeId,
    round: Round,
    slot: int,
    seeds: Seeds,
    path: Sequence[bytes],
) -> tuple[bytes, ...]:
    """Check that `owner`'s slot holds the specified noise: what a contributor does before it uses a
    slot, and everybody with unused slots once their seeds are public. Costs the commitments.

    Args:
      seeds, path: as the owner sent them, signed.

    Returns:
      The slot's rows.

    Raises:
      PeerError: the slot is badly formed, or the owner sent other seeds; the culprit is `owner`.
    """
    rows = tuple(committer.rows(seeds))
    check_rows(root, shape, owner=owner, round=round, slot=slot, rows=rows, path=path, sender=owner)
    return rows


def assign_slots(
    outputs: Mapping[NodeId, bytes],
    *,
    noiser: NodeId,
    shape: TableShape,
    reserved: Collection[int] = (),
) -> dict[NodeId, int]:
    """Which slot each contributor gets that asked `noiser` for noise in one round.

    Each has a place of its own to begin with, a hash of its VRF output and the noiser, and takes
    the next slot from there that is free, in the order of these hashes. So the order in which they
    ask changes nothing. Those for whom no slot is left are not in the result, and draw noise from
    their other noisers only.

    Args:
      outputs: the contributors' VRF outputs of the round, verified.
      reserved: slots for nobody.
    """
    hashes = {contributor: _lot(output, noiser) for contributor, output in outputs.items()}
    taken: dict[NodeId, int] = {}
    for contributor in sorted(hashes, key=lambda peer: (hashes[peer], peer)):
        first = int.from_bytes(hashes[contributor])
        used = {*reserved, *taken.values()}
        in_turn = ((first + step) % shape.slots for step in range(shape.slots))
        slot = next((slot for slot in in_turn if slot not in used), None)
        if slot is not None:
            taken[contributor] = slot
    return taken


def first_slot(output: bytes, *, noiser: NodeId, shape: TableShape) -> int:
    """Where a contributor begins in `assign_slots`: the slot that it gets if nobody else has it.

    Args:
      output: of its VRF in the round, verified.
    """
    return int.from_bytes(_lot(output, noiser)) % shape.slots


def _lot(output: bytes, noiser: NodeId) -> bytes:
    return sha256(
        b"troth-noise-slot\0" + len(output).to_bytes(4) + output + noiser.encode()
    ).digest()
