"""Runs made up for the report's tests: folders are real, their numbers are not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from troth.ids import Bytes, MeasuredSeconds, NodeId, Round, SimulatedSeconds, party_id
from troth.records import (
    Metrics,
    PartyRecord,
    PrivacyRecord,
    Rejection,
    RoundRecord,
    Summary,
    Traffic,
)
from troth.report.folder import RunFolder
from troth.report.read import Run

SCENARIO = 'name = "credit"\nseed = 7\n\n[parties]\ncount = 6\n'


@pytest.fixture(scope="session")
def summary() -> Summary:
    """A run that has just begun."""
    return Summary(
        status="running",
        name="credit",
        protocol="federated",
        seed=7,
        troth_version="0.1.0",
        charter_digest="c4a7" * 16,
        rounds_planned=10,
    )


@pytest.fixture
def folder(tmp_path: Path, summary: Summary) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "credit", SCENARIO, summary)


@pytest.fixture(scope="session")
def record() -> Callable[[int], RoundRecord]:
    """Round r of a run that refuses party-1 in every round and misses party-2 in even ones."""

    def make(round: int) -> RoundRecord:
        missing = [NodeId("party-2")] if round % 2 == 0 else []
        accepted = ["party-0", "party-3", "party-4", "party-5"] + ["party-2"] * (not missing)
        return RoundRecord(
            round=Round(round),
            simulated_s=SimulatedSeconds(0.5 * round),
            measured_s=MeasuredSeconds(0.02 * round),
            metrics=Metrics(loss=2.0 / round, error=0.8 / round, examples=400, attack_rate=0.25),
            accepted=[NodeId(node) for node in accepted],
            rejected=[Rejection(node=NodeId("party-1"), reason="Krum score 12.5 is above 3.25")],
            missing=missing,
            bytes_sent=Bytes(1_000_000 * round),
            messages_sent=12 * round,
        )

    return make


@pytest.fixture(scope="session")
def make_run(record: Callable[[int], RoundRecord]) -> Callable[..., Run]:
    """A finished run in memory; keywords replace fields of its summary."""

    def make(
        name: str = "credit",
        *,
        rounds: int = 10,
        parties: int = 6,
        scenario: str = SCENARIO,
        records: list[RoundRecord] | None = None,
        **fields: object,
    ) -> Run:
        records = [record(round) for round in range(1, rounds + 1)] if records is None else records
        final = Summary(
            status="finished",
            name=name,
            protocol="federated",
            seed=7,
            troth_version="0.1.0",
            charter_digest="c4a7" * 16,
            trace_digest="77e0" * 16,
            rounds=rounds,
            rounds_planned=rounds,
            dimension=7_850,
            final=records[-1].metrics if records else None,
            parties=[
                PartyRecord(
                    party=party_id(index, parties),
                    examples=100 + index,
                    attacker="label_flip" if index == 1 else None,
                    own=Metrics(loss=0.3, error=0.08, examples=100),
                    accepted=0 if index == 1 else rounds,
                    rejected=rounds if index == 1 else 0,
                    bytes_sent=Bytes(31_500),
                    bytes_received=Bytes(31_430),
                    messages_sent=rounds,
                )
                for index in range(parties)
            ],
            traffic={
                "Update": Traffic(messages=60, bytes=Bytes(6_000_000)),
                "Model": Traffic(messages=60, bytes=Bytes(4_000_000)),
            },
            bytes_sent=Bytes(10_000_000),
            simulated_s=SimulatedSeconds(5.0),
            measured_s=MeasuredSeconds(0.2),
            peak_rss_bytes=Bytes(612_000_000),
            engine="batched",
            device="cpu",
            cost_model="zero",
            privacy=PrivacyRecord(mechanism="none", epsilon=None, delta=None, note="Updates leak."),
            notes=["credit: 24,000 training rows"],
        )
        final = msgspec.structs.replace(final, **fields)
        return Run(Path("runs") / name, scenario, final, tuple(records))

    return make


@pytest.fixture(scope="session")
def make_measured(make_run: Callable[..., Run]) -> Callable[..., Run]:
    """A run of one party for each table of measures; one with an empty table has none."""

    def make(*measures: dict[str, float]) -> Run:
        run = make_run()
        parties = [
            PartyRecord(party=NodeId(f"party-{i}"), examples=1, measures=each or msgspec.UNSET)
            for i, each in enumerate(measures)
        ]
        return replace(run, summary=msgspec.structs.replace(run.summary, parties=parties))

    return make


@pytest.fixture(scope="session")
def exploded(record: Callable[[int], RoundRecord]) -> list[RoundRecord]:
    """Ten rounds; from the sixth on the model is no longer finite."""
    lost = Metrics(loss=math.nan, error=math.inf, examples=400)
    return [
        record(round) if round < 6 else msgspec.structs.replace(record(round), metrics=lost)
        for round in range(1, 11)
    ]
