"""What all of a peer's duties in one round have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from troth.errors import PeerError
from troth.ids import NodeId
from troth.learning.training import Training
from troth.protocols.biscotti.blaming.offences import fits, judge
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.block import Evidence
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.head import Head, Rules
from troth.protocols.biscotti.messages import Accusation
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.biscotti.setting import Setting
from troth.roles.messages import RoundMessage
from troth.roles.node import Node

GRANTED, MASKED, JUDGED, SHARED, HELD, SUMMED, DOUBTED, CERTIFIED, SPREAD = range(1, 10)
"""The steps of a round, each with its own time: noise has come, masked updates have, verdicts,
shares, acknowledgements, sums, commitments that were left out, endorsements, the block."""


def round_s(parameters: Biscotti) -> float:
    """The longest that a round lasts."""
    return parameters.noise.window_s + SPREAD * parameters.phase_s


@dataclass
class Desk:
    """A round at one peer. It lives as long as the round; nothing of it survives a crash."""

    node: Node
    rules: Rules
    head: Head
    """What the round stands on."""
    keys: PeerKeys
    started_s: float
    base: Path | None
    context: RoundContext = field(init=False)
    own: list[RoundMessage] = field(default_factory=list)
    """What the peer has sent to itself."""
    accusations: list[Evidence] = field(default_factory=list)
    """What it has found out in this round."""

    def __post_init__(self) -> None:
        self.context = self.rules.context(self.head.before)

    @property
    def me(self) -> NodeId:
        """This peer."""
        return self.node.id

    @property
    def setting(self) -> Setting:
        """What cryptography depends on."""
        return self.rules.setting

    @property
    def training(self) -> Training:
        """How peers train."""
        return self.rules.training

    def due(self, step: int) -> float:
        """When a step's time is over, on this peer's clock. Whoever waits for what others do in a
        step waits until then."""
        parameters = self.rules.parameters
        return self.started_s + parameters.noise.window_s + step * parameters.phase_s

    def secret(self, purpose: str) -> bytes:
        """32 bytes that nobody else knows, of this round and purpose."""
        return self.node.secret.child("biscotti", self.context.round, purpose).digest(32)

    async def send(self, to: Iterable[NodeId], message: RoundMessage) -> None:
        """Send a message to each, this peer itself among them if it is one of them."""
        receivers = tuple(to)
        if self.me in receivers:
            self.own.append(message)
        others = [peer for peer in receivers if peer != self.me]
        if others:
            await self.node.broadcast(others, message)

    async def accuse(self, evidence: Evidence) -> None:
        """Tell the leader of an offence, if what there is proves it."""
        if not fits(evidence) or not self.proves(evidence):
            return
        self.accusations.append(evidence)
        await self.send([self.context.leader], Accusation(self.context.round, evidence))

    def proves(self, evidence: Evidence) -> bool:
        """Whether evidence of this or a past round proves what it says."""
        context = self.rules.past(self.head, evidence.round)
        if context is None:
            return False
        try:
            judge(self.rules, context, evidence, self.secret("judge"))
        except PeerError:
            return False
        return True
