"""A peer that has lost all it saved comes back, and does nothing a second time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from biscotti_runs import CALM, MASK, set_up

from troth.attacks.biscotti.malice import Attacker
from troth.ids import NodeId, Round
from troth.protocols.biscotti.catching_up.returning import past_of, state_on
from troth.roles.effects import Effect, Load, Send
from troth.roles.interception import intercept
from troth.roles.messages import RoundMessage
from troth.roles.node import Node, Role
from troth.wire import Float32s

LOST = NodeId("party-03")
ROUNDS = 14


@dataclass
class Lives:
    """The honest role, whose state is lost with its first life."""

    spoke_in: defaultdict[int, set[Round]] = field(default_factory=lambda: defaultdict(set))
    """Rounds of which it has sent something, by life."""
    life: int = 0

    def attack(self, attacker: Attacker) -> Role:
        rules, me = attacker.plan.rules, attacker.me
        past = past_of(rules, rules.first(attacker.plan.initial_D), [], me)

        async def role(node: Node) -> Float32s | None:
            self.life += 1
            life = self.life

            def before(effect: Effect[Any]) -> None:
                if isinstance(effect, Send) and isinstance(effect.message, RoundMessage):
                    self.spoke_in[life].add(effect.message.round)

            async def after(effect: Effect[Any], value: Any) -> Any:
                if isinstance(effect, Load) and life > 1:
                    return state_on(rules, past, None, checkpoint=None)
                return value

            return await intercept(attacker.honest, node, before=before, after=after)

        return role


def test_it_takes_part_again_and_in_no_round_twice() -> None:
    lives = Lives()
    crash = f'[faults]\ncrashes = [{{ node = "{LOST}", at_s = 10.0, restart_after_s = 0.5 }}]\n'
    run = set_up(
        protocol=MASK, extra=CALM + crash, attacks=lambda _: {LOST: lives.attack}, rounds=ROUNDS
    ).go()
    assert lives.life == 2
    first, second = lives.spoke_in[1], lives.spoke_in[2]
    assert first
    assert second
    assert max(first) < min(second)
    result = run.world.nodes[LOST].result
    np.testing.assert_array_equal(result, run.heads()[-1].params_D)
    assert LOST not in run.punished()
