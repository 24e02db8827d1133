"""Peers that say nothing, not everything, or everything too late. None of it can be proven, so none
of it may be punished; it must not hold up the others for longer than a step's time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from troth.attacks.biscotti.malice import Attack, Attacker, Malice, acting
from troth.protocols.biscotti.duties import desk
from troth.protocols.biscotti.messages import (
    Accepted,
    Endorsement,
    Held,
    Masked,
    NoiseGrant,
    Proposal,
    SetQuorum,
    SetVote,
    Shares,
    SumSet,
    SumShare,
)
from troth.roles.effects import Effect, Send, Sleep
from troth.roles.node import Node, Role
from troth.wire import Float32s, Message

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
"""The messages that a step waits for."""


async def _silent(node: Node) -> Float32s | None:
    while True:
        await node.receive(Endorsement)


def silent(_: Attacker) -> Role:
    """Takes part in silence: sends none of its messages."""
    return _silent


def never(*kinds: type[Message]) -> Attack:
    """Keeps some kinds of messages to itself."""

    def instead(_: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        return () if isinstance(effect, Send) and isinstance(effect.message, kinds) else None

    return acting(instead)


def slow(seconds: float) -> Attack:
    """Waits so many seconds before whatever it sends."""

    def instead(_: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        return [Sleep(seconds), effect] if isinstance(effect, Send) else None

    return acting(instead)


def late(*kinds: type[Message], by_s: float = 0.01) -> Attack:
    """Sends each message of some kinds `by_s` seconds after its step's time is over."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if not (isinstance(effect, Send) and isinstance(effect.message, kinds)):
            return None
        assert malice.state is not None
        parameters = malice.context.parameters
        due_s = malice.state.since_s + malice.context.privacy.window_s
        due_s += _STEPS[type(effect.message)] * parameters.phase_s
        wait_s = max(0.0, due_s + by_s - malice.now_s)
        malice.now_s += wait_s
        return [Sleep(wait_s), effect]

    return acting(instead)
