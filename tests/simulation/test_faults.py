"""What faults do to a run of `federated`, and what time things take in the simulated world."""

from __future__ import annotations

import numpy as np
import pytest

from troth.errors import RoundFailedError

LATENCY = 'latency = { kind = "normal", mean_s = 0.1, std_s = 0.05 }'
FAULTS = {
    "calm": f"[network]\n{LATENCY}",
    "loss": f"[network]\n{LATENCY}\nloss = 0.2",
    "copies": f"[network]\n{LATENCY}\nduplication = 0.5\nreordering = 0.5",
    "server crash": f"[network]\n{LATENCY}\n[faults]\ncrashes = ["
    '{ node = "server", at_s = 0.25, restart_after_s = 0.5 },'
    '{ node = "server", at_s = 1.5, restart_after_s = 0.1 },'
    '{ node = "party-3", at_s = 0.15, restart_after_s = 1.0 }]',
}


@pytest.mark.parametrize("update", ["delta", "step"])
def test_crashes_and_copies_change_nothing_when_everybody_answers(scenario_file, simulated, update):
    """No update is lost, applied twice, or computed from another state than without faults."""
    training = f'update = "{update}"\nlearning_rate = 0.5\nmomentum = 0.9'
    protocol = 'name = "federated"\ndeadline_s = 2.0\nat_least = 6'
    calm = simulated(scenario_file(protocol, FAULTS["calm"], training=training)).go()
    for fault in ("server crash", "copies", "loss"):
        run = simulated(scenario_file(protocol, FAULTS[fault], training=training, name="f")).go()
        assert run.world.traffic["TrainRequest"] >= calm.world.traffic["TrainRequest"]
        np.testing.assert_allclose(
            run.reports[-1].params_D, calm.reports[-1].params_D, atol=1e-6, err_msg=fault
        )


def test_a_lost_message_without_a_deadline_is_a_deadlock_that_says_who_waits(
    scenario_file, simulated
):
    path = scenario_file('name = "federated"\ndeadline_s = 1.0', "[network]\nloss = 0.9")
    run = simulated(path)
    role = run.stage.cast.roles["server"]
    run.world.nodes["server"].role = _without_deadline(role)
    with pytest.raises(
        RoundFailedError, match=r"deadlock at 0 simulated seconds: server waits for"
    ):
        run.go()


def _without_deadline(role):
    """The same server under a charter that forgot its deadline (a charter is refused for it)."""
    from dataclasses import replace
    from functools import partial

    import msgspec

    plan = role.keywords["plan"]
    parameters = msgspec.structs.replace(plan.parameters, deadline_s=None)
    return partial(role.func, plan=replace(plan, parameters=parameters))


def test_a_server_that_never_hears_from_enough_parties_gives_up(scenario_file, simulated):
    path = scenario_file('name = "federated"\ndeadline_s = 1.0', "[network]\nloss = 0.999999")
    with pytest.raises(RoundFailedError, match=r"round 1: fewer than 1 of 6 parties"):
        simulated(path).go()


def test_messages_take_the_time_that_latency_and_bandwidth_say(scenario_file, simulated):
    """Two hops of 0.5 s, and 6 uploads of 2.6 kB each at 1 kB/s side by side on 6 uplinks."""
    run = simulated(
        scenario_file(
            extra="[network]\nlatency = 0.5\nupload_bytes_per_s = 1000",
            rounds=1,
        )
    ).go()
    request = run.world.traffic_bytes["TrainRequest"] / 1000
    update = run.world.traffic_bytes["Update"] / 6 / 1000
    assert run.records[0].simulated_s == pytest.approx(request + 0.5 + update + 0.5)


def test_a_fixed_cost_takes_simulated_time(scenario_file, simulated):
    run = simulated(
        scenario_file(
            extra='[cost]\nkind = "fixed"\nseconds = { local_update = 2.0, aggregate = 3.0 }'
        )
    ).go()
    assert [record.simulated_s for record in run.records] == [5.0, 10.0, 15.0, 20.0]


def test_computations_that_cannot_affect_each_other_share_one_engine_call(
    scenario_file, simulated, monkeypatch
):
    """Twelve parties hear from the server at twelve different times, within the lookahead."""
    run = simulated(
        scenario_file(
            extra='[network]\nlatency = { kind = "normal", mean_s = 1.0, std_s = 0.02 }', parties=12
        )
    )
    sizes = []
    original = run.stage.engine.run
    monkeypatch.setattr(
        run.stage.engine, "run", lambda requests: sizes.append(len(requests)) or original(requests)
    )
    run.go()
    local = [size for size in sizes if size > 1]
    assert len(local) <= 3 * 4
    assert sum(local) >= 10 * 4
