"""Peers of `biscotti` that do not follow the protocol fail, and are blamed or do no harm."""

from __future__ import annotations

from typing import Any

import biscotti_attackers as attackers
import pytest
from biscotti_runs import CALM, MASK, Attack, Run, set_up

from troth.ids import NodeId
from troth.protocols.biscotti.context import RoundContext

GROUPS = ("modelled", "g1")

SEATS = {
    "leader": lambda context: context.leader,
    "aggregator": lambda context: context.aggregators[1],
    "verifier": lambda context: context.verifiers[0],
    "contributor": lambda context: context.contributors[0],
    "audited": lambda context: context.audited[-1],
}


def attacked(seat: str, attack: Attack, **keys: Any) -> Run:
    """A run in which one peer, which has this seat in round 1, attacks whenever it can."""
    return set_up(attacks=lambda context: {SEATS[seat](context): attack}, **keys).go()


def culprit(run: Run) -> NodeId:
    (one,) = run.stage.cast.roles.keys() - run.honest
    return one


BLAMED = {
    "a wrong sum": ("aggregator", attackers.wrong_sum, "bad-sum"),
    "two verdicts": ("verifier", attackers.two_verdicts, "equivocation"),
    "a share that is wrong": ("contributor", attackers.bad_share_to_one, "bad-share"),
    "all shares wrong": ("contributor", attackers.bad_shares_to_all, "bad-share"),
    "noise of its own": ("contributor", attackers.masked_otherwise, "bad-update"),
    "a forged proof": ("contributor", attackers.forged_proof, "bad-update"),
    "other noise than committed": ("noiser", attackers.other_noise, "bad-noise"),
    "another opening than committed": ("audited", attackers.other_opening, "bad-noise"),
    "one slot for all": ("noiser", attackers.same_slot, "reused-slot"),
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", BLAMED)
def test_who_is_found_out_loses_stake_and_nobody_else_does(name: str, group: str) -> None:
    seat, attack, kind = BLAMED[name]
    run = attacked(seat, attack, group=group)
    assert run.punished() == {culprit(run): {kind}}
