"""An aggregator's part of a round: hold shares of accepted updates, give one sum, certify one block
(steps 6 to 8 of the paper's figure 1).

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from collections import Counter

from troth.chain import bitmap
from troth.crypto.digest import DIGEST_BYTES
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.blaming.auditing import CheckOpening
from troth.protocols.biscotti.blaming.offences import bad_opening, bad_share, equivocation
from troth.protocols.biscotti.duties.desk import CERTIFIED, JUDGED, SHARED, SUMMED, Desk
from troth.protocols.biscotti.duties.verifier import check_verdict
from troth.protocols.biscotti.hiding.dealing import (
    CheckShares,
    SumShares,
    check_dealing,
    check_rows_of,
    update_of,
)
from troth.protocols.biscotti.ledger.agreed_set import FieldError, Statement, check_set
from troth.protocols.biscotti.ledger.block import (
    ACKNOWLEDGEMENT,
    DEALING_BYTES,
    VERDICT,
    NoiseOpening,
    Verdict,
    certified_text,
    read_block,
    signed_list,
)
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.verifying import VerifyBlock
from troth.protocols.biscotti.messages import (
    Accepted,
    Endorsement,
    Held,
    Proposal,
    RandomRows,
    SetQuorum,
    SetVote,
    Shares,
    SumSet,
    SumShare,
    Vote,
)
from troth.protocols.biscotti.texts import (
    SET_VOTE,
    SUM_SET,
    SUM_SHARE,
    dealing_of,
    set_digest,
    set_text,
    sum_text,
)
from troth.roles.messages import RoundMessage


class Aggregator:
    """The duty of a member of the aggregation committee.

    It signs one sum and one block in a round. Nothing of this object survives a crash, and a peer
    that comes back takes no part in a round that it had begun: so it never signs a second one.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._number = desk.context.aggregators.index(desk.me)
        self.verdicts: dict[NodeId, Statement] = {}
        """The verdicts that have come, by verifier."""
        self.shares: dict[NodeId, Shares] = {}
        """The shares that contributors have dealt to this aggregator, by contributor."""
        self.dealt: dict[bytes, NodeId] = {}
        """The contributor of each share that holds, by update id and dealing in one piece."""
        self.rows: dict[NodeId, RandomRows] = {}
        """The commitments to random rows that optimistic sharing had left out, by contributor."""
        self._unread: list[NodeId] = []
        """Contributors whose `rows` were not compared with their share yet."""
        self._named: dict[bytes, set[NodeId]] = {}
        self._expecting: tuple[int, set[NodeId]] = 0, set()
        """For how many verdicts it was counted last, and whose shares these make one wait for."""
        self._judged = False
        """Whether all verdicts have come, or their time is over."""
        self._held = False
        self._set: SumSet | None = None
        self._proposal: Proposal | None = None
        self._voted: bytes | None = None
        """Digest of the set that this aggregator has voted for; None before that."""
        self._quorum: SetQuorum | None = None
        self._answered = False
        self._looked = False
        self._signed = False
        self.checked: bytes | None = None
        """Hash of the block whose contents this aggregator has checked and signed; None before."""

    def next_due(self) -> float | None:
        """When `advance` has something to do even if no message comes; None: never."""
        return None if self._held else self._desk.due(SHARED if self._judged else JUDGED)

    def take(self, sender: NodeId, message: RoundMessage) -> None:
        """Take a verdict, shares, commitments to random rows, or what the leader sends: the set U,
        a quorum of votes for it, and a block. Anything else is dropped.

        Raises:
          PeerError: it is not the sender's to say, has the wrong size, or is not signed by it; the
            culprit is `sender`.
        """
        context = self._desk.context
        match message:
            case Accepted() if sender not in self.verdicts:
                self.verdicts[sender] = check_verdict(context, sender, message)
                for update, contributor in zip(
                    self.verdicts[sender].entries, message.contributors, strict=True
                ):
                    self._named.setdefault(update, set()).add(contributor)
            case Shares() if sender in context.contributors:
                setting = self._desk.setting
                if len(message.share) != setting.scheme.share_bytes(setting.layout):
                    raise PeerError(
                        f"dealt a share of {len(message.share)} bytes", culprits=(sender,)
                    )
                self.shares.setdefault(sender, message)
            case RandomRows() if sender in self.shares and sender not in self.rows:
                check_rows_of(
                    context, sender, update_of(self._desk.setting, self.shares[sender]), message
                )
                self.rows[sender] = message
                self._unread.append(sender)
            case SumSet() if sender == context.leader and self._set is None:
                self._set = message
            case SetQuorum() if sender == context.leader and self._quorum is None:
                self._quorum = message
            case Proposal() if sender == context.leader and self._proposal is None:
                self._proposal = message

    async def advance(self, now_s: float) -> None:
        """Acknowledge shares, vote, sum and endorse, as far as what has come by `now_s` allows."""
        desk = self._desk
        if not self._held:
            everybody = len(self.verdicts) == len(desk.context.verifiers)
            self._judged = self._judged or everybody or now_s >= desk.due(JUDGED)
            if not self._judged:
                return
            if not self._expected() <= self.shares.keys() and now_s < desk.due(SHARED):
                return
            self._held = True
            await self._acknowledge()
        if self._set is not None and not self._looked and now_s < desk.due(SUMMED):
            self._looked = True
            await self._vote(self._set)
        ready = self._voted is not None and self._quorum is not None
        if ready and not self._answered and now_s < desk.due(SUMMED):
            self._answered = True
            await self._sum()
        if self._unread:
            await self._compare_rows()
        if self._proposal is not None and not self._signed and now_s < desk.due(CERTIFIED):
            self._signed = True
            await self._endorse(self._proposal)

    def _accepted(self) -> set[bytes]:
        """The ids of the updates that a majority of the verifiers accepts, by the verdicts so
        far."""
        # Biscotti, section 4.5: "we require a peer to obtain signatures from the majority of
        # verifiers before their update is accepted and disseminated for aggregation."
        counts = Counter(update for said in self.verdicts.values() for update in said.entries)
        return {update for update, n in counts.items() if n >= self._desk.context.majority}

    def _expected(self) -> set[NodeId]:
        """The contributors whose shares to wait for. Shares come one by one, so it is counted anew
        only when another verdict has come."""
        if self._expecting[0] != len(self.verdicts):
            named = {peer for update in self._accepted() for peer in self._named[update]}
            self._expecting = len(self.verdicts), named
        return self._expecting[1]

    async def _acknowledge(self) -> None:
        """Check the shares of accepted updates, and tell the leader of which dealings they hold."""
        # Differs from the paper: shares are checked against commitments to all rows, without a
        # witness for each, because Pedersen commitments to rows need no trusted setup.
        desk, context = self._desk, self._desk.context
        accepted = self._accepted()
        usable = {}
        for sender, message in sorted(self.shares.items()):
            if update_of(desk.setting, message) not in accepted:
                continue
            try:
                check_dealing(
                    desk.setting,
                    context,
                    sender,
                    message,
                    number=self._number,
                    optimistic=context.optimistic,
                )
            except PeerError:
                # What can be proven of it is, and the rest is as if it had not come.
                await desk.accuse(bad_share(sender, self._number, message))
                continue
            usable[sender] = message
        checked = await desk.node.compute(
            CheckShares(
                desk.setting,
                self._number,
                tuple(usable),
                tuple(message.commitments for message in usable.values()),
                tuple(message.share for message in usable.values()),
                context.optimistic,
                desk.secret("shares"),
            )
        )
        for place, (sender, message) in enumerate(usable.items()):
            if place in checked.problems:
                await desk.accuse(bad_share(sender, self._number, message))
                continue
            dealing = dealing_of(context, message.commitments, message.root)
            self.dealt[update_of(desk.setting, message) + dealing] = sender
        entries = b"".join(sorted(self.dealt))
        text = signed_list(context.chain, context.round, entries)
        signature = desk.keys.signing.sign(ACKNOWLEDGEMENT, text)
        await desk.send([context.leader], Held(context.round, entries, signature))

    async def _vote(self, agreed: SumSet) -> None:
        """Vote for the leader's set U, if it is a set that may be summed and this aggregator holds
        a good share of each of its updates."""
        # Differs from the paper: aggregators sign one set before any of them sums, because from the
        # sums of two sets, even if one is never opened, a single update follows.
        desk, context = self._desk, self._desk.context
        digest = set_digest(agreed)
        try:
            text = set_text(context, digest)
            context.check_signed(context.leader, SUM_SET, text, agreed.signature)
            check_set(context, agreed)
            check_set_signatures(context, agreed)
        except (PeerError, FieldError):
            return
        for verdict in agreed.verdicts:
            await self._compare(verdict, agreed.candidates)
        parts = {part.update + part.dealing: part.contributor for part in agreed.contributions}
        if any(self.dealt.get(entry) != contributor for entry, contributor in parts.items()):
            return
        self._voted = digest
        signature = desk.keys.signing.sign(SET_VOTE, set_text(context, digest))
        await desk.send([context.leader], SetVote(context.round, signature))

    async def _sum(self) -> None:
        """Send the leader the sum of this aggregator's shares of the set it has voted for, if tau
        aggregators have."""
        desk, context, digest = self._desk, self._desk.context, self._voted
        assert self._set is not None
        assert self._quorum is not None
        assert digest is not None
        voters = set()
        for vote in self._quorum.votes:
            if vote.aggregator in context.aggregators:
                try:
                    check_vote(context, vote, digest)
                except PeerError:
                    continue
                voters.add(vote.aggregator)
        if len(voters) < context.parameters.resolved_quorum:
            return
        # Biscotti, section 4, step 7: "The aggregation committee uses a secure protocol to
        # aggregate the unmasked updates".
        members = sorted(part.contributor for part in self._set.contributions)
        summed = await desk.node.compute(
            SumShares(desk.setting, tuple(self.shares[peer].share for peer in members))
        )
        signature = desk.keys.signing.sign(SUM_SHARE, sum_text(context, digest, summed.share))
        await desk.send([context.leader], SumShare(context.round, summed.share, signature))

    async def _compare_rows(self) -> None:
        """Accuse contributors whose share is not on the polynomial that they have committed to
        late, after an optimistic sum has failed."""
        desk = self._desk
        senders, self._unread = tuple(self._unread), []
        checked = await desk.node.compute(
            CheckShares(
                desk.setting,
                self._number,
                senders,
                tuple(self.shares[peer].commitments + self.rows[peer].rows for peer in senders),
                tuple(self.shares[peer].share for peer in senders),
                False,
                desk.secret("rows"),
            )
        )
        for place in checked.problems:
            liar = senders[place]
            await desk.accuse(bad_share(liar, self._number, self.shares[liar], self.rows[liar]))

    async def _compare(self, verdict: Verdict, candidates: bytes) -> None:
        """Accuse a verifier that has signed another verdict for the leader than for this peer."""
        ours = self.verdicts.get(verdict.verifier)
        if ours is None or ours.signature == verdict.signature:
            return
        context = self._desk.context
        texts = [
            signed_list(context.chain, context.round, entries)
            for entries in (b"".join(ours.entries), chosen(verdict.accepted, candidates))
        ]
        if texts[0] != texts[1]:
            await self._desk.accuse(
                equivocation(
                    verdict.verifier,
                    context.round,
                    VERDICT,
                    (texts[0], ours.signature),
                    (texts[1], verdict.signature),
                )
            )

    async def _endorse(self, proposal: Proposal) -> None:
        """Check the leader's block completely, and sign it if it holds."""
        # Biscotti, section 4.7: peers go by "the signatures of the designated verifiers and
        # aggregators for each new block".
        desk, context = self._desk, self._desk.context
        verified = await desk.node.compute(VerifyBlock(desk.rules, desk.head, proposal.block, None))
        if verified.fault is not None:
            return
        sealed = read_block(proposal.block, sender=context.leader)
        self.checked = sealed.digest
        signature = desk.keys.certificate.sign(certified_text(sealed.digest))
        await desk.send([context.leader], Endorsement(context.round, sealed.digest, signature))
        await self._audit(sealed.content.openings)

    async def _audit(self, openings: tuple[NoiseOpening, ...]) -> None:
        """Check this aggregator's part of the opened slots of noise, which the committee shares
        out.

        A wrong one does not make the block wrong. Who opened it is punished by a later one, and
        could otherwise fail every round in which it is audited.
        """
        desk = self._desk
        if not openings or desk.setting.sigma is None:
            return
        # Each is somebody's, and if there are fewer than aggregators, more than one's.
        every = len(desk.context.aggregators)
        for opening in openings[self._number % len(openings) :: every]:
            root = desk.context.entries[opening.noiser].noise_root
            checked = await desk.node.compute(
                CheckOpening(desk.setting, root, desk.context.round, opening)
            )
            if not checked.good:
                await desk.accuse(bad_opening(opening, desk.context.round))


def check_vote(context: RoundContext, vote: Vote, digest: bytes) -> None:
    """Check that an aggregator has signed its vote for the set of this digest.

    Raises:
      PeerError: it has not; the culprit is `vote.aggregator`.
    """
    context.check_signed(vote.aggregator, SET_VOTE, set_text(context, digest), vote.signature)


def check_set_signatures(context: RoundContext, agreed: SumSet) -> None:
    """Check everybody's signatures in a set U.

    Raises:
      PeerError: one is wrong; the culprit is who should have made it.
    """
    for verdict in agreed.verdicts:
        entries = chosen(verdict.accepted, agreed.candidates)
        text = signed_list(context.chain, context.round, entries)
        context.check_signed(verdict.verifier, VERDICT, text, verdict.signature)
    for part in agreed.acknowledgements:
        entries = chosen(part.held, agreed.dealings, width=DEALING_BYTES)
        text = signed_list(context.chain, context.round, entries)
        context.check_signed(part.aggregator, ACKNOWLEDGEMENT, text, part.signature)


def chosen(bits: bytes, table: bytes, *, width: int = DIGEST_BYTES) -> bytes:
    """The entries of a table whose bits are set in a bitmap, one after another.

    Args:
      width: bytes of one entry.

    Raises:
      ValueError: it is no bitmap of that table.
    """
    return b"".join(
        table[place * width : (place + 1) * width]
        for place in bitmap.places(bits, len(table) // width)
    )
