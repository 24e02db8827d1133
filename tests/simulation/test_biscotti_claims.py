"""Biscotti under seeds x faults x attackers, watched by the checkers of its claims.

`make claims SEEDS=2000` runs that many seeds beyond the suite's own, in about 20 minutes.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import Any

import msgspec
import pytest
from biscotti_runs import LATENCY, MASK, Run, set_up

from troth.attacks.biscotti import (
    aggregators,
    contributors,
    floods,
    leaders,
    noisers,
    timing,
    verifiers,
)
from troth.attacks.biscotti.malice import Attack, Malice
from troth.crypto import sharing
from troth.ids import NodeId
from troth.protocols.biscotti.blaming import offences
from troth.protocols.biscotti.catching_up import chasing
from troth.protocols.biscotti.duties import aggregator
from troth.protocols.biscotti.ledger import agreed_set, building, link
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.messages import SetQuorum, SumSet, Vote
from troth.roles.effects import Send

PARTIES = 10
SEEDS = 150
GROUPS = 10


def network(seed: int) -> str:
    """A network and faults that follow from the seed. Everything is over before the peers that
    have ended stop to serve the others."""
    draw = random.Random(seed)
    names = [f'"party-{at}"' for at in range(PARTIES)]
    lines = ["[network]"]
    lines.append(
        draw.choice([LATENCY, 'latency = { kind = "lognormal", median_s = 0.1, sigma = 0.8 }'])
    )
    if draw.random() < 0.3:
        lines.append(f"loss = {draw.uniform(0.0, 0.1):.3f}")
    if draw.random() < 0.3:
        lines.append(f"duplication = {draw.uniform(0.0, 0.4):.3f}")
    if draw.random() < 0.3:
        lines.append(f"reordering = {draw.uniform(0.0, 0.6):.3f}")
    if draw.random() < 0.25:
        some = draw.sample(names, draw.randint(1, PARTIES // 2))
        from_s = draw.uniform(0, 12)
        until_s = from_s + draw.uniform(0.5, 15)
        lines.append(
            f"partitions = [{{ from_s = {from_s:.2f}, until_s = {until_s:.2f}, "
            f"groups = [[{', '.join(some)}]] }}]"
        )
    if draw.random() < 0.35:
        away = [
            f"{{ party = {name}, from_s = {(at := draw.uniform(0, 12)):.2f}, "
            f"until_s = {at + draw.uniform(0.2, 20):.2f} }}"
            for name in draw.sample(names, draw.randint(1, 4))
        ]
        lines.append(f"[churn]\nabsences = [{', '.join(away)}]")
    if draw.random() < 0.35:
        crashes = [
            f"{{ node = {name}, at_s = {draw.uniform(0, 12):.2f}, "
            f"restart_after_s = {draw.uniform(0.01, 4):.2f} }}"
            for name in draw.sample(names, draw.randint(1, 4))
        ]
        lines.append(f"[faults]\ncrashes = [{', '.join(crashes)}]")
    return "\n".join(lines) + "\n"


BARE = "[privacy]\nmask = { kind = 'none' }\n"
PROTOCOLS = (
    MASK,
    BARE,
    "optimistic = true\n" + MASK,
    "aggregators = 4\n" + MASK,
    "verifiers = 2\naggregators = 4\n" + BARE,
)


ATTACKS = (
    aggregators.wrong_sum,
    leaders.wrong_aggregate,
    leaders.two_sets,
    leaders.one_twice,
    leaders.two_blocks,
    verifiers.friends_only,
    verifiers.two_verdicts,
    noisers.audited_slot,
    noisers.same_slot,
    noisers.other_noise,
    noisers.other_opening,
    contributors.masked_otherwise,
    contributors.compensating,
    contributors.forged_proof,
    contributors.bad_share_to_one,
    contributors.bad_shares_to_all,
    contributors.other_commitments,
    timing.silent,
    timing.slow(2.0),
)


def run_of(seed: int) -> Run:
    """Every third run has none who attacks; the others have one to three."""
    draw = random.Random(f"attacks {seed}")

    def attacks(context: RoundContext) -> dict[NodeId, Attack]:
        some = draw.sample(context.stake.peers, draw.randint(1, 3)) if seed % 3 else []
        return {peer: draw.choice(ATTACKS) for peer in some}

    protocol = PROTOCOLS[seed % len(PROTOCOLS)]
    return set_up(
        seed=seed,
        protocol=protocol,
        extra=network(seed),
        attacks=attacks,
        parties=PARTIES,
        rounds=3,
        linger_s=60.0,
    )


def holds(seed: int) -> Run:
    """Run a seed through all checkers."""
    run = run_of(seed)
    try:
        run.go()
        run.witness.check_views()
    except BaseException as error:
        error.add_note(f"seed {seed}:\n{run.text}")
        raise
    return run


@pytest.mark.parametrize("group", range(GROUPS))
def test_what_is_promised_holds(group: int) -> None:
    counted = sum(
        len(block.contributions)
        for seed in range(group, SEEDS, GROUPS)
        for block in holds(seed).blocks()
    )
    assert counted > SEEDS // GROUPS


@pytest.mark.parametrize("seed", [1502, 1576])
def test_a_reporter_that_takes_a_shorter_chain_goes_on(seed: int) -> None:
    """It had reported rounds as failed, beyond the end of the chain that then won."""
    holds(seed)


# ------------------------------------------------------------------ the witness


def test_the_witness_notices_a_sum_of_one_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreed_set, "_ascend", lambda *_: None)
    run = set_up(attacks=lambda context: {context.leader: leaders.one_twice})
    with pytest.raises(AssertionError, match="a sum of too few"):
        run.go()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_witness_notices_who_is_framed(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """What is made up of what was heard is by chance of a kind that would be believed. The run ends
    with the first such block: for half of all seeds by round 4, and for few after round 17."""
    monkeypatch.setattr(RoundContext, "reserved_slots", lambda *_: frozenset())
    monkeypatch.setattr(offences, "_refuses", lambda _: None)
    run = set_up(
        seed=seed, attacks=lambda context: {context.contributors[0]: floods.framing}, rounds=60
    )
    with pytest.raises(AssertionError, match="is framed"):
        run.go()


def test_the_witness_notices_an_update_without_a_majority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RoundContext, "majority", 0)
    run = set_up(
        attacks=lambda context: dict.fromkeys(context.verifiers[:2], verifiers.friends_only)
    )
    with pytest.raises(AssertionError, match="majority"):
        run.go()


def test_the_witness_notices_shares_that_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points from 0 on, as in the released code: the first is a row of the update."""

    def points_of(scheme: sharing.SharingScheme, number: int) -> range:
        return range(number * scheme.points, (number + 1) * scheme.points)

    monkeypatch.setattr(sharing.SharingScheme, "points_of", points_of)
    run = set_up(rounds=1).go()
    with pytest.raises(AssertionError, match="shares tell of an update"):
        run.witness.check_views()


def test_the_witness_notices_two_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """If votes were not checked, each half would answer for the set that it was sent."""

    def made_up(malice: Malice, ask: Send) -> SetQuorum:
        assert isinstance(ask.message, SumSet)
        votes = tuple(Vote(peer, bytes(64)) for peer in malice.context.aggregators)
        return SetQuorum(ask.message.round, votes)

    monkeypatch.setattr(aggregator, "check_vote", lambda *_: None)
    monkeypatch.setattr(leaders, "votes_for", made_up)
    run = set_up(attacks=lambda context: {context.leader: leaders.two_sets})
    with pytest.raises(AssertionError, match="two sets of round 1 are answered"):
        run.go()


def test_the_witness_notices_stake_from_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = link.stake_changes

    def more(*args: Any, **keys: Any) -> Any:
        first, *others = changes(*args, **keys)
        return (msgspec.structs.replace(first, reason="verified"), *others)

    for module in (link, building):
        monkeypatch.setattr(module, "stake_changes", more)
    with pytest.raises(AssertionError, match="stake"):
        set_up(rounds=2).go()


def test_the_witness_notices_who_has_not_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(*_: object) -> None: ...

    monkeypatch.setattr(chasing.CatchingUp, "hear", deaf)
    with pytest.raises(AssertionError, match="has not caught up"):
        set_up(rounds=2).go()


if __name__ == "__main__":
    found: Counter[str] = Counter()
    for seed in range(SEEDS, SEEDS + int(sys.argv[1])):
        run = holds(seed)
        found["forked" if run.witness.forked_heights() else "straight"] += 1
        found["blocks with a sum"] += sum(block.aggregate is not None for block in run.blocks())
        found["blocks without"] += sum(block.aggregate is None for block in run.blocks())
    print(dict(found))
