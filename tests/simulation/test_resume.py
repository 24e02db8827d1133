"""Snapshots that cannot be gone on from. The conformance suite goes on from those that can."""

from __future__ import annotations

import pytest

from troth.errors import LocalError, VerificationError
from troth.ids import Round
from troth.worlds.simulated import snapshot
from troth.worlds.simulated import world as world_module


@pytest.fixture
def often(monkeypatch):
    """A checkpoint before every event."""
    monkeypatch.setattr(world_module, "EVENTS_BETWEEN_CHECKPOINTS", 1)


def test_a_snapshot_of_another_scenario_or_of_garbage_is_refused(often, scenario_file, simulated):
    path = scenario_file()
    taken = []

    def checkpoint(run):
        taken.append(snapshot.take(run.world, scenario_digest="s", observer=b""))

    simulated(path, checkpoint=checkpoint).go()
    with pytest.raises(VerificationError, match="belongs to another scenario"):
        snapshot.restore(simulated(path).world, taken[0], scenario_digest="t")
    for cut in (0, 1, 100, len(taken[-1]) - 1):
        with pytest.raises(VerificationError, match="cannot be read"):
            snapshot.restore(simulated(path).world, taken[-1][:cut], scenario_digest="s")


def test_a_role_that_cannot_be_resumed_is_named(often, scenario_file, simulated):
    """It greets after loading, which it would not have done after saving."""
    path = scenario_file()
    taken = []

    def checkpoint(run):
        taken.append(snapshot.take(run.world, scenario_digest="s", observer=b""))

    def spoil(run):
        honest = run.stage.cast.roles["server"]

        async def greeting(node):
            await node.report(Round(0), run.stage.initial_D)
            return await honest(node)

        run.world.nodes["server"].role = greeting
        return run

    spoil(simulated(path, checkpoint=checkpoint)).go()
    with pytest.raises(LocalError, match=r"server cannot be resumed.*effects instead of"):
        snapshot.restore(spoil(simulated(path)).world, taken[-1], scenario_digest="s")
