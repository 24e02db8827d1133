"""Peers that send everybody more than the protocol has them send, whenever a round of theirs
begins: requests, accusations, and messages of other rounds and chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from troth.attacks.biscotti.malice import Attack, Malice, acting, altered
from troth.ids import NodeId, Round
from troth.protocols.biscotti.blaming import offences
from troth.protocols.biscotti.ledger.block import VERDICT, Evidence, signed_list
from troth.protocols.biscotti.messages import (
    Accepted,
    Accusation,
    Announce,
    Blocks,
    Masked,
    NoiseGrant,
    NoiseRequest,
    Opened,
    Shares,
    SumSet,
    SumShare,
    Want,
    WireBlock,
)
from troth.roles.effects import Effect, Save, Send
from troth.wire import Message

MOST_REPLAYED = 30
"""Messages of a kind that `replaying` says again in a round."""
MOST_BENT = 40
"""Messages heard that `framing` makes evidence of in a round."""
MOST_ACCUSED = 60
"""Accusations that `framing` makes in a round."""


def flooding(make: Callable[[Malice], Iterable[Message]], *, copies: int = 40) -> Attack:
    """Sends everybody what `make` gives, each message `copies` times, whenever its round begins."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if not isinstance(effect, Save):
            return None
        messages = [message for message in make(malice) for _ in range(copies)]
        return [*(Send(malice.everybody_else, message) for message in messages), effect]

    return acting(instead)


# ------------------------------------------------------------------ of one kind


def noise_requests(malice: Malice) -> list[Message]:
    """Requests for noise: a good one, one with a forged proof, one for the round after."""
    keys, context = malice.attacker.keys, malice.context
    good = NoiseRequest(context.round, keys.vrf.prove(context.noiser_alpha))
    return [good, altered(good, proof=bytes(80)), altered(good, round=Round(context.round + 1))]


def wants(malice: Malice) -> list[Message]:
    """Requests for blocks: all of them, those above an unknown one, and with a long locator."""
    chain = malice.context.chain
    long = tuple(bytes([at]) * 32 for at in range(60))
    return [Want((chain,)), Want((bytes(32),)), Want((*long, chain))]


def announcements(malice: Malice) -> list[Message]:
    """Announcements of a chain that nobody has, and of the genesis."""
    return [Announce(bytes(32), 2**32 - 1), Announce(malice.context.chain, 0)]


def blocks(_: Malice) -> list[Message]:
    """Blocks that nobody asked for: none with a promise of more, and as many as fit that are
    none."""
    junk = WireBlock(b"no block", None)
    return [Blocks((), True), Blocks((junk,) * 64, True)]


def accusations(malice: Malice) -> list[Message]:
    """Accusations against everybody, of a kind and size that take long to look at."""
    context = malice.context
    made_up = [
        Evidence(kind, accused, context.round, msgspec.msgpack.encode([bytes(1000)] * 9))
        for accused in context.stake.peers
        for kind in ("bad-update", "equivocation", "nonsense")
    ]
    return [Accusation(context.round, evidence) for evidence in made_up]


# ------------------------------------------------------------------ made of what others said


def replaying(other: Sequence[Message] = ()) -> Attack:
    """Sends everybody what it heard in the round before, and what was said on another chain.

    Args:
      other: what was said there.
    """

    def made(malice: Malice) -> list[Message]:
        draw = malice.draw("replay")
        heard = [message for _, message in malice.heard]
        return [*_some(draw, heard, MOST_REPLAYED), *_some(draw, other, MOST_REPLAYED)]

    return flooding(made, copies=1)


def _framing(malice: Malice) -> list[Message]:
    draw = malice.draw("framing")
    peers = malice.context.stake.peers
    heard = _some(draw, malice.heard, MOST_BENT)
    found = [_evidence(malice, sender, message, draw) for sender, message in heard]
    made_up = [evidence for evidence in found if evidence is not None]
    made_up += [altered(evidence, accused=_one(draw, peers)) for evidence in made_up]
    made_up += [altered(evidence, data=_bent(evidence.data, draw)) for evidence in made_up]
    chosen = _some(draw, made_up, MOST_ACCUSED)
    return [Accusation(malice.context.round, evidence) for evidence in chosen]


framing = flooding(_framing, copies=1)
"""Makes evidence of all that it was sent, right or bent in some field, against everybody."""


def _evidence(
    malice: Malice, sender: NodeId, message: Any, draw: np.random.Generator
) -> Evidence | None:
    """What a message would prove against its sender, had it been said as it is bent here."""
    context = malice.context
    match _changed(message, draw):
        case Masked() as one:
            return offences.bad_update(sender, one)
        case Shares() as one:
            return offences.bad_share(sender, int(draw.integers(3)), one)
        case NoiseGrant() as one:
            return offences.bad_grant(sender, malice.me, one)
        case Opened() as one:
            return offences.bad_opening(_changed(one.opening, draw), one.round)
        case Accepted() as one:
            texts = [
                (signed_list(context.chain, one.round, some.updates), some.signature)
                for some in (one, _changed(message, draw))
            ]
            return offences.equivocation(sender, one.round, VERDICT, *texts)
        case SumShare() as one if (agreed := malice.last(SumSet)) is not None:
            dealt = [(m.commitments, m.root) for _, m in malice.heard if isinstance(m, Shares)]
            return offences.bad_sum(sender, one, agreed, dealt[: len(agreed.contributions)])
    return None


def _changed(message: Any, draw: np.random.Generator) -> Any:
    """A message with one field bent, or as it is, three times of ten."""
    names = [name for name in message.__struct_fields__ if name != "round"]
    if not names or draw.random() < 0.3:
        return message
    name = _one(draw, names)
    return altered(message, **{name: _bent(getattr(message, name), draw)})


def _bent(value: Any, draw: np.random.Generator) -> Any:
    """Bytes with one bit flipped, a number that is off by one, anything else as it is."""
    if isinstance(value, bytes) and value:
        at, bit = int(draw.integers(len(value))), int(draw.integers(8))
        return value[:at] + bytes([value[at] ^ 1 << bit]) + value[at + 1 :]
    if isinstance(value, int):
        return max(0, value + int(draw.choice([-1, 1])))
    return value


def _one(draw: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(draw.integers(len(values)))]


def _some(draw: np.random.Generator, values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the values, in an order of chance."""
    return [values[at] for at in draw.permutation(len(values))[:most]]
