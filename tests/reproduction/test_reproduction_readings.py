"""What is read off a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from troth.ids import Bytes, MeasuredSeconds, NodeId, Round, SimulatedSeconds
from troth.protocols.biscotti.operation.stake_readings import StakeShare
from troth.records import Metrics, PartyRecord, RoundRecord, Summary, Traffic
from troth.report.read import Run
from troth.reproduction.plots import curve
from troth.reproduction.readings import (
    AcceptedShare,
    ComputingTime,
    Contributions,
    Duration,
    ErrorAt,
    FinalAttackRate,
    FinalError,
    MeanError,
    Measure,
    Reading,
    RoundTime,
    SentBytes,
    TimeToError,
    WorkPerAccepted,
    WorstError,
)
from troth.reproduction.spec import Curves


def metrics(error: float) -> Metrics:
    return Metrics(loss=1.0, error=error, examples=10, attack_rate=error / 2)


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
        rounds=5,
        simulated_s=SimulatedSeconds(6.5),
        traffic={
            "A": Traffic(messages=1, bytes=Bytes(100)),
            "B": Traffic(messages=1, bytes=Bytes(50)),
        },
        parties=[
            PartyRecord(
                party=NodeId("a"),
                examples=1,
                accepted=7,
                work={"solve_puzzle": 21.0, "y": 2.0, "z": 1.0},
                work_s={"solve_puzzle": 0.0, "y": 3.0, "z": 0.25},
                measures={"stake": 5.0},
            ),
            PartyRecord(
                party=NodeId("b"),
                examples=1,
                accepted=3,
                rejected=4,
                attacker="x",
                measures={"stake": 1.0, "trust": 0.5},
            ),
            PartyRecord(
                party=NodeId("c"),
                examples=1,
                rejected=1,
                attacker="x",
                work={"y": 6.0},
                work_s={"y": 1.0},
                measures={"stake": 3.0},
            ),
        ],
    )
    return Run(path=Path("small"), scenario_text="", summary=summary, rounds=rounds)


@pytest.mark.parametrize(
    ("reading", "value", "unit"),
    [
        (FinalError(label="x"), 0.25, "share"),
        (FinalAttackRate(label="x"), 0.125, "share"),
        (WorstError(label="x"), 0.6, "share"),
        (WorstError(label="x", until_s=3.0), 0.5, "share"),
        (WorstError(label="x", from_s=5.0), 0.2, "share"),
        (WorstError(label="x", from_s=9.0), None, "share"),
        (ErrorAt(label="x", time_s=3.5), 0.3, "share"),
        (ErrorAt(label="x", time_s=0.5), None, "share"),
        (TimeToError(label="x", error=0.3), 2.0, "seconds"),
        (TimeToError(label="x", error=0.1), None, "seconds"),
        (RoundTime(label="x"), 1.0, "seconds"),
        (Duration(label="x"), 6.5, "seconds"),
        (ComputingTime(label="x", work=["y", "z"]), 0.75, "seconds"),
        (ComputingTime(label="x", work=["y", "nothing"]), None, "seconds"),
        (SentBytes(label="x", messages=["A", "B", "C"]), 30.0, "count"),
        (StakeShare(label="x", of="honest"), None, "share"),
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
        (Measure(label="x", name="stake", of="honest"), 5.0, "number"),
        (Measure(label="x", name="stake", of="attackers", unit="count"), 2.0, "count"),
        (Measure(label="x", name="stake", of="attackers", take="min"), 1.0, "number"),
        (Measure(label="x", name="stake", of="attackers", take="max"), 3.0, "number"),
        (Measure(label="x", name="stake", of="attackers", take="sum"), 4.0, "number"),
        (Measure(label="x", name="trust", of="attackers", take="sum"), 0.5, "number"),
        (Measure(label="x", name="trust", of="honest"), None, "number"),
    ],
)
def test_a_reading(run: Run, reading: Reading, value: float | None, unit: str) -> None:
    assert reading.read_off(run) == value
    assert reading.unit == unit


def test_a_mean_curve_leaves_out_spans_without_a_round(run: Run) -> None:
    means = curve(run, Curves(mean_over_s=2.0))
    assert means == [(1.0, 0.5), (3.0, 0.3), (5.0, pytest.approx(0.4))]
    assert curve(run, Curves(mean_over_s=0.25))[0] == (1.125, 0.5)


def test_a_curve_is_what_the_plot_asks_for(run: Run) -> None:
    assert curve(run, Curves())[:3] == [(1.0, 0.5), (2.0, 0.3), (4.0, 0.6)]
    assert curve(run, Curves(y="attack_rate", x="rounds"))[-1] == (5.0, 0.1)
    assert curve(run, Curves(y="honest_stake")) == []
