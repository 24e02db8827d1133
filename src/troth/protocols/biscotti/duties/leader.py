"""The leader's part of a round: agree on the set U, open its sum, make a block of it, and have it
certified (steps 7 and 8 of the paper's figure 1).

It is the first of the aggregators. Nothing here has to be trusted: aggregators check what they
answer and sign, and everybody checks the block.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from troth.chain.sealed import Sealed
from troth.crypto.group import POINT_BYTES
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.blaming.offences import bad_sum, fits
from troth.protocols.biscotti.duties.aggregator import Aggregator, check_vote
from troth.protocols.biscotti.duties.desk import DOUBTED, HELD, SUMMED, Desk
from troth.protocols.biscotti.duties.verifier import split
from troth.protocols.biscotti.hiding.dealing import OpenedSum, OpenSum
from troth.protocols.biscotti.ledger.agreed_set import Statement, choose_set, sum_set
from troth.protocols.biscotti.ledger.block import (
    ACKNOWLEDGEMENT,
    DEALING_BYTES,
    OPENING,
    Block,
    CertifiedBlock,
    Contribution,
    Evidence,
    NoiseOpening,
    certified_text,
    seal_block,
    signed_list,
)
from troth.protocols.biscotti.ledger.building import build_block, certify
from troth.protocols.biscotti.ledger.verifying import MAX_JUDGED
from troth.protocols.biscotti.messages import (
    Accusation,
    Doubt,
    Endorsement,
    Held,
    Opened,
    Proposal,
    SetQuorum,
    SetVote,
    SumSet,
    SumShare,
    Vote,
)
from troth.protocols.biscotti.texts import SUM_SET, SUM_SHARE, set_digest, set_text, sum_text
from troth.roles.messages import RoundMessage

MAX_ACCUSATIONS = 4
"""The most accusations that a leader takes of one peer in a round, so that nobody's made-up ones
keep out others'. Who knows of more has them ready for the next leader."""


class Leader:
    """The duty of the first aggregator of a round: to put the block together.

    Args:
      aggregator: this peer's other duty, whose verdicts and shares it goes by.
      pending: evidence of earlier rounds that no block has taken up yet.
    """

    def __init__(self, desk: Desk, aggregator: Aggregator, pending: tuple[Evidence, ...]) -> None:
        self._desk = desk
        self._aggregator = aggregator
        self._acknowledgements: dict[NodeId, Statement] = {}
        self._votes: dict[NodeId, Vote] = {}
        self._voted = False
        """Whether aggregators were shown a quorum of votes."""
        self._sums: dict[NodeId, SumShare] = {}
        self._openings: dict[NodeId, NoiseOpening] = {}
        self._evidence: dict[tuple[NodeId, str, int], Evidence] = {}
        self._unproven: list[Evidence] = list(pending)
        self._accused: Counter[NodeId] = Counter()
        self._endorsements: dict[NodeId, bytes] = {}
        self._set: SumSet | None = None
        self._set_digest = b""
        self._tried = 0
        """How many aggregators' sums there were when opening was last tried."""
        self._doubts = False
        """Whether contributors were asked for the commitments that they had left out."""
        self._knows = False
        """Whether opening was tried with all of these commitments."""
        self._block: Sealed[Block] | None = None
        self.certified: CertifiedBlock | None = None
        """The round's block with its certificate; None before enough have endorsed it."""

    def next_due(self) -> float | None:
        """When `advance` has something to do even if no message comes; None: never."""
        if self._block is not None:
            return None
        if self._doubts:
            return self._desk.due(DOUBTED)
        return self._desk.due(HELD if self._set is None else SUMMED)

    def take(self, sender: NodeId, message: RoundMessage) -> None:
        """Take what peers send to the leader: opened slots and accusations, and of aggregators
        acknowledgements, votes, sums and endorsements. Anything else is dropped.

        Raises:
          PeerError: it is not signed by `sender`, or opens another slot than the audited one; the
            culprit is `sender`.
        """
        context = self._desk.context
        match message:
            case Opened() if sender in context.audited and sender not in self._openings:
                self._openings[sender] = self._opened(sender, message.opening)
            case Accusation() if self._accused[sender] < MAX_ACCUSATIONS:
                self._accused[sender] += 1
                self._unproven.append(message.evidence)
            case Held() if self._from_committee(sender, self._acknowledgements):
                entries = split(message.dealings, DEALING_BYTES, sender=sender)
                text = signed_list(context.chain, context.round, message.dealings)
                context.check_signed(sender, ACKNOWLEDGEMENT, text, message.signature)
                self._acknowledgements[sender] = Statement(entries, message.signature)
            case SetVote() if self._set is not None and self._from_committee(sender, self._votes):
                vote = Vote(sender, message.signature)
                check_vote(context, vote, self._set_digest)
                self._votes[sender] = vote
            case SumShare() if self._set is not None and self._from_committee(sender, self._sums):
                text = sum_text(context, self._set_digest, message.share)
                context.check_signed(sender, SUM_SHARE, text, message.signature)
                self._sums[sender] = message
            case Endorsement() if self._from_committee(sender, self._endorsements):
                if self._block is not None and message.block == self._block.digest:
                    self._endorsements[sender] = message.signature

    async def advance(self, now_s: float) -> None:
        """Agree on the set, open its sum, propose the block and certify it, as far as what has come
        by `now_s` allows."""
        desk, context = self._desk, self._desk.context
        everybody = len(context.aggregators)
        if self._set is None and self._block is None:
            if len(self._acknowledgements) < everybody and now_s < desk.due(HELD):
                return
            await self._agree()
        if len(self._votes) >= context.parameters.resolved_quorum and not self._voted:
            self._voted = True
            votes = tuple(self._votes[peer] for peer in sorted(self._votes))
            await desk.send(context.aggregators, SetQuorum(context.round, votes))
        if self._set is not None and self._block is None:
            if self._doubts:
                await self._open_doubted(late=now_s >= desk.due(DOUBTED))
            else:
                await self._open(late=now_s >= desk.due(SUMMED))
        if self._block is not None and self.certified is None:
            await self._certify()

    def _from_committee(self, sender: NodeId, seen: Mapping[NodeId, object]) -> bool:
        return sender in self._desk.context.aggregators and sender not in seen

    async def _agree(self) -> None:
        """Send the aggregators the set U of updates that may be summed; propose a block without a
        sum if they are too few."""
        # Differs from the paper: a sum has at least `fewest` updates, because all of its
        # contributors but one know the last one's update together.
        desk, context = self._desk, self._desk.context
        chosen = choose_set(context, self._aggregator.dealt, self._acknowledgements)
        if len(chosen) < context.fewest:
            await self._propose(None, None)
            return
        keys = {peer: key for key, peer in self._aggregator.dealt.items()}
        rows = desk.setting.layout.rows * POINT_BYTES
        contributions = []
        for peer in chosen:
            message, entry = self._aggregator.shares[peer], keys[peer]
            contributions.append(
                Contribution(
                    peer,
                    entry[: DEALING_BYTES // 2],
                    message.commitments[:rows],
                    entry[DEALING_BYTES // 2 :],
                    message.signature,
                )
            )
        unsigned = sum_set(
            context, contributions, self._acknowledgements, self._aggregator.verdicts
        )
        self._set_digest = set_digest(unsigned)
        signature = desk.keys.signing.sign(SUM_SET, set_text(context, self._set_digest))
        self._set = msgspec.structs.replace(unsigned, signature=signature)
        await desk.send(context.aggregators, self._set)

    async def _open(self, *, late: bool) -> None:
        """Open the sum as soon as enough have answered; if it does not hold, with whoever else
        answers, until their time is over."""
        # Biscotti, section 4.6: the aggregators compute the sum "without observing any individual
        # updates."
        # Differs from the paper: tau > (m + t) / 2 of the m aggregators are needed and not a
        # majority, because with fewer two sets of one round could both be summed.
        context, agreed = self._desk.context, self._set
        assert agreed is not None
        enough = len(self._sums) >= context.parameters.resolved_quorum
        if enough and len(self._sums) > self._tried:
            self._tried = len(self._sums)
            opened = await self._opened_sum(agreed)
            if opened.values is not None:
                await self._propose(agreed, opened)
                return
        if not (late or len(self._sums) == len(context.aggregators)):
            return
        if context.optimistic and enough:
            self._doubts = True
            contributors = [part.contributor for part in agreed.contributions]
            await self._desk.send(contributors, Doubt(context.round))
        else:
            await self._propose(None, None)

    async def _open_doubted(self, *, late: bool) -> None:
        """Open the sum once contributors have committed to all rows: then it can be told which
        aggregators' sums are wrong, and the others may be enough.

        That an aggregator's sum is wrong proves nothing here: its contributor may have dealt it
        something else before it committed. Who has dealt wrong shares, their receivers prove.
        """
        agreed, rows = self._set, self._aggregator.rows
        assert agreed is not None
        everything = all(part.contributor in rows for part in agreed.contributions)
        if everything and not self._knows:
            self._knows = True
            opened = await self._opened_sum(agreed, doubted=True)
            if opened.values is not None:
                await self._propose(agreed, opened)
                return
        if late:
            await self._propose(None, None)

    async def _opened_sum(self, agreed: SumSet, *, doubted: bool = False) -> OpenedSum:
        """What the sums that have come open to; aggregators whose sums are wrong are accused.

        Args:
          doubted: whether contributors have committed to all rows after optimistic sharing.
        """
        desk, context = self._desk, self._desk.context
        senders = sorted(self._sums)
        dealt = [self._aggregator.shares[part.contributor] for part in agreed.contributions]
        commitments = [message.commitments for message in dealt]
        if doubted:
            rows = self._aggregator.rows
            commitments = [
                encoded + rows[part.contributor].rows
                for encoded, part in zip(commitments, agreed.contributions, strict=True)
            ]
        opened = await desk.node.compute(
            OpenSum(
                desk.setting,
                tuple(context.aggregators.index(sender) for sender in senders),
                tuple(self._sums[sender].share for sender in senders),
                tuple(commitments),
                context.optimistic and not doubted,
                desk.secret(f"open {self._tried} {doubted}"),
            )
        )
        for number in opened.wrong if not context.optimistic else ():
            liar = context.aggregators[number]
            parts = [(message.commitments, message.root) for message in dealt]
            self._unproven.append(bad_sum(liar, self._sums[liar], agreed, parts))
        return opened

    async def _propose(self, agreed: SumSet | None, opened: OpenedSum | None) -> None:
        """Build the round's block, with a sum or without, and send it to the aggregators."""
        # Biscotti, section 4, step 8: "The aggregate of the updates is added to the global model in
        # a newly created block".
        desk = self._desk
        self._block = seal_block(
            build_block(
                desk.rules,
                desk.head,
                desk.keys,
                proposer=desk.me,
                agreed=agreed,
                aggregate_D=None if opened is None else opened.values,
                blindings=b"" if opened is None else opened.blindings,
                openings=tuple(self._openings.values()),
                evidence=self._proven(),
            )
        )
        await desk.send(desk.context.aggregators, Proposal(desk.context.round, self._block.data))

    def _proven(self) -> list[Evidence]:
        """The evidence for the block: what holds, fits, and has not been punished yet."""
        desk = self._desk
        for part in self._unproven:
            offence = part.offence
            known = offence in self._evidence or offence in desk.head.state.punished
            room = len(self._evidence) < MAX_JUDGED and fits(part)
            if not known and room and desk.proves(part):
                self._evidence[offence] = part
        return list(self._evidence.values())

    async def _certify(self) -> None:
        """Make the block's certificate of the endorsements, once there are enough that hold."""
        # Differs from the paper: a BLS certificate stands for its aggregate of Schnorr signatures,
        # because it takes one round of messages, and any signer may come late.
        desk, block = self._desk, self._block
        assert block is not None
        if len(self._endorsements) < desk.context.certifiers:
            return
        try:
            certificate = certify(desk.rules, certified_text(block.digest), self._endorsements)
        except PeerError as error:
            for culprit in error.culprits:
                del self._endorsements[culprit]
            return
        self.certified = CertifiedBlock(block, certificate)

    def _opened(self, sender: NodeId, opening: NoiseOpening) -> NoiseOpening:
        """The opening, once it was checked to be the audited slot, opened by `sender`.

        Raises:
          PeerError: it is another slot, or not signed; the culprit is `sender`.
        """
        context = self._desk.context
        if opening.noiser != sender or opening.slot != context.audited_slot(sender):
            raise PeerError("opens another slot than the audited one", culprits=(sender,))
        text = opening.text(context.chain, context.round)
        context.check_signed(sender, OPENING, text, opening.signature)
        return opening
