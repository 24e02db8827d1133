"""Peers of `biscotti` that do not follow the protocol fail, and are blamed or do no harm.

Every run is watched by the witness of the claims: whatever it sees that was not promised (somebody
honest who is punished, a sum too many, peers that end with different models) ends the test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from biscotti_runs import CALM, MASK, FirstRound, Run, set_up

from troth.attacks.biscotti import (
    aggregators,
    boasting,
    contributors,
    floods,
    leaders,
    noisers,
    timing,
    verifiers,
)
from troth.attacks.biscotti.malice import Attack
from troth.crypto.g1 import G1
from troth.crypto.group import Point
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.messages import (
    Accepted,
    Endorsement,
    Masked,
    NoiseGrant,
    Proposal,
    Shares,
    SumSet,
)
from troth.wire import Message

GROUPS = ("modelled", "g1")
POINTS = json.loads(
    (Path(__file__).parent.parent / "crypto" / "vectors" / "g1_points.json").read_text("utf-8")
)


def audited(first: FirstRound) -> list[NodeId]:
    """The peers that open a slot to another one, and whose noise somebody uses. Of the seven or
    eight that are drawn, all lack users in fewer than one draw of ten thousand."""
    return [peer for peer in first.audited if peer != first.leader and first.users(peer)]


def noiser_of_two(first: FirstRound) -> NodeId:
    """A noiser whose noise two contributors use. Six draw two of eleven each, so there is none in
    fewer than one draw of a thousand."""
    return next(peer for peer in first.stake.peers if len(first.users(peer)) >= 2)


Seat = Callable[[FirstRound], NodeId]
SEATS: dict[str, Seat] = {
    "leader": lambda first: first.leader,
    "aggregator": lambda first: first.aggregators[1],
    "verifier": lambda first: first.verifiers[0],
    "contributor": lambda first: first.masking[0],
    "dealer": lambda first: first.masking[0],
    "audited": lambda first: audited(first)[0],
    "audited last": lambda first: audited(first)[-1],
    "noiser of two": noiser_of_two,
}
"""Who attacks: the peer with this place in round 1, whenever it can. In round 1 it can, whichever
committees are drawn; a dealer, if verifiers accept every update that holds."""

ALL_ACCEPTED = 'aggregation = "mean"\n'
"""By Multi-Krum, whether a contributor is asked for its shares would depend on the draw."""


def attacked(seat: str, attack: Attack, *, protocol: str = MASK, **keys: Any) -> Run:
    """A run in which the peer in that seat did attack; what holds without that proves nothing."""
    accepted = ALL_ACCEPTED if seat == "dealer" else ""
    run = set_up(
        attacks=lambda first: {SEATS[seat](first): attack}, protocol=accepted + protocol, **keys
    ).go()
    assert run.acted == {culprit(run)}
    return run


def culprit(run: Run) -> NodeId:
    (one,) = run.stage.cast.roles.keys() - run.honest
    return one


def goes_on(run: Run) -> None:
    """The run came to sums, although not in every round."""
    assert sum(block.aggregate is not None for block in run.blocks()) >= 1


# ------------------------------------------------------------------ blamed

BLAMED = {
    "a wrong sum": ("aggregator", aggregators.wrong_sum, "bad-sum"),
    "two verdicts": ("verifier", verifiers.two_verdicts, "equivocation"),
    "one share wrong": ("dealer", contributors.bad_share_to_one, "bad-share"),
    "all shares wrong": ("dealer", contributors.bad_shares_to_all, "bad-share"),
    "noise of its own": ("contributor", contributors.masked_otherwise, "bad-update"),
    "a forged proof": ("contributor", contributors.forged_proof, "bad-update"),
    "other noise than committed": ("audited", noisers.other_noise, "bad-noise"),
    "another opening than committed": ("audited", noisers.other_opening, "bad-noise"),
    "the same, by the last one audited": ("audited last", noisers.other_opening, "bad-noise"),
    "one slot for all": ("noiser of two", noisers.same_slot, "reused-slot"),
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", BLAMED)
def test_who_is_found_out_loses_stake_and_nobody_else_does(
    name: str, seed: int, group: str
) -> None:
    seat, attack, kind = BLAMED[name]
    run = attacked(seat, attack, seed=seed, group=group)
    assert run.punished() == {culprit(run): {kind}}
    fines = [
        change
        for block in run.blocks()
        for change in block.stake_changes
        if change.reason == "penalty"
    ]
    assert fines
    assert {change.peer for change in fines} == {culprit(run)}
    goes_on(run)


def test_who_has_lost_all_stake_is_in_no_committee_any_more() -> None:
    run = attacked("contributor", contributors.masked_otherwise, rounds=8)
    cheat = culprit(run)
    stakes = [head.state.stake.as_dict()[cheat] for head in run.heads()]
    assert 0 in stakes
    for head in run.heads()[stakes.index(0) : -1]:
        context = run.plan.rules.context(head.before)
        assert cheat not in (*context.verifiers, *context.aggregators)


# ------------------------------------------------------------------ harmless

HARMLESS = {
    "a wrong aggregate": ("leader", leaders.wrong_aggregate),
    "two sets": ("leader", leaders.two_sets),
    "one update, often enough": ("leader", leaders.one_twice),
    "two blocks": ("leader", leaders.two_blocks),
    "the audited slot": ("audited", noisers.audited_slot),
    "commitments in another order": ("dealer", contributors.other_commitments),
    "another seed": ("leader", leaders.other_seed),
    "a silent aggregator": ("aggregator", timing.silent),
    "a silent leader": ("leader", timing.silent),
    "a silent verifier": ("verifier", timing.silent),
    "a silent contributor": ("contributor", timing.silent),
    "a slow aggregator": ("aggregator", timing.slow(1.0)),
    "a very slow aggregator": ("aggregator", timing.slow(40.0)),
    "a very slow contributor": ("contributor", timing.slow(5.0)),
}


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize("seed", [1, 2])
def test_others_go_on_and_are_not_punished(name: str, seed: int) -> None:
    run = attacked(*HARMLESS[name], seed=seed)
    # In rounds in which it is not audited, "the audited slot" is one that it gives to several.
    assert run.punished() in ({}, {culprit(run): {"reused-slot"}})
    goes_on(run)


@pytest.mark.parametrize("seed", [1, 2])
def test_an_old_block_is_not_certified_again(seed: int) -> None:
    """Whoever leads a round after the first has one."""

    def most(context: RoundContext) -> dict[NodeId, Attack]:
        return dict.fromkeys(context.stake.peers[:8], leaders.old_block)

    run = set_up(attacks=most, seed=seed, rounds=8).go()
    assert run.acted
    assert run.punished() == {}
    led = [run.plan.rules.context(head.before).leader for head in run.heads()[:-1]]
    for leader, block in list(zip(led, run.blocks(), strict=True))[1:]:
        assert (block.proposer is None) == (leader not in run.honest)
    goes_on(run)


CHEATS = (
    "one share wrong",
    "all shares wrong",
    "noise of its own",
    "commitments in another order",
    "a silent contributor",
)


@pytest.mark.parametrize("name", CHEATS)
def test_what_a_cheat_contributes_is_in_no_sum(name: str) -> None:
    seat, attack = (BLAMED | HARMLESS)[name][:2]
    run = attacked(seat, attack)
    assert run.accepted(culprit(run)) == 0


@pytest.mark.parametrize("name", ["a wrong aggregate", "two sets", "two blocks"])
def test_the_same_with_real_commitments(name: str) -> None:
    run = attacked(*HARMLESS[name], group="g1")
    assert run.punished() == {}
    goes_on(run)


@pytest.mark.parametrize(
    "name", ["a wrong aggregate", "one update, often enough", "two blocks", "another seed"]
)
def test_a_block_that_a_leader_makes_up_is_not_certified(name: str) -> None:
    run = attacked(*HARMLESS[name])
    assert run.blocks()[0].aggregate is None


def test_a_verifier_that_accepts_friends_only_does_not_decide() -> None:
    def friends(context: RoundContext) -> dict[NodeId, Attack]:
        return {
            context.verifiers[0]: verifiers.friends_only,
            context.contributors[0]: contributors.masked_otherwise,
        }

    run = set_up(attacks=friends).go()
    verifier, friend = sorted(
        run.stage.cast.roles.keys() - run.honest, key=lambda peer: peer in run.punished()
    )
    assert run.accepted(friend) == 0
    assert run.punished() == {friend: {"bad-update"}}
    first = run.blocks()[0]
    assert len(first.contributions) >= 2
    assert verifier in {line.verifier for line in first.verdicts}


def test_a_poisoner_that_makes_up_for_its_noise_adds_what_it_did_not_choose() -> None:
    """It commits to an update less its noise, which it is given before: so the masked one is just
    the update. What counts in the sum is then as much noise as everybody was to add, and no more;
    what it would have to choose is what noisers committed to before the first model was there."""
    run, calm = attacked("contributor", contributors.compensating, rounds=1), set_up(rounds=1).go()
    assert run.punished() == {}
    (block,), (fair,) = run.blocks(), calm.blocks()
    assert culprit(run) in (line.contributor for line in block.contributions)
    assert len(block.contributions) == len(fair.contributions)
    added_D = run.plan.rules.setting.fixed.decode(block.aggregate - fair.aggregate)
    # Two slots, each with noise of that standard deviation over sqrt(2), on 31 coordinates.
    assert 0.005 < added_D.std() < 0.015


# ------------------------------------------------------------------ late

LATE: dict[str, tuple[str, tuple[type[Message], ...]]] = {
    **{
        f"everything of a {seat}": (seat, timing.STEPS)
        for seat in ("leader", "aggregator", "verifier", "dealer", "audited")
    },
    "noise": ("audited", (NoiseGrant,)),
    "a masked update": ("contributor", (Masked,)),
    "a verdict": ("verifier", (Accepted,)),
    "shares": ("dealer", (Shares,)),
    "a set": ("leader", (SumSet,)),
    "a block": ("leader", (Proposal,)),
}


SPARE = "[privacy]\nnoisers = 3\nslots = 8\nmask = { kind = 'gaussian', sigma = 0.01 }\n"
"""One noiser of three may stay away."""


def late(name: str, by_s: float) -> Run:
    seat, kinds = LATE[name]
    run = attacked(seat, timing.late(*kinds, by_s=by_s), protocol=SPARE)
    assert run.punished() == {}
    goes_on(run)
    for head, block in zip(run.heads(), run.blocks(), strict=False):
        # It costs the rounds at most in which the one who is late aggregates.
        if culprit(run) not in run.plan.rules.context(head.before).aggregators:
            assert block.aggregate is not None
    return run


@pytest.mark.parametrize("name", LATE)
def test_what_comes_as_a_steps_time_ends_harms_nobody(name: str) -> None:
    """For some it is in time, and for some it is late."""
    late(name, 0.01)


@pytest.mark.parametrize("name", LATE)
def test_who_is_late_is_left_out(name: str) -> None:
    run = late(name, 1.0)
    seat, kinds = LATE[name]
    if Masked in kinds or Shares in kinds:
        assert run.accepted(culprit(run)) == 0
    if NoiseGrant in kinds:
        masked = [message for _, _, message in run.said if isinstance(message, Masked)]
        assert masked
        assert all(use.noiser != culprit(run) for message in masked for use in message.noise)
    if seat == "leader":
        assert run.blocks()[0].aggregate is None


# ------------------------------------------------------------------ points


def other_points() -> dict[str, bytes]:
    return {
        **{why: bytes.fromhex(point) for why, point in POINTS["bad"].items()},
        "infinity": bytes.fromhex(POINTS["infinity"]),
        "of another commitment": bytes.fromhex(POINTS["good"]["a hash"]),
    }


@pytest.mark.parametrize("why", other_points())
@pytest.mark.parametrize("where", ["commitments", "noise"])
def test_bad_points_are_their_senders_fault(why: str, where: str) -> None:
    make = contributors.bad_point if where == "commitments" else contributors.bad_noise_point
    run = attacked("contributor", make(lambda _: other_points()[why]), group="g1", rounds=2)
    assert run.punished() == {culprit(run): {"bad-update"}}
    assert run.accepted(culprit(run)) == 0


@pytest.mark.parametrize("order", ["3", "11"])
def test_a_part_of_small_order_changes_nothing(order: str) -> None:
    """All judge alike: the update counts, and it is the one that was committed to."""
    small = G1.read(bytes.fromhex(POINTS["small order"][order]))

    def moved(point: bytes) -> bytes:
        whole: Point = G1.read(point) + small
        return G1.encode([whole])

    run = attacked("contributor", contributors.bad_point(moved), group="g1", rounds=1)
    assert run.punished() == {}
    goes_on(run)


# ------------------------------------------------------------------ replays and floods


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_replayed_messages_of_old_rounds_and_of_another_chain_change_nothing(seed: int) -> None:
    calm = set_up(seed=seed).go()
    other = set_up(seed=seed + 100, name="another").go()
    run = attacked(
        "contributor", floods.replaying([message for _, _, message in other.said]), seed=seed
    )
    assert run.punished() == {}
    goes_on(run)
    assert calm.blocks()[0].chain == run.blocks()[0].chain != other.blocks()[0].chain


FLOODS = {
    "requests for noise": floods.noise_requests,
    "requests for blocks": floods.wants,
    "announcements": floods.announcements,
    "blocks": floods.blocks,
    "accusations": floods.accusations,
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_do_not_stop_anybody(name: str) -> None:
    run = attacked("contributor", floods.flooding(FLOODS[name]), seed=3)
    assert run.punished() == {}
    goes_on(run)


def test_a_flood_of_accusations_does_not_keep_others_from_accusing() -> None:
    def two(context: RoundContext) -> dict[NodeId, Attack]:
        return {
            context.contributors[0]: contributors.masked_otherwise,
            context.contributors[1]: floods.flooding(floods.accusations),
        }

    run = set_up(attacks=two).go()
    assert {kind for kinds in run.punished().values() for kind in kinds} == {"bad-update"}
    assert len(run.punished()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_evidence_made_up_in_every_field_frames_nobody(seed: int) -> None:
    run = attacked("contributor", floods.framing, seed=seed, rounds=6)
    assert run.punished() == {}
    goes_on(run)


# ------------------------------------------------------------------ catching up

AWAY = CALM + "[churn]\nabsences = [{ party = 'party-03', from_s = 0.5, until_s = UNTIL }]\n"


@pytest.mark.parametrize("until", [6, 12, 20, 45])
def test_who_comes_back_catches_up(until: int) -> None:
    """Also after the last block: nobody makes another one that it could hear of."""
    run = set_up(extra=AWAY.replace("UNTIL", str(until)), linger_s=60.0).go()
    assert sum(block.aggregate is not None for block in run.blocks()) >= 3


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["promising", "repeating", "babbling"])
def test_who_comes_back_catches_up_past_peers_that_lie_about_their_chain(
    name: str, seed: int
) -> None:
    """A liar that leads a round keeps its block to itself: the round fails, and the liar is out of
    step with the others in the next. About half of the rounds fail so, and all of 20 in fewer than
    one draw of a thousand."""
    liars = {
        "promising": boasting.promising,
        "repeating": boasting.repeating,
        "babbling": boasting.babbling,
    }

    def three(_: RoundContext) -> dict[NodeId, Attack]:
        return {NodeId(f"party-{at:02}"): liars[name] for at in (1, 5, 8)}

    extra = AWAY.replace("UNTIL", "8")
    run = set_up(seed=seed, attacks=three, extra=extra, linger_s=60.0, rounds=20).go()
    assert run.acted == run.stage.cast.roles.keys() - run.honest
    assert run.punished() == {}
    goes_on(run)


# ------------------------------------------------------------------ waiting


def test_a_leader_whose_aggregators_do_not_answer_goes_on() -> None:
    """It was once woken for ever at the instant when the time for signatures was over."""
    mute = timing.never(Endorsement)
    run = set_up(attacks=lambda context: dict.fromkeys(context.aggregators[1:], mute)).go()
    assert run.blocks()[0].proposer is None


def test_an_aggregator_that_lacks_a_verdict_waits_for_shares() -> None:
    """It was once woken for ever at the instant when the time for verdicts was over."""
    mute = timing.never(Accepted)
    run = set_up(
        attacks=lambda context: {
            context.verifiers[0]: mute,
            context.contributors[0]: timing.never(Shares),
        }
    ).go()
    assert len(run.blocks()[0].contributions) >= 2
