"""What is read off a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from troth.ids import MeasuredSeconds, NodeId, Round, SimulatedSeconds
from troth.records import Metrics, PartyRecord, RoundRecord, Summary
from troth.report.read import Run
from troth.reproduction.readings import mean_curve, read_off, unit_of
from troth.reproduction.spec import (
    AcceptedShare,
    Contributions,
    Duration,
    ErrorAt,
    FinalError,
    MeanError,
    ReadingSpec,
    TimeToError,
    WorkPerAccepted,
    WorstError,
)


def metrics(error: float) -> Metrics:
    return Metrics(loss=1.0, error=error, examples=10)


@pytest.fixture
def run() -> Run:
    """Rounds at 1, 2, ... seconds; the third was not evaluated."""
    rounds = tuple(
        RoundRecord(
            round=Round(index),
            simulated_s=SimulatedSeconds(float(index)),
            measured_s=MeasuredSeconds(0.0),
            metrics=None if error is None else metrics(error),
        )
        for index, error in enumerate((0.5, 0.3, None, 0.6, 0.2), start=1)
    )
    summary = Summary(
        status="finished",
        name="small",
        protocol="tormentor",
        seed=1,
        troth_version="0",
        charter_digest="",
        final=metrics(0.25),
        simulated_s=SimulatedSeconds(6.5),
        parties=[
            PartyRecord(party=NodeId("a"), examples=1, accepted=7, work={"solve_puzzle": 21.0}),
            PartyRecord(party=NodeId("b"), examples=1, accepted=3, rejected=4, attacker="x"),
            PartyRecord(party=NodeId("c"), examples=1, rejected=1, attacker="x", work={"y": 6.0}),
        ],
    )
    return Run(path=Path("small"), scenario_text="", summary=summary, rounds=rounds)


@pytest.mark.parametrize(
    ("reading", "value", "unit"),
    [
        (FinalError(label="x"), 0.25, "share"),
        (WorstError(label="x"), 0.6, "share"),
        (WorstError(label="x", until_s=3.0), 0.5, "share"),
        (WorstError(label="x", from_s=5.0), 0.2, "share"),
        (WorstError(label="x", from_s=9.0), None, "share"),
        (ErrorAt(label="x", time_s=3.5), 0.3, "share"),
        (ErrorAt(label="x", time_s=0.5), None, "share"),
        (TimeToError(label="x", error=0.3), 2.0, "seconds"),
        (TimeToError(label="x", error=0.1), None, "seconds"),
        (Duration(label="x"), 6.5, "seconds"),
        (Contributions(label="x", fate="accepted", of="honest"), 7, "count"),
        (Contributions(label="x", fate="rejected", of="attackers"), 5, "count"),
        (Contributions(label="x", fate="rejected", of="attackers", each=True), 2.5, "count"),
        (MeanError(label="x", from_s=4.0), 0.4, "share"),
        (MeanError(label="x", from_s=1.5, until_s=3.5), 0.3, "share"),
        (MeanError(label="x", from_s=9.0), None, "share"),
        (AcceptedShare(label="x", of="attackers"), 0.3, "share"),
        (WorkPerAccepted(label="x", of="honest"), 3.0, "count"),
        (WorkPerAccepted(label="x", of="attackers"), 0.0, "count"),
        (WorkPerAccepted(label="x", of="attackers", work="y"), 2.0, "count"),
    ],
)
def test_a_reading(run: Run, reading: ReadingSpec, value: float | None, unit: str) -> None:
    assert read_off(run, reading) == value
    assert unit_of(reading) == unit


def test_a_mean_curve_leaves_out_spans_without_a_round(run: Run) -> None:
    assert mean_curve(run, 2.0) == [(1.0, 0.5), (3.0, 0.3), (5.0, pytest.approx(0.4))]
    assert mean_curve(run, 0.25)[0] == (1.125, 0.5)
