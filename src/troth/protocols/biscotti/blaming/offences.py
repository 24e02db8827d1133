"""What a peer can be punished for: offences that anybody can check and nobody can make up.

Each is proven by what the accused has signed itself. So what is only not heard, or only seems
wrong, is never punished: a silent aggregator, a verifier that accepts its friends.

| offence        | the accused ...                                                                |
|----------------|--------------------------------------------------------------------------------|
| `equivocation` | has signed two different statements where a round has one                       |
| `reused-slot`  | has given one slot of noise to two contributors                                 |
| `bad-noise`    | has given, or opened, noise that is not what it committed to in the genesis     |
| `bad-update`   | has sent a masked update with a wrong proof, wrong noise, or a wrong opening    |
| `bad-share`    | has dealt a share that is not on its committed polynomial                       |
| `bad-sum`      | has signed a sum that is not that of the shares dealt to it                     |
| `two-blocks`   | has certified two blocks of one round                                           |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from troth.crypto.commitments import add_commitments
from troth.crypto.digest import DIGEST_BYTES
from troth.crypto.group import POINT_BYTES, Point
from troth.crypto.merkle import check_path
from troth.crypto.noise_table import Seeds, check_seeds
from troth.crypto.seeded_bits import SeededBits
from troth.crypto.sharing import ShareClaim, check_shares, parse_share
from troth.errors import PeerError, RoundFailedError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.hiding.dealing import check_dealing, check_rows_of, rows_dealt
from troth.protocols.biscotti.hiding.masking import check_masked
from troth.protocols.biscotti.ledger.block import (
    ACKNOWLEDGEMENT,
    DEALING,
    MAX_EVIDENCE_BYTES,
    OPENING,
    VERDICT,
    CertifiedBlock,
    Evidence,
    NoiseOpening,
    encode_certificate,
    pieces,
    read_certified,
)
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.head import Rules
from troth.protocols.biscotti.ledger.link import check_certificate, double_signers
from troth.protocols.biscotti.messages import (
    Masked,
    NoiseGrant,
    NoiseUse,
    RandomRows,
    Shares,
    SumSet,
    SumShare,
)
from troth.protocols.biscotti.texts import (
    GRANT,
    MASKED_UPDATE,
    SET_VOTE,
    SUM_SET,
    SUM_SHARE,
    dealing_of,
    dealing_text,
    grant_text,
    masked_text,
    seeds_digest,
    set_digest,
    start,
    sum_text,
)
from troth.wire import Codec, Message

ONCE_A_ROUND = (VERDICT, ACKNOWLEDGEMENT, DEALING, MASKED_UPDATE, SUM_SET, SET_VOTE, SUM_SHARE)
"""The purposes for each of which an honest peer signs only one text in a round."""

_MESSAGES = Codec([Masked, NoiseGrant, RandomRows, Shares, SumSet, SumShare])
"""Reads and writes messages in evidence, of any size that peers can send; `fits` tells whether the
evidence is small enough for a block."""
_PARTS = msgspec.msgpack.Decoder(list[bytes])
_JUDGE = NodeId("evidence")


class NotProvenError(PeerError):
    """The evidence does not prove the offence that it names. The error has no culprits.

    Args:
      message: what is wrong with it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"sent evidence that {message}", culprits=())


# ------------------------------------------------------------------ making evidence


def equivocation(
    accused: NodeId, round: Round, purpose: str, one: tuple[bytes, bytes], two: tuple[bytes, bytes]
) -> Evidence:
    """Evidence that the accused has signed two different statements for one purpose.

    Args:
      one, two: each (text, signature).
    """
    first, second = sorted((one, two))
    return _evidence("equivocation", accused, round, purpose.encode(), *first, *second)


def reused_slot(
    accused: NodeId,
    round: Round,
    slot: int,
    one: tuple[NodeId, NoiseUse],
    two: tuple[NodeId, NoiseUse],
) -> Evidence:
    """Evidence that a noiser has given one slot to two contributors.

    Args:
      one, two: each a contributor and what it has shown of the slot.
    """
    parts = [
        part
        for contributor, use in sorted((one, two), key=lambda pair: pair[0])
        for part in (contributor.encode(), use.seeds, b"".join(use.path), use.signature)
    ]
    return _evidence("reused-slot", accused, round, slot.to_bytes(4), *parts)


def bad_grant(accused: NodeId, contributor: NodeId, grant: NoiseGrant) -> Evidence:
    """Evidence that the noise which a noiser gave a contributor is not what it committed to. Its
    seeds are told to everybody, and are of no use to anybody any more."""
    return _evidence("bad-noise", accused, grant.round, contributor.encode(), _encoded(grant))


def bad_opening(opening: NoiseOpening, round: Round) -> Evidence:
    """Evidence that the noise which a noiser opened for everybody is not what it committed to."""
    return _evidence("bad-noise", opening.noiser, round, b"", msgspec.msgpack.encode(opening))


def bad_update(accused: NodeId, message: Masked) -> Evidence:
    """Evidence that a contributor has signed a masked update that does not hold."""
    return _evidence("bad-update", accused, message.round, _encoded(message))


def bad_share(
    accused: NodeId, number: int, message: Shares, rows: RandomRows | None = None
) -> Evidence:
    """Evidence that a contributor has dealt a share that is not on its committed polynomial.

    Args:
      number: of the aggregator that the share was dealt to.
      rows: what the contributor committed to when it was asked, where sharing was optimistic.
    """
    parts = [number.to_bytes(4), _encoded(message)]
    if rows is not None:
        parts.append(_encoded(rows))
    return _evidence("bad-share", accused, message.round, *parts)


def bad_sum(
    accused: NodeId, message: SumShare, set: SumSet, dealt: list[tuple[bytes, bytes]]
) -> Evidence:
    """Evidence that an aggregator has signed a sum that is not that of the shares dealt to it.

    Args:
      set: the set U that it was asked to sum.
      dealt: (commitments, root) of each contribution of that set, in order.
    """
    parts = [part for pair in dealt for part in pair]
    return _evidence("bad-sum", accused, message.round, _encoded(message), _encoded(set), *parts)


def two_blocks(accused: NodeId, one: CertifiedBlock, two: CertifiedBlock) -> Evidence:
    """Evidence that an aggregator has certified two blocks of one round."""
    parts = []
    for block in sorted((one, two), key=lambda block: block.hash):
        assert block.certificate is not None
        parts += [block.block.data, encode_certificate(block.certificate)]
    return _evidence("two-blocks", accused, one.block.content.round, *parts)


def fits(evidence: Evidence) -> bool:
    """Whether evidence is small enough for a block; that of an update of a large model may not
    be."""
    return len(evidence.data) <= MAX_EVIDENCE_BYTES


# ------------------------------------------------------------------ judging it


def judge(rules: Rules, context: RoundContext, evidence: Evidence, seed: bytes) -> None:
    """Check that evidence proves the offence it names.

    Args:
      context: of the round in which it was done.
      seed: 32 bytes that the accuser could not know.

    Raises:
      NotProvenError: it does not, or it is malformed.
    """
    if evidence.accused not in context.entries:
        raise NotProvenError("accuses nobody of this chain")
    check = _JUDGES.get(evidence.kind)
    if check is None:
        raise NotProvenError(f"is of an unknown kind, {evidence.kind}")
    try:
        parts = _PARTS.decode(evidence.data)
        check(_Case(rules, context, evidence.accused, seed), parts)
    except (msgspec.MsgspecError, ValueError, IndexError) as error:
        raise NotProvenError(f"is malformed: {type(error).__name__}") from None
    except NotProvenError:
        raise
    except PeerError as error:
        raise NotProvenError(f"does not hold: {error.message}") from None
    except RoundFailedError as error:
        raise NotProvenError(f"is of a round without committees: {error.message}") from None


class _Case:
    """One accusation, and what to judge it by."""

    def __init__(self, rules: Rules, context: RoundContext, accused: NodeId, seed: bytes) -> None:
        self.rules, self.context, self.accused, self.seed = rules, context, accused, seed
        self.setting = rules.setting

    def signed(self, purpose: str, text: bytes, signature: bytes) -> None:
        """Check that the accused has signed this text for this purpose.

        Raises:
          PeerError: it has not.
        """
        self.context.check_signed(self.accused, purpose, text, signature)

    def message(self, data: bytes, kind: type[Message]) -> Any:
        """The message of this round and kind that these bytes hold.

        Raises:
          NotProvenError: they hold another one.
        """
        message = _MESSAGES.decode(data, sender=_JUDGE)
        if type(message) is not kind or getattr(message, "round", None) != self.context.round:
            raise NotProvenError(f"holds no {kind.__name__} of round {self.context.round}")
        return message


def _refuses(check: Callable[[], object]) -> None:
    """Check that `check` raises `PeerError`: what the accused has signed does not hold.

    Raises:
      NotProvenError: it holds, so the accused has done nothing wrong.
    """
    try:
        check()
    except PeerError:
        return
    raise NotProvenError("shows nothing wrong")


def _equivocation(case: _Case, parts: list[bytes]) -> None:
    purpose, first, first_signature, second, second_signature = parts
    name, beginning = purpose.decode(), start(case.context)
    if name not in ONCE_A_ROUND:
        raise NotProvenError("is of something that may be said twice")
    if first == second or not (first.startswith(beginning) and second.startswith(beginning)):
        raise NotProvenError("holds no two statements of one round")
    case.signed(name, first, first_signature)
    case.signed(name, second, second_signature)


def _reused_slot(case: _Case, parts: list[bytes]) -> None:
    slot, *grants = parts
    if len(slot) != 4:
        raise NotProvenError("holds no slot")
    if len(grants) != 8 or grants[0] == grants[4]:
        raise NotProvenError("does not name two contributors")
    for name, seeds, path, signature in (grants[:4], grants[4:]):
        if len(seeds) != DIGEST_BYTES:
            raise NotProvenError("holds no digest of seeds")
        number, contributor = int.from_bytes(slot), NodeId(name.decode())
        text = grant_text(case.context, contributor, number, seeds, split_path(path))
        case.signed(GRANT, text, signature)


def _bad_noise(case: _Case, parts: list[bytes]) -> None:
    contributor, data = parts
    round = case.context.round
    if case.setting.sigma is None:
        raise NotProvenError("is of noise where there is none")
    if contributor:
        grant: NoiseGrant = case.message(data, NoiseGrant)
        slot, path = grant.slot, grant.path
        seeds = Seeds(grant.seed, grant.blinding_seed)
        receiver = NodeId(contributor.decode())
        text = grant_text(case.context, receiver, slot, seeds_digest(seeds), path)
        case.signed(GRANT, text, grant.signature)
    else:
        opening = msgspec.msgpack.decode(data, type=NoiseOpening)
        slot, path = opening.slot, split_path(opening.path)
        seeds = Seeds(opening.seed, opening.blinding_seed)
        case.signed(OPENING, opening.text(case.context.chain, round), opening.signature)
    _refuses(
        lambda: check_seeds(
            case.setting.rows,
            case.context.entries[case.accused].noise_root,
            case.setting.table,
            owner=case.accused,
            round=round,
            slot=slot,
            seeds=seeds,
            path=path,
        )
    )


def _bad_update(case: _Case, parts: list[bytes]) -> None:
    message: Masked = case.message(_only(parts), Masked)
    case.signed(MASKED_UPDATE, masked_text(case.context, message), message.signature)
    _refuses(lambda: check_masked(case.setting, case.context, case.accused, message, case.seed))


def _bad_share(case: _Case, parts: list[bytes]) -> None:
    number_bytes, data, *more = parts
    number, setting = int.from_bytes(number_bytes), case.setting
    message: Shares = case.message(data, Shares)
    if not 0 <= number < setting.scheme.aggregators:
        raise NotProvenError("names no aggregator")
    # Signed, and this share is what was signed: whatever else is wrong is the contributor's fault.
    update = sha256(message.commitments[: setting.layout.rows * POINT_BYTES]).digest()
    dealing = dealing_of(case.context, message.commitments, message.root)
    text = dealing_text(case.context, update, dealing)
    case.signed(DEALING, text, message.signature)
    check_path(
        message.root,
        setting.scheme.aggregators,
        number,
        sha256(message.share).digest(),
        message.path,
        sender=case.accused,
    )
    random = b""
    if more:
        rows: RandomRows = case.message(_only(more), RandomRows)
        check_rows_of(case.context, case.accused, update, rows)
        random = rows.rows
    _refuses(lambda: _check_share(case, number, message, random))


def _check_share(case: _Case, number: int, message: Shares, random: bytes) -> None:
    setting, optimistic = case.setting, case.context.optimistic
    check_dealing(
        setting, case.context, case.accused, message, number=number, optimistic=optimistic
    )
    share = parse_share(message.share, setting.scheme, setting.layout, sender=case.accused)
    known = optimistic and not random
    rows = rows_dealt(setting, optimistic=known)
    points = setting.points(message.commitments + random, rows, sender=case.accused)
    if not known:
        claim = ShareClaim(case.accused, setting.scheme.points_of(number), share, points)
        check_shares(setting.key, [claim], SeededBits(case.seed))


def _bad_sum(case: _Case, parts: list[bytes]) -> None:
    message: SumShare = case.message(parts[0], SumShare)
    agreed: SumSet = case.message(parts[1], SumSet)
    setting, context = case.setting, case.context
    if context.optimistic:
        raise NotProvenError("is of a round without commitments to random rows")
    if case.accused not in context.aggregators:
        raise NotProvenError("accuses nobody of the committee")
    number = context.aggregators.index(case.accused)
    text = sum_text(context, set_digest(agreed), message.share)
    case.signed(SUM_SHARE, text, message.signature)
    commitments, roots = parts[2::2], parts[3::2]
    if not len(commitments) == len(roots) == len(agreed.contributions):
        raise NotProvenError("does not hold what all of the set have dealt")
    points = []
    for part, encoded, root in zip(agreed.contributions, commitments, roots, strict=True):
        if part.dealing != dealing_of(context, encoded, root):
            raise NotProvenError(f"holds something else than {part.contributor} has dealt")
        points.append(setting.points(encoded, setting.scheme.rows, sender=_JUDGE))
    _refuses(lambda: _check_sum(case, number, message.share, add_commitments(points)))


def _check_sum(case: _Case, number: int, share: bytes, points: Sequence[Point]) -> None:
    setting = case.setting
    parsed = parse_share(share, setting.scheme, setting.layout, sender=case.accused)
    claim = ShareClaim(case.accused, setting.scheme.points_of(number), parsed, points)
    check_shares(setting.key, [claim], SeededBits(case.seed))


def _two_blocks(case: _Case, parts: list[bytes]) -> None:
    one, one_certificate, two, two_certificate = parts
    blocks = [
        read_certified(data, certificate, sender=_JUDGE)
        for data, certificate in ((one, one_certificate), (two, two_certificate))
    ]
    for block in blocks:
        check_certificate(case.rules.genesis, block, sender=_JUDGE)
        if block.block.content.round != case.context.round:
            raise NotProvenError("holds a block of another round")
    if case.accused not in double_signers(case.rules.genesis, *blocks):
        raise NotProvenError("shows nothing wrong")


_JUDGES: dict[str, Callable[[_Case, list[bytes]], None]] = {
    "equivocation": _equivocation,
    "reused-slot": _reused_slot,
    "bad-noise": _bad_noise,
    "bad-update": _bad_update,
    "bad-share": _bad_share,
    "bad-sum": _bad_sum,
    "two-blocks": _two_blocks,
}


def split_path(path: bytes) -> tuple[bytes, ...]:
    """The digests of a Merkle path that travels in one piece."""
    return tuple(pieces(path, DIGEST_BYTES))


def _only(parts: list[bytes]) -> bytes:
    (part,) = parts
    return part


def _encoded(message: Message) -> bytes:
    return _MESSAGES.encode(message)


def _evidence(kind: str, accused: NodeId, round: Round, *parts: bytes) -> Evidence:
    return Evidence(kind, accused, round, msgspec.msgpack.encode(parts))
