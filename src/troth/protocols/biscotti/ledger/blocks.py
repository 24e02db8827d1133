"""Blocks of `biscotti`: how the leader puts one together, and how everybody checks it completely.

`biscotti.ledger.link` checks what can be said of a block by itself. This is the rest: who had which
role, that each update has its majority and its quorum, that the sum is that of the commitments,
what it does to the model, and that evidence proves what it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any, ClassVar

import msgspec

from troth.chain import bitmap
from troth.chain.sealed import Sealed
from troth.compute import Compute
from troth.crypto import certificates, vrf
from troth.crypto.commitments import Opening
from troth.crypto.digest import DIGEST_BYTES
from troth.crypto.field import parse_elements
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.blaming.offences import judge
from troth.protocols.biscotti.hiding.dealing import check_sum, data_points
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.block import (
    DEALING_BYTES,
    MAX_PEERS,
    Acknowledgement,
    Block,
    Certificate,
    CertifiedBlock,
    Contribution,
    Evidence,
    NoiseOpening,
    Verdict,
    read_block,
    read_certificate,
)
from troth.protocols.biscotti.ledger.chain import Head, Rules, model_digest
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.link import (
    BlockError,
    ChainState,
    check_contents,
    check_link,
    check_outline,
    signers_of,
)
from troth.protocols.biscotti.ledger.lottery import next_seed, seed_input
from troth.protocols.biscotti.ledger.stake import apply_changes, stake_changes
from troth.protocols.biscotti.messages import SumSet
from troth.wire import Int64s

MAX_JUDGED = 16
"""Offences that one block may punish; each costs everybody a check."""

_OURSELVES = NodeId("ourselves")


class FieldError(Exception):
    """What is wrong with one field of a block, or of what becomes part of one."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field, self.problem = field, problem


# ------------------------------------------------------------------ the agreed set


@dataclass(frozen=True)
class Statement:
    """A committee member's signed list."""

    entries: tuple[bytes, ...]
    """Ascending."""
    signature: bytes


def sum_set(
    context: RoundContext,
    contributions: Iterable[Contribution],
    acknowledgements: Mapping[NodeId, Statement],
    verdicts: Mapping[NodeId, Statement],
    signature: bytes = bytes(64),
) -> SumSet:
    """The set U with all that was said of it, in the form that a block has."""
    acknowledgements = _fitting(acknowledgements, 2 * MAX_PEERS)
    verdicts = _fitting(verdicts, MAX_PEERS)
    dealings = sorted({entry for said in acknowledgements.values() for entry in said.entries})
    candidates = sorted({entry for said in verdicts.values() for entry in said.entries})
    return SumSet(
        context.round,
        tuple(sorted(contributions, key=lambda line: line.contributor)),
        b"".join(dealings),
        tuple(
            Acknowledgement(peer, _bitmap(said.entries, dealings), said.signature)
            for peer, said in sorted(acknowledgements.items())
        ),
        b"".join(candidates),
        tuple(
            Verdict(peer, _bitmap(said.entries, candidates), said.signature)
            for peer, said in sorted(verdicts.items())
        ),
        signature,
    )


def _fitting(said: Mapping[NodeId, Statement], most: int) -> dict[NodeId, Statement]:
    """As many statements as speak of `most` entries together; who speaks of the most entries that
    nobody else knows of is left out first."""
    counts = Counter(entry for statement in said.values() for entry in statement.entries)

    def alone(peer: NodeId) -> int:
        return sum(counts[entry] == 1 for entry in said[peer].entries)

    fitting: dict[NodeId, Statement] = {}
    known: set[bytes] = set()
    for peer in sorted(said, key=lambda peer: (alone(peer), peer)):
        more = known | set(said[peer].entries)
        if len(more) <= most:
            fitting[peer], known = said[peer], more
    return fitting


def choose_set(
    context: RoundContext,
    dealt: Mapping[bytes, NodeId],
    acknowledgements: Mapping[NodeId, Statement],
) -> tuple[NodeId, ...]:
    """U: the most contributors of whom one group of tau aggregators holds everything, ascending.

    Tau aggregators must hold the same set, or none of its sums can be opened.

    Args:
      dealt: who is behind each dealing (update id and dealing) that may be summed.
    """
    quorum = context.parameters.resolved_quorum
    held = {
        peer: frozenset(entry for entry in said.entries if entry in dealt)
        for peer, said in acknowledgements.items()
    }
    best: frozenset[bytes] = frozenset()
    # The group that leaves the most is not worth a search: those who hold the most come first.
    for size in range(quorum, len(held) + 1):
        group = sorted(held, key=lambda peer: (-len(held[peer]), peer))[:size]
        common = frozenset.intersection(*(held[peer] for peer in group))
        if len(common) > len(best):
            best = common
    return tuple(sorted(dealt[entry] for entry in best))


def check_set(context: RoundContext, block: Block | SumSet) -> None:
    """Check who says what of the set U; that they have signed it is checked elsewhere.

    Raises:
      FieldError: names the field and what is wrong with it.
    """
    verdicts: Counter[bytes] = Counter()
    candidates = _entries(block.candidates, DIGEST_BYTES)
    dealings = _entries(block.dealings, DEALING_BYTES)
    # Whoever stood in a list twice would count twice: towards a majority, a quorum, or a sum of
    # enough updates.
    _ascend("contributions", [line.contributor for line in block.contributions])
    _ascend("acknowledgements", [line.aggregator for line in block.acknowledgements])
    _ascend("verdicts", [line.verifier for line in block.verdicts])
    _ascend("dealings", dealings)
    _ascend("candidates", candidates)
    for verdict in block.verdicts:
        if verdict.verifier not in context.verifiers:
            raise FieldError("verdicts", f"are by {verdict.verifier}, who is no verifier")
        verdicts.update(
            candidates[place] for place in _places("verdicts", verdict.accepted, candidates)
        )
    if verdicts.keys() != set(candidates):
        raise FieldError("candidates", "are not what the verdicts accept")
    held: Counter[bytes] = Counter()
    for line in block.acknowledgements:
        if line.aggregator not in context.aggregators:
            raise FieldError("acknowledgements", f"are by {line.aggregator}, no aggregator")
        held.update(dealings[place] for place in _places("acknowledgements", line.held, dealings))
    if held.keys() != set(dealings):
        raise FieldError("dealings", "are not what the acknowledgements are of")
    if len(block.contributions) < context.fewest:
        raise FieldError("contributions", f"are {len(block.contributions)}, too few for a sum")
    for contribution in block.contributions:
        who = contribution.contributor
        if who not in context.contributors:
            raise FieldError("contributions", f"are by {who}, who is no contributor")
        if verdicts[contribution.update] < context.majority:
            raise FieldError("contributions", f"of {who} have no majority of verdicts")
        if held[contribution.update + contribution.dealing] < context.parameters.resolved_quorum:
            raise FieldError("contributions", f"of {who} are not held by a quorum")


# ------------------------------------------------------------------ making a block


def build_block(
    rules: Rules,
    head: Head,
    keys: PeerKeys,
    *,
    proposer: NodeId,
    agreed: SumSet | None,
    aggregate_D: Int64s | None,
    blindings: bytes = b"",
    openings: Sequence[NoiseOpening] = (),
    evidence: Sequence[Evidence] = (),
) -> Block:
    """The block of the round on top of `head`, as its leader proposes it.

    Args:
      agreed, aggregate_D, blindings: the set U, its sum and what opens it; None if the round has
        failed.
    """
    context = rules.context(head.before)
    proof = keys.vrf.prove(seed_input(context.chain, context.round, head.state.seed))
    params_D, _ = rules.moved(head, aggregate_D, 0 if agreed is None else len(agreed.contributions))
    blamed = {line.accused for line in evidence}
    changes = stake_changes(
        rules.genesis.content.stake_update,
        head.state.stake,
        contributors=[] if agreed is None else [c.contributor for c in agreed.contributions],
        verifiers=[] if agreed is None else [line.verifier for line in agreed.verdicts],
        aggregators=[] if agreed is None else [line.aggregator for line in agreed.acknowledgements],
        blamed=blamed,
    )
    return Block(
        chain=context.chain,
        height=context.round,
        previous=head.hash,
        proposer=proposer,
        seed=next_seed(head.state.seed, context.round, vrf.output(proof)),
        seed_proof=proof,
        model=head.state.model if agreed is None else model_digest(params_D),
        aggregate=aggregate_D,
        blindings=blindings,
        contributions=() if agreed is None else agreed.contributions,
        dealings=b"" if agreed is None else agreed.dealings,
        acknowledgements=() if agreed is None else agreed.acknowledgements,
        candidates=b"" if agreed is None else agreed.candidates,
        verdicts=() if agreed is None else agreed.verdicts,
        openings=tuple(sorted(openings, key=lambda line: (line.noiser, line.slot))),
        evidence=tuple(sorted(evidence, key=lambda line: (line.accused, line.kind, line.round))),
        stake_changes=changes,
        stake=apply_changes(head.state.stake, changes, sender=_OURSELVES).digest(),
    )


def certify(rules: Rules, text: bytes, signatures: Mapping[NodeId, bytes]) -> Certificate:
    """The certificate of these signatures of `certified_text`.

    Raises:
      PeerError: some of them are wrong; the culprits are exactly their senders.
    """
    owners = {key.owner: (place, key) for place, key in enumerate(rules.genesis.keys)}
    aggregate = certificates.combine(
        [owners[peer][1] for peer in sorted(signatures)], text, signatures
    )
    places = [owners[peer][0] for peer in signatures]
    return Certificate(bitmap.of(places, len(owners)), aggregate)


# ------------------------------------------------------------------ checking a block


def verify(rules: Rules, head: Head, certified: CertifiedBlock, *, sender: NodeId) -> Head:
    """Check a block completely, and give the chain after it.

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
    """What is left of `verify` for a block whose contents somebody trusted has named by a hash:
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
    """`verify` of a block that has no certificate yet: what an aggregator does before it signs.

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
      BlockError: it is not; the culprit is `sender`.
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
    """What a check of a block came to: None if all is well, otherwise (field, problem)."""

    fault: tuple[str, str] | None


@dataclass(frozen=True, eq=False)
class VerifyBlock(Compute[object, Verified]):
    """`verify`, or `verify_contents` of a block without a certificate, for an engine.

    Applying a block that has passed is the receiver's own.
    """

    rules: Rules
    head: Head
    block: bytes
    certificate: bytes | None

    label: ClassVar[str] = "verify_block"

    def run(self, bench: object) -> Verified:  # noqa: ARG002  (the contract's name)
        try:
            sealed = read_block(self.block, sender=_OURSELVES)
            if self.certificate is None:
                verify_contents(self.rules, self.head, sealed, sender=_OURSELVES)
            else:
                certificate = read_certificate(self.certificate, sender=_OURSELVES)
                certified = CertifiedBlock(sealed, certificate)
                verify(self.rules, self.head, certified, sender=_OURSELVES)
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
            setting, [line.commitments for line in block.contributions], sender=who
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
    for line in block.evidence:
        context = rules.past(head, line.round)
        if context is None:
            raise FieldError("evidence", f"against {line.accused} is too old")
        try:
            judge(rules, context, line, weights)
        except PeerError as error:
            raise FieldError("evidence", f"against {line.accused}: {error.message}") from None


def _ascend(field: str, values: Sequence[Any]) -> None:
    if any(before >= after for before, after in pairwise(values)):
        raise FieldError(field, "are not in ascending order, each once")


def _places(field: str, chosen: bytes, table: Sequence[bytes]) -> tuple[int, ...]:
    try:
        return bitmap.places(chosen, len(table))
    except ValueError as error:
        raise FieldError(field, str(error)) from None


def _bitmap(entries: Sequence[bytes], table: Sequence[bytes]) -> bytes:
    places = {entry: place for place, entry in enumerate(table)}
    return bitmap.of((places[entry] for entry in entries), len(table))


def _entries(table: bytes, width: int) -> list[bytes]:
    return [table[start : start + width] for start in range(0, len(table), width)]
