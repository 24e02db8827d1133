"""How a peer hears of a better chain than its own and gets its blocks, and how it serves others.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property

from troth.chain.forks import preference
from troth.chain.ledger import ReadBranch
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.catching_up.branch import Branch
from troth.protocols.biscotti.catching_up.checking import Checker
from troth.protocols.biscotti.catching_up.gossip import (
    MAX_ANSWER_BYTES,
    announcement,
    is_better,
    locator,
    neighbours,
)
from troth.protocols.biscotti.ledger.block import CertifiedBlock, read_certified
from troth.protocols.biscotti.ledger.head import Head, Rules
from troth.protocols.biscotti.messages import MAX_BLOCKS, Announce, Blocks, Want, WireBlock
from troth.roles.node import Node
from troth.wire import Message

MAX_ANSWERS = 16
"""How often one peer is answered, with blocks or with an announcement, in a round."""

GoOn = Callable[[int, list[tuple[CertifiedBlock, Head]]], Awaitable[None]]
"""A function that goes on from blocks above a height, each with where the chain stands after it,
and begins the round on top of them."""


@dataclass
class CatchingUp:
    """Announces this peer's chain, asks one peer at a time for a better one, and serves blocks to
    those that ask."""

    node: Node
    rules: Rules
    branch: Branch
    checker: Checker
    go_on: GoOn
    """What is called with the blocks of a better chain, once they were checked."""
    rumours: dict[NodeId, Announce]
    """The better chains that others say they have."""
    failed: Counter[NodeId]
    """How often each peer has not sent the better chain that it announced, in all rounds: were it
    forgotten, those who boast would cost a step's time in each round anew."""
    asked: tuple[NodeId, float] | None = None
    """The peer that was asked for blocks, and until when to wait, on this peer's own clock."""
    reached: int = 0
    """Height up to which that peer has sent blocks; one that sends no higher ones is asked no
    more."""
    answers: Counter[NodeId] = field(default_factory=Counter)
    """How often each peer was answered in this round."""

    @cached_property
    def neighbours(self) -> tuple[NodeId, ...]:
        """The peers to which this one announces its chain, ascending."""
        genesis = self.rules.genesis
        least = self.rules.parameters.neighbours
        return neighbours(genesis.id, genesis.content.names(), self.node.id, least)

    def begin_round(self) -> None:
        """Forget who was asked, and who was answered."""
        self.asked = None
        self.answers.clear()

    async def announce(self) -> None:
        """Tell all neighbours which chain this peer has."""
        await self.node.broadcast(self.neighbours, announcement(self.branch.head))

    async def hear(self, sender: NodeId, message: Announce) -> None:
        """Remember a peer that has a better chain, and tell one that has a worse chain of this
        peer's: it may have been away."""
        if is_better(message, self.branch.head):
            self.rumours[sender] = message
        elif preference(message.certified, message.anchor) < self.branch.head.preference():
            await self._answer(sender, announcement(self.branch.head))

    def is_behind(self) -> bool:
        """Whether another peer says that it has a better chain than this one."""
        return any(is_better(rumour, self.branch.head) for rumour in self.rumours.values())

    async def _answer(self, sender: NodeId, message: Message) -> None:
        """Send `sender` an answer, unless it had `MAX_ANSWERS` of them in this round."""
        self.answers[sender] += 1
        if self.answers[sender] <= MAX_ANSWERS:
            await self.node.send(sender, message)

    async def chase(self) -> None:
        """Ask the peer with the best chain for its blocks, if one has a better chain than this
        peer's and no other is being waited for."""
        # Biscotti, section 3.1: "Peers that rejoin the system after going offline during training
        # can recreate the latest state of the blockchain from other peers in the system."
        now_s = await self.node.now()
        if self.asked is not None:
            if now_s < self.asked[1]:
                return
            self._give_up(self.asked[0])
            self.asked = None
        self.rumours = {
            peer: rumour
            for peer, rumour in self.rumours.items()
            if is_better(rumour, self.branch.head)
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
            await self.node.send(best, locator(self.branch.hashes))

    def _give_up(self, peer: NodeId) -> None:
        self.failed[peer] += 1
        self.rumours.pop(peer, None)

    async def serve(self, sender: NodeId, message: Want) -> None:
        """Send a peer what comes after the first block of its locator that is on this peer's
        chain."""
        head = self.branch.head
        heights = {block_hash: height for height, block_hash in enumerate(self.branch.hashes)}
        above = next((heights[hash] for hash in message.locator if hash in heights), None)
        if above is None or self.answers[sender] >= MAX_ANSWERS:
            return
        kept = await self.node.access(ReadBranch(head.hash, above, MAX_ANSWER_BYTES))
        blocks = kept[:MAX_BLOCKS]
        await self._answer(
            sender,
            Blocks(
                tuple(WireBlock(block.data, block.certificate) for block in blocks),
                more=bool(blocks) and blocks[-1].hash != head.hash,
            ),
        )

    async def take(self, sender: NodeId, message: Blocks, *, signed: Collection[bytes]) -> None:
        """Check blocks, if this peer asked `sender` for them, and go on from them if their chain
        wins.

        Args:
          signed: hashes of blocks whose contents this peer has checked as an aggregator.

        Raises:
          PeerError: one of them does not hold; the culprit is `sender`.
        """
        if self.asked is None or self.asked[0] != sender:
            return
        self.asked = None
        try:
            await self._take_blocks(sender, message, signed)
        except PeerError:
            self._give_up(sender)
            raise

    async def _take_blocks(
        self, sender: NodeId, message: Blocks, signed: Collection[bytes]
    ) -> None:
        checked: list[tuple[CertifiedBlock, Head]] = []
        below: Head | None = None
        for sent in message.blocks:
            block = read_certified(sent.block, sent.certificate, sender=sender)
            if below is None:
                below = await self.branch.head_at(block.block.content.previous)
                if below is None:
                    raise PeerError("sent blocks that nobody asked for", culprits=(sender,))
            at = checked[-1][1] if checked else below
            after = await self.checker.checked(at, block, sender, signed=block.hash in signed)
            checked.append((block, after))
        if below is None:
            self._give_up(sender)
            return
        for block, _ in checked:
            await self.branch.keep(block)
        top = checked[-1][1]
        # Empty blocks at the end are the sender's own affair.
        while checked and checked[-1][0].certificate is None:
            checked.pop()
        if checked and checked[-1][1].preference() > self.branch.head.preference():
            await self.go_on(below.height, checked)
        elif not message.more or top.height <= self.reached:
            self._give_up(sender)
        if message.more and top.height > self.reached:
            self.reached = top.height
            self.asked = sender, await self.node.now() + self.rules.parameters.phase_s
            await self.node.send(sender, Want((top.hash, self.branch.hashes[0])))
