"""The tables of the page: who took part, what was rejected, what was sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from troth.records import Metrics, PartyRecord, Summary
from troth.report.read import Run
from troth.report.text import percent, ranges, shortened, size

MAX_TEXT = 500
"""Characters of one note, reason or problem."""


@dataclass(frozen=True)
class Cell:
    """A cell of a sortable table: what it shows, and the number it sorts by."""

    text: str
    order: float


@dataclass(frozen=True)
class PartyRow:
    """One party."""

    name: str
    attacker: str
    cells: list[Cell]


@dataclass(frozen=True)
class RejectionRow:
    """The contributions of one party that were refused for one reason."""

    party: str
    attacker: str
    reason: str
    times: int
    rounds: str


@dataclass(frozen=True)
class TrafficRow:
    """All messages of one type; `share` of all bytes is from 0 to 1."""

    name: str
    messages: str
    bytes: str
    share: float


def cell(text: str, order: float | None) -> Cell:
    """Sorts last where there is no number."""
    return Cell(text, order if order is not None and math.isfinite(order) else math.inf)


def party_rows(summary: Summary, limit: int) -> tuple[list[str], list[PartyRow], str]:
    """Columns, rows and the rule of the party table. A column that no party fills is left out."""
    shown, rule = summary.parties, ""
    if len(shown) > limit:
        shown = sorted(
            shown, key=lambda party: (party.attacker is None, -party.rejected, party.party)
        )[:limit]
        rule = (
            f"{limit:,} of {len(summary.parties):,} parties: attackers first, then those rejected "
            "most often, then by name. All are in summary.json."
        )
    columns = [column for column in _COLUMNS if any(_value(party, column) for party in shown)]
    rows = [
        PartyRow(
            party.party, party.attacker or "", [_party_cell(party, column) for column in columns]
        )
        for party in shown
    ]
    return columns, rows, rule


_COLUMNS = {
    "Examples": "examples",
    "Accepted": "accepted",
    "Rejected": "rejected",
    "Missing": "missing",
    "Error on own data": "own",
    "Own model’s test error": "test",
    "Sent": "bytes_sent",
    "Received": "bytes_received",
}


def _value(party: PartyRecord, column: str) -> float | None:
    value: Metrics | float | None = getattr(party, _COLUMNS[column])
    return value.error if isinstance(value, Metrics) else value


def _party_cell(party: PartyRecord, column: str) -> Cell:
    value = _value(party, column)
    if column in ("Error on own data", "Own model’s test error"):
        return cell(percent(value), value)
    assert value is not None
    return cell(size(value) if column in ("Sent", "Received") else f"{value:,}", value)


def rejection_rows(run: Run, limit: int) -> tuple[list[RejectionRow], str]:
    """Who was refused why, most often first."""
    attackers: dict[str, str | None] = {
        party.party: party.attacker for party in run.summary.parties
    }
    groups: dict[tuple[str, str], list[int]] = {}
    for record in run.rounds:
        for rejection in record.rejected:
            groups.setdefault((rejection.node, rejection.reason), []).append(record.round)
    order = sorted(groups, key=lambda group: (-len(groups[group]), group))
    rows = [
        RejectionRow(
            party=node,
            attacker=attackers.get(node) or "",
            reason=shortened(reason, MAX_TEXT),
            times=len(groups[node, reason]),
            rounds=ranges(groups[node, reason]),
        )
        for node, reason in order[:limit]
    ]
    if len(order) <= limit:
        return rows, ""
    return rows, f"The {limit:,} most frequent of {len(order):,}. All are in rounds.jsonl."


def traffic_rows(summary: Summary) -> list[TrafficRow]:
    total = sum(kind.bytes for kind in summary.traffic.values())
    order = sorted(summary.traffic, key=lambda name: (-summary.traffic[name].bytes, name))
    return [
        TrafficRow(
            name=name,
            messages=f"{summary.traffic[name].messages:,}",
            bytes=size(summary.traffic[name].bytes),
            share=round(summary.traffic[name].bytes / total, 4) if total else 0.0,
        )
        for name in order
    ]
