"""Failure probabilities: known figures, and bounds against every division of small tables."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.errors import RoundFailedError
from troth.ids import NodeId
from troth.protocols.biscotti.ledger import committees
from troth.protocols.biscotti.ledger.committees import CommitteeSizes, failure_probabilities
from troth.protocols.biscotti.ledger.lottery import draw_committees, draw_noisers
from troth.protocols.biscotti.ledger.stake import StakeTable


def equal(count):
    return StakeTable.of({NodeId(f"party-{i:04}"): 10 for i in range(count)})


def table_of(stakes):
    return StakeTable.of({NodeId(f"party-{i}"): stake for i, stake in enumerate(stakes)})


def failures(*, aggregators=26, tolerated=12, noisers=5, verifiers=26, peers=200, share=0.3):
    sizes = CommitteeSizes(noisers, verifiers, aggregators, tolerated, quorum=aggregators)
    return failure_probabilities(equal(peers), sizes, adversarial_share=share)


@pytest.mark.parametrize(
    ("aggregators", "tolerated", "privacy"),
    [
        (3, 1, 0.215),
        (10, 4, 0.145),
        (26, 12, 0.018),
        (51, 25, 2.1e-4),
        (101, 50, 5e-11),
        (26, 19, 1.4e-7),
    ],
)
def test_privacy_of_200_peers_with_30_percent_adversarial(aggregators, tolerated, privacy):
    found = failures(aggregators=aggregators, tolerated=tolerated).privacy
    assert found == pytest.approx(privacy, rel=0.1)
    assert found == pytest.approx(hypergeometric(200, 60, aggregators, tolerated + 1), rel=1e-12)


def hypergeometric(peers, adversarial, seats, least):
    ways = sum(
        comb(adversarial, k) * comb(peers - adversarial, seats - k) for k in range(least, seats + 1)
    )
    return float(Fraction(ways, comb(peers, seats)))


def test_26_aggregators_over_100_rounds():
    assert failures().over(100).privacy == pytest.approx(0.83, abs=0.01)
    assert failures().over(1).privacy == pytest.approx(failures().privacy)
    assert failures(share=1.0).over(5).privacy == 1.0


@pytest.mark.parametrize(
    ("noisers", "verifiers", "with_replacement"),
    [(2, 3, 0.3**2 * (1 - 0.7**3)), (5, 26, 0.3**5 * (1 - 0.7**26))],
)
def test_unmasking(noisers, verifiers, with_replacement):
    """5.9 % and 0.24 % if noisers could be drawn twice. As they cannot be, it is a little less for
    many; and a little more for few, as an honest contributor is not among its own noisers."""
    found = failures(noisers=noisers, verifiers=verifiers).unmasking
    assert found == pytest.approx(with_replacement, rel=0.1)
    exactly = (
        comb(60, noisers) / comb(199, noisers) * (1 - comb(140, verifiers) / comb(200, verifiers))
    )
    assert found == pytest.approx(exactly, rel=1e-12)


def test_integrity_is_a_majority_of_the_verifiers():
    assert failures(verifiers=3).integrity == pytest.approx(hypergeometric(200, 60, 3, 2))
    assert failures(verifiers=4).integrity == pytest.approx(hypergeometric(200, 60, 4, 3))


def test_liveness_by_counting_every_case():
    """10 peers, 4 of them adversarial; 3 verifiers, of whom 2 decide, and 4 aggregators, of whom 3
    are needed: all ways to fill the seats."""
    sizes = CommitteeSizes(2, 3, 4, 1, quorum=3)
    fails = total = 0
    for verifiers in combinations(range(10), 3):
        for aggregators in combinations(sorted(set(range(10)) - set(verifiers)), 4):
            bad = [sum(peer < 4 for peer in seats) for seats in (verifiers, aggregators)]
            fails += bad[0] > 1 or bad[1] > 1
            total += 1
    found = failure_probabilities(equal(10), sizes, adversarial_share=0.4).liveness
    assert found == pytest.approx(fails / total, rel=1e-12)


@pytest.mark.parametrize(("share", "adversarial"), [(0.3, 3), (0.29, 2), (0.0, 0), (0.35, 3)])
def test_half_a_peer_is_no_adversary_among_equals(share, adversarial):
    sizes = CommitteeSizes(1, 1, 3, 1, quorum=3)
    found = failure_probabilities(equal(10), sizes, adversarial_share=share).privacy
    assert found == pytest.approx(hypergeometric(10, adversarial, 3, 2))


def seats_exactly(stakes, adversarial, seats):
    """P[k or more seats are adversarial], over all orders of drawing."""
    at_least = [Fraction(0)] * (seats + 1)
    for order in permutations(range(len(stakes)), seats):
        probability, left = Fraction(1), sum(stakes)
        for peer in order:
            probability *= Fraction(stakes[peer], left)
            left -= stakes[peer]
        for k in range(sum(peer in adversarial for peer in order) + 1):
            at_least[k] += probability
    return at_least


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=4, max_size=6),
    st.integers(1, 3),
    st.sampled_from([0.2, 0.3, 0.5]),
)
def test_no_division_of_a_small_table_is_worse_than_the_bound(stakes, seats, share):
    adversarial, honest = committees._worst_division(
        sorted(Fraction(stake) for stake in stakes), share
    )
    bounds = committees._seats_at_least(adversarial, honest, seats)
    budget = Fraction(share).limit_denominator(10**9) * sum(stakes)
    for size in range(len(stakes) + 1):
        for chosen in combinations(range(len(stakes)), size):
            if sum(stakes[peer] for peer in chosen) <= budget:
                exactly = seats_exactly(stakes, set(chosen), seats)
                assert all(
                    bound >= float(value) * (1 - 1e-12)
                    for bound, value in zip(bounds, exactly, strict=True)
                )


def test_the_bound_is_close_to_what_is_exact():
    """Where the adversary's share is a whole number of the smallest peers, nothing is given away
    but the width of the intervals."""
    stakes = [2, 3, 5, 10, 10, 20]
    bounds = committees._seats_at_least(
        [Fraction(2), Fraction(3), Fraction(5)], [Fraction(10), Fraction(10), Fraction(20)], 3
    )
    for bound, value in zip(bounds, seats_exactly(stakes, {0, 1, 2}, 3), strict=True):
        assert float(value) <= bound <= 1.01 * float(value)


def test_the_race_agrees_with_counting():
    """The bound of unequal stake, given equal stake, against the exact numbers: above, and near."""
    stakes = [Fraction(10)] * 100
    bounds = committees._at_most_at_least(stakes[:30], stakes[30:], 20)
    exactly = committees._exactly_at_least(30, 70, 20)
    for bound, value in zip(bounds, exactly, strict=True):
        assert value * (1 - 1e-12) <= bound <= 1.06 * value


def test_many_small_adversaries_are_worse_than_few_large_ones():
    sizes = CommitteeSizes(2, 3, 5, 2, quorum=5)
    large = failure_probabilities(equal(20), sizes, adversarial_share=0.3)
    # The same 30 % as 60 peers instead of 6.
    split = StakeTable.of(
        {NodeId(f"party-{i:04}"): 10 for i in range(14)}
        | {NodeId(f"sybil-{i:04}"): 1 for i in range(60)}
    )
    small = failure_probabilities(split, sizes, adversarial_share=0.3)
    assert small.privacy > large.privacy
    assert small.unmasking > large.unmasking


@pytest.mark.parametrize("stakes", [[10] * 30, [1] * 20 + [5] * 10 + [20] * 5])
def test_real_lotteries_fail_as_often_as_said(stakes):
    """3,000 draws against the smallest peers, within 4 standard errors of the exact number or below
    the bound. The same seeds every time."""
    table, rounds = table_of(stakes), 3000
    sizes = CommitteeSizes(1, 5, 5, 2, quorum=5)
    found = failure_probabilities(table, sizes, adversarial_share=0.3)
    budget, adversaries = 0.3 * sum(stakes), set()
    for stake, peer in sorted(zip(table.stake, table.peers, strict=True)):
        if stake <= budget:
            budget -= stake
            adversaries.add(peer)
    victim = max(set(table.peers) - adversaries, key=lambda peer: table.as_dict()[peer])
    privacy = integrity = unmasked = 0
    for number in range(rounds):
        drawn = draw_committees(table, number.to_bytes(32), verifiers=5, aggregators=5)
        bad = len(adversaries.intersection(drawn.verifiers))
        privacy += len(adversaries.intersection(drawn.aggregators)) > 2
        integrity += bad > 2
        noisers = draw_noisers(table, number.to_bytes(64), 1, contributor=victim)
        unmasked += bad > 0 and adversaries.issuperset(noisers)
    for seen, said in (
        (privacy, found.privacy),
        (integrity, found.integrity),
        (unmasked, found.unmasking),
    ):
        error = 4 * (said * (1 - said) / rounds) ** 0.5
        assert said - error < seen / rounds < said + error


def test_more_seats_than_peers():
    with pytest.raises(RoundFailedError, match="30 peers with stake for 52 seats"):
        failures(peers=30)
