"""What the page says about each run, worked out before the template lays it out.

Caps keep a page under 5 MB whatever the run: they are named here, and the page states each one it
applied.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from troth.records import Metrics, Summary
from troth.report.curves import Chart, chart
from troth.report.participation import Grid, grid
from troth.report.read import Run
from troth.report.rows import (
    MAX_TEXT,
    Cell,
    Listed,
    PartyRow,
    PrivacyRow,
    RejectionRow,
    ToldRow,
    TrafficRow,
    cell,
    party_rows,
    privacy_rows,
    rejection_rows,
    told_rows,
    traffic_rows,
)
from troth.report.series import SERIES, error_name, labels, look
from troth.report.table import accepted_share
from troth.report.text import (
    ABSENT,
    counted,
    duration,
    number,
    percent,
    shortened,
    size,
)

MAX_PARTIES = 1_000
"""Rows of party tables on one page."""

MAX_REJECTIONS = 500
"""Rows of tables of rejections on one page."""

MAX_SCENARIO_CHARACTERS = 100_000
"""Characters of scenarios, and again of their differences, on one page."""

MAX_NOTES = 100


@dataclass(frozen=True)
class Card:
    """A key figure at the head of the report."""

    label: str
    value: str
    detail: str = ""
    alarm: bool = False


@dataclass(frozen=True)
class RunView:
    """What the report's page shows of one run."""

    label: str
    colour: int
    summary: Summary
    status_note: str
    problem: str
    facts: list[str]
    cards: list[Card]
    finals: dict[str, Cell]
    """By the heading of their column in a comparison; the same for every run."""
    participation: Grid | None
    parties: Listed[PartyRow]
    contributions: str
    rejections: Listed[RejectionRow]
    told: Listed[ToldRow]
    traffic: list[TrafficRow]
    privacy: list[str]
    privacies: Listed[PrivacyRow]
    notes: list[str]
    scenario: str
    scenario_rule: str
    """What a cap left out; empty: nothing."""
    difference: str


@dataclass(frozen=True)
class Page:
    """Everything that the report's page shows."""

    title: str
    runs: list[RunView]
    charts: list[Chart]


def page(runs: Sequence[Run]) -> Page:
    """The page about `runs`, in their order."""
    names = labels(runs)
    charts = [drawn for key in SERIES if (drawn := chart(runs, names, key)) is not None]
    views = [
        _view(run, name, index, runs)
        for index, (run, name) in enumerate(zip(runs, names, strict=True))
    ]
    title = (
        f"{runs[0].summary.name} · Troth run"
        if len(runs) == 1
        else f"{len(runs)} runs compared · Troth"
    )
    return Page(title, views, charts)


def _view(run: Run, label: str, index: int, runs: Sequence[Run]) -> RunView:
    summary = run.summary
    most_parties = max(20, MAX_PARTIES // len(runs))
    most_rejections = max(20, MAX_REJECTIONS // len(runs))
    limit = MAX_SCENARIO_CHARACTERS // len(runs)
    left_out = len(run.scenario_text) - limit
    return RunView(
        label=label,
        colour=look(index)[0],
        summary=summary,
        status_note=_STATUS_NOTES[summary.status],
        problem=shortened(summary.problem or "", MAX_TEXT),
        facts=_facts(summary, label if len(runs) > 1 else summary.name),
        cards=_cards(run),
        finals=_finals(summary),
        participation=grid(run, len(runs)),
        parties=party_rows(summary, most_parties),
        contributions=accepted_share(summary) or "",
        rejections=rejection_rows(run, most_rejections),
        told=told_rows(summary, most_rejections),
        traffic=traffic_rows(summary),
        privacy=_privacy(summary),
        privacies=privacy_rows(summary, most_parties),
        notes=[shortened(note, MAX_TEXT) for note in summary.notes[:MAX_NOTES]],
        scenario=run.scenario_text[:limit],
        scenario_rule=f"{left_out:,} more characters in scenario.toml" if left_out > 0 else "",
        difference=_difference(runs[0], run, limit) if index else "",
    )


_STATUS_NOTES = {
    "running": "No end was recorded: the run is still going, or it was killed.",
    "finished": "",
    "failed": "The run failed; figures are those of the last round it completed.",
    "interrupted": "The run was interrupted and can go on: troth simulate --resume.",
}


def _facts(summary: Summary, label: str) -> list[str]:
    """What a run is, in a line; its charter's name too where the page calls it otherwise."""
    named = [] if summary.name == label else [f"charter {summary.name}"]
    facts = [*named, summary.protocol, summary.task, f"seed {summary.seed}"]
    if summary.parties:
        facts.append(counted(len(summary.parties), "party"))
    if summary.dimension:
        facts.append(counted(summary.dimension, "parameter"))
    return facts


def _cards(run: Run) -> list[Card]:
    summary = run.summary
    final = summary.final
    cards = [
        Card(
            "Final error", percent(final.error if final else None), error_name(summary), _bad(final)
        ),
        Card(
            "Final loss",
            number(final.loss if final else None),
            f"on {counted(final.examples, 'test example')}" if final else "",
            _bad(final),
        ),
    ]
    if final is not None and final.attack_rate is not None:
        cards.append(
            Card("Attack rate", percent(final.attack_rate), "source examples taken for the target")
        )
    attackers = sum(party.attacker is not None for party in summary.parties)
    planned = f"of {summary.rounds_planned:,}" if summary.rounds_planned else ""
    cards.append(Card("Rounds", f"{summary.rounds:,}", planned))
    cards.append(
        Card(
            "Parties",
            f"{len(summary.parties):,}",
            f"{attackers:,} of them attack" if attackers else "",
        )
    )
    messages = sum(kind.messages for kind in summary.traffic.values())
    cards.append(
        Card(
            "Bytes sent",
            size(summary.bytes_sent),
            f"in {counted(messages, 'message')}" if messages else "",
        )
    )
    model = (
        f"cost model: {summary.cost_model}" if summary.cost_model else "on the simulated network"
    )
    if summary.world == "simulated":
        cards.append(Card("Simulated time", duration(summary.simulated_s), model))
    speed = summary.rounds / summary.measured_s if summary.measured_s > 0 else 0.0
    cards.append(
        Card(
            "Measured time",
            duration(summary.measured_s),
            f"on this machine, {speed:,.3g} rounds/s" if speed else "on this machine",
        )
    )
    engine = ", ".join(
        part for part in (summary.engine and f"{summary.engine} engine", summary.device) if part
    )
    peak = size(summary.peak_rss_bytes) if summary.peak_rss_bytes else ABSENT
    cards.append(Card("Peak memory", peak, engine))
    return cards


def _bad(metrics: Metrics | None) -> bool:
    return metrics is not None and not math.isfinite(metrics.loss + metrics.error)


def _finals(summary: Summary) -> dict[str, Cell]:
    final = summary.final
    error, loss, attack_rate = (
        (final.error, final.loss, final.attack_rate) if final else (None, None, None)
    )
    return {
        "Error": cell(percent(error), error),
        "Loss": cell(number(loss), loss),
        "Attack rate": cell(percent(attack_rate), attack_rate),
        "Rounds": cell(f"{summary.rounds:,}", summary.rounds),
        "Bytes sent": cell(size(summary.bytes_sent), summary.bytes_sent),
        "Simulated time": cell(duration(summary.simulated_s), summary.simulated_s)
        if summary.world == "simulated"
        else cell(ABSENT, None),
        "Measured time": cell(duration(summary.measured_s), summary.measured_s),
        "Peak memory": cell(size(summary.peak_rss_bytes), summary.peak_rss_bytes),
    }


def _privacy(summary: Summary) -> list[str]:
    """Sentences; the first says what holds."""
    privacy = summary.privacy
    if privacy is None:
        return [
            "Nothing was recorded about privacy, so assume that nothing bounds what updates reveal."
        ]
    if privacy.epsilon is None or not math.isfinite(privacy.epsilon):
        first = (
            f"Mechanism: {privacy.mechanism}. Nothing bounds what updates reveal: no (ε, δ) holds."
        )
    else:
        delta = ABSENT if privacy.delta is None else f"{privacy.delta:.3g}"
        spent = f"at most ε = {privacy.epsilon:.4g}, δ = {delta}"
        first = f"Mechanism: {privacy.mechanism}. Each party spent {spent}."
    return [first, shortened(privacy.note, MAX_TEXT)] if privacy.note else [first]


def _difference(first: Run, other: Run, limit: int) -> str:
    """Unified diff of the scenarios, without its two lines of file names."""
    lines = difflib.unified_diff(
        first.scenario_text.splitlines(), other.scenario_text.splitlines(), lineterm="", n=1
    )
    return shortened("\n".join(list(lines)[2:]), limit)
