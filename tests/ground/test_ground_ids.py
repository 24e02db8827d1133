"""Names of parties sort as the parties do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from troth.ids import party_id


@given(st.integers(1, 3000))
def test_names_are_distinct_and_in_party_order(count: int) -> None:
    names = [party_id(index, count) for index in range(count)]
    assert names == sorted(set(names))
    assert len({len(name) for name in names}) == 1


def test_the_width_is_that_of_the_last_index() -> None:
    assert [party_id(0, 1), party_id(9, 10), party_id(9, 11), party_id(7, 1000)] == [
        "party-0",
        "party-9",
        "party-09",
        "party-007",
    ]
