"""What a recorder keeps of a run, and how much of what strangers can make it keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from troth.charter.loading import load_scenario
from troth.errors import PeerError, RoundFailedError
from troth.ids import NodeId, Round, SimulatedSeconds
from troth.learning.requests import Evaluate
from troth.records import Metrics, RoundRecord
from troth.roles.effects import Report
from troth.runs.recorder import MAX_REFUSALS_PER_ROUND, Recorder

ALICE, BOB = NodeId("alice"), NodeId("bob")
NOW = SimulatedSeconds(0.0)


@dataclass
class Engine:
    """Says that a model's first number is its error."""

    name: str = "test"
    asked: list[Evaluate] = field(default_factory=list)

    def run(self, requests: Sequence[Any]) -> list[Any]:
        self.asked += requests
        return [
            Metrics(loss=0.0, error=float(request.params_D[0]), examples=4) for request in requests
        ]

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def recorded() -> list[RoundRecord]:
    return []


@pytest.fixture
def recorder_of(scenario_file, recorded: list[RoundRecord]):
    """Makes a recorder of a run of five rounds, of which each second one is evaluated."""

    def make(**arguments: Any) -> Recorder:
        path = scenario_file(extra="[evaluation]\nevery = 2", parties=2, rounds=5)
        scenario = load_scenario(path).scenario
        shown = recorded.append
        return Recorder(scenario, Engine(), traffic=lambda: (3, 30), on_round=shown, **arguments)

    return make


def report(round: int, *params: float) -> Report:
    return Report(Round(round), np.array(params, np.float32), (ALICE,), (), ())


def test_rounds_that_are_due_and_the_last_one_are_evaluated(
    recorder_of, recorded: list[RoundRecord]
) -> None:
    recorder = recorder_of()
    for round in range(1, 6):
        recorder.report(ALICE, report(round, round), NOW)
    errors = [record.metrics and record.metrics.error for record in recorder.rounds]
    assert errors == [None, 2.0, None, 4.0, 5.0]
    assert [record.messages_sent for record in recorder.rounds] == [3] * 5
    assert recorded == recorder.rounds


def test_a_model_that_is_not_finite_ends_the_run(recorder_of) -> None:
    recorder = recorder_of()
    with pytest.raises(RoundFailedError, match="round 1: the model of alice is no longer finite"):
        recorder.report(ALICE, report(1, np.nan), NOW)
    assert recorder.rounds == []


def test_refused_messages_are_listed_up_to_a_bound_and_then_counted(recorder_of) -> None:
    recorder = recorder_of()
    for number in range(MAX_REFUSALS_PER_ROUND + 2):
        recorder.refused(ALICE, PeerError(f"was number {number}", culprits=(BOB,)))
    recorder.report(ALICE, report(1, 0.0), NOW)
    recorder.report(ALICE, report(2, 0.0), NOW)
    first, second = recorder.rounds
    assert len(first.rejected) == MAX_REFUSALS_PER_ROUND + 1
    assert first.rejected[0].reason == "alice refused a message: was number 0"
    assert (first.rejected[-1].node, first.rejected[-1].reason) == (
        BOB,
        "and 2 more messages refused",
    )
    assert second.rejected == []


def test_a_round_of_own_models_is_whole_when_all_have_reported(recorder_of) -> None:
    recorder = recorder_of(reporting=2)
    recorder.report(BOB, report(2, 1.0), SimulatedSeconds(5.0))
    assert recorder.rounds == []
    recorder.report(ALICE, report(2, 0.5), SimulatedSeconds(4.0))
    (record,) = recorder.rounds
    assert record.metrics is not None
    assert (record.metrics.error, record.simulated_s) == (0.75, 5.0)
    assert record.accepted == [ALICE, BOB]


def test_a_round_that_somebody_has_missed_is_recorded_at_the_end(recorder_of) -> None:
    recorder = recorder_of(reporting=2)
    recorder.report(BOB, report(2, 1.0), NOW)
    recorder.close()
    assert [record.accepted for record in recorder.rounds] == [[BOB]]


def test_what_is_not_in_a_record_yet_is_in_the_state(recorder_of) -> None:
    before, after = recorder_of(reporting=2), recorder_of(reporting=2)
    before.report(BOB, report(2, 1.0), NOW)
    before.refused(BOB, PeerError("was odd", culprits=(ALICE,)))
    assert after.restore(before.state()) == 0
    after.report(ALICE, report(2, 0.5), NOW)
    (record,) = after.rounds
    assert record.accepted == [ALICE, BOB]
    assert [rejection.node for rejection in record.rejected] == [ALICE]
    assert after.restore(after.state()) == 2
