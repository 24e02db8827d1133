"""Sums from a table of multiples: the same points as without, and a table only where it pays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.crypto import multiples
from troth.crypto.field import from_signed
from troth.crypto.g1 import G1
from troth.crypto.group import Group
from troth.crypto.multiples import (
    LONGEST_ROW,
    MAX_MULTIPLES,
    MultiplesTable,
    RepeatedSums,
    half_of_base,
)

POINTS = tuple(G1.hash_to_group(b"%d" % at, b"a tag that is long enough") for at in range(3))
NOISE_BOUND = 12 * 80_660
BOUNDS = (1, 2, 24, 25, 4_000, NOISE_BOUND, 2**23)
TABLES = {
    bound: MultiplesTable(G1, POINTS, bound, half)
    for bound in BOUNDS
    if (half := half_of_base(bound, len(POINTS)))
}
BOUND = 100
ROWS = 11
"""m for this bound."""

without_table = pytest.mark.usefixtures("no_table")


@pytest.fixture
def no_table(monkeypatch):
    monkeypatch.setattr(multiples, "_kept", None)


class Library:
    """The library's sums, and how many rows were asked of it."""

    def __init__(self, points=POINTS):
        self._plain = Group.combiner(G1, points)
        self.rows = 0

    def __call__(self, factors_RL, bound):
        self.rows += len(factors_RL)
        return self._plain(factors_RL, bound)


def factors(rows, bound=BOUND):
    drawn = np.random.Generator(np.random.Philox(rows)).integers(-bound, bound, (rows, len(POINTS)))
    drawn[0, :2] = bound, -bound
    return drawn


def expected(factors_RL):
    return G1.msm_rows(POINTS, from_signed(factors_RL))


@st.composite
def bounded_rows(draw):
    """A bound and rows of factors: any, the ends, and what lies around a carry."""
    bound = draw(st.sampled_from(sorted(TABLES)))
    half = half_of_base(bound, len(POINTS))
    base = 2 * half + 1
    carries = [half, half + 1, base, half * (base + 1), half * (base + 1) + 1, base**2]
    edges = [sign * edge for edge in [0, 1, bound, *carries] if edge <= bound for sign in (1, -1)]
    one = st.sampled_from(edges) | st.integers(-bound, bound)
    rows = draw(st.lists(st.tuples(one, one, one), min_size=1, max_size=4))
    return bound, np.array(rows, dtype=np.int64)


@given(bounded_rows())
def test_a_table_gives_what_multiplication_gives(case):
    bound, factors_RL = case
    assert TABLES[bound].sums(factors_RL) == expected(factors_RL)


@pytest.mark.parametrize("half", [4, 5, 12])
def test_a_table_that_is_small_for_its_bound_reaches_it(half):
    """Where memory is short, more factors have a third digit."""
    factors_RL = np.arange(-324, 324).reshape(-1, len(POINTS))
    table = MultiplesTable(G1, POINTS, 324, half)
    assert table.sums(factors_RL) == expected(factors_RL)


@pytest.mark.parametrize(("name", "value"), [("_CHUNK", 2 * len(POINTS)), ("_FETCHED", 2)])
def test_rows_are_taken_a_few_at_a_time(monkeypatch, name, value):
    monkeypatch.setattr(multiples, name, value)
    factors_RL = factors(5)
    assert MultiplesTable(G1, POINTS, BOUND, 5).sums(factors_RL) == expected(factors_RL)


@pytest.mark.parametrize("factor", [BOUND + 1, -BOUND - 1, 10**4, -(2**63)])
def test_no_factor_above_the_bound_is_cut(factor):
    with pytest.raises(AssertionError, match="above the bound"):
        MultiplesTable(G1, POINTS, BOUND, 5).sums(np.array([[0, factor, 0]]))


@without_table
def test_a_table_is_made_after_as_many_rows_as_it_costs():
    library = Library()
    sums = RepeatedSums(G1, POINTS, library)
    for rows in (1, ROWS - 3, 1):
        assert sums(factors(rows), BOUND) == expected(factors(rows))
    assert library.rows == ROWS - 1
    for rows in (1, 7):
        assert sums(factors(rows), BOUND) == expected(factors(rows))
    assert library.rows == ROWS - 1


@without_table
def test_a_table_is_for_the_largest_bound_that_was_asked_for():
    library = Library()
    sums = RepeatedSums(G1, POINTS, library)
    sums(factors(5), BOUND)
    sums(factors(7, 10), 10)
    assert library.rows == 5
    assert sums(factors(4), BOUND) == expected(factors(4))
    assert library.rows == 5
    # What it does not reach is summed without, until that has cost as much as another table.
    sums(factors(20, 500), 500)
    assert library.rows == 25
    sums(factors(3, 500), 500)
    assert sums(factors(3, 500), 500) == expected(factors(3, 500))
    assert library.rows == 25


@without_table
def test_a_process_keeps_one_table():
    first, second = RepeatedSums(G1, POINTS, Library()), RepeatedSums(G1, POINTS, Library())
    first(factors(ROWS), BOUND)
    owner, table = multiples._kept
    assert owner is first
    first(factors(1), BOUND)
    assert multiples._kept[1] is table
    second(factors(ROWS), BOUND)
    assert multiples._kept[0] is second
    assert first(factors(ROWS - 1), BOUND) == expected(factors(ROWS - 1))
    assert multiples._kept[0] is second


@without_table
@pytest.mark.parametrize(
    ("name", "value"), [("LONGEST_ROW", len(POINTS) - 1), ("MAX_MULTIPLES", 30)]
)
def test_long_rows_and_large_bounds_are_left_to_the_library(monkeypatch, name, value):
    monkeypatch.setattr(multiples, name, value)
    library = Library()
    sums = RepeatedSums(G1, POINTS, library)
    assert sums(factors(100, 10**4), 10**4) == expected(factors(100, 10**4))
    assert library.rows == 100
    assert multiples._kept is None


@without_table
def test_other_threads_use_the_library():
    library = Library()
    sums = RepeatedSums(G1, POINTS, library)
    sums(factors(ROWS), BOUND)
    assert library.rows == 0
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(sums, factors(ROWS), BOUND).result() == expected(factors(ROWS))
    assert library.rows == ROWS


@given(bound=st.integers(0, 2**40), points=st.integers(1, 2 * LONGEST_ROW))
def test_a_table_is_bounded_and_pays(bound, points):
    half = half_of_base(bound, points)
    if half is None:
        return
    base = 2 * half + 1
    third = (bound + base**2 // 2) // base**2
    assert points <= LONGEST_ROW
    assert points * (2 * half + third) <= MAX_MULTIPLES
    assert third <= 4
    assert half <= (isqrt(bound) + 1) // 2


def test_which_tables_pay():
    """MNIST with a softmax model has rows of 982, and a million parameters rows of 16,384."""
    assert half_of_base(NOISE_BOUND, 982) == 492
    assert half_of_base(2**23, 982) is not None
    assert half_of_base(2**24, 982) is None
    assert half_of_base(NOISE_BOUND, LONGEST_ROW) is not None
    assert half_of_base(NOISE_BOUND, LONGEST_ROW + 1) is None
    assert half_of_base(1_000, 16_384) is None
    assert half_of_base(0, 1) is None
