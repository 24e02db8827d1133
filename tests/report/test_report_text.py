"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.report.text import counted, duration, number, percent, ranges, shortened, size


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0812, "8.12 %"), (0.0, "0.00 %"), (1.0, "100.00 %"), (None, "–"), (math.nan, "not finite")],
)
def test_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.287134, "0.2871"), (12345678.0, "1.235e+07"), (None, "–"), (math.inf, "not finite")],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (31_430, "31.4 kB"),
        (999_900, "1,000 kB"),
        (629_300_000, "629 MB"),
        (1_500_000_000_000_000, "1,500 TB"),
    ],
)
def test_size(value: int, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00 s"),
        (0.424, "0.42 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min 00 s"),
        (200.4, "3 min 20 s"),
        (3599.9, "1 h 00 min"),
        (7_500, "2 h 05 min"),
        (math.nan, "not finite"),
    ],
)
def test_duration(value: float, text: str) -> None:
    assert duration(value) == text


def test_counted_takes_the_plural_where_it_belongs() -> None:
    assert counted(1, "party") == "1 party"
    assert counted(1200, "party") == "1,200 parties"
    assert counted(0, "round") == "0 rounds"


def test_ranges_join_neighbours_and_say_what_they_leave_out() -> None:
    assert ranges([]) == ""
    assert ranges([7, 1, 2, 3, 3, 9, 10]) == "1–3, 7, 9–10"
    assert ranges(range(1, 100, 2), limit=3) == "1, 3, 5, and 47 more"


@given(st.sets(st.integers(1, 60)))
def test_ranges_name_exactly_the_rounds(rounds: set[int]) -> None:
    named: set[int] = set()
    for part in filter(None, ranges(rounds, limit=100).split(", ")):
        first, _, last = part.partition("–")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == rounds


def test_shortened_keeps_the_limit() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
