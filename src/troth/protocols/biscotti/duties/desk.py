"""What all of a peer's duties in one round have in common: the chain below it, keys, time, and
sending."""

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
from troth.protocols.biscotti.setting import Setting
from troth.roles.messages import RoundMessage
from troth.roles.node import Node

GRANTED, MASKED, JUDGED, SHARED, HELD, SUMMED, DOUBTED, CERTIFIED, SPREAD = range(1, 10)
"""The steps of a round, in order, each with its own time. Each is named by what has come when it is
over: noise, masked updates, verdicts, shares, acknowledgements, sums of shares, the commitments
that optimistic sharing left out, endorsements, the block."""


def round_s(rules: Rules) -> float:
    """The longest that a round lasts, in seconds."""
    return rules.privacy.window_s + SPREAD * rules.parameters.phase_s


@dataclass
class Desk:
    """What one peer's duties share in one round. It lives as long as the round; nothing of it
    survives a crash."""

    node: Node
    rules: Rules
    head: Head
    """Where the chain stands before the round."""
    keys: PeerKeys
    """This peer's secret keys."""
    started_s: float
    """When the round began, on this peer's clock."""
    base: Path | None
    """Folder in which `module:callable` rules are looked up."""
    context: RoundContext = field(init=False)
    """The round's committees, and everything else that follows from the chain below it."""
    own: list[RoundMessage] = field(default_factory=list)
    """Messages that this peer has sent to itself, and not taken yet."""
    accusations: list[Evidence] = field(default_factory=list)
    """Offences that this peer has found out in this round."""

    def __post_init__(self) -> None:
        self.context = self.rules.context(self.head.before)

    @property
    def me(self) -> NodeId:
        """The id of the peer whose round this is."""
        return self.node.id

    @property
    def setting(self) -> Setting:
        """The numbers that the run's cryptography depends on."""
        return self.rules.setting

    @property
    def training(self) -> Training:
        """The charter's `[training]` table, by which peers train."""
        return self.rules.training

    def due(self, step: int) -> float:
        """When a step's time is over, on this peer's clock. Whoever waits for what others do in a
        step waits until then."""
        # Biscotti, section 4.7: "In Biscotti, each verification and aggregation step occurs only
        # for a specified duration."
        rules = self.rules
        return self.started_s + rules.privacy.window_s + step * rules.parameters.phase_s

    def secret(self, purpose: str) -> bytes:
        """32 secret bytes of this peer for one purpose in this round; the same if asked again."""
        return self.node.secret.child("biscotti", self.context.round, purpose).digest(32)

    async def send(self, to: Iterable[NodeId], message: RoundMessage) -> None:
        """Send a message to each of these peers; what this peer sends to itself waits in `own`."""
        receivers = tuple(to)
        if self.me in receivers:
            self.own.append(message)
        others = [peer for peer in receivers if peer != self.me]
        if others:
            await self.node.broadcast(others, message)

    async def accuse(self, evidence: Evidence) -> None:
        """Tell the leader of an offence, if the evidence proves it and fits into a block."""
        if not fits(evidence) or not self.proves(evidence):
            return
        self.accusations.append(evidence)
        await self.send([self.context.leader], Accusation(self.context.round, evidence))

    def proves(self, evidence: Evidence) -> bool:
        """Whether the evidence, of this round or one of the last, proves the offence it names."""
        context = self.rules.past(self.head, evidence.round)
        if context is None:
            return False
        try:
            judge(self.rules, context, evidence, self.secret("judge"))
        except PeerError:
            return False
        return True
