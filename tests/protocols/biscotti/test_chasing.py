"""Whom a peer asks for a better chain, where some say that they have one and do not show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any

from small_run import small_run

from troth.ids import NodeId
from troth.protocols.biscotti.blaming.accusing import Accuser
from troth.protocols.biscotti.catching_up.branch import Branch
from troth.protocols.biscotti.catching_up.chasing import CatchingUp
from troth.protocols.biscotti.catching_up.checking import Checker
from troth.protocols.biscotti.messages import Announce, Want
from troth.roles.effects import Now, Send
from troth.roles.node import Node
from troth.streams import Stream

LIAR, HONEST = NodeId("party-1"), NodeId("party-2")


def chaser(failed: dict[NodeId, int]) -> CatchingUp:
    """A peer before round 1 that remembers who has failed it."""
    run = small_run()
    first = run.rules.first(run.initial_D)
    node = Node(NodeId("party-0"), Stream(0), Stream(0))
    branch = Branch(node, run.rules, first, first, [first.hash])
    checker = Checker(node, run.rules, branch, Accuser(()))

    async def go_on(*_: object) -> None:
        raise AssertionError("no blocks are sent here")

    return CatchingUp(node, run.rules, branch, checker, go_on, {}, Counter(failed))


def carried_out(effects: Coroutine[Any, Any, None], now_s: float) -> list[Send]:
    """What is sent, on a clock that stands."""
    sent, value = [], None
    while True:
        try:
            effect = effects.send(value)
        except StopIteration:
            return sent
        value = now_s if isinstance(effect, Now) else None
        if isinstance(effect, Send):
            sent.append(effect)


def asked(catching_up: CatchingUp, now_s: float) -> list[NodeId]:
    """Whom the peer asks for blocks at a time, when both others say that they have a better chain
    and the liar's is by far the best."""
    carried_out(catching_up.hear(LIAR, Announce(bytes(32), 2**32 - 1)), now_s)
    carried_out(catching_up.hear(HONEST, Announce(bytes(32), 1)), now_s)
    sent = carried_out(catching_up.chase(), now_s)
    assert all(isinstance(send.message, Want) for send in sent)
    return [peer for send in sent for peer in send.to]


def test_who_boasts_in_vain_is_asked_last_in_later_rounds_too() -> None:
    """It was once forgotten as the next round began, and those who boast cost the others a step's
    time in each round."""
    catching_up = chaser({})
    assert asked(catching_up, 0.0) == [LIAR]
    phase_s = catching_up.rules.parameters.phase_s
    assert asked(catching_up, phase_s / 2) == [], "the liar is still waited for"
    assert asked(catching_up, phase_s) == [HONEST]
    for _ in range(3):
        catching_up.begin_round()
        assert asked(catching_up, phase_s) == [HONEST]
    assert catching_up.failed == {LIAR: 1}


def test_who_has_failed_is_still_asked_where_nobody_else_has_a_better_chain() -> None:
    catching_up = chaser({HONEST: 5})
    carried_out(catching_up.hear(HONEST, Announce(bytes(32), 1)), 0.0)
    sent = carried_out(catching_up.chase(), 0.0)
    assert [send.to for send in sent] == [(HONEST,)]
