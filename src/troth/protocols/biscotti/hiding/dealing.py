"""Shares of updates: how a contributor deals them, and how aggregators check and add them (section
4.6 of the paper; the sharing itself is in `troth.crypto.sharing`).

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import msgspec

from troth.compute import Compute
from troth.crypto.commitments import (
    Opening,
    OpeningClaim,
    UpdateId,
    add_commitments,
    check_openings,
)
from troth.crypto.field import Elements, encode_elements, parse_elements
from troth.crypto.group import POINT_BYTES, Point
from troth.crypto.merkle import MerkleTree, check_path
from troth.crypto.seeded_bits import SeededBits
from troth.crypto.sharing import ShareClaim, check_shares, deal, parse_share, recover, sum_shares
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.block import DEALING
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.messages import RandomRows, Shares
from troth.protocols.biscotti.setting import Setting
from troth.protocols.biscotti.texts import ROWS, dealing_of, dealing_text, rows_text
from troth.wire import Int64s


class Dealt(msgspec.Struct, frozen=True):
    """What a contributor deals: commitments and root to all aggregators, and to each of them its
    path and share."""

    commitments: bytes
    """Commitments to the data rows, and to the random rows unless sharing is optimistic."""
    root: bytes
    """Root of the Merkle tree over the SHA-256 of each share."""
    paths: tuple[tuple[bytes, ...], ...]
    """The Merkle path from each aggregator's share to the root, by the aggregators' numbers."""
    shares: tuple[bytes, ...]
    """The shares, by the aggregators' numbers; each is a secret of its aggregator's."""

    def __repr__(self) -> str:
        return "<redacted>"


@dataclass(frozen=True, eq=False)
class DealShares(Compute[object, Dealt]):
    """The computation by which a contributor shares its update among the aggregators.

    Args:
      commitments: to the update's rows, as it was masked.
      opening_values, opening_blindings: the update, shape (D,), and the blinding factors that open
        these commitments. A secret.
      optimistic: whether to leave out the commitments to the random rows.
      seed: 32 secret bytes, never used twice.
    """

    setting: Setting
    commitments: bytes
    opening_values: Int64s
    opening_blindings: bytes
    optimistic: bool
    seed: bytes

    label: ClassVar[str] = "deal_shares"

    def run(self, bench: object) -> Dealt:  # noqa: ARG002  (the contract's name)
        setting, layout = self.setting, self.setting.layout
        blindings = parse_elements(self.opening_blindings, layout.rows, sender=_OURSELVES)
        # Biscotti, section 4, step 6: "the signed update is divided into Shamir secret shares".
        # Differs from the paper: packed sharing with random rows on top, because shares of a
        # polynomial whose coefficients are the update carry no randomness, so that the share of one
        # aggregator alone can give the update away.
        dealing = deal(
            setting.scheme, layout, Opening(self.opening_values, blindings), SeededBits(self.seed)
        )
        shares = dealing.shares()
        tree = MerkleTree([sha256(share).digest() for share in shares])
        random = (
            b""
            if self.optimistic
            else setting.key.group.encode(dealing.random_commitments(setting.key))
        )
        return Dealt(
            self.commitments + random,
            tree.root,
            tuple(tree.path(place) for place in range(len(shares))),
            tuple(shares),
        )


def rows_dealt(setting: Setting, *, optimistic: bool) -> int:
    """How many commitments to rows come with a share."""
    return setting.layout.rows if optimistic else setting.scheme.rows


def update_of(setting: Setting, message: Shares) -> UpdateId:
    """The id of the update that a share belongs to, by the commitments that came with it."""
    return UpdateId(sha256(message.commitments[: setting.layout.rows * POINT_BYTES]).digest())


def check_dealing(
    setting: Setting,
    context: RoundContext,
    sender: NodeId,
    message: Shares,
    *,
    number: int,
    optimistic: bool,
) -> None:
    """Check a share's signature, sizes and place in what its contributor dealt, which `CheckShares`
    does not.

    Args:
      number: of the aggregator that the share is for.
      optimistic: whether the commitments to random rows are left out.

    Raises:
      PeerError: one of them is wrong; the culprit is `sender`.
    """
    expected = rows_dealt(setting, optimistic=optimistic) * POINT_BYTES
    if len(message.commitments) != expected:
        raise PeerError(
            f"dealt {len(message.commitments)} bytes of commitments, not {expected}",
            culprits=(sender,),
        )
    dealing = dealing_of(context, message.commitments, message.root)
    text = dealing_text(context, update_of(setting, message), dealing)
    context.check_signed(sender, DEALING, text, message.signature)
    check_path(
        message.root,
        setting.scheme.aggregators,
        number,
        sha256(message.share).digest(),
        message.path,
        sender=sender,
    )


def check_rows_of(
    context: RoundContext, sender: NodeId, update: bytes, message: RandomRows
) -> None:
    """Check that a contributor has signed that these are the commitments to its random rows.

    Args:
      update: the id of its update.

    Raises:
      PeerError: it has not signed them; the culprit is `sender`.
    """
    context.check_signed(sender, ROWS, rows_text(context, update, message.rows), message.signature)


class CheckedShares(msgspec.Struct, frozen=True):
    """Which of the shares that were given do not hold: why, by their places."""

    problems: dict[int, str]


@dataclass(frozen=True, eq=False)
class CheckShares(Compute[object, CheckedShares]):
    """The computation that checks the shares which contributors sent to one aggregator, all
    together.

    Optimistic ones are only read: whether they are right, the sum will tell.

    Args:
      number: of the aggregator.
      senders, commitments, shares: who has dealt each share, and what came with it.
      seed: 32 bytes that no sender knows, for the weights of the joint check.
    """

    setting: Setting
    number: int
    senders: tuple[NodeId, ...]
    commitments: tuple[bytes, ...]
    shares: tuple[bytes, ...]
    optimistic: bool
    seed: bytes

    label: ClassVar[str] = "check_shares"

    def run(self, bench: object) -> CheckedShares:  # noqa: ARG002  (the contract's name)
        setting = self.setting
        problems: dict[int, str] = {}
        claims = []
        rows = rows_dealt(setting, optimistic=self.optimistic)
        for place, sender in enumerate(self.senders):
            try:
                share = parse_share(
                    self.shares[place], setting.scheme, setting.layout, sender=sender
                )
                points = setting.points(self.commitments[place], rows, sender=sender)
            except PeerError as error:
                problems[place] = error.message
                continue
            if self.optimistic:
                continue
            at = setting.scheme.points_of(self.number)
            claims.append(ShareClaim(sender, at, share, points))
        try:
            check_shares(setting.key, claims, SeededBits(self.seed))
        except PeerError as error:
            problems |= {
                place: error.message
                for place, sender in enumerate(self.senders)
                if sender in error.culprits
            }
        return CheckedShares(problems)


class SummedShares(msgspec.Struct, frozen=True):
    """One aggregator's share of the sum of the updates of U."""

    share: bytes


@dataclass(frozen=True, eq=False)
class SumShares(Compute[object, SummedShares]):
    """The computation that adds up one aggregator's shares of the updates of U, which were
    checked."""

    setting: Setting
    shares: tuple[bytes, ...]

    label: ClassVar[str] = "sum_shares"

    # Biscotti, section 4.6: "a set of m aggregators, predetermined by consistent hashing, to
    # compute" the sum "without observing any individual updates."
    def run(self, bench: object) -> SummedShares:  # noqa: ARG002  (the contract's name)
        return SummedShares(encode_elements(sum_shares([self._parsed(s) for s in self.shares])))

    def _parsed(self, share: bytes) -> Elements:
        return parse_share(share, self.setting.scheme, self.setting.layout, sender=_OURSELVES)


class OpenedSum(msgspec.Struct, frozen=True):
    """What opening a sum came to: the sum of the updates of U and of their blinding factors, or
    nothing."""

    values: Int64s | None
    """The sum of the updates in steps of the grid, shape (D,); None if it does not hold."""
    blindings: bytes
    """The sum of their blinding factors, 32 bytes for each row; empty if it does not hold."""
    wrong: tuple[int, ...]
    """Numbers of the aggregators whose sums do not match what was dealt to them. They are found out
    only where the sum did not hold, and only if contributors have committed to all rows."""


@dataclass(frozen=True, eq=False)
class OpenSum(Compute[object, OpenedSum]):
    """The computation that recovers the sum of U and checks it against the sum of its commitments.

    Args:
      numbers, sums: of the aggregators that answered.
      commitments: of each member of U, as it was dealt.
      optimistic: whether the commitments to random rows are left out.
      seed: 32 bytes that nobody else knows, for the weights of the checks.
    """

    setting: Setting
    numbers: tuple[int, ...]
    sums: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    optimistic: bool
    seed: bytes

    label: ClassVar[str] = "open_sum"

    def run(self, bench: object) -> OpenedSum:  # noqa: ARG002  (the contract's name)
        setting, scheme = self.setting, self.setting.scheme
        parsed: dict[int, Elements] = {}
        wrong: list[int] = []
        for number, share in zip(self.numbers, self.sums, strict=True):
            try:
                parsed[number] = parse_share(share, scheme, setting.layout, sender=_OURSELVES)
            except PeerError:
                wrong.append(number)
        rows = rows_dealt(setting, optimistic=self.optimistic)
        try:
            points = add_commitments(
                [setting.points(encoded, rows, sender=_OURSELVES) for encoded in self.commitments]
            )
        except PeerError:
            # What contributors send late is read here for the first time.
            return OpenedSum(None, b"", ())
        opened = self._opened(parsed, points[: setting.layout.rows])
        if opened is None and not self.optimistic:
            claims = [
                ShareClaim(_name(number), scheme.points_of(number), share, points)
                for number, share in parsed.items()
            ]
            try:
                check_shares(setting.key, claims, SeededBits(self.seed))
            except PeerError as error:
                lying = [number for number in parsed if _name(number) in error.culprits]
                wrong += lying
                for number in lying:
                    del parsed[number]
                opened = self._opened(parsed, points[: setting.layout.rows])
        if opened is None:
            return OpenedSum(None, b"", tuple(sorted(wrong)))
        return OpenedSum(opened.values_D, encode_elements(opened.blindings_K), tuple(sorted(wrong)))

    def _opened(self, sums: dict[int, Elements], points_K: Sequence[Point]) -> Opening | None:
        """The sum, if enough aggregators have answered and it is the one committed to; else
        None."""
        setting = self.setting
        if len(sums) < setting.scheme.quorum:
            return None
        bound = setting.bound * len(self.commitments)
        try:
            opening = recover(setting.scheme, setting.layout, sums, bound=bound)
            check_sum(setting, opening, points_K, count=len(self.commitments), seed=self.seed)
        except PeerError:
            return None
        return opening


def check_sum(
    setting: Setting, opening: Opening, points_K: Sequence[Point], *, count: int, seed: bytes
) -> None:
    """Check that this is the sum of `count` updates whose commitments add up to these points.

    Args:
      opening: the sum of the updates and of their blinding factors.
      points_K: the sums of their commitments, row by row.
      seed: 32 bytes that whoever made the sum does not know, for the weights of the check.

    Raises:
      PeerError: it is not.
    """
    # Biscotti, section 4.2: the commitments "can be homomorphically combined to verify that the
    # update to the global model by the aggregator" was computed honestly:
    # COMM(sum_i dw_i) = prod_i COMM(dw_i).
    # Differs from the paper: Pedersen commitments to rows stand for polynomial commitments, because
    # they need no trusted setup and hide perfectly.
    claim = OpeningClaim(_OURSELVES, opening.values_D, opening.blindings_K, points_K)
    check_openings(setting.key, [claim], bound=setting.bound * count, bits=SeededBits(seed))


def data_points(
    setting: Setting, commitments: Sequence[bytes], *, sender: NodeId
) -> Sequence[Point]:
    """The sum of the commitments to several updates, one point for each row.

    Args:
      commitments: of each update, to its data rows, points one after another.

    Raises:
      PeerError: one of them is malformed; the culprit is `sender`.
    """
    rows = setting.layout.rows
    return add_commitments(
        [setting.points(encoded, rows, sender=sender) for encoded in commitments]
    )


_OURSELVES = NodeId("ourselves")


def _name(number: int) -> NodeId:
    return NodeId(str(number))
