"""Sharing without commitments to random rows: a wrong share or sum fails, and is found out late."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from troth.attacks.biscotti.casting import given_to
from troth.crypto.merkle import MerkleTree
from troth.ids import NodeId
from troth.protocols.biscotti.hiding.dealing import DealShares, Dealt, SummedShares, SumShares
from troth.protocols.biscotti.ledger.block import read_kept
from troth.protocols.biscotti.messages import Doubt, RandomRows
from troth.roles.effects import Perform
from troth.roles.interception import intercept

BISCOTTI = """name = "biscotti"
optimistic = true
phase_s = 1.0
stake = { initial = 50 }
"""
BARE = '[privacy]\nmask = "none"\n'
MODELLED = '[cryptography]\ngroup = "modelled"\n'


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("aggregators", [3, 4])
def test_who_deals_a_wrong_share_is_found_out(
    scenario_file: Any, simulated: Any, aggregators: int, seed: int
) -> None:
    """It loses stake, and nobody else anything. Three of four aggregators are enough for the sum
    without the one that was dealt the wrong share; three of three are not."""
    protocol = BISCOTTI + f"aggregators = {aggregators}\n" + BARE
    path = scenario_file(protocol, extra=MODELLED, parties=12, rounds=8, seed=seed)
    liar = counted_first(simulated(path))[0]
    run = simulated(path)
    corrupt(run, liar, DealShares, wrong_share)
    run.go()
    blocks = chain_of(run, NodeId("party-00"))
    punished = [line for block in blocks for line in block.evidence]
    assert {(line.accused, line.kind) for line in punished} == {(liar, "bad-share")}
    assert run.world.traffic[Doubt.__name__] > 0 < run.world.traffic[RandomRows.__name__]
    failed = [block.height for block in blocks if block.aggregate is None]
    assert bool(failed) == (aggregators == 3)
    assert set(failed) <= {line.round for line in punished}
    taken = {c.peer for block in blocks for c in block.stake_changes if c.amount < 0}
    assert taken == {liar}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_round_after_a_failed_one_has_all_commitments(
    scenario_file: Any, simulated: Any, seed: int
) -> None:
    """Then whoever lies again is found out at once, and the round does not fail: the two updates of
    five that are left are enough."""
    protocol = BISCOTTI + "aggregators = 3\n" + BARE
    path = scenario_file(protocol, extra=MODELLED, parties=12, rounds=8, seed=seed)
    liars = counted_first(simulated(path))[:3]
    run = simulated(path)
    for liar in liars:
        corrupt(run, liar, DealShares, wrong_share)
    run.go()
    blocks = chain_of(run, NodeId("party-00"))
    assert any(block.aggregate is None for block in blocks)
    for before, block in pairwise(blocks):
        assert before.aggregate is not None or block.aggregate is not None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_wrong_sum_is_left_out(scenario_file: Any, simulated: Any, seed: int) -> None:
    """It is not punished: its aggregator may have been dealt something else than was committed
    to later. Three right sums of four are enough.

    A wrong one that comes last is never looked at. The liar is an aggregator in round 1, and then
    in one of three; that none of its sums of 32 rounds is one of the first three of four happens in
    fewer than one draw of ten thousand.
    """
    protocol = BISCOTTI + "aggregators = 4\n" + BARE
    run = simulated(scenario_file(protocol, extra=MODELLED, parties=12, rounds=32, seed=seed))
    plan = given_to(run.stage.cast.roles[NodeId("party-00")])["plan"]
    first = plan.rules.context(plan.rules.first(plan.initial_D).before)
    corrupt(run, first.aggregators[1], SumShares, wrong_sum)
    run.go()
    blocks = chain_of(run, NodeId("party-00"))
    assert run.world.traffic[Doubt.__name__] > 0, "it was an aggregator, and lied"
    assert blocks
    assert all(block.aggregate is not None and not block.evidence for block in blocks)


def counted_first(honest: Any) -> list[NodeId]:
    """The contributors of the first sum of this run, which has no liars. Until shares are dealt in
    that round, a run with liars is the same: so these are then asked for shares, and others may
    never be, as Multi-Krum leaves out some updates."""
    first, *_ = chain_of(honest.go(), NodeId("party-00"))
    assert len(first.contributions) >= 3
    return [part.contributor for part in first.contributions]


def wrong_share(dealt: Dealt) -> Dealt:
    """The second aggregator's share is off by one in its first element."""
    share = bytes([dealt.shares[1][0] ^ 1]) + dealt.shares[1][1:]
    shares = (dealt.shares[0], share, *dealt.shares[2:])
    tree = MerkleTree([sha256(share).digest() for share in shares])
    return msgspec.structs.replace(
        dealt,
        shares=shares,
        root=tree.root,
        paths=tuple(tree.path(place) for place in range(len(shares))),
    )


def wrong_sum(summed: SummedShares) -> SummedShares:
    return SummedShares(bytes([summed.share[0] ^ 1]) + summed.share[1:])


def corrupt(run: Any, party: NodeId, kind: type, change: Any) -> None:
    """`party` changes what comes of a computation."""
    runtime = run.world.nodes[party]

    async def after(effect: Any, value: Any) -> Any:
        lies = isinstance(effect, Perform) and isinstance(effect.request, kind)
        return change(value) if lies else value

    runtime.role = partial(intercept, runtime.role, after=after)


def chain_of(run: Any, party: NodeId) -> list[Any]:
    ledger = run.world.nodes[party].store
    branches = [ledger.branch(tip, above=0, most_bytes=2**40) for tip in ledger.hashes]
    return [read_kept(block).block.content for block in max(branches, key=len)]
