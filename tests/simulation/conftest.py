"""Runs a scenario and hands out what a test wants to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from troth.charter.loading import load_scenario
from troth.ids import NodeId, SimulatedSeconds
from troth.records import RoundRecord
from troth.roles.effects import Report
from troth.runs.recorder import Recorder
from troth.worlds.simulated.stage import Stage, make_world, prepare
from troth.worlds.simulated.world import SimulatedWorld


class Witness(Recorder):
    """A recorder that keeps every report, for claim checkers."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.reports: list[Report] = []

    def report(self, node: NodeId, report: Report, simulated_s: SimulatedSeconds) -> None:
        self.reports.append(report)
        super().report(node, report, simulated_s)


@dataclass
class Run:
    """A world that has been set up; `go` runs it."""

    stage: Stage
    world: SimulatedWorld
    recorder: Recorder
    reports: list[Report] = field(default_factory=list)
    records: list[RoundRecord] = field(default_factory=list)

    def go(self) -> Run:
        self.world.start()
        self.finish()
        return self

    def finish(self) -> None:
        try:
            self.world.run()
            self.recorder.close()
        finally:
            self.stage.engine.close()


def set_up(
    path: Path,
    overrides: Sequence[str] = (),
    checkpoint: Callable[[Run], None] | None = None,
) -> Run:
    loaded = load_scenario(path, overrides=overrides)
    scenario = loaded.scenario
    stage = prepare(scenario, base=loaded.base, root=None)
    records: list[RoundRecord] = []
    recorder = Witness(
        scenario,
        stage.engine,
        traffic=lambda: (sum(world.traffic.values()), sum(world.traffic_bytes.values())),
        on_round=records.append,
        target=stage.target,
        reporting=len(stage.cast.leading) if stage.cast.own_models else 1,
    )
    world = make_world(
        stage, recorder, checkpoint=None if checkpoint is None else lambda: checkpoint(run)
    )
    run = Run(stage, world, recorder, recorder.reports, records)
    return run


@pytest.fixture
def simulated():
    return set_up
