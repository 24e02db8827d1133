"""Sharing without commitments to random rows: a wrong share or sum fails, and is found out late."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from itertools import pairwise
from typing import Any

import msgspec
import pytest

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


LIAR = NodeId("party-05")


@pytest.mark.parametrize("aggregators", [3, 4])
def test_who_deals_a_wrong_share_is_found_out(
    scenario_file: Any, simulated: Any, aggregators: int
) -> None:
    """It loses stake, and nobody else anything. Three of four aggregators are enough for the sum
    without the one that was dealt the wrong share; three of three are not."""
    protocol = BISCOTTI + f"aggregators = {aggregators}\n" + BARE
    run = simulated(scenario_file(protocol, extra=MODELLED, parties=12, rounds=8, seed=3))
    corrupt(run, LIAR, DealShares, wrong_share)
    run.go()
    blocks = chain_of(run, NodeId("party-00"))
    punished = [line for block in blocks for line in block.evidence]
    assert {(line.accused, line.kind) for line in punished} == {(LIAR, "bad-share")}
    assert run.world.traffic[Doubt.__name__] > 0 < run.world.traffic[RandomRows.__name__]
    failed = [block.height for block in blocks if block.aggregate is None]
    assert bool(failed) == (aggregators == 3)
    assert set(failed) <= {line.round for line in punished}
    taken = {c.peer for block in blocks for c in block.stake_changes if c.amount < 0}
    assert taken == {LIAR}


def test_a_round_after_a_failed_one_has_all_commitments(scenario_file: Any, simulated: Any) -> None:
    """Then whoever lies again is found out at once, and the round does not fail."""
    protocol = BISCOTTI + "aggregators = 3\n" + BARE
    run = simulated(scenario_file(protocol, extra=MODELLED, parties=12, rounds=8, seed=3))
    for liar in (LIAR, NodeId("party-06"), NodeId("party-07")):
        corrupt(run, liar, DealShares, wrong_share)
    run.go()
    blocks = chain_of(run, NodeId("party-00"))
    assert any(block.aggregate is None for block in blocks)
    for before, block in pairwise(blocks):
        assert before.aggregate is not None or block.aggregate is not None


def test_a_wrong_sum_is_left_out(scenario_file: Any, simulated: Any) -> None:
    """It is not punished: its aggregator may have been dealt something else than was committed
    to later. Three right sums of four are enough."""
    run = simulated(
        scenario_file(BISCOTTI + "aggregators = 4\n" + BARE, extra=MODELLED, parties=12, rounds=8)
    )
    corrupt(run, LIAR, SumShares, wrong_sum)
    run.go()
    blocks = chain_of(run, NodeId("party-00"))
    assert run.world.traffic[Doubt.__name__] > 0, "it was an aggregator, and lied"
    assert all(block.aggregate is not None and not block.evidence for block in blocks)


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
