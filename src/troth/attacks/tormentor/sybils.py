"""Sybils of brokered learning: they leave when they are found out, and come back as somebody else.

TorMentor, section 6.2: "if a poisoner was able to detect this defense, and attempt to leave and
rejoin the model, an optimal proof of work admission puzzle should require enough time such that
this strategy becomes infeasible."
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from troth.attacks.spec import Attack
from troth.attacks.tormentor.spec import Rejoin
from troth.ids import NodeId, PartyId
from troth.protocols.tormentor.messages import Leave, Refused
from troth.protocols.tormentor.protocol import BROKER
from troth.protocols.tormentor.provider import outside
from troth.protocols.tormentor.state import ProviderState
from troth.roles.effects import Effect, Load, Received, Save
from troth.roles.interception import intercept
from troth.roles.node import Cast, Node, Role
from troth.wire import Float32s


def recast(cast: Cast, attackers: Mapping[PartyId, Attack]) -> Cast:
    """The cast in which the providers that are sybils leave and join anew."""
    sybils = {
        NodeId(party): rejoining(cast.roles[party])
        for party, attack in attackers.items()
        if party in cast.roles and isinstance(attack, Rejoin)
    }
    return replace(cast, roles={**cast.roles, **sybils})


class _FoundOutError(Exception):
    """Ends an honest role whose update was rejected."""


def rejoining(honest: Role) -> Role:
    """`honest`, except that it leaves and starts over as soon as an update is rejected."""

    async def sybil(node: Node) -> Float32s | None:
        state = ProviderState()

        async def leave_if_found_out(effect: Effect[Any], value: Any) -> Any:
            nonlocal state
            if isinstance(effect, Save) and isinstance(effect.state, ProviderState):
                state = effect.state
            if isinstance(effect, Load) and isinstance(value, ProviderState):
                state = value
            if (
                isinstance(value, Received)
                and isinstance(value.message, Refused)
                and value.message.puzzle is not None
                and state.pending is not None
                and value.message.to == state.pending.nonce
            ):
                asked, state = state.pending, outside(state)
                await node.send(BROKER, Leave(asked.model_id, asked.token))
                await node.save(state)
                raise _FoundOutError
            return value

        while True:
            try:
                return await intercept(honest, node, after=leave_if_found_out)
            except _FoundOutError:
                continue

    return sybil
