"""How everybody checks a block of `biscotti` completely.

`biscotti.ledger.link` checks what can be said of a block by itself. This is the rest: who had which
role, that each update has its majority and its quorum, that the sum is that of the commitments,
what it does to the model, and that evidence proves what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import msgspec

from troth.chain.errors import BlockError
from troth.chain.sealed import Sealed
from troth.compute import Compute
from troth.crypto.commitments import Opening
from troth.crypto.field import parse_elements
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.blaming.offences import judge
from troth.protocols.biscotti.hiding.dealing import check_sum, data_points
from troth.protocols.biscotti.ledger.agreed_set import FieldError, check_set
from troth.protocols.biscotti.ledger.block import Block, CertifiedBlock, read_certified
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.head import Head, Rules, model_digest
from troth.protocols.biscotti.ledger.link import (
    ChainState,
    check_contents,
    check_link,
    check_outline,
    signers_of,
)
from troth.wire import Int64s

MAX_JUDGED = 16
"""The most offences that one block may punish; each costs everybody a check."""

_OURSELVES = NodeId("ourselves")


def verify(rules: Rules, head: Head, certified: CertifiedBlock, *, sender: NodeId) -> Head:
    """Check a block completely, and give where the chain stands after it.

    Raises:
      BlockError: names the first field that is wrong; the culprit is `sender`.
    """
    block = certified.block.content
    state = check_link(rules.genesis, head.state, certified, sender=sender)
    if certified.certificate is not None:
        check_signers(rules, head, certified, sender=sender)
        _check_rest(rules, head, certified.block, sender)
    return _moved(rules, head, state, block, certified.certificate is not None, sender)


def accept(rules: Rules, head: Head, certified: CertifiedBlock, *, sender: NodeId) -> Head:
    """Check what `verify` leaves for a block whose contents somebody trusted has named by a hash:
    that it fits on the one below it, that the round's aggregators have certified it, and that stake
    and model follow from what it says.

    Raises:
      BlockError: names the first field that is wrong; the culprit is `sender`.
    """
    block = certified.block.content
    state = check_outline(rules.genesis, head.state, certified, sender=sender)
    if certified.certificate is not None:
        check_signers(rules, head, certified, sender=sender)
    return _moved(rules, head, state, block, certified.certificate is not None, sender)


def verify_contents(rules: Rules, head: Head, sealed: Sealed[Block], *, sender: NodeId) -> None:
    """Check a block that has no certificate yet, as an aggregator does before it signs.

    Raises:
      BlockError: names the first field that is wrong; the culprit is `sender`.
    """
    state = check_contents(rules.genesis, head.state, sealed, sender=sender)
    _check_rest(rules, head, sealed, sender)
    _moved(rules, head, state, sealed.content, True, sender)


def check_signers(rules: Rules, head: Head, certified: CertifiedBlock, *, sender: NodeId) -> None:
    """Check that a certificate is by enough of the round's aggregators; that they have signed is
    checked elsewhere.

    Raises:
      BlockError: one who signed is no aggregator, or too few did; the culprit is `sender`.
    """
    context = rules.context(head.before)
    signers = signers_of(rules.genesis, certified)
    odd = sorted(set(signers) - set(context.aggregators))
    problem = None
    if odd:
        problem = f"is signed by {odd[0]}, who is no aggregator"
    elif len(signers) < context.certifiers:
        problem = f"has {len(signers)} of {context.certifiers} signers"
    if problem is not None:
        raise BlockError(certified.block.content.height, "certificate", problem, sender=sender)


class Verified(msgspec.Struct, frozen=True):
    """What the check of a block came to: the first field that is wrong, with what is wrong with it;
    None if the block holds."""

    fault: tuple[str, str] | None


@dataclass(frozen=True, eq=False)
class VerifyBlock(Compute[object, Verified]):
    """The computation that checks a block completely: `verify`, or `verify_contents` of a block
    without a certificate. To apply a block that has passed is left to whoever asked.
    """

    rules: Rules
    head: Head
    block: bytes
    certificate: bytes | None

    label: ClassVar[str] = "verify_block"

    def run(self, bench: object) -> Verified:  # noqa: ARG002  (the contract's name)
        try:
            read = read_certified(self.block, self.certificate, sender=_OURSELVES)
            if read.certificate is None:
                verify_contents(self.rules, self.head, read.block, sender=_OURSELVES)
            else:
                verify(self.rules, self.head, read, sender=_OURSELVES)
        except BlockError as error:
            return Verified((error.field, error.problem))
        except PeerError as error:
            return Verified(("encoding", error.message))
        return Verified(None)

    def memo_key(self) -> tuple[str, bytes]:
        # The hash below binds everything else that the check depends on.
        digests = (sha256(self.block), sha256(self.certificate or b""))
        return self.label, self.head.hash + b"".join(part.digest() for part in digests)


def _check_rest(rules: Rules, head: Head, sealed: Sealed[Block], sender: NodeId) -> None:
    block, context = sealed.content, rules.context(head.before)
    # As good as weights that nobody could know beforehand: a hash of all that they weigh.
    weights = sha256(b"troth-block-weights\0" + sealed.digest).digest()
    try:
        if block.proposer != context.leader:
            raise FieldError("proposer", f"is {block.proposer}, not the leader, {context.leader}")
        if block.aggregate is None:
            _check_nothing_said(block)
        else:
            check_set(context, block)
            _check_sum(rules, block, block.aggregate, weights)
        _check_openings(rules, context, block)
        _check_evidence(rules, head, block, weights)
    except FieldError as fault:
        raise BlockError(block.height, fault.field, fault.problem, sender=sender) from None


def _moved(
    rules: Rules, head: Head, state: ChainState, block: Block, certified: bool, sender: NodeId
) -> Head:
    after = rules.after(head, state, block, certified=certified)
    if model_digest(after.params_D) != block.model:
        raise BlockError(block.height, "model", "is not what the sum gives", sender=sender)
    return after


def _check_nothing_said(block: Block) -> None:
    if block.dealings or block.acknowledgements or block.candidates or block.verdicts:
        raise FieldError("contributions", "are missing where something is said of them")


def _check_sum(rules: Rules, block: Block, aggregate_D: Int64s, weights: bytes) -> None:
    setting = rules.setting
    who = _OURSELVES
    try:
        points = data_points(
            setting, [part.commitments for part in block.contributions], sender=who
        )
    except PeerError as error:
        raise FieldError("contributions", error.message) from None
    try:
        blindings = parse_elements(block.blindings, setting.layout.rows, sender=who)
        check_sum(
            setting,
            Opening(aggregate_D, blindings),
            points,
            count=len(block.contributions),
            seed=weights,
        )
    except PeerError as error:
        raise FieldError("aggregate", f"is not the sum: {error.message}") from None


def _check_openings(rules: Rules, context: RoundContext, block: Block) -> None:
    if block.openings and rules.setting.sigma is None:
        raise FieldError("openings", "are of noise where there is none")
    for opening in block.openings:
        if opening.noiser not in context.audited:
            raise FieldError("openings", f"are by {opening.noiser}, who is not audited")
        if opening.slot != context.audited_slot(opening.noiser):
            raise FieldError("openings", f"of {opening.noiser} are of another slot")


def _check_evidence(rules: Rules, head: Head, block: Block, weights: bytes) -> None:
    if len(block.evidence) > MAX_JUDGED:
        raise FieldError("evidence", f"is of {len(block.evidence)} offences, above {MAX_JUDGED}")
    for part in block.evidence:
        context = rules.past(head, part.round)
        if context is None:
            raise FieldError("evidence", f"against {part.accused} is too old")
        try:
            judge(rules, context, part, weights)
        except PeerError as error:
            raise FieldError("evidence", f"against {part.accused}: {error.message}") from None
