"""What holds in every group that commitments can be in; that they bind is tested of G1 only."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth import streams
from troth.crypto.commitments import (
    Commitment,
    CommitmentKey,
    Opening,
    OpeningClaim,
    add_commitments,
    check_openings,
    commit,
    commit_elements,
    commit_many,
)
from troth.crypto.field import ORDER, elements, from_signed, from_unsigned
from troth.crypto.g1 import G1
from troth.crypto.generators import Generators
from troth.crypto.group import POINT_BYTES, sum_points
from troth.crypto.modelled_group import MODELLED, ModelledPoint
from troth.crypto.noise_rows import GaussianRows
from troth.crypto.noise_table import NoiseSecret, NoiseTable, TableShape, check_seeds
from troth.crypto.sharing import (
    ShareClaim,
    SharingScheme,
    check_shares,
    deal,
    parse_share,
    recover,
    sum_shares,
)
from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.privacy.noise import SimulatedSecret

GROUPS = [G1, MODELLED]
TAG = b"a tag that is long enough"
PEER = NodeId("peer")
BOUND = 2**12
SCHEME = SharingScheme(aggregators=4, tolerated=1, quorum=3, points=2)
LAYOUT = SCHEME.layout(11)
NAMES = [NodeId(f"party-{at}") for at in range(4)]
KEYS = {
    group.name: CommitmentKey(LAYOUT, Generators.derive(bytes(32), LAYOUT.columns, group=group))
    for group in GROUPS
}

all_groups = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)


def bits(*names):
    return SimulatedSecret(streams.secret(5).child(*names)).bits()


@all_groups
@given(factor=st.integers(0, ORDER - 1) | st.sampled_from([0, 1, 255, 256, 2**248, ORDER - 1]))
def test_a_multiplier_of_one_point_gives_what_times_gives(group, factor):
    blinding = KEYS[group.name].generators.blinding
    assert KEYS[group.name].generators.blind(factor) == group.times(blinding, factor)


def some_points(group, count):
    return tuple(group.hash_to_group(b"%d" % at, TAG) for at in range(count))


def opening_of(name):
    drawn = bits(name).words(LAYOUT.dimension) % np.uint64(2 * BOUND)
    return Opening.draw(drawn.astype(np.int64) - BOUND, LAYOUT.rows, bits(name, "b"))


def one_more(opening):
    values_D = opening.values_D.copy()
    values_D[3] += 1
    return Opening(values_D, opening.blindings_K)


def claim(author, opening, points):
    return OpeningClaim(author, opening.values_D, opening.blindings_K, points)


# The group.


@all_groups
@given(first=st.integers(0, ORDER - 1), second=st.integers(0, ORDER - 1))
def test_multiples_add_and_subtract_modulo_r(group, first, second):
    (point,) = some_points(group, 1)
    left, right = group.times(point, first), group.times(point, second)
    assert left + right == group.times(point, (first + second) % ORDER)
    assert left - right == group.times(point, (first - second) % ORDER)
    assert left - left == group.times(point, 0) == group.identity
    assert group.equal(left, right) == (first == second)


@all_groups
@given(factors=st.lists(st.integers(0, ORDER - 1), min_size=1, max_size=5))
def test_msm_is_the_sum_of_products(group, factors):
    points = some_points(group, len(factors))
    expected = sum_points([group.times(p, f) for p, f in zip(points, factors, strict=True)])
    assert group.msm(points, elements(factors)) == expected
    rows = np.stack([elements(factors), elements(factors[::-1])])
    both = group.msm_rows(points, rows)
    assert both == (expected, group.msm(points, elements(factors[::-1])))


@all_groups
@pytest.mark.parametrize("bound", [0, 1, 1000, 2**20, 2**31, 2**40, 2**61])
def test_a_combiner_takes_signed_factors(group, bound):
    points = some_points(group, 3)
    factors = np.array([[bound, -bound, 0], [0, 0, 0], [bound // 2, -(bound // 3), bound]])
    combine = group.combiner(points)
    expected = group.msm_rows(points, from_signed(factors))
    assert combine(factors, bound) == expected
    # Often enough to find another way to do it.
    assert combine(np.tile(factors, (400, 1)), bound) == 400 * expected


@all_groups
def test_msm_takes_short_factors(group):
    points = some_points(group, 3)
    short = from_unsigned(np.array([7, 2**31, 0]))[:, :2]
    assert group.msm(points, short) == group.msm(points, elements([7, 2**31, 0]))


@all_groups
@pytest.mark.parametrize(("points", "factors"), [(3, 2), (2, 3), (0, 1), (1, 0)])
def test_msm_drops_no_tail(group, points, factors):
    with pytest.raises(ValueError, match="points and"):
        group.msm(some_points(group, points), elements([1] * factors))


@all_groups
def test_points_come_back(group):
    points = some_points(group, 4)
    data = group.encode(points)
    assert len(data) == 4 * POINT_BYTES
    assert group.parse(data, 4, sender=PEER) == points
    assert len({group.encode([point]) for point in points}) == 4


@all_groups
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: b"\xff" * len(data),
        lambda data: data[:POINT_BYTES] + b"\x01" * POINT_BYTES,
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: bytes(len(data)),
    ],
)
def test_what_is_no_point_is_refused(group, change):
    data = change(group.encode(some_points(group, 2)))
    with pytest.raises(PeerError) as caught:
        group.parse(data, 2, sender=PEER)
    assert caught.value.culprits == (PEER,)


@all_groups
def test_the_identity_only_where_allowed(group):
    data = group.encode([group.identity])
    with pytest.raises(PeerError, match="infinity"):
        group.parse(data, 1, sender=PEER)
    assert group.parse(data, 1, sender=PEER, infinity=True) == (group.identity,)


@all_groups
def test_hashes_depend_on_message_and_tag(group):
    hashes = [
        group.hash_to_group(b"m", TAG),
        group.hash_to_group(b"n", TAG),
        group.hash_to_group(b"m", TAG + b"m"),
        group.hash_to_group(b"mm", TAG),
    ]
    assert len({group.encode([point]) for point in hashes}) == 4
    assert group.hash_to_group(b"m", TAG) == hashes[0]


# Commitments, shares and noise.


@all_groups
def test_a_commitment_is_what_its_formula_says(group):
    key, opening = KEYS[group.name], opening_of("a")
    assert key.group is group
    rows = from_signed(LAYOUT.to_rows(opening.values_D))
    rows = np.concatenate([rows, opening.blindings_K[:, None]], axis=1)
    committed = commit(key, opening, bound=BOUND)
    assert committed.points == commit_elements(key, rows)
    received = Commitment.parse(committed.encoded, LAYOUT.rows, sender=PEER, group=group)
    assert (received.points, received.id) == (committed.points, committed.id)
    assert Commitment.of(committed.points, group=group) == committed


@all_groups
def test_many_are_committed_to_at_once(group):
    key, openings = KEYS[group.name], [opening_of(name) for name in NAMES]
    assert commit_many(key, openings, bound=BOUND) == [
        commit(key, opening, bound=BOUND) for opening in openings
    ]
    assert commit_many(key, [], bound=BOUND) == []
    openings[2].values_D[1] = BOUND + 1
    with pytest.raises(ValueError, match="not within"):
        commit_many(key, openings, bound=BOUND)


@all_groups
def test_wrong_openings_are_blamed_on_their_authors(group):
    key = KEYS[group.name]
    openings = [opening_of(name) for name in NAMES]
    points = [commit(key, opening, bound=BOUND).points for opening in openings]
    honest = [claim(*each) for each in zip(NAMES, openings, points, strict=True)]
    check_openings(key, honest, bound=BOUND, bits=bits("check"))
    aggregate = sum(openings[1:], start=openings[0])
    proposed = claim(PEER, aggregate, add_commitments(points))
    check_openings(key, [proposed], bound=4 * BOUND, bits=bits("check"))
    for liar in (1, 3):
        claims = list(honest)
        claims[liar] = claim(NAMES[liar], one_more(openings[liar]), points[liar])
        with pytest.raises(PeerError) as caught:
            check_openings(key, claims, bound=2 * BOUND, bits=bits("check"))
        assert caught.value.culprits == (NAMES[liar],)


@all_groups
def test_shares_are_checked_and_recovered(group):
    key = KEYS[group.name]
    openings = [opening_of(name) for name in NAMES]
    dealings = [deal(SCHEME, LAYOUT, opening, bits("deal")) for opening in openings]
    points = [
        (*commit(key, opening, bound=BOUND).points, *dealing.random_commitments(key))
        for opening, dealing in zip(openings, dealings, strict=True)
    ]
    sums = {}
    for j in range(SCHEME.aggregators):
        shares = [
            parse_share(dealing.shares()[j], SCHEME, LAYOUT, sender=PEER) for dealing in dealings
        ]
        claims = [
            ShareClaim(name, SCHEME.points_of(j), share, under)
            for name, share, under in zip(NAMES, shares, points, strict=True)
        ]
        check_shares(key, claims, bits("check"))
        sums[j] = sum_shares(shares)
        wrong = shares[2].copy()
        wrong[1, 0, 0] ^= 1
        claims[2] = ShareClaim(NAMES[2], SCHEME.points_of(j), wrong, points[2])
        with pytest.raises(PeerError) as caught:
            check_shares(key, claims, bits("check"))
        assert caught.value.culprits == (NAMES[2],)
    recovered = recover(SCHEME, LAYOUT, sums, bound=4 * BOUND)
    data_points = add_commitments([each[: LAYOUT.rows] for each in points])
    check_openings(key, [claim(PEER, recovered, data_points)], bound=4 * BOUND, bits=bits("check"))


@all_groups
def test_noise_is_committed_to_and_masks(group):
    key = KEYS[group.name]
    noise = GaussianRows(key, sigma=100, bound=BOUND)
    shape, secret, place = TableShape(rounds=1, slots=2), NoiseSecret(b"s" * 32), (Round(1), 1)
    slots = [secret.seeds(Round(1), slot) for slot in (0, 1)]
    assert noise.encoded(slots) == b"".join(row for seeds in slots for row in noise.rows(seeds))
    table = NoiseTable(NAMES[0], shape, [noise.rows(secret.seeds(Round(1), s)) for s in (0, 1)])
    where = {"owner": NAMES[0], "round": place[0], "slot": place[1], "path": table.path(*place)}
    rows = check_seeds(noise, table.root, shape, seeds=secret.seeds(*place), **where)
    with pytest.raises(PeerError) as caught:
        check_seeds(noise, table.root, shape, seeds=secret.seeds(Round(1), 0), **where)
    assert caught.value.culprits == (NAMES[0],)
    update = opening_of("update")
    masked = update + noise.opening(secret.seeds(*place))
    committed = Commitment.parse(b"".join(rows), LAYOUT.rows, sender=NAMES[0], group=group)
    points = add_commitments([commit(key, update, bound=BOUND).points, committed.points])
    check = {"bound": 2 * BOUND + 1, "bits": bits("check")}
    check_openings(key, [claim(PEER, masked, points)], **check)
    with pytest.raises(PeerError):
        check_openings(key, [claim(PEER, one_more(masked), points)], **check)


# The stand-in.


def test_only_g1_binds_and_is_taken_unless_another_is_asked_for():
    assert (G1.binding, MODELLED.binding) == (True, False)
    assert Generators.derive(bytes(32), 2).group is G1


def test_the_stand_in_does_not_bind():
    """As its documentation says: whoever divides modulo r opens a commitment to anything."""
    key, opening = KEYS["modelled"], opening_of("a")
    points = commit(key, opening, bound=BOUND).points
    other = opening_of("b")
    h = key.generators.blinding.value
    gaps_K = [
        point.value - wrong.value
        for point, wrong in zip(points, commit(key, other, bound=BOUND).points, strict=True)
    ]
    moved = elements([gap * pow(h, -1, ORDER) for gap in gaps_K])
    forged = other + Opening(np.zeros(LAYOUT.dimension, dtype=np.int64), moved)
    check_openings(key, [claim(PEER, forged, points)], bound=BOUND, bits=bits("check"))


@pytest.mark.parametrize("number", [ORDER, ORDER + 1, 2**256, 2**256 + 1])
def test_a_modelled_point_is_written_in_one_way(number):
    below = (number % ORDER % 2**256).to_bytes(POINT_BYTES, "little")
    assert MODELLED.encode([MODELLED.read(below)]) == below
    with pytest.raises(PeerError):
        MODELLED.parse(number.to_bytes(POINT_BYTES, "little"), 1, sender=PEER, infinity=True)


def test_points_of_two_groups_do_not_mix():
    (real,), (modelled,) = some_points(G1, 1), some_points(MODELLED, 1)
    for sum_of in (lambda: real + modelled, lambda: modelled + real):
        with pytest.raises((TypeError, AttributeError)):
            sum_of()
    assert G1.encode([real]) != MODELLED.encode([modelled])


def test_modelled_points_can_be_sent_between_processes():
    points = some_points(MODELLED, 2)
    assert pickle.loads(pickle.dumps(points)) == points


@pytest.mark.parametrize("bound", [2**35 - 1, 2**35])
def test_large_modelled_sums_are_exact(bound):
    """Up to 2^53 in float64, and another way from there."""
    points = tuple(ModelledPoint(2**240 - 1 - at) for at in range(4))
    factors = np.array([[bound] * 4, [-bound] * 4, [bound, -bound, bound - 1, 1 - bound]])
    expected = MODELLED.msm_rows(points, from_signed(factors))
    assert MODELLED.combiner(points)(factors, bound) == expected


def test_more_modelled_points_than_one_product_takes(monkeypatch):
    monkeypatch.setattr("troth.crypto.modelled_group.MAX_TERMS", 2)
    points = tuple(ModelledPoint(value) for value in (3, 5, 7, 11, 13))
    factors = elements([1, 10, 100, 1000, ORDER - 1])
    assert MODELLED.msm(points, factors) == ModelledPoint(3 + 50 + 700 + 11_000 - 13)
