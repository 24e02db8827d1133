"""Stake is made and burnt by changes with a reason, and by nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.block import StakeChange
from troth.protocols.biscotti.ledger.genesis import MAX_STAKE, StakeUpdate
from troth.protocols.biscotti.ledger.stake import StakeTable, apply_changes, stake_changes

PEERS = [NodeId(f"party-{i}") for i in range(8)]
PROPOSER = NodeId("party-0")
UPDATE = StakeUpdate()
TABLE = StakeTable.of(dict.fromkeys(PEERS, 10))

amounts = st.integers(0, 100)
tables = st.lists(amounts, min_size=8, max_size=8).map(
    lambda stake: StakeTable(tuple(PEERS), tuple(stake))
)
some_peers = st.sets(st.sampled_from(PEERS))
updates = st.builds(
    StakeUpdate, contributed=amounts, verified=amounts, aggregated=amounts, penalty=amounts
)


def refuses(table, changes, match):
    with pytest.raises(PeerError, match=match) as caught:
        apply_changes(table, changes, sender=PROPOSER)
    assert caught.value.culprits == (PROPOSER,)


def test_table_1_of_the_paper():
    """Linear, +5: 35 contributors, 3 verifiers and 3 aggregators add 205 a round."""
    peers = [NodeId(f"party-{i:02}") for i in range(100)]
    table = StakeTable.of(dict.fromkeys(peers, 10))
    changes = stake_changes(
        UPDATE, table, contributors=peers[:35], verifiers=peers[40:43], aggregators=peers[50:53]
    )
    after = apply_changes(table, changes, sender=PROPOSER)
    assert (table.total, after.total) == (1000, 1205)
    assert [after.as_dict()[peers[i]] for i in (0, 34, 35, 40, 50, 99)] == [15, 15, 10, 15, 15, 10]


def test_blame_costs_the_penalty_or_what_is_left_and_the_reward():
    table = StakeTable.of({PEERS[0]: 10, PEERS[1]: 3, PEERS[2]: 0})
    blamed = [PEERS[0], PEERS[1], PEERS[2]]
    changes = stake_changes(UPDATE, table, contributors=[PEERS[0]], blamed=blamed)
    assert changes == (
        StakeChange(PEERS[0], -5, "penalty"),
        StakeChange(PEERS[1], -3, "penalty"),
    )
    assert apply_changes(table, changes, sender=PROPOSER).stake == (5, 0, 0)


@given(tables, updates, some_peers, some_peers, some_peers, some_peers)
def test_stake_is_conserved(table, update, contributors, verifiers, aggregators, blamed):
    changes = stake_changes(
        update,
        table,
        contributors=contributors,
        verifiers=verifiers,
        aggregators=aggregators,
        blamed=blamed,
    )
    after = apply_changes(table, changes, sender=PROPOSER)
    assert after.peers == table.peers
    assert after.total == table.total + sum(change.amount for change in changes)
    assert min(after.stake) >= 0
    for peer, before, now in zip(table.peers, table.stake, after.stake, strict=True):
        if peer in blamed:
            assert now == before - min(before, update.penalty)
        else:
            assert now == (
                before
                + update.contributed * (peer in contributors)
                + update.verified * (peer in verifiers)
                + update.aggregated * (peer in aggregators)
            )


def test_no_more_than_the_most():
    table = StakeTable.of({PEERS[0]: MAX_STAKE - 8, PEERS[1]: 1})
    assert stake_changes(UPDATE, table, contributors=[PEERS[0]])
    assert not stake_changes(UPDATE, table, contributors=[PEERS[0]], verifiers=[PEERS[1]])
    refuses(table, [StakeChange(PEERS[0], 8, "contributed")], "more stake than")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ([("stranger", 5, "contributed")], "no peer"),
        ([("party-1", 0, "contributed")], "by 0 as contributed"),
        ([("party-1", -5, "contributed")], "by -5 as contributed"),
        ([("party-1", 5, "penalty")], "by 5 as penalty"),
        ([("party-1", -11, "penalty")], "more stake from party-1 than it has"),
        ([("party-1", 5, "contributed")] * 2, "out of order"),
        ([("party-2", 5, "verified"), ("party-1", 5, "verified")], "out of order"),
        ([("party-1", 5, "verified"), ("party-1", 5, "contributed")], "out of order"),
    ],
)
def test_changes_that_do_not_hold(changes, match):
    listed = [StakeChange(NodeId(peer), amount, reason) for peer, amount, reason in changes]
    refuses(TABLE, listed, match)


@given(tables, tables)
def test_a_digest_is_of_one_table(one, other):
    assert (one.digest() == other.digest()) == (one == other)


def test_a_digest_binds_names():
    assert StakeTable.of({NodeId("ab"): 1}).digest() != StakeTable.of({NodeId("ba"): 1}).digest()
    assert TABLE.digest() == StakeTable.of(dict.fromkeys(reversed(PEERS), 10)).digest()


@given(tables)
def test_every_ticket_has_an_owner(table):
    owners = [
        peer for peer, amount in zip(table.peers, table.stake, strict=True) for _ in range(amount)
    ]
    assert table.bounds[-1] == table.total == len(owners)
    for peer, start, stop in zip(table.peers, (0, *table.bounds), table.bounds, strict=False):
        assert set(owners[start:stop]) <= {peer}
