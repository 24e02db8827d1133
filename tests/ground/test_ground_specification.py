"""Tables of charters and scenarios: closed, frozen, bounded."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from troth.specification import (
    Count,
    Fraction,
    Index,
    NonNegative,
    Positive,
    Probability,
    Reference,
    Table,
)


class Sample(Table, frozen=True, kw_only=True):
    positive: Positive = 1.0
    non_negative: NonNegative = 0.0
    probability: Probability = 0.5
    fraction: Fraction = 0.5
    count: Count = 1
    index: Index = 0
    reference: Reference = "module:callable"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("positive", 5e-324),
        ("non_negative", 0.0),
        ("probability", 0),
        ("probability", 1),
        ("fraction", 1.0),
        ("count", 1),
        ("count", 10_000_000),
        ("index", 0),
        ("index", 10_000_000),
        ("reference", "package.module:Class.method"),
    ],
)
def test_values_on_the_bound_are_taken(key: str, value: Any) -> None:
    assert getattr(msgspec.convert({key: value}, Sample), key) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("positive", 0.0),
        ("positive", -1.0),
        ("positive", math.nan),
        ("positive", "1"),
        ("positive", True),
        ("non_negative", -5e-324),
        ("non_negative", math.nan),
        ("probability", 1.0000001),
        ("probability", -0.1),
        ("probability", math.nan),
        ("fraction", 0.0),
        ("fraction", 1.5),
        ("count", 0),
        ("count", 10_000_001),
        ("count", 1.5),
        ("count", True),
        ("index", -1),
        ("reference", "module"),
        ("reference", "module:"),
        ("reference", ":callable"),
        ("reference", "module:call()"),
        ("reference", "a:b:c"),
        ("reference", "../module:callable"),
        ("unknown", 1),
    ],
)
def test_values_off_the_bound_are_refused(key: str, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert({key: value}, Sample)


def test_tables_are_frozen() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(Sample(), "count", 2)  # noqa: B010  # mypy knows that it cannot work otherwise


def test_a_table_without_rules_checks_out() -> None:
    table = Sample()
    table.check()
    assert table == Sample()
