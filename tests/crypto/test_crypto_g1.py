"""Points and generators: vectors, and everything a peer's bytes must not get away with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, Scalar

from troth.crypto.field import ORDER, elements, from_unsigned
from troth.crypto.g1 import COFACTOR_MULTIPLE, G1, scalars
from troth.crypto.generators import Generators
from troth.crypto.group import sum_points
from troth.errors import PeerError
from troth.ids import NodeId

VECTORS = Path(__file__).parent / "vectors"
HASHES = json.loads((VECTORS / "rfc9380.json").read_text(encoding="utf-8"))
POINTS = json.loads((VECTORS / "g1_points.json").read_text(encoding="utf-8"))
PEER = NodeId("party-1")
X = -0xD201000000010000
"""What BLS12-381 is made from, in draft-irtf-cfrg-pairing-friendly-curves-11, section 4.2.1."""
FIELD = (X - 1) ** 2 * (X**4 - X**2 + 1) // 3 + X
ID = bytes(range(32))


@pytest.mark.parametrize("vector", HASHES["vectors"], ids=lambda vector: vector["message"][:10])
def test_rfc_9380(vector):
    point = G1.hash_to_group(vector["message"].encode(), HASHES["dst"].encode())
    assert G1.encode([point]).hex() == vector["x"] + vector["y"]


@pytest.mark.parametrize("tag", [b"", b"fifteen bytes!!", b"x" * 256])
def test_a_tag_has_a_sound_length(tag):
    with pytest.raises(ValueError, match="tag"):
        G1.hash_to_group(b"message", tag)


def test_good_points_come_back():
    data = bytes.fromhex("".join(POINTS["good"].values()))
    points = G1.parse(data, len(POINTS["good"]), sender=PEER)
    assert G1.encode(points) == data
    assert points[0] == G1Point()
    assert points[1] == -G1Point()


@pytest.mark.parametrize("why", POINTS["bad"])
@pytest.mark.parametrize("infinity", [False, True])
def test_bad_points_are_refused(why, infinity):
    good = bytes.fromhex(POINTS["good"]["generator"])
    data = good + bytes.fromhex(POINTS["bad"][why])
    with pytest.raises(PeerError) as caught:
        G1.parse(data, 2, sender=PEER, infinity=infinity)
    assert caught.value.culprits == (PEER,)


def test_infinity_only_where_allowed():
    data = bytes.fromhex(POINTS["infinity"])
    with pytest.raises(PeerError, match="infinity"):
        G1.parse(data, 1, sender=PEER)
    assert G1.parse(data, 1, sender=PEER, infinity=True) == (G1.identity,)


# Points outside G1. Of the parts of small order nothing may depend.


def times(point, factor):
    """By doubling and adding: right for points of any order, whatever the library does."""
    result = G1Point.identity()
    for bit in f"{factor:b}":
        result += result
        if bit == "1":
            result += point
    return result


def points_of_the_curve(count):
    """With the smallest x above 0; none of them is in G1."""
    found = []
    for x in range(1, 4 * count):
        square = (x**3 + 4) % FIELD
        y = pow(square, (FIELD + 1) // 4, FIELD)
        if y * y % FIELD == square:
            found.append(G1.read(x.to_bytes(48) + y.to_bytes(48)))
    assert len(found) >= count
    return found[:count]


@pytest.mark.parametrize("order", POINTS["small order"])
def test_parts_of_small_order_change_no_point(order):
    (small,) = G1.parse(bytes.fromhex(POINTS["small order"][order]), 1, sender=PEER)
    assert not small.is_in_subgroup()
    assert times(small, int(order)) == G1.identity
    point = G1Point() * Scalar(77)
    assert G1.equal(point, point + small)
    assert G1.equal(point + small, point - small)
    assert G1.equal(small, G1.identity)
    for factor in (1, 2, int(order) - 1, ORDER - 1):
        assert G1.equal(G1.times(point + small, factor), G1.times(point, factor))
        assert G1.equal(G1.msm([point, small], elements([factor, 2**200])), times(point, factor))
        assert not G1.equal(point + times(small, factor), G1.times(point, 2) + small)


def test_there_are_no_other_parts():
    """r takes every point of the curve to T, and h_eff takes T to zero: so says RFC 9380, 8.8.1."""
    for point in points_of_the_curve(30):
        small = times(point, ORDER)
        assert small != G1.identity
        assert times(small, COFACTOR_MULTIPLE) == G1.identity
        assert G1.equal(small, G1.identity)
        cleared = times(point, COFACTOR_MULTIPLE)
        assert cleared != G1.identity
        assert cleared.is_in_subgroup()
    # One to one on G1, because r is a prime that does not divide it.
    assert pow(COFACTOR_MULTIPLE, -1, ORDER) > 1


def test_the_library_multiplies_points_outside_g1_by_whole_numbers():
    for at, point in enumerate(points_of_the_curve(10)):
        factor = ORDER - 2**at
        assert G1.times(point, factor) == times(point, factor)
        assert G1.msm([point], elements([factor])) == times(point, factor)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 2**128)), min_size=1, max_size=6))
def test_msm_is_the_sum_of_products(pairs):
    points = [G1Point() * Scalar(place) for place, _ in pairs]
    factors = [factor for _, factor in pairs]
    expected = sum_points(
        [point * Scalar(factor) for point, factor in zip(points, factors, strict=True)]
    )
    assert G1.msm(points, elements(factors)) == expected


def test_short_elements_are_scalars_too():
    values = [0, 1, 2**16, 2**31 - 1]
    short = from_unsigned(np.array(values, dtype=np.int64))[..., :2]
    assert [int(scalar) for scalar in scalars(short)] == values


def test_generators_follow_from_the_genesis_and_nothing_else():
    generators = Generators.derive(ID, 5)
    assert generators.coordinates_L == Generators.derive(ID, 7).coordinates_L[:5]
    assert generators.blinding == Generators.derive(ID, 7).blinding
    assert generators.digest() == Generators.derive(ID, 5).digest()
    assert generators.digest() != Generators.derive(bytes(32), 5).digest()
    assert generators.sum == sum_points(generators.coordinates_L)
    with pytest.raises(ValueError, match="32 bytes"):
        Generators.derive(b"short", 5)
    with pytest.raises(ValueError, match="0 generators"):
        Generators.derive(ID, 0)


def test_generators_are_hashes_of_their_names():
    tag = b"TROTH-PEDERSEN-V01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_-" + ID.hex().encode()
    generators = Generators.derive(ID, 2)
    assert generators.coordinates_L[1] == G1Point.hash_to_curve(b"G\0\0\0\2", tag)
    assert generators.blinding == G1Point.hash_to_curve(b"H", tag)


def test_no_generator_is_twice_another_nor_stands_in_for_it():
    """Biscotti's released key has G_i = 2^i G: every next generator is the last one doubled."""
    generators = Generators.derive(ID, 8)
    points = [*generators.coordinates_L, generators.blinding]
    assert len({G1.encode([point]) for point in points}) == len(points)
    for point in points:
        multiples = {G1.encode([point * Scalar(k)]) for k in range(2, 200)}
        assert not multiples & {G1.encode([other]) for other in points}
        assert G1.encode([-point]) not in {G1.encode([other]) for other in points}
