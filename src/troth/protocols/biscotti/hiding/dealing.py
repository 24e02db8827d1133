"""Shares of updates: how a contributor deals them, and aggregators check and add them (section 4.6
of the paper, `troth.crypto.sharing`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import msgspec

from troth.compute import Compute
from troth.crypto import signatures
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
    """What a contributor sends: to all aggregators, and to each of them."""

    commitments: bytes
    """To the data rows, and to the random ones unless sharing is optimistic."""
    root: bytes
    paths: tuple[tuple[bytes, ...], ...]
    shares: tuple[bytes, ...]
    """A secret of each aggregator."""

    def __repr__(self) -> str:
        return "<redacted>"


@dataclass(frozen=True, eq=False)
class DealShares(Compute[object, Dealt]):
    """Share an update.

    Args:
      commitments: to its rows, as it was masked.
      opening_values, opening_blindings: what opens them. A secret.
      optimistic: leave the random rows' commitments out.
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
    """Commitments that come with a share."""
    return setting.layout.rows if optimistic else setting.scheme.rows


def update_of(setting: Setting, message: Shares) -> UpdateId:
    """The id of the update that a share is of."""
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
    """Check a share's signature, sizes and place in what its contributor dealt: what `CheckShares`
    does not.

    Args:
      number: of the aggregator that it is for.

    Raises:
      PeerError: the culprit is `sender`.
    """
    expected = rows_dealt(setting, optimistic=optimistic) * POINT_BYTES
    if len(message.commitments) != expected:
        raise PeerError(
            f"dealt {len(message.commitments)} bytes of commitments, not {expected}",
            culprits=(sender,),
        )
    signatures.verify(
        context.entries[sender].signing,
        DEALING,
        dealing_text(
            context,
            update_of(setting, message),
            dealing_of(context, message.commitments, message.root),
        ),
        message.signature,
        signer=sender,
    )
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
    """Check that a contributor says that these are its random rows.

    Raises:
      PeerError: it has not signed them; the culprit is `sender`.
    """
    text = rows_text(context, update, message.rows)
    signatures.verify(context.entries[sender].signing, ROWS, text, message.signature, signer=sender)


class CheckedShares(msgspec.Struct, frozen=True):
    """The places of the shares that do not hold, and why."""

    problems: dict[int, str]


@dataclass(frozen=True, eq=False)
class CheckShares(Compute[object, CheckedShares]):
    """Check the shares that contributors sent to one aggregator, all together.

    Optimistic ones are only read: whether they are right, the sum will tell.
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
    """One aggregator's share of the sum."""

    share: bytes


@dataclass(frozen=True, eq=False)
class SumShares(Compute[object, SummedShares]):
    """Add up the shares of U, which were checked."""

    setting: Setting
    shares: tuple[bytes, ...]

    label: ClassVar[str] = "sum_shares"

    def run(self, bench: object) -> SummedShares:  # noqa: ARG002  (the contract's name)
        return SummedShares(encode_elements(sum_shares([self._parsed(s) for s in self.shares])))

    def _parsed(self, share: bytes) -> Elements:
        return parse_share(share, self.setting.scheme, self.setting.layout, sender=_OURSELVES)


class OpenedSum(msgspec.Struct, frozen=True):
    """What the sums of shares came to: the sum of U and of its blinding factors, or nothing.

    `wrong` are the aggregators whose sums do not match what was dealt to them, by number; found out
    only where the sum did not hold, and only if contributors have committed to all rows.
    """

    values: Int64s | None
    blindings: bytes
    wrong: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class OpenSum(Compute[object, OpenedSum]):
    """Recover the sum of U and check it against the sum of its commitments.

    Args:
      numbers, sums: of the aggregators that answered.
      commitments: of each member of U, as it was dealt.
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
        """The sum if there are enough aggregators for it and it is the one committed to."""
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

    Raises:
      PeerError: it is not.
    """
    claim = OpeningClaim(_OURSELVES, opening.values_D, opening.blindings_K, points_K)
    check_openings(setting.key, [claim], bound=setting.bound * count, bits=SeededBits(seed))


def data_points(
    setting: Setting, commitments: Sequence[bytes], *, sender: NodeId
) -> Sequence[Point]:
    """The sum of updates' commitments, row by row.

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
