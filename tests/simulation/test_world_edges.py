"""Corners of the simulated world that a review found: outages, batching, checkpoints, replay."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from troth.errors import LocalError
from troth.learning.requests import LocalUpdate
from troth.protocols.federated.messages import TrainRequest
from troth.worlds.simulated import snapshot
from troth.worlds.simulated import world as world_module


def test_outages_of_a_party_that_was_not_admitted_do_nothing(scenario_file, simulated):
    """Whether a party is admitted may depend on its data, so no charter rule can refuse this."""
    absences = ", ".join(
        f'{{ party = "party-{i}", from_s = 0.5, until_s = 0.7 }}' for i in range(6)
    )
    path = scenario_file(
        'name = "federated"\ndeadline_s = 1.0',
        '[admission]\nminimum_examples = 30\n[partition]\nkind = "random_sizes"\n'
        f"[churn]\nabsences = [{absences}]",
    )
    run = simulated(path).go()
    assert 0 < len(run.stage.parties) < 6
    assert len(run.records) == 4


def test_outages_while_a_long_timer_runs_are_no_deadlock(scenario_file, simulated, monkeypatch):
    monkeypatch.setattr(world_module, "IDLE_OUTAGES", 10)
    absences = ", ".join(
        f'{{ party = "party-5", from_s = {i + 1}.0, until_s = {i + 1}.5 }}' for i in range(40)
    )
    path = scenario_file(
        'name = "federated"\ndeadline_s = 300.0',
        f"[churn]\nabsences = [{absences}]\n"
        '[cost]\nkind = "fixed"\nseconds = { local_update = 100.0 }',
        rounds=1,
    )
    run = simulated(path).go()
    assert run.records[0].missing == ["party-5"]


def test_endless_outages_of_which_nobody_wakes_are_a_deadlock(
    scenario_file, simulated, monkeypatch
):
    monkeypatch.setattr(world_module, "IDLE_OUTAGES", 50)
    path = scenario_file(
        'name = "federated"\ndeadline_s = 1.0',
        "[churn]\nmean_online_s = 5.0\nmean_offline_s = 5.0",
    )
    run = simulated(path)

    async def deaf(node):
        await node.receive(TrainRequest)

    for runtime in run.world.nodes.values():
        runtime.role = deaf
    with pytest.raises(LocalError, match="deadlock"):
        run.go()


def test_a_crash_during_a_computation_does_not_split_the_next_batch(
    scenario_file, simulated, monkeypatch
):
    """What a dead computation allowed to be postponed says nothing about the next ones. A resumed
    run does not remember it either, and must form the same batches."""
    path = scenario_file(
        'name = "dssgd"\norder = "asynchronous"\ndeadline_s = 30.0',
        """
[network]
latency = { kind = "normal", mean_s = 1.0, std_s = 0.02 }
latency_of = { party-0 = { kind = "constant", seconds = 0.1 } }
[faults]
crashes = [{ node = "party-0", at_s = 0.5, restart_after_s = 100.0 }]
[cost]
kind = "fixed"
seconds = { local_update = 1.0 }
""",
        parties=4,
        rounds=1,
    )
    run = simulated(path)
    batches = []
    original = run.stage.engine.run

    def watched(requests):
        batches.append([r.node for r in requests if isinstance(r, LocalUpdate)])
        return original(requests)

    monkeypatch.setattr(run.stage.engine, "run", watched)
    run.go()
    assert batches[0] == ["party-1", "party-2", "party-3"]


@pytest.mark.parametrize("protocol", ["centralised", "standalone"])
def test_a_checkpoint_is_offered_after_every_batch_of_computations(
    scenario_file, simulated, protocol
):
    """A round may take minutes, so 64 of them are too long to wait for."""
    rounds_done = []
    path = scenario_file(f'name = "{protocol}"', rounds=5)
    simulated(path, checkpoint=lambda run: rounds_done.append(len(run.records))).go()
    assert {1, 2, 3, 4} <= set(rounds_done)


def test_a_role_that_returns_when_it_is_replayed_is_named(scenario_file, simulated, monkeypatch):
    monkeypatch.setattr(world_module, "EVENTS_BETWEEN_CHECKPOINTS", 1)
    path = scenario_file()
    taken = []

    def checkpoint(run):
        taken.append(snapshot.take(run.world, scenario_digest="s", observer=b""))

    simulated(path, checkpoint=checkpoint).go()
    run = simulated(path)

    async def gone(node):
        await node.load(msgspec.Struct)

    run.world.nodes["server"].role = gone
    with pytest.raises(LocalError, match=r"server cannot be resumed.*return"):
        snapshot.restore(run.world, taken[len(taken) // 2], scenario_digest="s")


def test_a_batch_does_not_depend_on_which_parameters_are_one_object(scenario_file, simulated):
    """A snapshot keeps equal messages once, so after a resume equal parameters become one."""
    stage = simulated(scenario_file(training="learning_rate = 0.5\nlocal_epochs = 3")).stage
    params_D = np.random.default_rng(1).normal(size=stage.bench.model.dimension).astype(np.float32)
    training = stage.scenario.charter.training
    shared, apart = (
        stage.engine.run([LocalUpdate(p, 1, make(), training) for p in stage.parties])
        for make in (lambda: params_D, params_D.copy)
    )
    for one, other in zip(shared, apart, strict=True):
        np.testing.assert_array_equal(one.update_D, other.update_D)


def test_in_a_round_robin_parties_that_asked_while_they_waited_are_answered_once(
    scenario_file, simulated
):
    """A turn comes after many deadlines; every question would be answered with the whole model."""
    path = scenario_file(
        'name = "dssgd"\ndeadline_s = 0.5', "[network]\nlatency = 0.1", parties=20, rounds=2
    )
    run = simulated(path).go()
    assert run.world.traffic["Download"] > 5 * 40
    assert run.world.traffic["Parameters"] < 2 * 40
