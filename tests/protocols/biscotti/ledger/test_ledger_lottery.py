"""Lotteries: fair by stake, the same for everybody, and drawn as the module says."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256, sha512

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.crypto.vrf import VrfKey, output
from troth.errors import PeerError, RoundFailedError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.lottery import (
    MAX_TICKETS,
    draw,
    draw_committees,
    draw_noisers,
    first_seed,
    next_seed,
    noiser_input,
    seed_input,
    verified_noisers,
)
from troth.protocols.biscotti.ledger.stake import StakeTable

CHAIN = b"c" * 32
SEED = first_seed(CHAIN)
PEERS = [NodeId(f"party-{i:02}") for i in range(20)]
EQUAL = StakeTable.of(dict.fromkeys(PEERS, 10))

tables = st.lists(st.integers(0, 50), min_size=8, max_size=20).map(
    lambda stake: StakeTable(tuple(PEERS[: len(stake)]), tuple(stake))
)


def plain_draw(table, seed, role, size, excluded=()):
    """One ticket after another, from a list of all tickets by their owners."""
    chosen, counter = [], 0
    while len(chosen) < size:
        name = role.encode()
        text = b"troth-ticket\0" + len(name).to_bytes(4) + name + len(seed).to_bytes(4) + seed
        place = int.from_bytes(sha512(text + counter.to_bytes(4)).digest()) % sum(table.stake)
        tickets = [
            peer
            for peer, amount in zip(table.peers, table.stake, strict=True)
            for _ in range(amount)
        ]
        peer = tickets[place]
        if peer not in chosen and peer not in excluded:
            chosen.append(peer)
        counter += 1
    return tuple(chosen)


@settings(max_examples=50)
@given(tables, st.binary(max_size=64), st.sets(st.sampled_from(PEERS), max_size=3), st.data())
def test_draws_are_those_of_the_plain_way(table, seed, excluded, data):
    eligible = [
        peer
        for peer, amount in zip(table.peers, table.stake, strict=True)
        if amount and peer not in excluded
    ]
    size = data.draw(st.integers(0, len(eligible)))
    drawn = draw(table, seed, "role", size, excluded=excluded)
    assert drawn == plain_draw(table, seed, "role", size, excluded)
    assert len(set(drawn)) == size
    assert set(drawn) <= set(eligible)
    with pytest.raises(RoundFailedError, match="peers with stake"):
        draw(table, seed, "role", len(eligible) + 1, excluded=excluded)


def test_committees_are_disjoint_and_follow_from_the_seed():
    seen = set()
    for number in range(50):
        seed = number.to_bytes(32)
        committees = draw_committees(EQUAL, seed, verifiers=6, aggregators=5)
        assert committees == draw_committees(EQUAL, seed, verifiers=6, aggregators=5)
        assert (len(committees.verifiers), len(committees.aggregators)) == (6, 5)
        both = {*committees.verifiers, *committees.aggregators}
        assert len(both) == 11
        assert both == set(draw(EQUAL, seed, "committee", 11))
        seen.add(committees)
    assert len(seen) == 50


def test_a_chance_is_a_share_of_the_stake():
    """10,000 seeds: each peer's share of first places is within 4 standard errors of its stake's.
    The same seeds every time."""
    table = StakeTable.of({NodeId("a"): 1, NodeId("b"): 5, NodeId("c"): 30, NodeId("d"): 64})
    firsts = Counter(draw(table, number.to_bytes(32), "role", 1)[0] for number in range(10_000))
    for peer, stake in table.as_dict().items():
        chance = stake / 100
        assert abs(firsts[peer] - 10_000 * chance) < 4 * (10_000 * chance * (1 - chance)) ** 0.5


def test_no_ticket_is_out_of_reach():
    """The prototype of the paper's authors draws with two bytes, so that stake above 65,536 never
    wins. Here the last of three peers holds nine tenths of 10^12. The same seeds every time."""
    table = StakeTable.of(
        {NodeId("a"): 10**11 - 10**5, NodeId("b"): 10**5, NodeId("c"): 9 * 10**11}
    )
    firsts = Counter(draw(table, number.to_bytes(32), "role", 1)[0] for number in range(1000))
    assert 850 < firsts[NodeId("c")] < 950


def test_both_committees_are_drawn_alike():
    """The large peer is as likely to aggregate as to verify; drawn in turn it would nearly always
    be among the first. The same seeds every time."""
    table = StakeTable.of({peer: 200 if peer == PEERS[0] else 10 for peer in PEERS})
    places = Counter()
    for number in range(2000):
        committees = draw_committees(table, number.to_bytes(32), verifiers=4, aggregators=4)
        places["verifies"] += PEERS[0] in committees.verifiers
        places["aggregates"] += PEERS[0] in committees.aggregators
    assert sum(places.values()) > 1950
    assert abs(places["verifies"] - places["aggregates"]) < 4 * 2000**0.5


def test_a_peer_without_stake_is_never_drawn():
    table = StakeTable.of({peer: int(peer != PEERS[3]) for peer in PEERS})
    assert PEERS[3] not in draw(table, SEED, "role", 19)


def test_a_contributor_does_not_noise_itself():
    for number in range(20):
        noisers = draw_noisers(EQUAL, number.to_bytes(64), 19, contributor=PEERS[4])
        assert set(noisers) == set(PEERS) - {PEERS[4]}


def test_nearly_all_stake_in_one_hand_stops_the_lottery_in_the_end():
    table = StakeTable.of({NodeId("whale"): 2**52, NodeId("shrimp"): 1})
    assert draw(table, SEED, "role", 1) == ("whale",)
    with pytest.raises(RoundFailedError, match=f"{MAX_TICKETS} tickets found 1 of 2"):
        draw(table, SEED, "role", 2)


def test_noisers_are_proven():
    key, other = VrfKey(b"k" * 32), VrfKey(b"l" * 32)
    alpha = noiser_input(CHAIN, Round(3), SEED)
    proof = key.prove(alpha)
    beta, noisers = verified_noisers(EQUAL, key.public, proof, 5, alpha=alpha, contributor=PEERS[0])
    assert beta == output(proof)
    assert noisers == draw_noisers(EQUAL, beta, 5, contributor=PEERS[0])
    for wrong_key, wrong_alpha in (
        (other.public, alpha),
        (key.public, noiser_input(CHAIN, Round(4), SEED)),
        (key.public, noiser_input(b"d" * 32, Round(3), SEED)),
        (key.public, noiser_input(CHAIN, Round(3), bytes(32))),
        (key.public, seed_input(CHAIN, Round(3), SEED)),
    ):
        with pytest.raises(PeerError, match="VRF proof") as caught:
            verified_noisers(EQUAL, wrong_key, proof, 5, alpha=wrong_alpha, contributor=PEERS[0])
        assert caught.value.culprits == (PEERS[0],)


def test_seeds_depend_on_all_that_they_are_made_of():
    seeds = [
        first_seed(CHAIN),
        first_seed(b"d" * 32),
        next_seed(SEED, Round(1), b"o" * 64),
        next_seed(SEED, Round(1), b"p" * 64),
        next_seed(SEED, Round(2), b"o" * 64),
        next_seed(bytes(32), Round(1), b"o" * 64),
        next_seed(SEED, Round(1), None),
        next_seed(SEED, Round(2), None),
    ]
    assert len(set(seeds)) == len(seeds)
    assert {len(seed) for seed in seeds} == {32}


def test_seeds_written_out():
    """So that somebody else's peer can be made to agree with ours."""
    framed = (5).to_bytes(4) + b"block" + (7).to_bytes(8) + (32).to_bytes(4) + SEED + b"o" * 64
    assert next_seed(SEED, Round(7), b"o" * 64) == sha256(b"troth-seed\0" + framed).digest()
    framed = (5).to_bytes(4) + b"empty" + (7).to_bytes(8) + (32).to_bytes(4) + SEED
    assert next_seed(SEED, Round(7), None) == sha256(b"troth-seed\0" + framed).digest()
    assert noiser_input(CHAIN, Round(7), SEED) == (
        b"troth-vrf\0"
        + (6).to_bytes(4)
        + b"noiser"
        + (32).to_bytes(4)
        + CHAIN
        + (7).to_bytes(8)
        + (32).to_bytes(4)
        + SEED
    )
