"""What every malicious peer is made of: its honest role, some of whose effects are replaced.

An attacker signs with its own keys only, unless its docstring says otherwise. It remembers nothing
from before the beginning of the round that goes on, so a run with attackers can be resumed from a
snapshot like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np

from troth.crypto.field import ORDER
from troth.crypto.noise_table import NoiseTable
from troth.ids import NodeId
from troth.protocols.biscotti.hiding.masking import GrantedNoise, MaskUpdate
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.messages import Shares
from troth.protocols.biscotti.roles import Plan
from troth.protocols.biscotti.state import PeerState
from troth.roles.effects import Effect, Load, Now, Perform, Received, Save, Send
from troth.roles.node import Node, Role
from troth.wire import Float32s, Message


@dataclass(frozen=True)
class Attacker:
    """A peer that does not follow the protocol, and what it has."""

    me: NodeId
    honest: Role
    plan: Plan
    keys: PeerKeys
    table: NoiseTable | None
    """Of its noise; None where updates are not masked."""
    all_keys: Mapping[NodeId, PeerKeys]
    """Those of everybody: some attackers know what their friends' keys tell."""
    friends: frozenset[NodeId]
    """All parties that attack, this one included."""


Attack = Callable[[Attacker], Role]
"""Makes the role that an attacker plays in place of its honest one."""


@dataclass
class Malice:
    """What an attacker has learnt since its round began."""

    attacker: Attacker
    node: Node
    state: PeerState | None = None
    """What its honest part last saved, as its round began."""
    now_s: float = 0.0
    """What it last read off its clock."""
    heard: list[tuple[NodeId, Message]] = field(default_factory=list)
    """All that it was sent since its round began, oldest first."""
    asked: list[Send] = field(default_factory=list)
    """The sets U that it has asked for as a leader, and that nobody was shown a quorum for."""
    dealt: dict[int, Shares] = field(default_factory=dict)
    """What its honest part would have dealt, by the aggregators' numbers."""
    named: dict[NodeId, GrantedNoise] = field(default_factory=dict)
    """Noise that it names in its masked update without having been given it, by noiser."""
    tables: dict[NodeId, NoiseTable] = field(default_factory=dict)
    """Others' tables of noise that it has made from their keys; the same in every round."""

    @property
    def me(self) -> NodeId:
        """The attacker's own name."""
        return self.attacker.me

    @property
    def context(self) -> RoundContext:
        """The committees and the chain of the round that goes on."""
        assert self.state is not None
        return self.attacker.plan.rules.context(self.state.head.before)

    @property
    def everybody_else(self) -> tuple[NodeId, ...]:
        """All peers of the genesis but the attacker, in ascending order."""
        names = self.attacker.plan.rules.genesis.content.names()
        return tuple(peer for peer in names if peer != self.me)

    def sign(self, purpose: str, text: bytes) -> bytes:
        """The attacker's own signature under `text`."""
        return self.attacker.keys.signing.sign(purpose, text)

    def last(self, kind: type[Message]) -> Any:
        """The last message of a kind that it was sent since its round began; None if none was."""
        return next((m for _, m in reversed(self.heard) if type(m) is kind), None)

    def draw(self, purpose: str) -> np.random.Generator:
        """Draws for one purpose in the round that goes on."""
        return self.node.stream.child("attack", self.context.round, purpose).generator()

    def forget_the_round(self) -> None:
        """Start the next round with an empty memory, as after a restart."""
        self.heard, self.asked, self.dealt, self.named = [], [], {}, {}


Change = Callable[[Malice, Effect[Any]], Iterable[Effect[Any]] | None]
"""Gives the effects that are carried out in place of one; None leaves that one as it is. The honest
part is told what came of the last. A generator gets back what came of each that it yields."""


M = TypeVar("M", bound=Message)
S = TypeVar("S", bound=msgspec.Struct)
Receivers = tuple[NodeId, ...]
ChangeOf = Callable[[Malice, Receivers, M], Iterable[Effect[Any]]]
"""Gives the effects that are carried out in place of sending receivers a message of one kind."""


def acting(change: Change) -> Attack:
    """An attacker that does what its honest role does, but for what `change` replaces."""

    def attack(attacker: Attacker) -> Role:
        async def role(node: Node) -> Float32s | None:
            malice, inner = Malice(attacker, node), attacker.honest(node)
            value: Any = None
            try:
                while True:
                    try:
                        effect = inner.send(value)
                    except StopIteration as stop:
                        result: Float32s | None = stop.value
                        return result
                    saved = isinstance(effect, Save) and isinstance(effect.state, PeerState)
                    if saved:
                        malice.state = effect.state  # type: ignore[attr-defined]  # it is a Save
                    instead = change(malice, effect)
                    value = await (effect if instead is None else _in_turn(instead))
                    if saved:
                        malice.forget_the_round()
                    elif isinstance(effect, Load) and isinstance(value, PeerState):
                        malice.state = value
                    elif isinstance(effect, Now):
                        malice.now_s = value
                    elif isinstance(value, Received):
                        malice.heard.append((value.sender, value.message))
            finally:
                inner.close()

        return role

    return attack


async def _in_turn(effects: Iterable[Effect[Any]]) -> Any:
    """Carry out effects one after the other; gives what came of the last, None if there is none."""
    value: Any = None
    if not isinstance(effects, Generator):
        for effect in effects:
            value = await effect
        return value
    while True:
        try:
            effect = effects.send(value)
        except StopIteration:
            return value
        value = await effect


def sending(kind: type[M]) -> Callable[[ChangeOf[M]], Attack]:
    """Makes an attacker of a `ChangeOf` the messages of one kind; it does the rest honestly."""

    def attack(change: ChangeOf[M]) -> Attack:
        def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
            if isinstance(effect, Send) and type(effect.message) is kind:
                return change(malice, effect.to, effect.message)
            return None

        return acting(instead)

    return attack


def masking_with(change: Callable[[Malice, MaskUpdate], MaskUpdate]) -> Attack:
    """An attacker that computes the masked update from what `change` makes of the honest request,
    and does the rest honestly."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if isinstance(effect, Perform) and isinstance(effect.request, MaskUpdate):
            return [Perform(change(malice, effect.request))]
        return None

    return acting(instead)


def altered(value: S, **changes: Any) -> S:
    """A record with other values in some fields."""
    return msgspec.structs.replace(value, **changes)


def more_by_one(data: bytes, at: int = 0) -> bytes:
    """Field elements of 32 bytes each, with the one at place `at` greater by one modulo r."""
    start = 32 * at
    value = (int.from_bytes(data[start : start + 32], "little") + 1) % ORDER
    return data[:start] + value.to_bytes(32, "little") + data[start + 32 :]
