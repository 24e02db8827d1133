"""The tables of an experiment, the same for the terminal and for the page."""

from __future__ import annotations

from troth.report.rows import Cell, cell
from troth.report.text import ABSENT, amount, percent
from troth.reproduction.readings import Unit
from troth.reproduction.results import Results


def readings_table(results: Results) -> tuple[list[str], list[list[Cell]]]:
    """Headings, and a row for each variant: every reading has a column for the paper, where it
    prints a number at all, and one for what was measured."""
    head: list[str] = []
    rows: list[list[Cell]] = [[] for _ in results.rows]
    for column in results.columns:
        pairs = [row.readings[column.name] for row in results.rows]
        # A column of dashes would say nothing.
        if any(pair.paper is not None for pair in pairs):
            head.append(f"{column.label}: paper")
            for cells, pair in zip(rows, pairs, strict=True):
                cells.append(_number(pair.paper, column.unit))
        head.append(f"{column.label}: measured")
        for cells, pair in zip(rows, pairs, strict=True):
            cells.append(_number(pair.measured, column.unit))
    return head, rows


def ratios_table(results: Results) -> list[tuple[str, tuple[Cell, Cell]]]:
    """A row for each ratio: its label, the paper's and the measured one."""
    return [
        (ratio.label, (_times(ratio.value.paper), _times(ratio.value.measured)))
        for ratio in results.ratios
    ]


def _number(value: float | None, unit: Unit) -> Cell:
    if unit == "share":
        text = percent(value)
    elif value is None:
        text = ABSENT
    elif unit == "count":
        text = f"{value:,.0f}"
    elif unit == "number":
        text = amount(value)
    else:
        text = f"{value:,.{1 if value >= 10 else 2 if value >= 1 else 3}f} s"
    return cell(text, value)


def _times(value: float | None) -> Cell:
    return cell(ABSENT if value is None else f"{value:.1f}x", value)
