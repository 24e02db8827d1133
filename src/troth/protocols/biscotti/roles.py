"""The peer of `biscotti`: there is no other role. What it does in a round follows from the chain.

A round goes on when what a step waits for has come, or its time is over. Whatever becomes of it,
the peer then has another block: the certified one, its own or its neighbours', or the empty one.
The steps of the paper's figure 1 stand in `duties/`, which this file gives the word in turn.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from troth.crypto.noise_table import NoiseTable
from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.blaming.accusing import Accuser
from troth.protocols.biscotti.catching_up.branch import Branch
from troth.protocols.biscotti.catching_up.chasing import CatchingUp
from troth.protocols.biscotti.catching_up.checking import Checker
from troth.protocols.biscotti.catching_up.stash import Stash
from troth.protocols.biscotti.duties.aggregator import Aggregator
from troth.protocols.biscotti.duties.contributor import Contributor
from troth.protocols.biscotti.duties.desk import SPREAD, Desk, round_s
from troth.protocols.biscotti.duties.leader import Leader
from troth.protocols.biscotti.duties.noiser import Noiser
from troth.protocols.biscotti.duties.verifier import Verifier
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.block import CertifiedBlock
from troth.protocols.biscotti.ledger.head import Head, Rules
from troth.protocols.biscotti.ledger.link import empty_block
from troth.protocols.biscotti.messages import MESSAGES, Announce, Blocks, Want
from troth.protocols.biscotti.reporting import Reporter
from troth.protocols.biscotti.state import PeerState
from troth.roles.messages import RoundMessage
from troth.roles.node import Node
from troth.wire import Float32s, Message

Duty = Noiser | Contributor | Verifier | Aggregator | Leader
"""What a peer may have to do in one round."""


@dataclass(frozen=True)
class Plan:
    """What all peers know before the first round."""

    rules: Rules
    """The genesis and the charter, which blocks are held against."""
    initial_D: Float32s
    """w_0, the model before the first round, shape (D,)."""
    reporter: NodeId
    """The peer of this process that reports rounds; all would say the same."""
    base: Path | None = None
    """Folder in which `module:callable` rules are looked up."""


async def peer(node: Node, plan: Plan, keys: PeerKeys, table: NoiseTable | None) -> Float32s:
    """Take part from wherever this peer was until the last round is over, then serve those that
    are not there yet.

    Args:
      keys: this peer's own.
      table: the noise that this peer has committed to; None where updates are not masked.

    Returns:
      w_T, the model after the last round, shape (D,).
    """
    return await Peer(node, plan, keys, table).run()


@dataclass
class Peer:
    """A peer between its start and its end, or a crash, as it goes from round to round. `duties` do
    the round that goes on; the other parts do what belongs to earlier and later rounds."""

    node: Node
    plan: Plan
    keys: PeerKeys
    table: NoiseTable | None
    state: PeerState = field(init=False)
    """What this peer last saved, or is about to save."""
    branch: Branch = field(init=False)
    """The chain that this peer goes on from."""
    accuser: Accuser = field(init=False)
    """Keeps the offences that this peer knows of, and tells leaders of them."""
    catching_up: CatchingUp = field(init=False)
    """Announces this peer's chain, gets better ones, and serves blocks to others."""
    reporter: Reporter = field(init=False)
    """Reports the rounds that are over."""
    stash: Stash = field(init=False)
    """Keeps messages that came for the next round."""
    desk: Desk | None = None
    """The round that goes on; None after the last one."""
    duties: list[Duty] = field(default_factory=list)
    """What this peer has to do in the round that goes on."""
    came_s: float = 0.0
    """When this peer came back, on its own clock."""
    ends_s: float | None = None
    """When to stop serving others; None before the last round is over."""

    @property
    def rules(self) -> Rules:
        """The genesis and the charter, which blocks are held against."""
        return self.plan.rules

    @property
    def head(self) -> Head:
        """Where this peer's chain stands after its last block."""
        return self.branch.head

    async def run(self) -> Float32s:
        """Play the peer's role, as the function `peer` says, and give the last model, shape
        (D,)."""
        saved = await self.node.load(PeerState)
        first = self.rules.first(self.plan.initial_D)
        self.state = saved or PeerState(first, Round(0), (first.hash,))
        self._compose(first)
        if saved is None:
            await self.catching_up.announce()
            await self._begin_round()
        else:
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

    def _compose(self, first: Head) -> None:
        """Make this peer's parts, as they were when its state was saved.

        Args:
          first: where the chain stands before the first block.
        """
        node, rules, state = self.node, self.rules, self.state
        self.branch = Branch(node, rules, first, state.head, list(state.branch))
        self.accuser = Accuser(state.pending)
        checker = Checker(node, rules, self.branch, self.accuser)
        self.catching_up = CatchingUp(
            node,
            rules,
            self.branch,
            checker,
            self._extend,
            dict(state.rumours),
            Counter(state.failed),
        )
        speaks = node.id == self.plan.reporter
        self.reporter = Reporter(node, self.branch, speaks, state.reported, list(state.refused))
        self.stash = Stash.opened(rules.setting.dimension, state.stash)

    # ------------------------------------------------------------------ rounds

    async def _begin_round(self) -> None:
        """Begin the round on top of this peer's last block, unless all rounds are over."""
        # Biscotti, section 4, step 1 again: "Using the updated global model and stake, the peers
        # repeat"; section 4.2: "The training process continues for a specified number of iterations
        # T, at which point the learning process stops and each peer extracts the global model from
        # the final block."
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
            branch=tuple(self.branch.hashes),
            forgot=self.state.forgot and not takes_part,
            since_s=now_s,
            takes_part=takes_part,
            stash=self.stash.sealed(),
            rumours=dict(self.catching_up.rumours),
            failed=dict(self.catching_up.failed),
            refused=tuple(self.reporter.refused),
            pending=self.accuser.pending,
            reported=self.reporter.reported,
            masked=self.state.masked + contributes,
            contributed=self.state.contributed + contributes,
        )
        await self.node.save(self.state)
        await self._go_on(since_save=True)

    def _may_have_begun(self, now_s: float) -> bool:
        """Whether a peer that has lost what it saved may have begun the next round before.

        Whoever is in step is at most a round ahead of others, and no round lasts longer than
        `round_s`. So two such times after it came back, all others have begun a later round than it
        had. It is where they are if its last block is one of theirs, which its own empty ones are
        not, and nobody has told it of a better chain. Branches on which rounds have lower numbers
        can deceive it: see docs/chain.md.
        """
        alone = self.head.anchor != self.head.hash
        early = now_s < self.came_s + 2 * round_s(self.rules)
        return self.catching_up.is_behind() or alone or early

    async def _go_on(self, *, since_save: bool) -> None:
        """Take up the round whose beginning was saved.

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
        self.desk, self.duties = None, []
        self.catching_up.begin_round()
        if not unbroken:
            await self.catching_up.announce()
        if self.head.height >= self.rules.training.rounds:
            self.ends_s = began_s + self._linger_s()
            return
        self.desk = Desk(self.node, self.rules, self.head, self.keys, began_s, self.plan.base)
        if unbroken and state.takes_part:
            await self._take_up_duties(self.desk)
        for sender, message in self.stash.taken():
            self._on_round(sender, message)

    def _linger_s(self) -> float:
        """Seconds for which to serve others after the last round. If that round seems to have
        failed, its block may still come: others may have begun it later, and have all of a round's
        time."""
        linger_s = self.rules.parameters.linger_s
        if self.head.anchor == self.head.hash:
            return linger_s
        return max(linger_s, round_s(self.rules))

    async def _take_up_duties(self, desk: Desk) -> None:
        """Begin everything that this peer has to do in a round, by its place in the committees."""
        # Biscotti, section 4.3: "At each iteration, peers run the consistent hashing protocol to
        # determine whether they are an aggregator or verifier."
        context, me = desk.context, self.node.id
        if me in context.aggregators:
            aggregator = Aggregator(desk)
            self.duties.append(aggregator)
            if me == context.leader:
                self.duties.append(Leader(desk, aggregator, self.accuser.pending))
        if me in context.verifiers:
            self.duties.append(Verifier(desk))
        await self.accuser.accuse(desk)
        if self.table is not None:
            noiser = Noiser(desk, self.table)
            self.duties.append(noiser)
            await noiser.begin()
        # Biscotti, section 4.3: "Peers that are part of the verification and aggregation committees
        # do not contribute updates for that round."
        if me in context.contributors:
            contributor = Contributor(desk, self.state.velocity_D)
            self.duties.append(contributor)
            await contributor.begin()

    async def _advance(self) -> None:
        """Let every duty go on until nothing more can be done without waiting. After the last
        step's time the round has failed, and the peer goes on from the empty block."""
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
            # Biscotti, section 6.2: "When a verifier or an aggregator fails, Biscotti defaults to
            # the next iteration after a timeout, so this does not harm convergence".
            # Differs from the paper: the failed round leaves an empty block, because the next
            # committees have to follow from a chain that all peers have.
            elif now_s >= desk.due(SPREAD):
                block = CertifiedBlock(empty_block(self.rules.genesis, desk.head.state), None)
                await self._extend(desk.head.height, [(block, self.rules.follow(desk.head, block))])
            else:
                break
        await self.catching_up.chase()

    def _wake_s(self) -> float:
        """When something has to be done even if no message comes, on this peer's clock."""
        dues = [] if self.ends_s is None else [self.ends_s]
        if self.desk is not None:
            dues.append(self.desk.due(SPREAD))
        dues += [due for duty in self.duties if (due := duty.next_due()) is not None]
        if self.catching_up.asked is not None:
            dues.append(self.catching_up.asked[1])
        return min(dues)

    def _on_round(self, sender: NodeId, message: RoundMessage) -> None:
        """Give a message of the round that goes on to the duties, and keep one of the next round.
        Others are dropped."""
        # Biscotti, section 4.7: "Any updates that are not successfully propagated in this period of
        # time are dropped: Biscotti does not append stale updates to the model once competing
        # blocks have been committed to the ledger."
        if self.desk is None:
            return
        round = self.desk.context.round
        if message.round == round + 1:
            try:
                self.stash.put(sender, message)
            except PeerError as error:
                self.reporter.refuse(error)
        elif message.round == round:
            for duty in self.duties:
                try:
                    duty.take(sender, message)
                except PeerError as error:
                    self.reporter.refuse(error)

    async def _extend(self, below: int, blocks: list[tuple[CertifiedBlock, Head]]) -> None:
        """Leave the round that goes on, and begin the one on top of these blocks, which were
        checked.

        Args:
          below: the height of the block that they stand on.
          blocks: ascending, each with where the chain stands after it.
        """
        # Biscotti, section 4, step 8: the "newly created block which is disseminated to all the
        # peers and appended to the ledger".
        await self.branch.extend(below, blocks)
        self._leave_round()
        if blocks[-1][0].certificate is not None or self.head.height == self.rules.training.rounds:
            await self.reporter.report()
        # After an empty block, too: others then say if they have a better chain.
        await self.catching_up.announce()
        await self._begin_round()

    def _leave_round(self) -> None:
        """Take what outlives the round from the duties: velocity, privacy spent, and offences."""
        state = self.state
        velocity_D, masked, contributed = state.velocity_D, state.masked, state.contributed
        for duty in self.duties:
            if isinstance(duty, Contributor):
                velocity_D = duty.velocity_D
                # Both were charged when the round began; what has surely not left costs nothing.
                masked -= not duty.shown
                contributed -= not duty.dealt
        self.state = msgspec.structs.replace(
            self.state, velocity_D=velocity_D, masked=masked, contributed=contributed
        )
        self.accuser.leave_round(() if self.desk is None else self.desk.accusations, self.head)

    # ------------------------------------------------------------------ messages

    async def _on(self, sender: NodeId, message: Message) -> None:
        match message:
            case RoundMessage():
                self._on_round(sender, message)
            case Announce():
                await self.catching_up.hear(sender, message)
            case Want():
                await self.catching_up.serve(sender, message)
            case Blocks():
                try:
                    await self.catching_up.take(sender, message, signed=self._signed())
                except PeerError as error:
                    self.reporter.refuse(error)

    def _signed(self) -> list[bytes]:
        """Hashes of blocks whose contents this peer has checked as an aggregator of the round."""
        found = [duty.checked for duty in self.duties if isinstance(duty, Aggregator)]
        return [block_hash for block_hash in found if block_hash is not None]
