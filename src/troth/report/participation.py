"""Who took part when: a map of parties by rounds, as SVG paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from troth.report.read import Run

MAX_ROWS = 150
MAX_CELLS = 40_000
"""Cells of all maps on one page."""

State = Literal["accepted", "missing", "rejected"]
_WORSE: Mapping[State | None, int] = {None: 0, "accepted": 1, "missing": 2, "rejected": 3}


@dataclass(frozen=True)
class Row:
    """One party: where its row is, and what its name and title say."""

    at: int
    name: str
    attacker: str


@dataclass(frozen=True)
class Grid:
    """A map of `rows` by `columns` cells of one unit each. `paths` holds a row of strokes per
    state.

    One column stands for `per_column` rounds and shows the worst that happened to the party in
    them.
    """

    rows: list[Row]
    columns: int
    per_column: int
    first: int
    last: int
    paths: dict[str, str]
    description: str


def grid(run: Run, runs: int) -> Grid | None:
    """The map of `run` on a page of `runs` runs; None where nobody contributes or there are too
    many parties.

    Attackers come first, then the others, each in the order of the summary.
    """
    parties = sorted(run.summary.parties, key=lambda party: party.attacker is None)
    records = [
        record for record in run.rounds if record.accepted or record.rejected or record.missing
    ]
    if not records or not 0 < len(parties) <= MAX_ROWS:
        return None
    room = max(20, min(240, MAX_CELLS // runs // len(parties)))
    first, last = records[0].round, records[-1].round
    per_column = -(-(last - first + 1) // room)
    columns = -(-(last - first + 1) // per_column)
    rows: dict[str, int] = {party.party: row for row, party in enumerate(parties)}
    cells: list[list[State | None]] = [[None] * columns for _ in parties]
    for record in records:
        column = (record.round - first) // per_column
        states: list[tuple[State, list[str]]] = [
            ("accepted", [*record.accepted]),
            ("missing", [*record.missing]),
            ("rejected", [rejection.node for rejection in record.rejected]),
        ]
        for state, nodes in states:
            for node in nodes:
                row = rows.get(node)
                if row is not None and _WORSE[state] > _WORSE[cells[row][column]]:
                    cells[row][column] = state
    strokes: dict[str, list[str]] = {"accepted": [], "missing": [], "rejected": []}
    for row, states_C in enumerate(cells):
        column = 0
        for found, stretch in groupby(states_C):
            length = len(list(stretch))
            if found is not None:
                strokes[found].append(f"M{column} {row + 0.5:g}h{length}")
            column += length
    attackers = sum(party.attacker is not None for party in parties)
    return Grid(
        rows=[Row(row, party.party, party.attacker or "") for row, party in enumerate(parties)],
        columns=columns,
        per_column=per_column,
        first=first,
        last=last,
        paths={state: "".join(path) for state, path in strokes.items() if path},
        description=f"{len(parties)} parties by rounds {first} to {last}"
        + (f", the {attackers} that attack in the top rows" if attackers else ""),
    )
