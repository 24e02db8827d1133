"""Row commitments: they bind, hide and add up, and the checks reject what does not open them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, Scalar

from troth import streams, wire
from troth.crypto import commitments as pedersen
from troth.crypto.blame import wrong_claims
from troth.crypto.commitments import (
    Commitment,
    CommitmentKey,
    Layout,
    Opening,
    OpeningClaim,
    add_commitments,
    check_openings,
    commit,
    commit_elements,
)
from troth.crypto.field import ORDER, elements, from_signed, integers
from troth.crypto.g1 import G1
from troth.crypto.generators import Generators
from troth.crypto.group import POINT_BYTES
from troth.errors import LocalError, PeerError
from troth.ids import NodeId
from troth.privacy.noise import SimulatedSecret

BOUND = 2**19
DIMENSION, ROWS = 7, 2
KEY = CommitmentKey(Layout(DIMENSION, ROWS), Generators.derive(bytes(32), 4))
VECTORS = st.lists(st.integers(-BOUND, BOUND), min_size=DIMENSION, max_size=DIMENSION).map(
    lambda values: np.array(values, dtype=np.int64)
)


def bits(*names):
    return SimulatedSecret(streams.secret(3).child(*names)).bits()


def claim(author, opening, points):
    return OpeningClaim(NodeId(author), opening.values_D, opening.blindings_K, points)


def check(*claims, bound=BOUND):
    check_openings(KEY, claims, bound=bound, bits=bits("check"))


def some_opening(name="a", low=-BOUND, high=BOUND):
    drawn = np.random.Generator(np.random.Philox(len(name))).integers(low, high + 1, DIMENSION)
    return Opening.draw(drawn, ROWS, bits(name))


# What a commitment is.


@given(VECTORS)
def test_a_commitment_is_what_its_formula_says(values_D):
    opening = Opening.draw(values_D, ROWS, bits("formula"))
    committed = commit(KEY, opening, bound=BOUND)
    rows = elements([int(value) for value in KEY.layout.to_rows(values_D).ravel()])
    with_blindings = np.concatenate(
        [rows.reshape(ROWS, 4, 16), opening.blindings_K[:, None]], axis=1
    )
    assert committed.points == commit_elements(KEY, with_blindings)


@settings(max_examples=30)
@given(VECTORS, VECTORS)
def test_sums_of_openings_open_sums_of_commitments(first_D, second_D):
    """Masked update and aggregate alike."""
    first = Opening.draw(first_D, ROWS, bits("first"))
    second = Opening.draw(second_D, ROWS, bits("second"))
    points = add_commitments([commit(KEY, one, bound=BOUND).points for one in (first, second)])
    both = first + second
    np.testing.assert_array_equal(both.values_D, first_D + second_D)
    check(claim("both", both, points), bound=2 * BOUND)


def test_the_same_vector_twice_gives_different_commitments():
    """Biscotti's released code commits without blinding factors: equal updates are seen."""
    values_D = np.arange(DIMENSION)
    first, second = (
        commit(KEY, Opening.draw(values_D, ROWS, bits(name)), bound=BOUND) for name in "ab"
    )
    assert first.id != second.id
    assert not set(first.points) & set(second.points)


def test_vectors_that_collided_under_the_released_key_do_not_here():
    """Its generators are 2^i G, so (5, -3, 7, 1) and (7, -4, 7, 1) had one commitment."""
    layout = Layout(4, 1)
    doubled = tuple(G1Point() * Scalar(2**power) for power in range(4))
    zero = elements([0])

    def points(generators, values):
        opening = Opening(np.array(values), zero)
        return commit(CommitmentKey(layout, generators), opening, bound=8).points

    released = Generators(doubled, G1Point())
    assert points(released, [5, -3, 7, 1]) == points(released, [7, -4, 7, 1])
    ours = Generators.derive(bytes(32), 4)
    assert points(ours, [5, -3, 7, 1]) != points(ours, [7, -4, 7, 1])


def test_every_vector_has_blinding_factors_that_give_the_same_commitment():
    """Perfect hiding, shown with generators whose logarithms the test knows."""
    logs, blinding_log = [3, 1234567, 2**200 + 1, 5], 2**100 + 7
    key = CommitmentKey(
        KEY.layout,
        Generators(
            tuple(G1Point() * Scalar(log) for log in logs), G1Point() * Scalar(blinding_log)
        ),
    )
    opening = some_opening()
    committed = commit(key, opening, bound=BOUND)
    other_D = some_opening("another").values_D
    assert not np.array_equal(other_D, opening.values_D)
    difference_KL = key.layout.to_rows(opening.values_D - other_D)
    blindings = [
        blinding
        + pow(blinding_log, -1, ORDER)
        * sum(int(value) * log for value, log in zip(row, logs, strict=True))
        for blinding, row in zip(integers(opening.blindings_K), difference_KL, strict=True)
    ]
    other = Opening(other_D, elements(blindings))
    assert commit(key, other, bound=BOUND) == committed


def test_the_id_is_the_digest_of_all_rows():
    committed = commit(KEY, some_opening(), bound=BOUND)
    assert len(committed.encoded) == ROWS * POINT_BYTES
    again = Commitment.parse(committed.encoded, ROWS, sender=NodeId("peer"))
    assert (again, again.points, again.id) == (committed, committed.points, committed.id)
    swapped = Commitment.of(committed.points[::-1])
    assert swapped.id != committed.id
    with pytest.raises(PeerError) as caught:
        Commitment.parse(committed.encoded[:-POINT_BYTES], ROWS, sender=NodeId("peer"))
    assert caught.value.culprits == ("peer",)


# What the checks reject.


def changed(opening, *, value=None, blinding=None):
    values_D, blindings_K = opening.values_D.copy(), opening.blindings_K.copy()
    if value is not None:
        values_D[value] += 1
    if blinding is not None:
        blindings_K[blinding, 0] ^= 1
    return Opening(values_D, blindings_K)


@pytest.mark.parametrize(
    "change", [{"value": at} for at in range(DIMENSION)] + [{"blinding": at} for at in range(ROWS)]
)
def test_one_unit_more_in_any_place_is_refused(change):
    opening = some_opening(low=-100, high=100)
    points = commit(KEY, opening, bound=BOUND).points
    check(claim("honest", opening, points))
    with pytest.raises(PeerError, match="do not open") as caught:
        check(claim("liar", changed(opening, **change), points))
    assert caught.value.culprits == ("liar",)


def test_an_aggregate_off_by_one_unit_is_refused():
    openings = [some_opening("x" * size) for size in (1, 2, 3)]
    points = add_commitments([commit(KEY, one, bound=BOUND).points for one in openings])
    aggregate = openings[0] + openings[1] + openings[2]
    check(claim("proposer", aggregate, points), bound=3 * BOUND)
    with pytest.raises(PeerError) as caught:
        check(claim("proposer", changed(aggregate, value=3), points), bound=3 * BOUND)
    assert caught.value.culprits == ("proposer",)


def test_noise_that_is_not_the_committed_noise_is_refused():
    update, noise = some_opening("update"), some_opening("noise")
    points = add_commitments([commit(KEY, one, bound=BOUND).points for one in (update, noise)])
    check(claim("contributor", update + noise, points), bound=2 * BOUND)
    with pytest.raises(PeerError):
        check(claim("contributor", update + some_opening("other"), points), bound=2 * BOUND)


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 8)))
def test_exactly_the_wrong_ones_among_many_are_blamed(liars):
    claims = []
    for at in range(9):
        opening = some_opening("x" * (at + 1), high=BOUND - 1)
        points = commit(KEY, opening, bound=BOUND).points
        shown = changed(opening, value=0) if at in liars else opening
        claims.append(claim(f"party-{at}", shown, points))
    if not liars:
        check(*claims)
        return
    with pytest.raises(PeerError) as caught:
        check(*claims)
    assert caught.value.culprits == tuple(f"party-{at}" for at in sorted(liars))


def test_errors_that_cancel_each_other_are_found():
    """Without random weights the sum of these two claims would hold."""
    first, second = some_opening("first", high=10), some_opening("second", high=10)
    points = [commit(KEY, one, bound=BOUND).points for one in (first, second)]
    up, down = first.values_D.copy(), second.values_D.copy()
    up[2] += 1
    down[2] -= 1
    with pytest.raises(PeerError) as caught:
        check(
            claim("up", Opening(up, first.blindings_K), points[0]),
            claim("down", Opening(down, second.blindings_K), points[1]),
        )
    assert caught.value.culprits == ("up", "down")


# x = 0 and y = 2 is a point of the curve, of order 3, that a peer can add to any commitment.
SMALL = G1.read(bytes(48) + (2).to_bytes(48))


@pytest.mark.parametrize("check_by", range(12))
def test_all_judge_alike_of_points_outside_the_group(check_by):
    """Whatever weights a node draws: with one in three of them the part of order 3 would vanish."""
    opening = some_opening(high=BOUND - 1)
    points = commit(KEY, opening, bound=BOUND).points
    with_small = (points[0] + SMALL, points[1])
    encoded = Commitment.of(with_small).encoded
    received = Commitment.parse(encoded, ROWS, sender=NodeId("peer"))
    assert received.id != Commitment.of(points).id
    drawn = bits("judge", check_by)
    check_openings(KEY, [claim("peer", opening, received.points)], bound=BOUND, bits=drawn)
    # Nor does it open to anything else.
    liar = claim("liar", changed(opening, value=0), received.points)
    with pytest.raises(PeerError) as caught:
        check_openings(KEY, [claim("peer", opening, points), liar], bound=BOUND, bits=drawn)
    assert caught.value.culprits == ("liar",)


@pytest.mark.parametrize("size", [0, DIMENSION - 1, DIMENSION + 1])
def test_another_number_of_values_is_refused(size):
    """A tail that is dropped would not be bound."""
    opening = some_opening()
    points = commit(KEY, opening, bound=BOUND).points
    values_D = np.resize(opening.values_D, size)
    with pytest.raises(PeerError, match=f"{size} values for {DIMENSION}"):
        check(claim("peer", Opening(values_D, opening.blindings_K), points))
    with pytest.raises(PeerError, match="blinding factors"):
        check(claim("peer", Opening(opening.values_D, opening.blindings_K[:1]), points))
    with pytest.raises(ValueError, match="1 points"):
        check(claim("peer", opening, points[:1]))


@pytest.mark.parametrize("value", [BOUND + 1, -BOUND - 1, -(2**63), 2**63 - 1])
def test_values_out_of_bounds_are_refused(value):
    opening = some_opening()
    opening.values_D[0] = value
    with pytest.raises(PeerError, match="not within") as caught:
        check(claim("peer", opening, commit(KEY, some_opening(), bound=BOUND).points))
    assert caught.value.culprits == ("peer",)
    with pytest.raises(ValueError, match="not within"):
        commit(KEY, opening, bound=BOUND)


def test_large_batches_are_weighted_in_pieces(monkeypatch):
    monkeypatch.setattr(pedersen, "_MAX_BATCH", 2 * DIMENSION)
    test_exactly_the_wrong_ones_among_many_are_blamed.hypothesis.inner_test({0, 5})


def test_wide_bounds_are_checked_too():
    """Above 2^31 a shifted value takes more than two limbs."""
    bound = 2**60
    opening = Opening.draw(np.full(DIMENSION, -bound), ROWS, bits("wide"))
    points = commit(KEY, opening, bound=bound).points
    check(claim("honest", opening, points), bound=bound)
    with pytest.raises(PeerError):
        check(claim("liar", changed(opening, value=1), points), bound=bound)


# The rest.


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_layout_keeps_every_coordinate(dimension, rows):
    if rows > dimension:
        with pytest.raises(LocalError, match="is not 1 to dimension"):
            Layout(dimension, rows)
        return
    layout = Layout(dimension, rows)
    values_D = np.arange(1, dimension + 1)
    rows_KL = layout.to_rows(values_D)
    assert rows_KL.shape == (rows, layout.columns)
    np.testing.assert_array_equal(layout.to_vector(rows_KL), values_D)
    if rows * layout.columns > dimension:
        rows_KL[-1, -1] = 1
        assert layout.to_vector(rows_KL) is None


def test_a_key_has_one_generator_for_each_column():
    with pytest.raises(LocalError, match="derive 4 generators"):
        CommitmentKey(KEY.layout, Generators.derive(bytes(32), 5))


def test_an_opening_is_not_sent_nor_printed():
    opening = some_opening()
    assert repr(opening) == "<redacted>"
    assert str(int(opening.values_D[0])) not in f"{opening}"
    with pytest.raises(LocalError, match="no wire encoder"):
        wire.encode_array(opening)


def test_negative_values_are_field_elements_of_the_same_commitment():
    values_D = np.array([-1, 0, 1, -BOUND, BOUND, 5, -7])
    opening = Opening.draw(values_D, ROWS, bits("negative"))
    rows = np.concatenate(
        [from_signed(KEY.layout.to_rows(values_D)), opening.blindings_K[:, None]], axis=1
    )
    assert commit_elements(KEY, rows) == commit(KEY, opening, bound=BOUND).points


@given(st.sets(st.integers(0, 30)), st.integers(0, 31))
def test_halving_finds_exactly_the_wrong_ones_in_few_checks(wrong, count):
    wrong = {at for at in wrong if at < count}
    checks = []

    def holds(some):
        assert some
        checks.append(len(some))
        return not wrong & set(some)

    assert wrong_claims(range(count), holds) == sorted(wrong)
    assert len(checks) <= 1 + 10 * len(wrong)
