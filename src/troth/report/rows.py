"""The tables of the page: who took part, what was rejected, what was sent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from troth.records import Metrics, PartyPrivacy, PartyRecord, ReleasePrivacy, Summary
from troth.report.read import Run
from troth.report.text import ABSENT, amount, number, percent, ranges, shortened, size

R = TypeVar("R")

MAX_TEXT = 500
"""Characters of one note, reason or problem."""

MAX_MEASURES = 12
"""Columns of measures in one party table."""

MAX_HEADING = 40
"""Characters of a measure's name."""


@dataclass(frozen=True)
class Cell:
    """A cell of a sortable table: what it shows, and the number it sorts by."""

    text: str
    order: float


@dataclass(frozen=True)
class PartyRow:
    """A party as a row of the table."""

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
class ToldRow:
    """A party that was refused or stopped, in the words that it has heard or found."""

    party: str
    told: str
    stopped: str


@dataclass(frozen=True)
class PrivacyRow:
    """What one party spent of its own privacy."""

    party: str
    mechanism: str
    hides: str
    views: str
    cells: list[Cell]


@dataclass(frozen=True)
class TrafficRow:
    """All messages of one type; `share` of all bytes is from 0 to 1."""

    name: str
    messages: str
    bytes: str
    share: float


@dataclass(frozen=True)
class Listed(Generic[R]):
    """The rows that a table of the report shows, after its cap on their number."""

    rows: list[R]
    rule: str
    """What a cap left out; empty: nothing."""
    columns: list[str] = field(default_factory=list)
    """Headings, of columns that not every run has."""


def cell(text: str, order: float | None) -> Cell:
    """Sorts last where there is no number."""
    return Cell(text, order if order is not None and math.isfinite(order) else math.inf)


def party_rows(summary: Summary, limit: int) -> Listed[PartyRow]:
    """The party table. A column that no party fills is left out; each measure that any party has is
    one."""
    shown, rules = summary.parties, []
    if len(shown) > limit:
        shown = sorted(
            shown, key=lambda party: (party.attacker is None, -party.rejected, party.party)
        )[:limit]
        rules.append(
            f"{limit:,} of {len(summary.parties):,} parties: attackers first, then those rejected "
            "most often, then by name. All are in parties.jsonl."
        )
    measures = summary.measure_names()
    if len(measures) > MAX_MEASURES:
        rules.append(
            f"The first {MAX_MEASURES} of {len(measures):,} measures, by name. All are in "
            "parties.jsonl."
        )
        measures = measures[:MAX_MEASURES]
    columns = [column for column in _COLUMNS if any(_value(party, column) for party in shown)]
    rows = [
        PartyRow(
            party.party,
            party.attacker or "",
            [
                *(_party_cell(party, column) for column in columns),
                *(cell(amount(value), value) for value in map(party.measure, measures)),
            ],
        )
        for party in shown
    ]
    headings = [shortened(name[:1].upper() + name[1:], MAX_HEADING) for name in measures]
    return Listed(rows, " ".join(rules), [*columns, *headings])


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


def rejection_rows(run: Run, limit: int) -> Listed[RejectionRow]:
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
    rule = f"The {limit:,} most frequent of {len(order):,}. All are in rounds.jsonl."
    return Listed(rows, rule if len(order) > limit else "")


def told_rows(summary: Summary, limit: int) -> Listed[ToldRow]:
    """Who was refused or stopped, by name."""
    rows = [
        ToldRow(
            party.party,
            shortened(party.told or "", MAX_TEXT),
            shortened(party.stopped or "", MAX_TEXT),
        )
        for party in summary.parties
        if party.told is not None or party.stopped is not None
    ]
    rule = f"The first {limit:,} of {len(rows):,}. All are in parties.jsonl."
    return Listed(rows[:limit], rule if len(rows) > limit else "")


PRIVACY_COLUMNS = ["ε spent", "by PLD", "by RDP", "ε at most", "δ", "Updates"]


PAPER_COLUMN = "ε in the paper"
"""Before the others, if a protocol's paper counts otherwise."""


def privacy_rows(summary: Summary, limit: int) -> Listed[PrivacyRow]:
    """What each party spent, by name."""
    parties = [] if summary.privacy is None else summary.privacy.parties
    counted = any(release.paper is not None for party in parties for release in party.by_release)
    rows = []
    for party in parties[:limit]:
        rows.append(_privacy_row(party, party, party.mechanism, counted, None))
        for release in party.by_release:
            what = f"{party.mechanism}: {release.what}"
            rows.append(_privacy_row(party, release, what, counted, release.paper))
    columns = [PAPER_COLUMN, *PRIVACY_COLUMNS] if counted else PRIVACY_COLUMNS
    rule = f"The first {limit:,} of {len(parties):,}. All are in privacy.json."
    return Listed(rows, rule if len(parties) > limit else "", columns)


def _privacy_row(
    party: PartyPrivacy,
    spent: PartyPrivacy | ReleasePrivacy,
    mechanism: str,
    counted: bool,
    paper: float | None,
) -> PrivacyRow:
    adjacency = {"add_remove": "more or less", "replace_one": "exchanged"}
    hides = ABSENT
    if party.unit is not None and party.adjacency is not None:
        hides = f"a {party.unit} {adjacency.get(party.adjacency, party.adjacency)}"
    figures = [spent.epsilon, spent.pld, spent.rdp, spent.budget, spent.delta]
    if counted:
        figures.insert(0, paper)
    return PrivacyRow(
        party=party.party,
        mechanism=mechanism,
        hides=hides,
        views=", ".join(spent.views) or ABSENT,
        cells=[
            *(cell(number(figure), figure) for figure in figures),
            cell(f"{spent.releases:,}", spent.releases),
        ],
    )


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
