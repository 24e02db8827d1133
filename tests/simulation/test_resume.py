"""A world written down at any moment and brought back ends the same."""

from __future__ import annotations

import numpy as np
import pytest

from troth.errors import LocalError, VerificationError
from troth.ids import Round
from troth.worlds.simulated import snapshot
from troth.worlds.simulated import world as world_module

ROUGH = """
[network]
latency = { kind = "lognormal", median_s = 0.1, sigma = 0.5 }
loss = 0.05
duplication = 0.1
reordering = 0.1
upload_bytes_per_s = 100000
download_bytes_per_s = 100000

[churn]
mean_online_s = 5.0
mean_offline_s = 0.5

[faults]
crashes = [{ node = "server", at_s = 0.9, restart_after_s = 0.3 }]

[cost]
kind = "fixed"
otherwise_s = 0.02

[[attacks]]
kind = "inner_product"
fraction = 0.34
"""
CASES = {
    "federated": ('name = "federated"\ndeadline_s = 1.0\naggregation = "median"', ROUGH),
    "federated step": ('name = "federated"\ndeadline_s = 1.0', ROUGH),
    "round robin": ('name = "dssgd"\nupload = 0.3\ndeadline_s = 1.0', ROUGH),
    "asynchronous": (
        'name = "dssgd"\norder = "asynchronous"\nupload = 0.3\ndeadline_s = 1.0',
        ROUGH,
    ),
    "biscotti": (
        'name = "biscotti"\nphase_s = 1.0\nlinger_s = 2.0\nsampled = 0.5\nleast_updates = 1',
        ROUGH.replace('node = "server"', 'node = "party-3"')
        .replace("upload_bytes", "# ")
        .replace("download_bytes", "# ")
        + '[cryptography]\ngroup = "modelled"',
    ),
    "centralised": ('name = "centralised"', ""),
    "standalone": ('name = "standalone"', '[cost]\nkind = "fixed"\notherwise_s = 0.02'),
}


@pytest.fixture
def often(monkeypatch):
    """A checkpoint before every event."""
    monkeypatch.setattr(world_module, "EVENTS_BETWEEN_CHECKPOINTS", 1)


@pytest.mark.parametrize("case", CASES)
def test_resumed_from_any_moment_a_run_ends_the_same(often, scenario_file, simulated, case):
    protocol, extra = CASES[case]
    training = (
        'update = "step"\nlearning_rate = 0.5\nmomentum = 0.9'
        if "step" in case
        else ("learning_rate = 0.5")
    )
    parties = 10 if case == "biscotti" else 6
    path = scenario_file(protocol, extra, training=training, parties=parties)
    taken: list[tuple[int, bytes]] = []

    def checkpoint(run):
        data = snapshot.take(run.world, scenario_digest="s", observer=run.recorder.state())
        taken.append((len(run.records), data))

    whole = simulated(path, checkpoint=checkpoint).go()
    assert len(taken) >= 5
    # Every moment would take minutes; a spread of them, the first and the last included.
    for index in {0, len(taken) - 1, *range(0, len(taken), max(1, len(taken) // 12))}:
        records_before, data = taken[index]
        run = simulated(path)
        run.recorder.restore(snapshot.restore(run.world, data, scenario_digest="s"))
        run.finish()
        assert run.world.trace_digest() == whole.world.trace_digest(), f"moment {index}"
        for id in whole.stage.cast.leading:
            np.testing.assert_array_equal(run.world.nodes[id].result, whole.world.nodes[id].result)
        rest = whole.records[records_before:]
        assert _story(run.records) == _story(rest)


def _story(records):
    """Everything about the rounds but the wall-clock time."""
    return [
        (r.round, r.metrics, r.accepted, r.rejected, r.missing, r.bytes_sent, r.simulated_s)
        for r in records
    ]


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
