"""Packed sharing: who recovers, who learns nothing, and who is blamed."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, Scalar

from troth import streams, wire
from troth.crypto.commitments import (
    Commitment,
    CommitmentKey,
    Opening,
    OpeningClaim,
    add_commitments,
    check_openings,
    commit,
)
from troth.crypto.field import (
    ORDER,
    elements,
    encode_elements,
    from_signed,
    integers,
    random_elements,
)
from troth.crypto.g1 import G1
from troth.crypto.generators import Generators
from troth.crypto.sharing import (
    Dealing,
    ShareClaim,
    SharingScheme,
    check_shares,
    deal,
    parse_share,
    recover,
    sum_shares,
)
from troth.errors import LocalError, PeerError
from troth.ids import NodeId
from troth.privacy.noise import SimulatedSecret

BOUND = 2**19
SCHEME = SharingScheme(aggregators=4, tolerated=1, quorum=3, points=2)
DIMENSION = 11
LAYOUT = SCHEME.layout(DIMENSION)
KEY = CommitmentKey(LAYOUT, Generators.derive(bytes(32), LAYOUT.columns))
PEER = NodeId("peer")
CONTRIBUTORS = tuple(NodeId(f"party-{at}") for at in range(5))


def bits(*names):
    return SimulatedSecret(streams.secret(11).child(*names)).bits()


class Contributor:
    """One honest contributor's round."""

    def __init__(self, name):
        self.name = NodeId(name)
        drawn = bits(name, "data").words(DIMENSION) % np.uint64(2 * BOUND + 1)
        self.opening = Opening.draw(drawn.astype(np.int64) - BOUND, LAYOUT.rows, bits(name, "b"))
        self.data_points = commit(KEY, self.opening, bound=BOUND).points
        self.dealing = deal(SCHEME, LAYOUT, self.opening, bits(name, "rows"))
        self.shares = self.dealing.shares()
        self.points = (*self.data_points, *self.dealing.random_commitments(KEY))

    def share(self, aggregator):
        return parse_share(self.shares[aggregator], SCHEME, LAYOUT, sender=self.name)

    def claim(self, aggregator, share=None, points=None):
        return ShareClaim(
            self.name,
            SCHEME.points_of(aggregator),
            self.share(aggregator) if share is None else share,
            self.points if points is None else points,
        )


@cache
def contributors():
    return tuple(Contributor(name) for name in CONTRIBUTORS)


def sums():
    return {
        j: sum_shares([one.share(j) for one in contributors()]) for j in range(SCHEME.aggregators)
    }


def expected_sum():
    first, *others = (one.opening for one in contributors())
    return sum(others, start=first)


SUM_BOUND = len(CONTRIBUTORS) * BOUND


def check_block(opening):
    points = add_commitments([one.data_points for one in contributors()])
    claim = OpeningClaim(NodeId("proposer"), opening.values_D, opening.blindings_K, points)
    check_openings(KEY, [claim], bound=SUM_BOUND, bits=bits("block"))


# What honest ones get.


@pytest.mark.parametrize("aggregator", range(SCHEME.aggregators))
def test_honest_shares_pass(aggregator):
    check_shares(KEY, [one.claim(aggregator) for one in contributors()], bits("check"))


@pytest.mark.parametrize("chosen", list(combinations(range(4), 3)))
def test_any_tau_aggregators_recover_the_sum(chosen):
    recovered = recover(
        SCHEME, LAYOUT, {j: share for j, share in sums().items() if j in chosen}, bound=SUM_BOUND
    )
    np.testing.assert_array_equal(recovered.values_D, expected_sum().values_D)
    np.testing.assert_array_equal(recovered.blindings_K, expected_sum().blindings_K)
    check_block(recovered)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_scheme_recovers(data):
    m = data.draw(st.integers(2, 9))
    t = data.draw(st.integers(1, m - 1))
    tau = data.draw(st.integers(t + 1, m))
    s = data.draw(st.integers(1, 3))
    scheme = SharingScheme(m, t, tau, s, crash=True)
    dimension = data.draw(st.integers(scheme.data_rows, 40))
    layout = scheme.layout(dimension)
    value = st.integers(-BOUND, BOUND)
    values_D = data.draw(st.lists(value, min_size=dimension, max_size=dimension))
    opening = Opening.draw(np.array(values_D, dtype=np.int64), layout.rows, bits("any"))
    shares = deal(scheme, layout, opening, bits("dealing")).shares()
    assert [len(share) for share in shares] == [scheme.share_bytes(layout)] * m
    chosen = data.draw(st.permutations(range(m)))[:tau]
    recovered = recover(
        scheme,
        layout,
        {j: parse_share(shares[j], scheme, layout, sender=PEER) for j in chosen},
        bound=BOUND,
    )
    assert recovered.values_D.tolist() == values_D
    np.testing.assert_array_equal(recovered.blindings_K, opening.blindings_K)


def test_fewer_than_tau_do_not_recover():
    two = {j: share for j, share in sums().items() if j < 2}
    with pytest.raises(ValueError, match="2 sums where 3 are needed"):
        recover(SCHEME, LAYOUT, two, bound=SUM_BOUND)


def test_published_sums_are_checked_against_summed_commitments():
    points = add_commitments([one.points for one in contributors()])
    published = sums()
    claims = [
        ShareClaim(NodeId(f"aggregator-{j}"), SCHEME.points_of(j), share, points)
        for j, share in published.items()
    ]
    check_shares(KEY, claims, bits("sums"))
    wrong = published[2].copy()
    wrong[1, 0, 0] ^= 1
    claims[2] = ShareClaim(claims[2].author, claims[2].points, wrong, points)
    with pytest.raises(PeerError) as caught:
        check_shares(KEY, claims, bits("sums"))
    assert caught.value.culprits == ("aggregator-2",)


# What liars get.


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 4), min_size=1), st.data())
def test_one_flipped_bit_is_blamed_on_who_dealt_it(liars, data):
    claims = []
    for at, one in enumerate(contributors()):
        share = one.share(1)
        if at in liars:
            share = share.copy()
            place = data.draw(st.integers(0, share.size // 16 - 1))
            limb, bit = data.draw(st.integers(0, 14)), data.draw(st.integers(0, 15))
            share.reshape(-1, 16)[place, limb] ^= 1 << bit
        claims.append(one.claim(1, share))
    with pytest.raises(PeerError, match="does not match its commitments") as caught:
        check_shares(KEY, claims, bits("flipped"))
    assert caught.value.culprits == tuple(CONTRIBUTORS[at] for at in sorted(liars))


def test_errors_that_cancel_each_other_are_found():
    first, second = contributors()[:2]
    one = np.zeros_like(first.share(0))
    one[0, 0, 0] = 1
    minus_one = elements([-1])[0]
    down = one.copy()
    down[0, 0] = minus_one
    claims = [
        first.claim(0, sum_shares([first.share(0), one])),
        second.claim(0, sum_shares([second.share(0), down])),
    ]
    with pytest.raises(PeerError) as caught:
        check_shares(KEY, claims, bits("cancel"))
    assert caught.value.culprits == CONTRIBUTORS[:2]


def test_a_share_at_another_point_or_under_others_commitments_is_refused():
    first, second = contributors()[:2]
    for share, points in (
        (first.share(2), None),
        (first.share(1)[::-1], None),
        (first.share(1), second.points),
    ):
        with pytest.raises(PeerError) as caught:
            check_shares(KEY, [second.claim(1), first.claim(1, share, points)], bits("x"))
        assert caught.value.culprits == (first.name,)


def test_a_wrong_commitment_to_any_row_is_refused():
    one = contributors()[0]
    for row in range(SCHEME.rows):
        points = list(one.points)
        points[row] += G1Point()
        with pytest.raises(PeerError):
            check_shares(KEY, [one.claim(0, points=points)], bits("row"))


@pytest.mark.parametrize("check_by", range(8))
def test_all_judge_alike_of_commitments_outside_the_group(check_by):
    """A point of order 3 is on the curve: added to a commitment, it changes nobody's mind."""
    first, second = contributors()[:2]
    points = list(first.points)
    points[-1] += G1.read(bytes(48) + (2).to_bytes(48))
    drawn = bits("judge", check_by)
    check_shares(KEY, [first.claim(1, points=points), second.claim(1)], drawn)
    with pytest.raises(PeerError) as caught:
        check_shares(KEY, [first.claim(1, first.share(2), points), second.claim(1)], drawn)
    assert caught.value.culprits == (first.name,)


def test_a_dropped_row_is_refused():
    one = contributors()[0]
    with pytest.raises(PeerError):
        check_shares(KEY, [one.claim(0, points=one.points[:-1])], bits("row"))


def test_an_aggregator_that_lies_about_the_sum_is_not_believed():
    published = sums()
    # Not in the last column, so that the values and not only the blinding factors change.
    published[0] = published[0].copy()
    published[0][0, 0, 0] ^= 1
    with pytest.raises(PeerError, match="no sum of updates") as caught:
        recover(SCHEME, LAYOUT, published, bound=SUM_BOUND)
    assert caught.value.culprits == ()


def test_a_lie_that_stays_in_range_fails_the_block_check():
    """Adding a whole polynomial's shares changes the sum; the commitments know."""
    extra = Opening(np.eye(1, DIMENSION, dtype=np.int64)[0], random_elements(bits("e"), 4))
    shares = deal(SCHEME, LAYOUT, extra, bits("extra")).shares()
    published = {
        j: sum_shares([share, parse_share(shares[j], SCHEME, LAYOUT, sender=PEER)])
        for j, share in sums().items()
    }
    recovered = recover(SCHEME, LAYOUT, published, bound=SUM_BOUND + 1)
    assert recovered.values_D[0] == expected_sum().values_D[0] + 1
    with pytest.raises(PeerError, match="do not open") as caught:
        check_block(recovered)
    assert caught.value.culprits == ("proposer",)


def test_without_random_commitments_a_cheater_is_still_found_when_asked():
    """The optimistic order: shares, sum, block check, and only then the other commitments."""
    cheater = contributors()[3]
    wrong = {j: cheater.share(j).copy() for j in range(SCHEME.aggregators)}
    wrong[1][0, 2, 3] ^= 4
    published = {
        j: sum_shares([wrong[j], *(one.share(j) for one in contributors() if one is not cheater)])
        for j in range(SCHEME.aggregators)
    }
    with pytest.raises(PeerError):
        check_block(recover(SCHEME, LAYOUT, published, bound=SUM_BOUND))
    claims = [one.claim(1, wrong[1] if one is cheater else None) for one in contributors()]
    with pytest.raises(PeerError) as caught:
        check_shares(KEY, claims, bits("later"))
    assert caught.value.culprits == (cheater.name,)


@pytest.mark.parametrize("data", ["short", "long", "not below r"])
def test_malformed_shares_are_refused(data):
    share = contributors()[0].shares[0]
    malformed = {
        "short": share[:-32],
        "long": share + bytes(32),
        "not below r": share[:-32] + b"\xff" * 32,
    }[data]
    with pytest.raises(PeerError) as caught:
        parse_share(malformed, SCHEME, LAYOUT, sender=PEER)
    assert caught.value.culprits == (PEER,)


def test_a_value_in_the_filling_is_refused():
    layout = SCHEME.layout(DIMENSION)
    assert layout.rows * layout.columns > DIMENSION
    matrix = random_elements(bits("m"), SCHEME.rows * (layout.columns + 1))
    matrix_RM = matrix.reshape(SCHEME.rows, layout.columns + 1, 16)
    matrix_RM[: layout.rows, :-1] = from_signed(np.ones((layout.rows, layout.columns), np.int64))
    shares = Dealing(SCHEME, matrix_RM).shares()
    parsed = {j: parse_share(shares[j], SCHEME, layout, sender=PEER) for j in range(3)}
    with pytest.raises(PeerError, match="no sum of updates"):
        recover(SCHEME, layout, parsed, bound=BOUND)


# What t aggregators learn.

PRIVATE = SharingScheme(aggregators=4, tolerated=2, quorum=4, points=2)


def vandermonde(points, powers):
    return [[pow(point, power, ORDER) for power in powers] for point in points]


def solve(matrix, right):
    """X with matrix X = right modulo r, by elimination; None if the matrix is singular."""
    size = len(matrix)
    rows = [list(left) + list(other) for left, other in zip(matrix, right, strict=True)]
    for at in range(size):
        pivot = next((row for row in range(at, size) if rows[row][at]), None)
        if pivot is None:
            return None
        rows[at], rows[pivot] = rows[pivot], rows[at]
        inverse = pow(rows[at][at], -1, ORDER)
        rows[at] = [value * inverse % ORDER for value in rows[at]]
        for row in range(size):
            if row != at and rows[row][at]:
                factor = rows[row][at]
                rows[row] = [
                    (value - factor * other) % ORDER
                    for value, other in zip(rows[row], rows[at], strict=True)
                ]
    return [row[size:] for row in rows]


@pytest.mark.parametrize("corrupted", list(combinations(range(4), 2)))
@pytest.mark.parametrize("candidate", ["zero", "largest", "another"])
def test_every_vector_is_consistent_with_what_t_aggregators_see(corrupted, candidate):
    """For each candidate there are blinding factors and random rows that give the same commitments
    and the same shares. So the view of t aggregators says nothing about the vector.

    The generators' logarithms are known here, as one who could compute them would know them.
    """
    layout = PRIVATE.layout(10)
    logs, blinding_log = [5, 2**77 + 1, 3], 2**200 + 3
    key = CommitmentKey(
        layout,
        Generators(
            tuple(G1Point() * Scalar(log) for log in logs), G1Point() * Scalar(blinding_log)
        ),
    )
    values_D = np.arange(-5, 5) * 1000
    candidate_D = {
        "zero": np.zeros(10, dtype=np.int64),
        "largest": np.full(10, BOUND),
        "another": values_D + 1,
    }[candidate]
    opening = Opening.draw(values_D, layout.rows, bits("victim"))
    dealing = deal(PRIVATE, layout, opening, bits("victim", "rows"))
    commitment = commit(key, opening, bound=BOUND)
    random_points = dealing.random_commitments(key)
    shares = dealing.shares()

    # The candidate's blinding factors: those that give the same data commitments.
    difference_KL = layout.to_rows(values_D - candidate_D).tolist()
    inverse = pow(blinding_log, -1, ORDER)
    blindings = [
        blinding + inverse * sum(gap * log for gap, log in zip(row, logs, strict=True))
        for blinding, row in zip(integers(opening.blindings_K), difference_KL, strict=True)
    ]
    other = Opening(candidate_D, elements(blindings))
    assert commit(key, other, bound=BOUND) == commitment

    # The candidate's random rows: those that give the same shares.
    data_KM = [
        [*row, blinding]
        for row, blinding in zip(layout.to_rows(candidate_D).tolist(), blindings, strict=True)
    ]
    points = [at for j in corrupted for at in PRIVATE.points_of(j)]
    columns = layout.columns + 1
    seen = [
        integers(parse_share(shares[j], PRIVATE, layout, sender=PEER)[place])
        for j in corrupted
        for place in range(PRIVATE.points)
    ]
    low = vandermonde(points, range(layout.rows))
    right = [
        [
            (value - sum(factor * data_KM[i][column] for i, factor in enumerate(factors))) % ORDER
            for column, value in enumerate(row)
        ]
        for row, factors in zip(seen, low, strict=True)
    ]
    random_rows = solve(vandermonde(points, range(layout.rows, PRIVATE.rows)), right)
    assert random_rows is not None
    matrix = elements([value for row in data_KM + random_rows for value in row])
    explained = Dealing(PRIVATE, matrix.reshape(PRIVATE.rows, columns, 16))
    for j in corrupted:
        assert explained.shares()[j] == shares[j]
    assert explained.random_commitments(key) == random_points
    # One more aggregator would notice.
    (beyond, *_) = set(range(4)) - set(corrupted)
    assert explained.shares()[beyond] != shares[beyond]


@pytest.mark.parametrize(
    ("scheme", "corrupted"),
    [
        (SharingScheme(26, 12, 20), range(12)),
        (SharingScheme(26, 12, 20), range(14, 26)),
        (SharingScheme(26, 12, 20), range(1, 25, 2)),
        (SharingScheme(3, 1, 3, 5), [0]),
        (SharingScheme(3, 1, 3, 5), [1]),
        (SharingScheme(3, 1, 3, 5), [2]),
        (SharingScheme(10, 4, 8, 2), [0, 3, 8, 9]),
    ],
)
def test_given_the_data_shares_of_t_aggregators_are_uniform(scheme, corrupted):
    """Random rows and these shares determine each other, so all shares are equally likely. In
    Biscotti's released code aggregator 0 of 3 recovered whole chunks alone."""
    points = [at for j in corrupted for at in scheme.points_of(j)]
    assert len(points) == scheme.random_rows
    matrix = vandermonde(points, range(scheme.data_rows, scheme.rows))
    identity = [[int(row == column) for column in range(len(points))] for row in range(len(points))]
    assert solve(matrix, identity) is not None


def test_shares_of_zeros_look_like_any_others():
    scheme = SharingScheme(3, 1, 3, 5)
    layout = scheme.layout(4000)
    opening = Opening.draw(np.zeros(4000, dtype=np.int64), layout.rows, bits("zeros"))
    for share in deal(scheme, layout, opening, bits("zeros", "rows")).shares():
        values = integers(parse_share(share, scheme, layout, sender=PEER))
        assert len(set(values)) == len(values)
        tallied = np.bincount([value * 10 // ORDER for value in values], minlength=10)
        even = len(values) / 10
        # Chi-squared with 9 degrees of freedom: 27.9 at 0.001.
        assert float(((tallied - even) ** 2 / even).sum()) < 27.9


def test_nobody_holds_the_point_zero_and_no_point_twice():
    for scheme in (SCHEME, PRIVATE, SharingScheme(26, 12, 20, 3)):
        points = [at for j in range(scheme.aggregators) for at in scheme.points_of(j)]
        assert 0 not in points
        assert len(set(points)) == len(points) == scheme.aggregators * scheme.points
        assert max(points) < ORDER
    with pytest.raises(ValueError, match="no aggregator 4"):
        SCHEME.points_of(4)


def test_two_dealings_of_one_vector_share_nothing():
    opening = contributors()[0].opening
    first, second = (deal(SCHEME, LAYOUT, opening, bits("dealing", n)) for n in range(2))
    assert not set(first.random_commitments(KEY)) & set(second.random_commitments(KEY))
    for mine, other in zip(first.shares(), second.shares(), strict=True):
        parsed = [integers(parse_share(one, SCHEME, LAYOUT, sender=PEER)) for one in (mine, other)]
        assert not set(parsed[0]) & set(parsed[1])


# Which schemes there are.


@pytest.mark.parametrize(
    ("m", "t", "tau", "absent", "per_coefficient"),
    [(3, 1, 3, 0, 1.5), (4, 1, 3, 1, 2.0), (10, 4, 8, 2, 2.5), (10, 3, 7, 3, 2.5),
     (26, 12, 20, 6, 3.25), (26, 8, 18, 8, 2.6), (26, 19, 23, 3, 6.5)],
)  # fmt: skip
def test_schemes_of_the_quorum_rule(m, t, tau, absent, per_coefficient):
    scheme = SharingScheme(m, t, tau)
    assert m - scheme.quorum == absent
    layout = scheme.layout(8000 * scheme.data_rows)
    elements_sent = m * (scheme.share_bytes(layout) - 32 * scheme.points) / 32
    assert elements_sent / layout.dimension == per_coefficient
    with pytest.raises(LocalError, match="two different sums"):
        SharingScheme(m, t, (m + t) // 2)
    assert SharingScheme(m, t, t + 1, crash=True).data_rows == 1


@pytest.mark.parametrize(
    ("m", "t", "tau", "s"),
    [(3, 0, 3, 1), (3, 3, 3, 1), (3, 1, 4, 1), (3, 2, 1, 1), (0, 0, 0, 1), (-3, 1, 3, 1),
     (5000, 1, 5000, 1), (3, 1, 3, 0), (3, 1, 3, -1), (3, 1, 3, 5000)],
)  # fmt: skip
@pytest.mark.parametrize("crash", [False, True])
def test_numbers_that_do_not_go_together_are_refused(m, t, tau, s, crash):
    with pytest.raises(LocalError):
        SharingScheme(m, t, tau, s, crash)


def test_a_model_smaller_than_the_data_rows_is_refused():
    with pytest.raises(LocalError, match="dimension=7"):
        SharingScheme(26, 12, 20).layout(7)


def test_a_layout_of_another_scheme_is_refused():
    with pytest.raises(ValueError, match="4 rows where the scheme has 8"):
        deal(SharingScheme(26, 12, 20), LAYOUT, contributors()[0].opening, bits("x"))


def test_a_dealing_is_not_sent_nor_printed():
    dealing = contributors()[0].dealing
    assert repr(dealing) == f"{dealing}" == "<redacted>"
    with pytest.raises(LocalError, match="no wire encoder"):
        wire.encode_array(dealing)
    assert repr(contributors()[0].claim(0)) == "ShareClaim(author='party-0', points=range(1, 3))"


def test_commitments_and_shares_survive_the_wire():
    one = contributors()[0]
    sent = Commitment.of(one.points)
    received = Commitment.parse(sent.encoded, SCHEME.rows, sender=one.name)
    assert received.points == one.points
    assert encode_elements(one.share(3)) == one.shares[3]
