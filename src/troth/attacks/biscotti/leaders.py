"""Leaders that ask for other sums, or propose other blocks, than the round came to (steps 7 and 8
of the paper's figure 1)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from troth.attacks.biscotti.malice import Attack, Malice, Receivers, acting, altered, sending
from troth.chain.ledger import ReadBranch
from troth.crypto import vrf
from troth.protocols.biscotti.ledger.block import Block, read_block, seal_block
from troth.protocols.biscotti.ledger.head import model_digest
from troth.protocols.biscotti.ledger.lottery import next_seed
from troth.protocols.biscotti.messages import Proposal, SetQuorum, SetVote, SumSet, Vote
from troth.protocols.biscotti.texts import SET_VOTE, SUM_SET, set_digest, set_text
from troth.roles.effects import Access, Effect, Receive, Send

# ------------------------------------------------------------------ the set U


def _signed_set(malice: Malice, agreed: SumSet, **changes: Any) -> SumSet:
    agreed = altered(agreed, **changes)
    text = set_text(malice.context, set_digest(agreed))
    return altered(agreed, signature=malice.sign(SUM_SET, text))


def _asking(make: Callable[[Malice, Receivers, SumSet], list[Send]]) -> Attack:
    """Asks for the sets that `make` gives, votes for each itself, and shows whatever quorums come
    together."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if isinstance(effect, Send) and isinstance(effect.message, SumSet):
            malice.asked = make(malice, effect.to, effect.message)
            return malice.asked
        if isinstance(effect, Send) and isinstance(effect.message, SetQuorum):
            return ()
        if not isinstance(effect, Receive) or not malice.asked:
            return None
        shown = [Send(ask.to, votes) for ask in malice.asked if (votes := votes_for(malice, ask))]
        malice.asked = [ask for ask in malice.asked if all(ask.to != show.to for show in shown)]
        return [*shown, effect]

    return acting(instead)


def votes_for(malice: Malice, ask: Send) -> SetQuorum | None:
    """A quorum for the set of `ask`: its own vote, and those of whom it has asked; None if they are
    not enough."""
    assert isinstance(ask.message, SumSet)
    context, round = malice.context, ask.message.round
    text = set_text(context, set_digest(ask.message))
    votes = {malice.me: malice.sign(SET_VOTE, text)}
    for sender, message in malice.heard:
        if isinstance(message, SetVote) and message.round == round and sender in ask.to:
            votes[sender] = message.signature
    if len(votes) < context.parameters.resolved_quorum:
        return None
    return SetQuorum(round, tuple(Vote(peer, vote) for peer, vote in sorted(votes.items())))


@_asking
def two_sets(malice: Malice, to: Receivers, agreed: SumSet) -> list[Send]:
    """Asks one half of the aggregators for the sum of U, and the other half for that of U without
    its first member."""
    if len(agreed.contributions) <= malice.context.fewest:
        return [Send(to, agreed)]
    fewer = _signed_set(malice, agreed, contributions=agreed.contributions[1:])
    half = len(to) // 2
    return [Send(to[:half], agreed), Send(to[half:], fewer)]


@_asking
def one_twice(malice: Malice, to: Receivers, agreed: SumSet) -> list[Send]:
    """Asks for the sum of one update, listed as often as a sum has to have updates."""
    repeated = agreed.contributions[:1] * malice.context.fewest
    return [Send(to, _signed_set(malice, agreed, contributions=repeated))]


# ------------------------------------------------------------------ the block


def _block_in(malice: Malice, proposal: Proposal) -> Block:
    return read_block(proposal.block, sender=malice.me).content


def _proposing(proposal: Proposal, block: Block) -> Proposal:
    return altered(proposal, block=seal_block(block).data)


@sending(Proposal)
def wrong_aggregate(malice: Malice, to: Receivers, proposal: Proposal) -> Iterable[Send]:
    """Proposes a block with one unit more in a coordinate of the sum, and the model that
    follows."""
    block = _block_in(malice, proposal)
    if block.aggregate is not None:
        assert malice.state is not None
        aggregate_D = block.aggregate.copy()
        aggregate_D[0] += 1
        rules = malice.attacker.plan.rules
        params_D, _ = rules.moved(malice.state.head, aggregate_D, len(block.contributions))
        block = altered(block, aggregate=aggregate_D, model=model_digest(params_D))
    yield Send(to, _proposing(proposal, block))


@sending(Proposal)
def two_blocks(malice: Malice, to: Receivers, proposal: Proposal) -> Iterable[Send]:
    """Proposes two blocks, each of which holds, to two halves of the aggregators."""
    block = _block_in(malice, proposal)
    half = (len(to) + 1) // 2
    yield Send(to[:half], proposal)
    yield Send(to[half:], _proposing(proposal, altered(block, openings=block.openings[1:])))


@sending(Proposal)
def old_block(
    malice: Malice, to: Receivers, proposal: Proposal
) -> Generator[Effect[Any], Any, None]:
    """Proposes the block of the round before again, from the second round on."""
    assert malice.state is not None
    head = malice.state.head
    if head.height == 0:
        yield Send(to, proposal)
        return
    (below,) = yield Access(ReadBranch(head.hash, head.height - 1, 0))
    yield Send(to, altered(proposal, block=below.data))


@sending(Proposal)
def other_seed(malice: Malice, to: Receivers, proposal: Proposal) -> Iterable[Send]:
    """Chooses the next round's committees: proposes a seed from a VRF proof of another input."""
    proof = malice.attacker.keys.vrf.prove(b"another input")
    seed = next_seed(malice.context.below.seed, malice.context.round, vrf.output(proof))
    block = altered(_block_in(malice, proposal), seed=seed, seed_proof=proof)
    yield Send(to, _proposing(proposal, block))
