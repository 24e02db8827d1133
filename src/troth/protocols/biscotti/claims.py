"""What `biscotti` promises under faults and attacks, checked by a witness of all that honest peers
compute, say and keep.

The witness stands between the honest peers' roles and their world, and outlives them: what a peer
did before a crash has to agree with what it does after. What it checks it works out by itself, from
the peers' own computations where it can.

Promises have conditions. Towards a committee in which too many are corrupt, nothing is promised:

| promise                                        | holds while                                     |
|------------------------------------------------|-------------------------------------------------|
| one certified block on each block              | two certificates share an honest signer         |
| one certified block for each height            | and peers hear each other in time               |
| every update that counts has a majority        | always; the corrupt may accept anything         |
| one set is answered in a round by a committee  | two quorums have an honest member in common     |
| t aggregators' views fit every update          | always, whichever t                             |
| no stake from nothing; nobody honest is blamed | always                                          |
| all who are there in the end have one chain    | everybody is back, and is heard, for a while    |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import partial
from hashlib import sha256
from itertools import combinations
from typing import Any

import numpy as np

from troth.chain.block import VerifiedBlock
from troth.chain.ledger import KeepBlock
from troth.crypto.digest import DIGEST_BYTES
from troth.crypto.group import POINT_BYTES
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.hiding.dealing import SumShares
from troth.protocols.biscotti.hiding.masking import MaskedUpdate
from troth.protocols.biscotti.hiding.views import explanation
from troth.protocols.biscotti.ledger.block import (
    VERDICT,
    Block,
    CertifiedBlock,
    Contribution,
    pieces,
    read_kept,
    signed_list,
)
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.head import Head
from troth.protocols.biscotti.ledger.link import signers_of
from troth.protocols.biscotti.messages import (
    Accepted,
    Endorsement,
    Held,
    Masked,
    NoiseGrant,
    Proposal,
    RandomRows,
    Shares,
    SumSet,
    SumShare,
)
from troth.protocols.biscotti.roles import Plan
from troth.protocols.biscotti.state import PeerState
from troth.roles.effects import Access, Effect, Perform, Received, Save, Send
from troth.roles.interception import intercept
from troth.roles.messages import RoundMessage
from troth.roles.node import Node, Role
from troth.wire import Codec, Float32s, Int64s

ONCE = (Masked, Accepted, Held, SumSet, SumShare, Proposal, Endorsement, Shares, RandomRows)
"""The messages of which an honest peer sends only one in a round, to whomever."""

_CODEC = Codec(ONCE)


class Witness:
    """Checks everything that the honest peers of a run do.

    Raises `AssertionError`, out of a peer's role, as soon as a promise is broken.

    Args:
      honest: who follows the protocol. Everybody else is taken for corrupt.
    """

    def __init__(self, plan: Plan, honest: Collection[NodeId]) -> None:
        self.plan = plan
        self.rules = plan.rules
        self.honest = frozenset(honest)
        first = self.rules.first(plan.initial_D)
        self.heads: dict[bytes, Head] = {first.hash: first}
        """Where the chain stands after each block that an honest peer has kept, by hash."""
        self.certified: dict[bytes, CertifiedBlock] = {}
        """The certified blocks among these, by hash."""
        self._minted: dict[bytes, int] = {first.hash: 0}
        """How much the blocks up to each say that they have added to all stake, by hash."""
        self.grounds: dict[NodeId, Head] = {}
        """Where the chain stood before the last round that each peer has begun."""
        self.dealt: dict[tuple[int, NodeId], dict[int, Shares]] = defaultdict(dict)
        """The shares that each honest contributor has dealt in a round, by (round, contributor) and
        the aggregators' numbers."""
        self.openings: dict[bytes, Int64s] = {}
        """Honest peers' updates as they were committed to, each of shape (D,), by id."""
        self._verdicts: dict[tuple[int, NodeId], frozenset[bytes]] = {}
        self._said: dict[tuple[NodeId, type[RoundMessage], int], bytes] = {}
        self._slots: dict[tuple[NodeId, int, int], NodeId] = {}
        self._held: dict[NodeId, dict[bytes, tuple[NodeId, Shares]]] = defaultdict(dict)
        self._summed: dict[tuple[NodeId, int], frozenset[NodeId]] = {}
        self._answers: dict[bytes, set[frozenset[NodeId]]] = defaultdict(set)

    def watch(self, honest: Role) -> Role:
        """An honest peer's role, wrapped so that this witness sees all its effects."""
        return partial(self._watched, honest=honest)

    async def _watched(self, node: Node, *, honest: Role) -> Float32s | None:
        assert node.id in self.honest
        return await intercept(
            honest, node, before=partial(self._before, node.id), after=partial(self._after, node.id)
        )

    def _before(self, peer: NodeId, effect: Effect[Any]) -> None:
        match effect:
            case Send(to=to, message=RoundMessage() as message):
                self._says(peer, to, message)
            case Access(request=KeepBlock(block=block)):
                self._keeps(block)
            case Save(state=PeerState() as state):
                self.grounds[peer] = state.head
            case Perform(request=SumShares() as request):
                self._sums(peer, request)
            case _:
                pass

    async def _after(self, peer: NodeId, _: Effect[Any], value: Any) -> Any:
        if isinstance(value, Received) and isinstance(value.message, Shares):
            self._held[peer].setdefault(value.message.share, (value.sender, value.message))
        if isinstance(value, MaskedUpdate):
            self.openings[sha256(value.commitments).digest()] = value.opening_values
        return value

    def corrupt(self, committee: Collection[NodeId]) -> int:
        """How many members of a committee are corrupt."""
        return sum(peer not in self.honest for peer in committee)

    # ------------------------------------------------------------------ what is said

    def _says(self, peer: NodeId, to: tuple[NodeId, ...], message: RoundMessage) -> None:
        round = message.round
        if isinstance(message, NoiseGrant):
            (receiver,) = to
            assert self._slots.setdefault((peer, round, message.slot), receiver) == receiver, (
                f"{peer} gives one slot of noise twice"
            )
        if not isinstance(message, ONCE):
            return
        said = (
            message.commitments + message.root
            if isinstance(message, Shares)
            else bytes(_CODEC.encode(message))
        )
        known = self._said.setdefault((peer, type(message), round), said)
        assert known == said, f"{peer} says two things in round {round}: {type(message).__name__}"
        if isinstance(message, Shares):
            (receiver,) = to
            aggregators = self.rules.context(self.grounds[peer].before).aggregators
            self.dealt[round, peer][aggregators.index(receiver)] = message
        if isinstance(message, Accepted):
            self._verdicts[round, peer] = frozenset(pieces(message.updates, DIGEST_BYTES))

    # ------------------------------------------------------------------ sums

    def _sums(self, peer: NodeId, request: SumShares) -> None:
        """Check the sum that an honest aggregator is about to make over a set U."""
        ground = self.grounds[peer]
        context = self.rules.context(ground.before)
        held = [self._held[peer][share] for share in request.shares]
        chosen = frozenset(sender for sender, _ in held)
        assert len(chosen) == len(held) >= context.fewest, "a sum of too few"
        assert (peer, context.round) not in self._summed, f"{peer} sums twice in a round"
        self._summed[peer, context.round] = chosen
        for sender, message in held:
            update = self._update(message.commitments)
            assert self._may_have_majority(context, update), f"{sender} is summed for no majority"
        answers = self._answers[ground.hash]
        answers.add(chosen)
        m, tau = context.parameters.aggregators, context.parameters.resolved_quorum
        if 2 * tau - m > self.corrupt(context.aggregators):
            # Not even one answer for another set: with the sum of the first, it gives away shares
            # of whoever is in one of them only.
            assert len(answers) == 1, f"two sets of round {context.round} are answered"

    def _may_have_majority(self, context: RoundContext, update: bytes) -> bool:
        """Whether enough verifiers can have accepted an update: the honest ones that have, and all
        corrupt ones."""
        honest = sum(
            update in self._verdicts.get((context.round, verifier), frozenset())
            for verifier in context.verifiers
        )
        return honest + self.corrupt(context.verifiers) >= context.majority

    def _update(self, commitments: bytes) -> bytes:
        rows = self.rules.setting.layout.rows * POINT_BYTES
        return sha256(commitments[:rows]).digest()

    # ------------------------------------------------------------------ blocks

    def _keeps(self, kept: VerifiedBlock) -> None:
        if kept.hash in self.heads:
            return
        block = read_kept(kept)
        below = self.heads[block.block.content.previous]
        self.heads[block.hash] = self.rules.follow(below, block)
        if block.certificate is not None:
            self._certified(self.rules.context(below.before), block)
        self._stake_is_earned(below, block)

    def _certified(self, context: RoundContext, block: CertifiedBlock) -> None:
        content = block.block.content
        signers = set(signers_of(self.rules.genesis, block))
        certifiers = context.certifiers
        assert len(signers & set(context.aggregators)) >= certifiers, "too few have certified"
        if 2 * certifiers - context.parameters.aggregators > self.corrupt(context.aggregators):
            for other in self.certified.values():
                assert other.block.content.previous != content.previous, (
                    f"two blocks of round {context.round} are certified on one block"
                )
        self.certified[block.hash] = block
        for offence in content.evidence:
            accused = offence.accused
            assert accused not in self.honest, f"{accused} is framed: {offence.kind}"
        for part in content.contributions:
            self._is_accepted(context, content, part)
        if content.aggregate is not None:
            self._is_the_sum(context, content, content.aggregate)

    def _is_accepted(self, context: RoundContext, block: Block, part: Contribution) -> None:
        """Check that a majority of the round's verifiers has signed for an update of a block."""
        candidates = pieces(block.candidates, DIGEST_BYTES)
        accepting = set()
        for verdict in block.verdicts:
            places = [at for at in range(len(candidates)) if _bit(verdict.accepted, at)]
            accepted = [candidates[at] for at in places]
            text = signed_list(block.chain, block.round, b"".join(accepted))
            try:
                context.check_signed(verdict.verifier, VERDICT, text, verdict.signature)
            except PeerError:
                continue
            if part.update in accepted and verdict.verifier in context.verifiers:
                accepting.add(verdict.verifier)
        assert 2 * len(accepting) > len(context.verifiers), "an update counts without a majority"
        assert self._may_have_majority(context, part.update)
        if part.contributor in self.honest:
            assert part.update in self.openings, f"{part.contributor} has made no such update"

    def _is_the_sum(self, context: RoundContext, block: Block, aggregate_D: Int64s) -> None:
        """Check that a block's sum holds what its honest contributors have given, and no more of
        the others than so many updates can come to."""
        assert len(block.contributions) >= context.fewest
        rest_D = aggregate_D.copy()
        others = 0
        for part in block.contributions:
            if part.contributor in self.honest:
                rest_D -= self.openings[part.update]
            else:
                others += 1
        assert np.abs(rest_D).max() <= others * self.rules.setting.bound, "not the sum"

    def _stake_is_earned(self, below: Head, block: CertifiedBlock) -> None:
        content, after = block.block.content, self.heads[block.hash].state.stake
        causes = {
            "contributed": {part.contributor for part in content.contributions},
            "verified": {part.verifier for part in content.verdicts},
            "aggregated": {part.aggregator for part in content.acknowledgements},
            "penalty": {part.accused for part in content.evidence},
        }
        table = below.state.stake.as_dict()
        for change in content.stake_changes:
            assert change.peer in causes[change.reason], "stake for nothing"
            assert (change.amount < 0) == (change.reason == "penalty")
            table[change.peer] += change.amount
        assert table == after.as_dict(), "stake from nowhere"
        minted = sum(change.amount for change in content.stake_changes)
        self._minted[block.hash] = self._minted[below.hash] + minted
        begun_with = sum(self.rules.genesis.stake().values())
        assert after.total == begun_with + self._minted[block.hash]

    # ------------------------------------------------------------------ at the end

    def forked_heights(self) -> list[int]:
        """Heights at which honest peers have kept two certified blocks, ascending."""
        heights = [block.block.content.height for block in self.certified.values()]
        return sorted({height for height in heights if heights.count(height) > 1})

    def check_views(self) -> int:
        """Check, of everything that honest peers have dealt, that any t of the aggregators could
        have seen the same of another update. Only in the modelled group, where logarithms are
        known.

        Returns:
          How many views were looked at.
        """
        setting, looked_at = self.rules.setting, 0
        other_D = np.arange(setting.dimension, dtype=np.int64) % (2 * setting.bound) - setting.bound
        for dealt in self.dealt.values():
            for numbers in combinations(sorted(dealt), setting.scheme.tolerated):
                seen = {number: dealt[number] for number in numbers}
                assert explanation(setting, seen, other_D) is not None, "shares tell of an update"
                looked_at += 1
        return looked_at

    def check_end(self, models: Mapping[NodeId, Float32s | None]) -> None:
        """Check, after the run, that every honest peer has ended with the model of the best chain.

        Args:
          models: the model that each honest peer ended with, shape (D,); None if it has not ended.
        """
        best = max(self.heads.values(), key=lambda head: (head.preference(), head.height))
        for peer, params_D in models.items():
            assert params_D is not None, f"{peer} has not ended"
            assert np.array_equal(params_D, best.params_D), f"{peer} has not caught up"


def _bit(bits: bytes, place: int) -> bool:
    return bool(bits[place // 8] >> place % 8 & 1)
