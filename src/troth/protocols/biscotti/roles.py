"""The peer of `biscotti`: there is no other role. What it does in a round follows from the chain.

A round goes on when what a step waits for has come, or its time is over. Whatever becomes of it,
the peer then has another block: the certified one, its own or its neighbours', or the empty one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from troth.chain.block import (
    CertifiedBlock,
    VerifiedBlock,
    encode_certificate,
    read_block,
    read_certificate,
)
from troth.chain.link import check_certificate, double_signers, empty_block
from troth.crypto.noise_table import NoiseTable
from troth.errors import PeerError
from troth.ids import NodeId, PartyId, Round
from troth.protocols.biscotti.aggregator import Aggregator
from troth.protocols.biscotti.blocks import VerifyBlock, check_signers
from troth.protocols.biscotti.chain import EVIDENCE_ROUNDS, Head, Rules, preference
from troth.protocols.biscotti.contributor import Contributor
from troth.protocols.biscotti.desk import SPREAD, Desk, round_s
from troth.protocols.biscotti.gossip import (
    MAX_ANSWER_BYTES,
    announcement,
    is_better,
    locator,
    neighbours,
)
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.leader import Leader
from troth.protocols.biscotti.messages import (
    MAX_BLOCKS,
    MESSAGES,
    Announce,
    Blocks,
    Want,
    WireBlock,
)
from troth.protocols.biscotti.noiser import Noiser
from troth.protocols.biscotti.offences import fits, two_blocks
from troth.protocols.biscotti.state import PeerState
from troth.protocols.biscotti.verifier import Verifier
from troth.records import Rejection
from troth.roles.messages import RoundMessage
from troth.roles.node import Node
from troth.wire import Codec, Float32s, Message

MAX_PENDING = 16
"""Offences that a peer keeps in mind until a block punishes them."""
KEPT_HEADS = 8
"""States of the chain that are held; older ones are computed again from the ledger."""
MAX_ANSWERS = 16
"""Times that one peer is sent blocks in a round."""
MAX_REPORTED_BYTES = 2**62
"""However many blocks there are to report."""
MAX_REFUSED = 64
"""Refusals that one report lists."""

_CODEC = Codec(MESSAGES)

Duty = Noiser | Contributor | Verifier | Aggregator | Leader


@dataclass(frozen=True)
class Members:
    """Peers with their genesis: in a simulation all of them, on a node of a real run itself alone.

    Args:
      tables: of their noise; None where updates are not masked.
    """

    rules: Rules
    keys: Mapping[PartyId, PeerKeys]
    tables: Mapping[PartyId, NoiseTable | None]


@dataclass(frozen=True)
class Plan:
    """What everybody knows before the first round."""

    rules: Rules
    initial_D: Float32s
    reporter: NodeId
    """The peer of this process that reports rounds; all would say the same."""
    base: Path | None = None
    """Folder in which `module:callable` rules are looked up."""


async def peer(node: Node, plan: Plan, keys: PeerKeys, table: NoiseTable | None) -> Float32s:
    """Take part from wherever this peer was until the last round is over, then serve those that
    are not there yet.

    Args:
      keys: this peer's own.
      table: of its noise; None where updates are not masked.
    """
    return await Peer(node, plan, keys, table).run()


@dataclass
class Peer:
    """A peer between its start and its end, or a crash."""

    node: Node
    plan: Plan
    keys: PeerKeys
    table: NoiseTable | None
    state: PeerState = field(init=False)
    head: Head = field(init=False)
    """Our last block."""
    line: list[bytes] = field(init=False)
    """Hashes of our chain by height, from the genesis on."""
    heads: dict[bytes, Head] = field(default_factory=dict)
    """The last states of the chain, by hash; older ones are computed again when they are needed."""
    refused: list[Rejection] = field(default_factory=list)
    desk: Desk | None = None
    """The round that goes on; None after the last one."""
    duties: list[Duty] = field(default_factory=list)
    stash: dict[tuple[NodeId, type[Message]], RoundMessage] = field(default_factory=dict)
    """What came for the next round."""
    rumours: dict[NodeId, Announce] = field(default_factory=dict)
    """Better chains that others say they have."""
    failed: Counter[NodeId] = field(default_factory=Counter)
    """How often each has not sent the better chain that it announced."""
    asked: tuple[NodeId, float] | None = None
    """Whom we have asked for blocks, and until when we wait."""
    reached: int = 0
    """Height up to which it has sent them: whoever sends no higher ones is asked no more."""
    answers: Counter[NodeId] = field(default_factory=Counter)
    """How often we have sent blocks to each in this round."""
    came_s: float = 0.0
    """When this peer came back, on its own clock."""
    ends_s: float | None = None
    """When to stop serving others; None before the last round is over."""

    @property
    def rules(self) -> Rules:
        """What blocks are held against."""
        return self.plan.rules

    @cached_property
    def neighbours(self) -> tuple[NodeId, ...]:
        """Whom blocks are announced to."""
        genesis = self.rules.genesis
        least = self.rules.parameters.neighbours
        return neighbours(genesis.id, genesis.content.names(), self.node.id, least)

    async def run(self) -> Float32s:
        """See `peer`."""
        saved = await self.node.load(PeerState)
        first = self.rules.first(self.plan.initial_D)
        self.state = saved or PeerState(first, Round(0), (first.hash,))
        self.head, self.line = self.state.head, list(self.state.line)
        self.heads = {self.head.hash: self.head}
        if saved is None:
            await self.node.broadcast(self.neighbours, announcement(self.head))
            await self._begin_round()
        else:
            self.stash = {
                (sender, type(message)): message for sender, message in _opened(saved.stash)
            }
            self.refused, self.rumours = list(saved.refused), dict(saved.rumours)
            await self._go_on(since_save=False)
        while True:
            await self._advance()
            now_s = await self.node.now()
            if self.ends_s is not None and now_s >= self.ends_s:
                return self.head.params_D
            deadline_s = max(0.0, self._wake_s() - now_s)
            received = await self.node.receive_any(MESSAGES, deadline_s=deadline_s)
            if received is not None and received.sender in self.rules.genesis.by_name:
                await self._on(received.sender, received.message)

    # ------------------------------------------------------------------ rounds

    async def _begin_round(self) -> None:
        """Begin the round on top of our last block, unless there is none."""
        before, me = self.head.before, self.node.id
        round = Round(self.head.height + 1)
        over = round > self.rules.training.rounds
        now_s = await self.node.now()
        new = not over and round > self.state.begun
        takes_part = new and not (self.state.forgot and self._may_have_begun(now_s))
        # What it may have done in a round that it has forgotten is charged, too.
        contributes = new and me in self.rules.context(before).contributors
        self.state = msgspec.structs.replace(
            self.state,
            head=self.head,
            begun=self.state.begun if over else max(round, self.state.begun),
            line=tuple(self.line),
            forgot=self.state.forgot and not takes_part,
            since_s=now_s,
            takes_part=takes_part,
            stash=_sealed(self.stash),
            rumours=dict(self.rumours),
            refused=tuple(self.refused),
            masked=self.state.masked + contributes,
            contributed=self.state.contributed + contributes,
        )
        await self.node.save(self.state)
        await self._go_on(since_save=True)

    def _may_have_begun(self, now_s: float) -> bool:
        """Whether a peer that has forgotten what it did may have begun the next round then.

        Whoever is in step is at most a round ahead of others, and no round lasts longer than
        `round_s`. So two such times after it came back, all others have begun a later round than it
        had. It is where they are if its last block is one of theirs, which its own empty ones are
        not, and nobody has told it of a better chain. Branches on which rounds have lower numbers
        can deceive it: see docs/chain.md.
        """
        behind = any(is_better(rumour, self.head) for rumour in self.rumours.values())
        alone = self.head.anchor != self.head.hash
        return behind or alone or now_s < self.came_s + 2 * round_s(self.rules.parameters)

    async def _go_on(self, *, since_save: bool) -> None:
        """What comes after the beginning of a round was saved.

        Args:
          since_save: whether this peer has gone on without a break. If not, it may be one that a
            simulation has brought back to that very moment, to go on as it did then; any other has
            done who knows what in this round, and now does nothing but listen.
        """
        now_s, state = await self.node.now(), self.state
        if not since_save:
            self.came_s = now_s
        unbroken = since_save or now_s == state.since_s
        began_s = state.since_s if unbroken else now_s
        self.desk, self.duties, self.asked = None, [], None
        self.answers.clear()
        self.failed.clear()
        if not unbroken:
            await self.node.broadcast(self.neighbours, announcement(self.head))
        if self.head.height >= self.rules.training.rounds:
            self.ends_s = began_s + self._linger_s()
            return
        self.desk = Desk(self.node, self.rules, self.head, self.keys, began_s, self.plan.base)
        if unbroken and state.takes_part:
            await self._take_up_duties(self.desk)
        stash, self.stash = self.stash, {}
        for (sender, _), message in stash.items():
            self._on_round(sender, message)

    def _linger_s(self) -> float:
        """How long to serve others after the last round. If it seems to have failed, its block may
        still come: others may have begun it later, and have all of a round's time."""
        linger_s = self.rules.parameters.linger_s
        if self.head.anchor == self.head.hash:
            return linger_s
        return max(linger_s, round_s(self.rules.parameters))

    async def _take_up_duties(self, desk: Desk) -> None:
        context, me = desk.context, self.node.id
        if me in context.aggregators:
            aggregator = Aggregator(desk)
            self.duties.append(aggregator)
            if me == context.leader:
                self.duties.append(Leader(desk, aggregator, self.state.pending))
        if me in context.verifiers:
            self.duties.append(Verifier(desk))
        for line in self.state.pending:
            await desk.accuse(line)
        desk.accusations.clear()
        if self.table is not None:
            noiser = Noiser(desk, self.table)
            self.duties.append(noiser)
            await noiser.begin()
        if me in context.contributors:
            contributor = Contributor(desk, self.state.velocity_D)
            self.duties.append(contributor)
            await contributor.begin()

    async def _advance(self) -> None:
        """Go on until nothing more can be done without waiting."""
        while self.desk is not None:
            desk, now_s = self.desk, await self.node.now()
            for duty in self.duties:
                await duty.advance(now_s)
                if isinstance(duty, Leader) and duty.certified is not None:
                    after = self.rules.follow(desk.head, duty.certified)
                    await self._extend(desk.head.height, [(duty.certified, after)])
                    break
            if self.desk is not desk:
                continue
            if desk.own:
                own, desk.own = desk.own, []
                for message in own:
                    self._on_round(self.node.id, message)
            elif now_s >= desk.due(SPREAD):
                block = CertifiedBlock(empty_block(self.rules.genesis, desk.head.state), None)
                await self._extend(desk.head.height, [(block, self.rules.follow(desk.head, block))])
            else:
                break
        await self._chase()

    def _wake_s(self) -> float:
        """When something is to be done even if nothing comes."""
        dues = [] if self.ends_s is None else [self.ends_s]
        if self.desk is not None:
            dues.append(self.desk.due(SPREAD))
        dues += [due for duty in self.duties if (due := duty.next_due()) is not None]
        if self.asked is not None:
            dues.append(self.asked[1])
        return min(dues)

    def _on_round(self, sender: NodeId, message: RoundMessage) -> None:
        """A message of a round: for our duties, or for later, or of the past."""
        if self.desk is None:
            return
        round = self.desk.context.round
        if message.round == round + 1:
            self.stash.setdefault((sender, type(message)), message)
        elif message.round == round:
            for duty in self.duties:
                try:
                    duty.take(sender, message)
                except PeerError as error:
                    self._refuse(error)

    # ------------------------------------------------------------------ the chain

    async def _extend(self, below: int, blocks: list[tuple[CertifiedBlock, Head]]) -> None:
        """Go on from other blocks than before, which hold.

        Args:
          below: the height that they begin above.
          blocks: each with the chain after it, ascending.
        """
        for block, _ in blocks:
            await self.node.keep(VerifiedBlock(block))
        head = blocks[-1][1]
        self._leave_round(head)
        self.line = [*self.line[: below + 1], *(block.hash for block, _ in blocks)]
        self.head = head
        for _, after in blocks:
            self.heads[after.hash] = after
        for _ in range(len(self.heads) - KEPT_HEADS):
            del self.heads[next(iter(self.heads))]
        if blocks[-1][0].certificate is not None or head.height == self.rules.training.rounds:
            await self._report()
        # After an empty block, too: others then say if they have a better chain.
        await self.node.broadcast(self.neighbours, announcement(head))
        await self._begin_round()

    def _leave_round(self, head: Head) -> None:
        """Take along what outlives the round."""
        state = self.state
        velocity_D, pending = state.velocity_D, state.pending
        masked, contributed = state.masked, state.contributed
        for duty in self.duties:
            if isinstance(duty, Contributor):
                velocity_D = duty.velocity_D
                # Both were charged when the round began; what has surely not left costs nothing.
                masked -= not duty.shown
                contributed -= not duty.dealt
        if self.desk is not None:
            pending = (*pending, *self.desk.accusations)
        self.state = msgspec.structs.replace(
            self.state,
            velocity_D=velocity_D,
            masked=masked,
            contributed=contributed,
            pending=tuple(
                line
                for line in pending
                if (line.accused, line.kind, line.round) not in head.state.punished
                and line.round + EVIDENCE_ROUNDS > head.height
            )[:MAX_PENDING],
        )

    async def _witness(self, block: CertifiedBlock) -> None:
        """Find out who has certified two blocks of one round: this one, and one on our chain."""
        height = block.block.content.height
        ours = await self.node.kept_line(self.head.hash, above=height - 1, most_bytes=1)
        if not ours or ours[0].certificate is None:
            return
        for liar in double_signers(self.rules.genesis, ours[0], block):
            evidence = two_blocks(liar, ours[0], block)
            if fits(evidence) and len(self.state.pending) < MAX_PENDING:
                pending = (*self.state.pending, evidence)
                self.state = msgspec.structs.replace(self.state, pending=pending)

    async def _head_at(self, block_hash: bytes) -> Head | None:
        """The chain after a block that we have; None if we do not have it. What is not at hand is
        computed from the genesis, without checking again what was checked before it was kept."""
        if block_hash in self.heads:
            return self.heads[block_hash]
        head = self.rules.first(self.plan.initial_D)
        while head.hash != block_hash:
            kept = await self.node.kept_line(
                block_hash, above=head.height, most_bytes=MAX_ANSWER_BYTES
            )
            if not kept:
                return None
            for block in kept:
                head = self.rules.follow(head, block)
        return head

    # ------------------------------------------------------------------ gossip

    async def _on(self, sender: NodeId, message: Message) -> None:
        match message:
            case RoundMessage():
                self._on_round(sender, message)
            case Announce():
                await self._hear(sender, message)
            case Want():
                await self._serve(sender, message)
            case Blocks():
                if self.asked is not None and self.asked[0] == sender:
                    self.asked = None
                    try:
                        await self._take_blocks(sender, message)
                    except PeerError as error:
                        self._give_up(sender)
                        self._refuse(error)

    async def _hear(self, sender: NodeId, message: Announce) -> None:
        """Remember who has a better chain, and tell who has a worse one: it may have been away."""
        if is_better(message, self.head):
            self.rumours[sender] = message
        elif preference(message.certified, message.anchor) < self.head.preference():
            await self._answer(sender, announcement(self.head))

    async def _answer(self, sender: NodeId, message: Message) -> None:
        """Send something of our chain, if that is not the whole round's work already."""
        self.answers[sender] += 1
        if self.answers[sender] <= MAX_ANSWERS:
            await self.node.send(sender, message)

    async def _chase(self) -> None:
        """Ask one peer at a time for a better chain than ours."""
        now_s = await self.node.now()
        if self.asked is not None:
            if now_s < self.asked[1]:
                return
            self._give_up(self.asked[0])
            self.asked = None
        self.rumours = {
            peer: rumour for peer, rumour in self.rumours.items() if is_better(rumour, self.head)
        }
        if self.rumours:
            best = max(
                sorted(self.rumours),
                # Who has failed us comes last, whatever it claims to have.
                key=lambda peer: (
                    -self.failed[peer],
                    preference(self.rumours[peer].certified, self.rumours[peer].anchor),
                ),
            )
            self.asked, self.reached = (best, now_s + self.rules.parameters.phase_s), 0
            await self.node.send(best, locator(self.line))

    def _give_up(self, peer: NodeId) -> None:
        self.failed[peer] += 1
        self.rumours.pop(peer, None)

    async def _serve(self, sender: NodeId, message: Want) -> None:
        """Send what comes after the first block of theirs that is on our chain."""
        heights = {block_hash: height for height, block_hash in enumerate(self.line)}
        above = next((heights[hash] for hash in message.locator if hash in heights), None)
        if above is None or self.answers[sender] >= MAX_ANSWERS:
            return
        kept = await self.node.kept_line(self.head.hash, above=above, most_bytes=MAX_ANSWER_BYTES)
        blocks = kept[:MAX_BLOCKS]
        await self._answer(
            sender,
            Blocks(
                tuple(
                    WireBlock(
                        block.block.data,
                        None
                        if block.certificate is None
                        else encode_certificate(block.certificate),
                    )
                    for block in blocks
                ),
                more=bool(blocks) and blocks[-1].hash != self.head.hash,
            ),
        )

    async def _take_blocks(self, sender: NodeId, message: Blocks) -> None:
        """Check blocks that we asked for, and go on from them if their chain wins.

        Raises:
          PeerError: one of them does not hold; the culprit is `sender`.
        """
        checked: list[tuple[CertifiedBlock, Head]] = []
        below: Head | None = None
        for sent in message.blocks:
            block = _read(sent, sender)
            if below is None:
                below = await self._head_at(block.block.content.previous)
                if below is None:
                    raise PeerError("sent blocks that nobody asked for", culprits=(sender,))
            at = checked[-1][1] if checked else below
            checked.append((block, await self._checked(at, block, sender)))
        if below is None:
            self._give_up(sender)
            return
        for block, _ in checked:
            await self.node.keep(VerifiedBlock(block))
        top = checked[-1][1]
        # Empty blocks at the end are the sender's own affair.
        while checked and checked[-1][0].certificate is None:
            checked.pop()
        if checked and checked[-1][1].preference() > self.head.preference():
            await self._extend(below.height, checked)
        elif not message.more or top.height <= self.reached:
            self._give_up(sender)
        if message.more and top.height > self.reached:
            self.reached = top.height
            self.asked = sender, await self.node.now() + self.rules.parameters.phase_s
            await self.node.send(sender, Want((top.hash, self.line[0])))

    async def _checked(self, at: Head, block: CertifiedBlock, sender: NodeId) -> Head:
        """The chain after a block of somebody else's.

        Raises:
          PeerError: it does not hold; the culprit is `sender`.
        """
        certificate = block.certificate
        if certificate is None:
            expected = empty_block(self.rules.genesis, at.state)
            if at.height >= self.rules.training.rounds or block.hash != expected.digest:
                raise PeerError("sent a block without a certificate", culprits=(sender,))
        elif self._has_signed(block):
            check_certificate(self.rules.genesis, block, sender=sender)
            check_signers(self.rules, at, block, sender=sender)
        else:
            verified = await self.node.compute(
                VerifyBlock(self.rules, at, block.block.data, encode_certificate(certificate))
            )
            if verified.fault is not None:
                where, problem = verified.fault
                raise PeerError(
                    f"sent block {block.block.content.height} whose {where} {problem}",
                    culprits=(sender,),
                )
        if certificate is not None:
            await self._witness(block)
        return self.rules.follow(at, block)

    def _has_signed(self, block: CertifiedBlock) -> bool:
        """Whether our aggregator part has checked its contents."""
        return any(
            isinstance(duty, Aggregator) and duty.checked == block.hash for duty in self.duties
        )

    # ------------------------------------------------------------------ reports

    @property
    def _reports(self) -> bool:
        return self.node.id == self.plan.reporter

    async def _report(self) -> None:
        """Say what became of the rounds up to here: all peers see the same."""
        if not self._reports:
            return
        reported = self.state.reported
        if reported >= self.head.height:
            # As they were on a longer chain that has lost: what was said cannot be taken back.
            return
        head = await self._head_at(self.line[reported])
        assert head is not None
        refused, self.refused = self.refused, []
        for block in await self.node.kept_line(
            self.head.hash, above=reported, most_bytes=MAX_REPORTED_BYTES
        ):
            head = self.rules.follow(head, block)
            content = block.block.content
            accepted = [line.contributor for line in content.contributions]
            drawn = self.rules.context(head.recent[-1]).contributors
            await self.node.report(
                content.round,
                head.params_D,
                accepted=accepted,
                rejected=[
                    *(
                        Rejection(node=peer, reason="its update is not in the block")
                        for peer in drawn
                        if peer not in accepted
                    ),
                    *(
                        Rejection(node=line.accused, reason=f"punished for {line.kind}")
                        for line in content.evidence
                    ),
                    *refused,
                ],
            )
            refused = []
            self.state = msgspec.structs.replace(self.state, reported=content.round)

    def _refuse(self, error: PeerError) -> None:
        if len(self.refused) < MAX_REFUSED:
            self.refused += [
                Rejection(node=culprit, reason=error.message) for culprit in error.culprits
            ]


def _read(sent: WireBlock, sender: NodeId) -> CertifiedBlock:
    certificate = sent.certificate
    return CertifiedBlock(
        read_block(sent.block, sender=sender),
        None if certificate is None else read_certificate(certificate, sender=sender),
    )


def _sealed(
    stash: Mapping[tuple[NodeId, type[Message]], RoundMessage],
) -> tuple[tuple[NodeId, bytes], ...]:
    return tuple((sender, _CODEC.encode(message)) for (sender, _), message in stash.items())


def _opened(stash: Sequence[tuple[NodeId, bytes]]) -> Iterator[tuple[NodeId, RoundMessage]]:
    for sender, data in stash:
        message = _CODEC.decode(data, sender=sender)
        assert isinstance(message, RoundMessage)
        yield sender, message
