"""docs/scenario.md has every key, with the default and the meaning that the code gives it."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from scenario_reference import PAGE, page, render

from troth.charter.scenario import Scenario
from troth.learning.training import Training
from troth.specification import Table


def test_the_page_is_what_the_tables_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run: python tests/docs/scenario_reference.py"


def _tables(annotation: object) -> set[type[Table]]:
    """The tables that a scenario may hold, by its annotations."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        fields = msgspec.structs.fields(annotation)
        return {annotation}.union(*(_tables(field.type) for field in fields))
    return set().union(*(_tables(inner) for inner in get_args(annotation)))


TABLES = sorted(_tables(Scenario), key=lambda table: table.__name__)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_no_key_is_left_out(table: type[Table]) -> None:
    names = {field.name for field in msgspec.structs.fields(table)}
    if table is Scenario:
        names.remove("charter")  # Its keys stand in its place.
    text = render()
    assert (
        sorted(name for name in names if f"`{name}`" not in text and f"{name}]" not in text) == []
    )


@pytest.mark.parametrize(
    "row",
    [
        '| `batch_size` | whole number from 1 or `"all"` | `32` |',
        "| `learning_rate` | number above 0 | must be given |",
        "| `latency` | number from 0 or table | `0.0` |",
        "| `scale` (scaled) | number above 0 | `10.0` |",
        '| `"multi_krum"` | `byzantine`, `pre`, `bucket_size`, `selected` |',
    ],
)
def test_rows_say_what_a_reader_needs(row: str) -> None:
    assert row in render()
    assert Training(rounds=1, learning_rate=0.1).batch_size == 32
