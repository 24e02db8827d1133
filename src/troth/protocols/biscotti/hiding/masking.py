"""Masked updates: what contributors show and verifiers check (sections 4.4 and 4.5 of the paper).

    y = x + sum_k zeta_k

x is the update on the fixed-point grid, zeta_k the noise of a slot that noiser k committed to in
the genesis. Commitments add up, so a verifier sees that y is the committed x with that noise and no
other, without seeing x.

Each use of a slot carries its noiser's signature, the grant: this slot is for this contributor
alone. A verifier checks it only where it decides something, about a fifth of all:

- **The slot is shown twice.** Who names another's slot without a grant goes, who has one stays. If
  both have one, the noiser has given it twice.
- **The slot is not the contributor's lot** (`first_slot`), which follows from its VRF. Contributors
  that pass each other their noise could otherwise choose among all of it, after they have seen it.

Whoever names a slot in any other way has the noise that chance has for it, or does not know it: and
without its seeds nobody can open both a commitment plus that noise, for verifiers, and that
commitment, for aggregators. Evidence is judged by all signatures: an honest contributor has them.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import ClassVar

import msgspec
import numpy as np

from troth.compute import Compute
from troth.crypto import signatures
from troth.crypto.commitments import (
    Opening,
    OpeningClaim,
    add_commitments,
    check_openings,
    commit,
)
from troth.crypto.field import ELEMENT_BYTES, encode_elements, parse_elements
from troth.crypto.group import POINT_BYTES, Point
from troth.crypto.noise_table import Seeds, check_rows, first_slot
from troth.crypto.seeded_bits import SeededBits
from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.privacy.discrete_table import gaussian_table
from troth.protocols.biscotti.ledger.block import pieces
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.genesis import PublicEntry
from troth.protocols.biscotti.messages import Masked, NoiseUse
from troth.protocols.biscotti.setting import Setting
from troth.protocols.biscotti.texts import GRANT, MASKED_UPDATE, grant_text, masked_text
from troth.wire import Float32s, Int64s, UInt32s

_OFFSET = 2**31
"""Added to masked values, so that they travel as four bytes each."""


@dataclass(frozen=True)
class GrantedNoise:
    """A slot of noise that a noiser gave to a contributor, which was not checked yet."""

    owner: NodeId
    """The noiser that gave it."""
    root: bytes
    """Root of the noiser's table, from the genesis."""
    round: Round
    slot: int
    seeds: Seeds
    """What the noise and its blinding factors are expanded from."""
    rows: bytes
    """The commitments to the slot's rows, points one after another."""
    path: tuple[bytes, ...]
    """The Merkle path from the slot's leaf to the root."""


class MaskedUpdate(msgspec.Struct, frozen=True):
    """What came of masking an update. The openings are the contributor's secret."""

    opening_values: Int64s
    """The update without the mask, as it was committed to, in steps of the grid, shape (D,)."""
    opening_blindings: bytes
    """The blinding factors of its commitments, 32 bytes for each row."""
    commitments: bytes
    """COMM(dw): commitments to its rows, points one after another."""
    values: UInt32s
    """The masked update as it travels, shape (D,)."""
    blindings: bytes
    """The sums of the update's and the noise's blinding factors, 32 bytes for each row."""
    good: tuple[bool, ...]
    """Whether each grant is the noise it should be; the others are not in the masked update."""

    def __repr__(self) -> str:
        return "<redacted>"


@dataclass(frozen=True, eq=False)
class MaskUpdate(Compute[object, MaskedUpdate]):
    """The computation by which a contributor checks its noise, commits to its update, and adds both
    up.

    Args:
      update_D: the update, shape (D,), not clipped yet.
      grants: the noise that its noisers gave it.
      seed: 32 secret bytes, for blinding factors and the ledger's noise; never used twice.
    """

    setting: Setting
    update_D: Float32s
    grants: tuple[GrantedNoise, ...]
    seed: bytes

    label: ClassVar[str] = "mask_update"

    def run(self, bench: object) -> MaskedUpdate:  # noqa: ARG002  (the contract's name)
        setting = self.setting
        values_D = encode_update(setting, self.update_D, self.seed)
        rows = setting.layout.rows
        opening = Opening.draw(values_D, rows, SeededBits(_part(self.seed, b"blinding")))
        commitment = commit(setting.key, opening, bound=setting.bound)
        noise = [setting.rows.opening(grant.seeds) for grant in self.grants]
        good = self._good(noise)
        # Biscotti, section 4.5, what a verifier receives: "the masked SGD update", which is dw_i
        # plus the sum of its noise zeta_k, and "a commitment to the SGD update".
        masked = sum((part for part, holds in zip(noise, good, strict=True) if holds), opening)
        return MaskedUpdate(
            opening.values_D,
            encode_elements(opening.blindings_K),
            commitment.encoded,
            to_wire(masked.values_D),
            encode_elements(masked.blindings_K),
            good,
        )

    def _good(self, noise: Sequence[Opening]) -> tuple[bool, ...]:
        """For each grant, whether its rows are those of the noiser's table and commit to its
        noise."""
        setting = self.setting
        claims = []
        for grant, opening in zip(self.grants, noise, strict=True):
            try:
                points = committed_points(setting, grant)
            except PeerError:
                continue
            claims.append(OpeningClaim(grant.owner, opening.values_D, opening.blindings_K, points))
        holding = {claim.author for claim in claims}
        try:
            bits = SeededBits(_part(self.seed, b"check"))
            check_openings(setting.key, claims, bound=setting.noise_bound, bits=bits)
        except PeerError as error:
            holding -= set(error.culprits)
        return tuple(grant.owner in holding for grant in self.grants)


def encode_update(setting: Setting, update_D: Float32s, seed: bytes) -> Int64s:
    """The update as it is committed to, in steps of the grid, shape (D,): clipped, rounded, and
    with this contributor's part of the ledger's noise where the charter asks for it.

    Args:
      seed: see `MaskUpdate`.
    """
    # Differs from the paper: `ledger_noise` adds noise that stays in the sum, because without it
    # what the ledger shows carries no differential privacy.
    values_D = setting.fixed.encode(update_D)
    if setting.ledger_sigma is not None:
        bits = SeededBits(_part(seed, b"ledger"))
        noise_D = gaussian_table(setting.ledger_sigma).draw(bits, setting.dimension)
        values_D = np.clip(values_D + noise_D, -setting.bound, setting.bound)
    return values_D


def to_wire(values_D: Int64s) -> UInt32s:
    """Masked values, shape (D,), as they travel: each plus 2^31, in four bytes."""
    return (values_D + _OFFSET).astype(np.uint32)


def from_wire(values_D: UInt32s) -> Int64s:
    """Masked values, shape (D,), from what has travelled: the inverse of `to_wire`."""
    return values_D.astype(np.int64) - _OFFSET


class CheckedUpdates(msgspec.Struct, frozen=True):
    """Which of the masked updates that were given hold, by their places."""

    good: tuple[int, ...]
    """Places of those that hold, ascending."""
    problems: dict[int, str]
    """Why each of the others does not hold, by its place."""


@dataclass(frozen=True, eq=False)
class CheckMasked(Compute[object, CheckedUpdates]):
    """The computation that checks the masked updates of a round, all openings together.

    Args:
      context: of the round.
      senders: who sent each; contributors of the round.
      seed: 32 bytes that no sender knows, for the weights of the joint check.
    """

    setting: Setting
    context: RoundContext
    senders: tuple[NodeId, ...]
    messages: tuple[Masked, ...]
    seed: bytes

    label: ClassVar[str] = "check_masked"

    def run(self, bench: object) -> CheckedUpdates:  # noqa: ARG002  (the contract's name)
        problems: dict[int, str] = {}
        claims: dict[NodeId, OpeningClaim] = {}
        for place, (sender, message) in enumerate(zip(self.senders, self.messages, strict=True)):
            try:
                claims[sender] = opening_claim(self.setting, self.context, sender, message)
            except PeerError as error:
                problems[place] = error.message
        try:
            check_openings(
                self.setting.key,
                list(claims.values()),
                bound=self.setting.masked_bound,
                bits=SeededBits(self.seed),
            )
        except PeerError as error:
            for place, sender in enumerate(self.senders):
                if sender in error.culprits:
                    problems[place] = error.message
        problems |= self._without_grant(
            [place for place in range(len(self.senders)) if place not in problems]
        )
        good = tuple(place for place in range(len(self.senders)) if place not in problems)
        return CheckedUpdates(good, problems)

    def _without_grant(self, places: Sequence[int]) -> dict[int, str]:
        """Of the updates at `places`, those that show a slot which another one shows and which
        their sender was not given: why, by their places."""
        shown: dict[tuple[NodeId, int], list[tuple[int, NoiseUse]]] = defaultdict(list)
        for place in places:
            for use in self.messages[place].noise:
                shown[use.noiser, use.slot].append((place, use))
        problems = {}
        for users in shown.values():
            for place, use in users if len(users) > 1 else ():
                try:
                    check_grant(self.context, self.senders[place], use)
                except PeerError as error:
                    problems[place] = error.message
        return problems

    def memo_key(self) -> tuple[str, bytes]:
        # All of a message is in its signature's text; whether it holds depends on nothing else.
        hashed = sha256(self.context.below.hash)
        for sender, message in zip(self.senders, self.messages, strict=True):
            hashed.update(sender.encode() + b"\0" + message.signature)
            hashed.update(masked_text(self.context, message))
        return self.label, hashed.digest()


def check_masked(
    setting: Setting, context: RoundContext, sender: NodeId, message: Masked, seed: bytes
) -> None:
    """Check one masked update and all grants that it shows, whatever other updates show.

    What a verifier accepts may fail this, but nothing that an honest contributor sends.

    Raises:
      PeerError: it does not hold; the culprit is `sender`.
    """
    claim = opening_claim(setting, context, sender, message)
    for use in message.noise:
        check_grant(context, sender, use)
    check_openings(setting.key, [claim], bound=setting.masked_bound, bits=SeededBits(seed))


def opening_claim(
    setting: Setting, context: RoundContext, sender: NodeId, message: Masked
) -> OpeningClaim:
    """Check everything about a masked update but whether its opening holds, and whether its sender
    was given the slots that are its lot.

    Returns:
      What is claimed to open, and the points that it has to open: the sum of the commitments to the
      update and to its noise.

    Raises:
      PeerError: `sender` is no contributor of this round, or its signature, its VRF proof, its
        noise or an encoding is wrong; the culprit is `sender`.
    """
    if sender not in context.contributors:
        raise PeerError("is no contributor of this round", culprits=(sender,))
    text = masked_text(context, message)
    context.check_signed(sender, MASKED_UPDATE, text, message.signature)
    check_sizes(setting, sender, message)
    # Biscotti, section 4.5, (4): "a VRF proof confirming the identity of the k noise peers."
    output, drawn = context.noisers(sender, message.proof)
    _check_choice(setting, drawn, message.noise, sender)
    rows = setting.layout.rows
    points: list[Sequence[Point]] = [setting.points(message.commitments, rows, sender=sender)]
    # Biscotti, section 4.5, (3): "a set of k noise commitments".
    for use in message.noise:
        check_use(setting, context, sender, use)
        if use.slot != first_slot(output, noiser=use.noiser, shape=setting.table):
            check_grant(context, sender, use)
        points.append(setting.points(use.rows, rows, sender=sender))
    # Biscotti, section 4.5: the verifier "can confirm that the masked SGD update is consistent with
    # the commitments to the unmasked update and the noise by using the homomorphic property of the
    # commitments": COMM(dw_i + sum_k zeta_k) = COMM(dw_i) * prod_k COMM(zeta_k).
    return OpeningClaim(
        sender,
        from_wire(message.values),
        parse_elements(message.blindings, setting.layout.rows, sender=sender),
        add_commitments(points),
    )


def check_sizes(setting: Setting, sender: NodeId, message: Masked) -> None:
    """Check that a masked update has as many numbers and points as one of this run: whoever keeps
    one that passes keeps no more for it than for an honest one.

    Raises:
      PeerError: it has other sizes, or noise of too many noisers; the culprit is `sender`.
    """
    rows = setting.layout.rows
    sizes = [
        ("values", message.values.size, setting.dimension),
        ("bytes of commitments", len(message.commitments), rows * POINT_BYTES),
        ("bytes of blinding factors", len(message.blindings), rows * ELEMENT_BYTES),
        *(("bytes of noise", len(use.rows), rows * POINT_BYTES) for use in message.noise),
    ]
    for what, size, expected in sizes:
        if size != expected:
            raise PeerError(f"sent {size} {what}, not {expected}", culprits=(sender,))
    if len(message.noise) > setting.noisers:
        raise PeerError(
            f"sent noise of {len(message.noise)} noisers, not of {setting.noisers}",
            culprits=(sender,),
        )


def check_use(setting: Setting, context: RoundContext, sender: NodeId, use: NoiseUse) -> None:
    """Check that a noiser committed to this noise for this round, and does not have to open it.

    Raises:
      PeerError: it did not, or the slot is the audited one; the culprit is `sender`.
    """
    # Biscotti, section 4.4: "every peer pre-commits the noise vector" for every iteration "in the
    # genesis block".
    entry: PublicEntry = context.entries[use.noiser]
    if use.slot in context.reserved_slots(use.noiser):
        raise PeerError(f"uses the audited slot of {use.noiser}", culprits=(sender,))
    check_rows(
        entry.noise_root,
        setting.table,
        owner=use.noiser,
        round=context.round,
        slot=use.slot,
        rows=pieces(use.rows, POINT_BYTES),
        path=use.path,
        sender=sender,
    )


def check_grant(context: RoundContext, sender: NodeId, use: NoiseUse) -> None:
    """Check that a noiser gave this slot to `sender`.

    Raises:
      PeerError: it did not; the culprit is `sender`.
    """
    text = grant_text(context, sender, use.slot, use.seeds, use.path)
    key = context.entries[use.noiser].signing
    signatures.verify(key, GRANT, text, use.signature, signer=sender)


def _check_choice(
    setting: Setting, drawn: Sequence[NodeId], uses: Sequence[NoiseUse], sender: NodeId
) -> None:
    if setting.sigma is None:
        if uses:
            raise PeerError("sent noise where there is none", culprits=(sender,))
        return
    if len(uses) < setting.needed:
        raise PeerError(
            f"has noise of {len(uses)} noisers, not of {setting.needed}", culprits=(sender,)
        )
    if any(before.noiser >= after.noiser for before, after in pairwise(uses)):
        raise PeerError("lists its noisers out of order", culprits=(sender,))
    for use in uses:
        if use.noiser not in drawn:
            raise PeerError(f"has noise of {use.noiser}, whom it did not draw", culprits=(sender,))


def committed_points(setting: Setting, grant: GrantedNoise) -> Sequence[Point]:
    """The points that commit to the rows of a granted slot, once they were checked to be those of
    the noiser's table.

    Raises:
      PeerError: they are not what the noiser committed to, or no points; the culprit is the noiser.
    """
    check_rows(
        grant.root,
        setting.table,
        owner=grant.owner,
        round=grant.round,
        slot=grant.slot,
        rows=pieces(grant.rows, POINT_BYTES),
        path=grant.path,
        sender=grant.owner,
    )
    return setting.points(grant.rows, setting.layout.rows, sender=grant.owner)


def _part(seed: bytes, name: bytes) -> bytes:
    return sha256(b"troth-mask\0" + name + b"\0" + seed).digest()
