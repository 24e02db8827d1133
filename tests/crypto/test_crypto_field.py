"""Limb arithmetic modulo r against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import Scalar

from troth import streams
from troth.crypto import field
from troth.crypto.field import ORDER
from troth.errors import PeerError
from troth.ids import NodeId
from troth.privacy.noise import SimulatedSecret, secret_generator

PEER = NodeId("party-1")
EDGES = [0, 1, ORDER - 1, ORDER // 2, 2**128 - 1, 2**240 - 1, ORDER - 2**200]
VALUES = st.one_of(st.sampled_from(EDGES), st.integers(0, ORDER - 1), st.integers(0, 2**20))
INT64S = st.integers(-(2**60), 2**60)


def bits(name="a"):
    return SimulatedSecret(streams.secret(7).child(name)).bits()


def test_the_order_is_the_groups():
    assert int(-Scalar(1)) == ORDER - 1


@st.composite
def products(draw):
    rows, terms, columns = (draw(st.integers(1, 5)) for _ in range(3))
    left = [[draw(VALUES) for _ in range(terms)] for _ in range(rows)]
    right = [[draw(VALUES) for _ in range(columns)] for _ in range(terms)]
    return left, right


@given(products())
def test_matmul_agrees_with_integers(factors):
    left, right = factors
    terms, columns = len(right), len(right[0])
    array = field.elements([value for row in right for value in row])
    product = field.matmul(left, array.reshape(terms, columns, 16))
    assert field.integers(product) == [
        sum(row[i] * right[i][j] for i in range(terms)) % ORDER
        for row in left
        for j in range(columns)
    ]


@pytest.mark.parametrize("limbs", [1, 2, 4, 16])
def test_the_largest_values_of_many_terms_do_not_overflow(limbs):
    terms = 5000
    largest = min(2 ** (16 * limbs), ORDER) - 1
    row = np.broadcast_to(field.elements([largest])[:, None, :limbs], (terms, 3, limbs))
    product = field.matmul([[ORDER - 1] * terms], row)
    assert field.integers(product) == [terms * (ORDER - 1) * largest % ORDER] * 3


def test_wide_matrices_are_multiplied_in_pieces(monkeypatch):
    values = field.random_elements(bits(), 5 * 40).reshape(5, 40, 16)
    factors = [[3, 1, ORDER - 2, 0, 5], [1, 1, 1, 1, 1]]
    whole = field.matmul(factors, values)
    monkeypatch.setattr(field, "_MAX_CHUNK", 2000)
    np.testing.assert_array_equal(field.matmul(factors, values), whole)


def test_long_sums_and_conversions_are_made_in_pieces(monkeypatch):
    values = np.arange(-60, 60)
    whole = field.from_signed(values)
    doubled = field.total([whole, whole])
    monkeypatch.setattr(field, "_MAX_CHUNK", 16 * 7)
    np.testing.assert_array_equal(field.from_signed(values), whole)
    np.testing.assert_array_equal(field.total([whole, whole]), doubled)
    np.testing.assert_array_equal(field.to_signed(doubled, 120), 2 * values)


@given(st.lists(st.lists(VALUES, min_size=3, max_size=3), min_size=1, max_size=40))
def test_total_agrees_with_integers(terms):
    summed = field.total([field.elements(term) for term in terms])
    assert field.integers(summed) == [sum(column) % ORDER for column in zip(*terms, strict=True)]


@given(st.lists(INT64S, min_size=1, max_size=30))
def test_signed_integers_come_back(values):
    array = np.array(values, dtype=np.int64)
    as_elements = field.from_signed(array)
    assert field.integers(as_elements) == [value % ORDER for value in values]
    np.testing.assert_array_equal(field.to_signed(as_elements, 2**61), array)
    bound = max(abs(value) for value in values)
    np.testing.assert_array_equal(field.to_signed(as_elements, bound), array)
    if bound:
        assert field.to_signed(as_elements, bound - 1) is None


@pytest.mark.parametrize("value", [2**63, 2**64, 2**200, ORDER // 2, ORDER - 2**62])
def test_what_is_no_small_integer_is_not_read_as_one(value):
    assert field.to_signed(field.elements([5, value]), 2**61) is None


@given(st.lists(VALUES, max_size=10))
def test_decode_after_encode(values):
    data = field.encode_elements(field.elements(values))
    assert len(data) == 32 * len(values)
    parsed = field.parse_elements(data, len(values), sender=PEER)
    assert field.integers(parsed) == values


@pytest.mark.parametrize("value", [ORDER, ORDER + 1, 2**255, 2**256 - 1])
def test_values_of_r_and_more_are_refused(value):
    data = field.encode_elements(field.elements([1])) + value.to_bytes(32, "little")
    with pytest.raises(PeerError, match="not below r") as caught:
        field.parse_elements(data, 2, sender=PEER)
    assert caught.value.culprits == (PEER,)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_other_lengths_are_refused(size):
    with pytest.raises(PeerError, match="bytes for 1 field elements"):
        field.parse_elements(bytes(size), 1, sender=PEER)


def test_random_elements_come_of_the_operating_systems_bits_too():
    """These are read-only, as those of a simulation are not."""
    one, other = (field.random_elements(secret_generator(), 40) for _ in range(2))
    assert one.shape == (40, 16)
    assert (one != other).any(axis=1).all()


def test_random_elements_are_below_r_and_uniform():
    count = 4000
    values = field.integers(field.random_elements(bits(), count))
    assert max(values) < ORDER
    assert len(set(values)) == count
    # Ten equal parts of [0, r), chi-squared with 9 degrees of freedom: 27.9 at 0.001.
    tallied = np.bincount([value * 10 // ORDER for value in values], minlength=10)
    assert float(((tallied - count / 10) ** 2 / (count / 10)).sum()) < 27.9
    assert values != field.integers(field.random_elements(bits("b"), count))


@settings(max_examples=20)
@given(st.integers(1, 50))
def test_weights_have_128_bits(count):
    weights = field.random_weights(bits(), count)
    assert len(set(weights)) == count
    assert all(0 <= weight < 2**128 for weight in weights)
    assert max(weights) >= 2**120


def test_a_ragged_product_is_refused():
    with pytest.raises(ValueError, match="factors"):
        field.matmul([[1, 2], [3]], field.elements([1, 2]).reshape(2, 1, 16))
