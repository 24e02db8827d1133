"""Peers of `biscotti` that do not follow the protocol: their honest role, with some of what it does
replaced. Each signs with its own keys only, unless it says otherwise.

They stand here, and not in `troth.attacks`, because they speak the protocol's messages, and attacks
there know of no protocol.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
from biscotti_runs import Attack, Attacker

from troth.crypto import vrf
from troth.crypto.field import ORDER
from troth.crypto.group import POINT_BYTES
from troth.crypto.merkle import MerkleTree
from troth.crypto.noise_table import Seeds
from troth.ids import NodeId, Round
from troth.protocols.biscotti.blaming import offences
from troth.protocols.biscotti.duties import desk
from troth.protocols.biscotti.hiding.dealing import update_of
from troth.protocols.biscotti.hiding.masking import MaskUpdate
from troth.protocols.biscotti.ledger.block import (
    DEALING,
    OPENING,
    VERDICT,
    Evidence,
    opening_text,
    read_block,
    seal_block,
    signed_list,
)
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.head import model_digest
from troth.protocols.biscotti.ledger.lottery import next_seed
from troth.protocols.biscotti.messages import (
    Accepted,
    Accusation,
    Announce,
    Blocks,
    Endorsement,
    Held,
    Masked,
    NoiseGrant,
    NoiseRequest,
    Opened,
    Proposal,
    SetQuorum,
    SetVote,
    Shares,
    SumSet,
    SumShare,
    Vote,
    Want,
    WireBlock,
)
from troth.protocols.biscotti.state import PeerState
from troth.protocols.biscotti.texts import (
    GRANT,
    MASKED,
    SET_VOTE,
    SUM_SET,
    SUM_SHARE,
    dealing_of,
    dealing_text,
    grant_text,
    masked_text,
    seeds_digest,
    set_digest,
    set_text,
    sum_text,
    update_id,
)
from troth.roles.effects import Effect, Now, Perform, Receive, Received, Save, Send, Sleep
from troth.roles.node import Node, Role
from troth.wire import Float32s, Message

Change = Callable[["Malice", Effect[Any]], Iterable[Effect[Any]] | None]
"""What is done in place of an effect; None: the effect itself."""


@dataclass
class Malice:
    """What an attacker has learnt so far."""

    attacker: Attacker
    state: PeerState | None = None
    """What its honest part last saved, as its round began."""
    now_s: float = 0.0
    """What it last read off its clock."""
    heard: list[tuple[NodeId, Message]] = field(default_factory=list)
    """All that it was sent."""
    sets: dict[Round, list[Send]] = field(default_factory=dict)
    """The sets U that it has asked for as a leader, and that nobody was shown a quorum for."""
    dealt: dict[Round, dict[int, Shares]] = field(default_factory=dict)
    """What its honest part would have dealt, by the aggregators' numbers."""

    @property
    def me(self) -> NodeId:
        return self.attacker.me

    @property
    def context(self) -> RoundContext:
        """The round that goes on."""
        assert self.state is not None
        return self.attacker.plan.rules.context(self.state.head.before)

    def sign(self, purpose: str, text: bytes) -> bytes:
        return self.attacker.keys.signing.sign(purpose, text)

    def last(self, kind: type[Message]) -> Any:
        """The last message of a kind that it was sent; None if there is none."""
        return next((m for _, m in reversed(self.heard) if type(m) is kind), None)


def acting(change: Change) -> Attack:
    """The honest role, but for what `change` replaces."""

    def attack(attacker: Attacker) -> Role:
        malice = Malice(attacker)

        async def role(node: Node) -> Float32s | None:
            inner = attacker.honest(node)
            value: Any = None
            while True:
                try:
                    effect = inner.send(value)
                except StopIteration as stop:
                    result: Float32s | None = stop.value
                    return result
                if isinstance(effect, Save) and isinstance(effect.state, PeerState):
                    malice.state = effect.state
                changed = change(malice, effect)
                instead = [effect] if changed is None else list(changed)
                if len(instead) != 1 or instead[0] is not effect:
                    attacker.acted.append(type(effect).__name__)
                value = None
                for one in instead:
                    value = await one
                if isinstance(effect, Now):
                    malice.now_s = value
                if isinstance(value, Received):
                    malice.heard.append((value.sender, value.message))

        return role

    return attack


def sending(kind: type[Message], change: Callable[[Malice, Send], Iterable[Send]]) -> Attack:
    """The honest role, but for messages of one kind."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if isinstance(effect, Send) and type(effect.message) is kind:
            return change(malice, effect)
        return None

    return acting(instead)


def altered(value: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(value, **changes)


def more_by_one(data: bytes, at: int = 0) -> bytes:
    """Field elements, one of them greater by one."""
    start = 32 * at
    value = (int.from_bytes(data[start : start + 32], "little") + 1) % ORDER
    return data[:start] + value.to_bytes(32, "little") + data[start + 32 :]


# ------------------------------------------------------------------ aggregators


def _wrong_sum(malice: Malice, effect: Send) -> Iterable[Send]:
    message, agreed = effect.message, malice.last(SumSet)
    assert isinstance(message, SumShare)
    share = more_by_one(message.share)
    text = sum_text(malice.context, set_digest(agreed), share)
    yield Send(effect.to, altered(message, share=share, signature=malice.sign(SUM_SHARE, text)))


wrong_sum = sending(SumShare, _wrong_sum)
"""An aggregator whose sum is off by one."""


def never(*kinds: type[Message]) -> Attack:
    """A peer that keeps some kinds of messages to itself."""

    def instead(_: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        return () if isinstance(effect, Send) and isinstance(effect.message, kinds) else None

    return acting(instead)


# ------------------------------------------------------------------ leaders


def _signed_set(malice: Malice, agreed: SumSet, **changes: Any) -> SumSet:
    agreed = altered(agreed, **changes)
    text = set_text(malice.context, set_digest(agreed))
    signed: SumSet = altered(agreed, signature=malice.sign(SUM_SET, text))
    return signed


def _wrong_aggregate(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, Proposal)
    block = read_block(effect.message.block, sender=malice.me).content
    if block.aggregate is not None:
        assert malice.state is not None
        aggregate_D = block.aggregate.copy()
        aggregate_D[0] += 1
        rules = malice.attacker.plan.rules
        params_D, _ = rules.moved(malice.state.head, aggregate_D, len(block.contributions))
        block = altered(block, aggregate=aggregate_D, model=model_digest(params_D))
    yield Send(effect.to, Proposal(effect.message.round, seal_block(block).data))


wrong_aggregate = sending(Proposal, _wrong_aggregate)
"""A leader whose block adds one unit to a coordinate of the sum."""


def _asking(make: Callable[[Malice, Send], list[Send]]) -> Attack:
    """A leader that asks for other sets, votes for each itself, and shows whatever quorums come
    together."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if isinstance(effect, Send) and isinstance(effect.message, SumSet):
            malice.sets[effect.message.round] = make(malice, effect)
            return malice.sets[effect.message.round]
        if isinstance(effect, Send) and isinstance(effect.message, SetQuorum):
            return ()
        if not isinstance(effect, Receive) or malice.state is None:
            return None
        asked = malice.sets.get(malice.context.round, [])
        shown = [Send(ask.to, votes) for ask in asked if (votes := _votes(malice, ask)) is not None]
        malice.sets[malice.context.round] = [
            ask for ask in asked if all(ask.to != show.to for show in shown)
        ]
        return [*shown, effect]

    return acting(instead)


def _votes(malice: Malice, ask: Send) -> SetQuorum | None:
    """A quorum for a set: its own vote, and those of whom it has asked; None if it is none."""
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


def _two_sets(malice: Malice, effect: Send) -> list[Send]:
    agreed = effect.message
    assert isinstance(agreed, SumSet)
    if len(agreed.contributions) <= malice.context.fewest:
        return [effect]
    fewer = _signed_set(malice, agreed, contributions=agreed.contributions[1:])
    half = len(effect.to) // 2
    return [Send(effect.to[:half], agreed), Send(effect.to[half:], fewer)]


two_sets = _asking(_two_sets)
"""A leader that asks one half of the aggregators for the sum of U, and the other for that of U
without its first member."""


def _one_twice(malice: Malice, effect: Send) -> list[Send]:
    agreed = effect.message
    assert isinstance(agreed, SumSet)
    lines = agreed.contributions[:1] * malice.context.fewest
    return [Send(effect.to, _signed_set(malice, agreed, contributions=lines))]


one_twice = _asking(_one_twice)
"""A leader that asks for the sum of one update, listed as often as a sum has to have updates."""


def _two_blocks(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, Proposal)
    block = read_block(effect.message.block, sender=malice.me).content
    other = seal_block(altered(block, openings=block.openings[1:]))
    half = (len(effect.to) + 1) // 2
    yield Send(effect.to[:half], effect.message)
    yield Send(effect.to[half:], Proposal(effect.message.round, other.data))


two_blocks = sending(Proposal, _two_blocks)
"""A leader that proposes two blocks, each of which holds, to two halves of the aggregators."""


def _old_block(malice: Malice, effect: Send) -> Iterable[Send]:
    """The last block that had a sum, as it was."""
    assert isinstance(effect.message, Proposal)
    old = [block for _, message in malice.heard if isinstance(message, Proposal)
           for block in [message.block] if message.round < effect.message.round]  # fmt: skip
    yield Send(effect.to, altered(effect.message, block=old[-1]) if old else effect.message)


old_block = sending(Proposal, _old_block)
"""A leader that proposes the block of another round again, if it has been shown one."""


def _other_seed(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, Proposal)
    block = read_block(effect.message.block, sender=malice.me).content
    proof = malice.attacker.keys.vrf.prove(b"another input")
    seed = next_seed(malice.context.below.seed, malice.context.round, vrf.output(proof))
    other = seal_block(altered(block, seed=seed, seed_proof=proof))
    yield Send(effect.to, altered(effect.message, block=other.data))


other_seed = sending(Proposal, _other_seed)
"""A leader that chooses the next round's committees: a seed from a proof of another input."""


# ------------------------------------------------------------------ verifiers


def _accepting(who: Callable[[Malice, NodeId], bool]) -> Attack:
    """A verifier that accepts whom it likes, whatever they have sent."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if not (isinstance(effect, Send) and isinstance(effect.message, Accepted)):
            return None
        round = effect.message.round
        liked = sorted(
            (update_id(message.commitments), sender)
            for sender, message in dict(malice.heard).items()
            if isinstance(message, Masked) and message.round == round and who(malice, sender)
        )
        return [Send(effect.to, _verdict(malice, round, liked))]

    return acting(instead)


def _verdict(malice: Malice, round: Round, liked: list[tuple[bytes, NodeId]]) -> Accepted:
    updates = b"".join(update for update, _ in liked)
    text = signed_list(malice.context.chain, round, updates)
    names = tuple(sender for _, sender in liked)
    return Accepted(round, updates, names, malice.sign(VERDICT, text))


friends_only = _accepting(lambda malice, sender: sender in malice.attacker.friends)


def _two_verdicts(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, Accepted)
    yield Send(effect.to[::2], effect.message)
    yield Send(effect.to[1::2], _verdict(malice, effect.message.round, []))


two_verdicts = sending(Accepted, _two_verdicts)
"""A verifier that accepts nobody towards half of those it tells."""


# ------------------------------------------------------------------ noisers


def _regranted(malice: Malice, effect: Send, slot: int) -> Send:
    """The same grant of another slot, which this noiser has committed to as well."""
    grant = effect.message
    assert isinstance(grant, NoiseGrant)
    table, keys = malice.attacker.table, malice.attacker.keys
    seeds, path = keys.noise.seeds(grant.round, slot), table.path(grant.round, slot)
    text = grant_text(malice.context, effect.to[0], slot, seeds_digest(seeds), path)
    signature = malice.sign(GRANT, text)
    return Send(
        effect.to,
        NoiseGrant(
            grant.round,
            slot,
            seeds.noise,
            seeds.blinding,
            b"".join(table.rows(grant.round, slot)),
            path,
            signature,
        ),
    )


audited_slot = sending(
    NoiseGrant,
    lambda malice, effect: [_regranted(malice, effect, malice.context.audited_slot(malice.me))],
)
"""A noiser that gives contributors the slot it has to open for everybody."""

same_slot = sending(
    NoiseGrant,
    lambda malice, effect: [
        _regranted(malice, effect, (malice.context.audited_slot(malice.me) + 1) % 4)
    ],
)
"""A noiser that gives all contributors one slot."""


def _other_noise(malice: Malice, effect: Send) -> Iterable[Send]:
    grant = effect.message
    assert isinstance(grant, NoiseGrant)
    other = altered(grant, seed=bytes(32))
    seeds = seeds_digest(Seeds(other.seed, other.blinding_seed))
    text = grant_text(malice.context, effect.to[0], grant.slot, seeds, grant.path)
    yield Send(effect.to, altered(other, signature=malice.sign(GRANT, text)))


other_noise = sending(NoiseGrant, _other_noise)
"""A noiser that gives noise it has not committed to."""


def _other_opening(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, Opened)
    opening, context = effect.message.opening, malice.context
    text = opening_text(
        context.chain, context.round, opening.slot, bytes(32), opening.blinding_seed, opening.path
    )
    opening = altered(opening, seed=bytes(32), signature=malice.sign(OPENING, text))
    yield Send(effect.to, Opened(effect.message.round, opening))


other_opening = sending(Opened, _other_opening)
"""A noiser that opens its audited slot to something it has not committed to."""


# ------------------------------------------------------------------ contributors


def _masking(change: Callable[[Malice, Masked], Masked]) -> Attack:
    """A contributor that signs another masked update."""

    def instead(malice: Malice, effect: Send) -> Iterable[Send]:
        assert isinstance(effect.message, Masked)
        changed = change(malice, effect.message)
        text = masked_text(malice.context, changed)
        yield Send(effect.to, altered(changed, signature=malice.sign(MASKED, text)))

    return sending(Masked, instead)


def _hidden(_: Malice, message: Masked) -> Masked:
    values_D = message.values.copy()
    values_D[0] += 1000
    return altered(message, values=values_D)


def _other_proof(malice: Malice, message: Masked) -> Masked:
    return altered(message, proof=malice.attacker.keys.vrf.prove(b"another input"))


masked_otherwise = _masking(_hidden)
"""Noise of its own on top: the masked update looks better than the one committed to."""
forged_proof = _masking(_other_proof)
"""A proof that is of another input, so that it names other noisers."""


def _first(data: bytes, make: Callable[[bytes], bytes]) -> bytes:
    return make(data[:POINT_BYTES]) + data[POINT_BYTES:]


def bad_point(make: Callable[[bytes], bytes]) -> Attack:
    """A contributor that replaces the first point of its commitments."""
    return _masking(
        lambda _, message: altered(message, commitments=_first(message.commitments, make))
    )


def bad_noise_point(make: Callable[[bytes], bytes]) -> Attack:
    """A contributor that replaces the first point of its noise."""
    return _masking(
        lambda _, message: altered(
            message,
            noise=(
                altered(message.noise[0], rows=_first(message.noise[0].rows, make)),
                *message.noise[1:],
            ),
        )
    )


def _compensating(_: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
    if not (isinstance(effect, Perform) and isinstance(effect.request, MaskUpdate)):
        return None
    asked = effect.request
    if not asked.grants:
        return None
    noise_D = sum(asked.setting.rows.opening(grant.seeds).values_D for grant in asked.grants)
    update_D = asked.update_D - asked.setting.fixed.decode(noise_D).astype(np.float32)
    return [Perform(replace(asked, update_D=update_D))]


compensating = acting(_compensating)
"""A contributor that takes its noise off its update before it commits to it."""


def _dealing(
    change: Callable[[int, Shares], Shares], *, commitments: Callable[[bytes], bytes] = bytes
) -> Attack:
    """A contributor that deals other shares than those of its update, and signs for them."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if not (isinstance(effect, Send) and isinstance(effect.message, Shares)):
            return None
        number = malice.context.aggregators.index(effect.to[0])
        dealt = malice.dealt.setdefault(effect.message.round, {})
        dealt[number] = change(number, effect.message)
        if len(dealt) < len(malice.context.aggregators):
            return ()
        return _dealt_anew(malice, dealt, commitments)

    return acting(instead)


def _dealt_anew(
    malice: Malice, dealt: dict[int, Shares], commitments: Callable[[bytes], bytes]
) -> list[Send]:
    context = malice.context
    tree = MerkleTree([sha256(dealt[at].share).digest() for at in sorted(dealt)])
    sends = []
    for number, message in sorted(dealt.items()):
        changed = altered(
            message,
            root=tree.root,
            path=tree.path(number),
            commitments=commitments(message.commitments),
        )
        update = update_of(malice.attacker.plan.rules.setting, changed)
        dealing = dealing_of(context, changed.commitments, tree.root)
        signature = malice.sign(DEALING, dealing_text(context, update, dealing))
        sends.append(Send((context.aggregators[number],), altered(changed, signature=signature)))
    return sends


bad_share_to_one = _dealing(
    lambda number, message: (
        altered(message, share=more_by_one(message.share)) if number == 1 else message
    )
)
bad_shares_to_all = _dealing(lambda _, message: altered(message, share=more_by_one(message.share)))
other_commitments = _dealing(
    lambda _, message: message, commitments=lambda data: data[96:192] + data[:96] + data[192:]
)
"""Commitments to the rows in another order than verifiers have seen."""


# ------------------------------------------------------------------ everybody


def slow(seconds: float) -> Attack:
    """A peer that waits before whatever it sends."""

    def instead(_: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        return [Sleep(seconds), effect] if isinstance(effect, Send) else None

    return acting(instead)


def late(*kinds: type[Message], by_s: float = 0.01) -> Attack:
    """A peer that sends each message of some kinds just after its step's time is over."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if not (isinstance(effect, Send) and isinstance(effect.message, kinds)):
            return None
        assert malice.state is not None
        parameters = malice.context.parameters
        due_s = malice.state.since_s + parameters.noise.window_s
        due_s += _STEPS[type(effect.message)] * parameters.phase_s
        wait_s = due_s + by_s - malice.now_s
        malice.now_s += max(0.0, wait_s)
        return [Sleep(max(0.0, wait_s)), effect]

    return acting(instead)


_STEPS: dict[type[Message], int] = {
    NoiseGrant: desk.GRANTED,
    Masked: desk.MASKED,
    Accepted: desk.JUDGED,
    Shares: desk.SHARED,
    Held: desk.HELD,
    SumSet: desk.SUMMED,
    SetVote: desk.SUMMED,
    SetQuorum: desk.SUMMED,
    SumShare: desk.SUMMED,
    Proposal: desk.CERTIFIED,
    Endorsement: desk.CERTIFIED,
}
"""The step whose time each message has to come in."""
STEPS = tuple(_STEPS)


def flooding(make: Callable[[Malice], Iterable[Message]], *, copies: int = 40) -> Attack:
    """A peer that sends everybody messages over and over, whenever its round begins."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if not isinstance(effect, Save):
            return None
        everybody = tuple(
            peer for peer in malice.attacker.plan.rules.genesis.content.names() if peer != malice.me
        )
        return [
            *(Send(everybody, message) for message in make(malice) for _ in range(copies)),
            effect,
        ]

    return acting(instead)


async def _silent(node: Node) -> Float32s | None:
    while True:
        await node.receive(Endorsement)


def silent(attacker: Attacker) -> Role:
    """A peer that never says anything."""
    attacker.acted.append("everything")
    return _silent


# ------------------------------------------------------------------ floods


def noise_requests(malice: Malice) -> list[Message]:
    keys, context = malice.attacker.keys, malice.context
    good = NoiseRequest(context.round, keys.vrf.prove(context.noiser_alpha))
    return [good, altered(good, proof=bytes(80)), altered(good, round=Round(context.round + 1))]


def wants(malice: Malice) -> list[Message]:
    chain = malice.context.chain
    long = tuple(bytes([at]) * 32 for at in range(60))
    return [Want((chain,)), Want((bytes(32),)), Want((*long, chain))]


def announcements(malice: Malice) -> list[Message]:
    return [Announce(bytes(32), 2**32 - 1), Announce(malice.context.chain, 0)]


def blocks(_: Malice) -> list[Message]:
    junk = WireBlock(b"no block", None)
    return [Blocks((), True), Blocks((junk,) * 64, True)]


def accusations(malice: Malice) -> list[Message]:
    """Against everybody, of a kind and size that take long to look at."""
    context = malice.context
    made_up = [
        Evidence(kind, accused, context.round, msgspec.msgpack.encode([bytes(1000)] * 9))
        for accused in context.stake.peers
        for kind in ("bad-update", "equivocation", "nonsense")
    ]
    return [Accusation(context.round, line) for line in made_up]


def framing(seed: int) -> Attack:
    """A peer that makes evidence of all that it was sent, right or bent in some field, against
    everybody."""
    draw = random.Random(seed)

    def bent(value: Any) -> Any:
        if isinstance(value, bytes) and value:
            at = draw.randrange(len(value))
            return value[:at] + bytes([value[at] ^ 1 << draw.randrange(8)]) + value[at + 1 :]
        if isinstance(value, int):
            return max(0, value + draw.choice([-1, 1]))
        return value

    def changed(message: Any) -> Any:
        if draw.random() < 0.3:
            return message
        names = [name for name in message.__struct_fields__ if name != "round"]
        if not names:
            return message
        name = draw.choice(names)
        return altered(message, **{name: bent(getattr(message, name))})

    def evidence(malice: Malice, sender: NodeId, message: Any) -> Evidence | None:
        context = malice.context
        match changed(message):
            case Masked() as one:
                return offences.bad_update(sender, one)
            case Shares() as one:
                return offences.bad_share(sender, draw.randrange(3), one)
            case NoiseGrant() as one:
                return offences.bad_grant(sender, malice.me, one)
            case Opened() as one:
                return offences.bad_opening(changed(one.opening), one.round)
            case Accepted() as one:
                texts = [
                    (signed_list(context.chain, one.round, some.updates), some.signature)
                    for some in (one, changed(message))
                ]
                return offences.equivocation(sender, one.round, VERDICT, *texts)
            case SumShare() as one if (agreed := malice.last(SumSet)) is not None:
                dealt = [(m.commitments, m.root) for _, m in malice.heard if isinstance(m, Shares)]
                return offences.bad_sum(sender, one, agreed, dealt[: len(agreed.contributions)])
        return None

    def made(malice: Malice) -> list[Message]:
        heard = draw.sample(malice.heard, min(40, len(malice.heard)))
        found = [evidence(malice, sender, message) for sender, message in heard]
        peers = malice.context.stake.peers
        lines = [line for line in found if line is not None]
        lines += [altered(line, accused=draw.choice(peers)) for line in lines]
        lines += [altered(line, data=bent(line.data)) for line in lines]
        draw.shuffle(lines)
        return [Accusation(malice.context.round, line) for line in lines[:60]]

    return flooding(made, copies=1)


def replaying(other: Sequence[Message]) -> Attack:
    """A peer that sends everybody what it heard in earlier rounds, and what was said on another
    chain."""

    def made(malice: Malice) -> list[Message]:
        draw = random.Random(malice.context.round)
        heard = [message for _, message in malice.heard]
        old = draw.sample(heard, min(30, len(heard)))
        return [*old, *draw.sample(list(other), min(30, len(other)))]

    return flooding(made, copies=1)


# ------------------------------------------------------------------ lies about the chain


def _instead_of_serving(serve: Callable[[Malice, Send], Iterable[Send]]) -> Attack:
    """A peer that says it has the longest chain of all, whenever it is sent anything."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        boast = Announce(bytes(32), 2**32 - 1)
        if isinstance(effect, Send) and isinstance(effect.message, Blocks):
            return [*serve(malice, effect), Send(effect.to, boast)]
        if isinstance(effect, Send) and isinstance(effect.message, Announce):
            return [Send(effect.to, boast)]
        # Not as often as it could: attackers hear each other, too.
        if not isinstance(effect, Receive) or len(malice.heard) % 20 or len(malice.heard) > 2000:
            return None
        names = malice.attacker.plan.rules.genesis.content.names()
        others = tuple(peer for peer in names if peer != malice.me)
        return [Send(others, boast), effect]

    return acting(instead)


promising = _instead_of_serving(lambda _, __: ())
"""... and never shows it."""


def _again(_: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, Blocks)
    yield Send(effect.to, Blocks(effect.message.blocks[:1], True))


repeating = _instead_of_serving(_again)
"""... and shows its first block, again and again, with a promise of more."""
babbling = _instead_of_serving(
    lambda _, effect: [Send(effect.to, Blocks((WireBlock(b"no block", None),), True))]
)
"""... and shows nonsense."""
