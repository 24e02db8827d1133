"""A run in which nothing goes wrong comes to what the protocol's `ideal.py` says, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from troth import streams
from troth.protocols.centralised.ideal import ideal as centralised_ideal
from troth.protocols.centralised.protocol import TRAINER
from troth.protocols.dssgd import ideal as dssgd_ideal
from troth.protocols.dssgd.roles import Plan as DSSGDPlan
from troth.protocols.federated.ideal import ideal as federated_ideal
from troth.protocols.federated.roles import Plan
from troth.protocols.standalone.ideal import ideal as standalone_ideal

UPDATES = {
    "gradient": 'update = "gradient"\nlearning_rate = 0.5\nmomentum = 0.5\ndecay = 0.1',
    "step": 'update = "step"\nlearning_rate = 0.5\nmomentum = 0.9',
    "delta": "learning_rate = 0.5\nlocal_epochs = 2\nbatch_size = 16\nmomentum = 0.5",
}
LATENCY = "[network]\nlatency = { kind = 'lognormal', median_s = 0.1, sigma = 0.6 }"


def _same(reports, models):
    assert len(reports) == len(models) > 0
    for report, model in zip(reports, models, strict=True):
        np.testing.assert_array_equal(report.params_D, model)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    "protocol",
    [
        'name = "federated"',
        'name = "federated"\nparticipation = 0.5\nserver_learning_rate = 0.7',
        'name = "federated"\naggregation = "median"',
        'name = "federated"\naggregation = { rule = "multi_krum", byzantine = 1 }',
        'name = "federated"\naggregation = { rule = "krum", byzantine = 1, pre = "nnm" }',
        'name = "federated"\naggregation = { rule = "median", byzantine = 1, pre = "bucketing" }',
    ],
)
def test_federated(scenario_file, simulated, update, protocol):
    run = simulated(scenario_file(protocol, training=UPDATES[update])).go()
    charter = run.stage.scenario.charter
    plan = Plan(run.stage.parties, run.stage.initial_D, charter.training, charter.protocol)
    _same(run.reports, federated_ideal(plan, run.stage.engine.run, streams.learning(1)))


def test_federated_over_a_network_that_only_delays(scenario_file, simulated):
    """Arrival in any order must not matter. Batches differ, so the last digits may."""
    run = simulated(scenario_file(extra=LATENCY)).go()
    charter = run.stage.scenario.charter
    plan = Plan(run.stage.parties, run.stage.initial_D, charter.training, charter.protocol)
    models = federated_ideal(plan, run.stage.engine.run, streams.learning(1))
    for report, model in zip(run.reports, models, strict=True):
        np.testing.assert_allclose(report.params_D, model, atol=1e-6)
    assert run.records[-1].simulated_s > 0.4


@pytest.mark.parametrize("update", ["step", "delta"])
@pytest.mark.parametrize(
    "protocol",
    [
        "upload = 0.1",
        "upload = 0.5\ndownload = 0.3\nbound = 0.01",
        'upload = 0.3\nselection = "random"\nthreshold = 1e-3',
    ],
)
def test_dssgd_round_robin(scenario_file, simulated, update, protocol):
    run = simulated(
        scenario_file(f'name = "dssgd"\n{protocol}', training=UPDATES[update], parties=4)
    ).go()
    charter = run.stage.scenario.charter
    plan = DSSGDPlan(run.stage.parties, run.stage.initial_D, charter.training, charter.protocol)
    _same(run.reports, dssgd_ideal.round_robin(plan, run.stage.engine.run, streams.learning(1)))


def test_dssgd_asynchronous_in_lockstep(scenario_file, simulated):
    run = simulated(
        scenario_file(
            'name = "dssgd"\norder = "asynchronous"\nupload = 0.2\ndownload = 0.5',
            "[network]\nlatency = 0.1",
        )
    ).go()
    charter = run.stage.scenario.charter
    plan = DSSGDPlan(run.stage.parties, run.stage.initial_D, charter.training, charter.protocol)
    orders = [report.accepted for report in run.reports]
    assert all(sorted(order) == list(run.stage.parties) for order in orders)
    models = dssgd_ideal.lockstep(plan, run.stage.engine.run, streams.learning(1), orders)
    _same(run.reports, models)


@pytest.mark.parametrize("update", UPDATES)
def test_centralised(scenario_file, simulated, update):
    run = simulated(scenario_file('name = "centralised"', training=UPDATES[update])).go()
    models = centralised_ideal(
        [TRAINER],
        run.stage.initial_D,
        run.stage.scenario.charter.training,
        run.stage.engine.run,
    )
    _same(run.reports, [model[TRAINER] for model in models])


@pytest.mark.parametrize("update", UPDATES)
def test_standalone(scenario_file, simulated, update):
    run = simulated(scenario_file('name = "standalone"', training=UPDATES[update])).go()
    models = standalone_ideal(
        run.stage.parties,
        run.stage.initial_D,
        run.stage.scenario.charter.training,
        run.stage.engine.run,
    )
    for party in run.stage.parties:
        np.testing.assert_array_equal(run.world.nodes[party].result, models[-1][party])
    assert [record.round for record in run.records] == [1, 2, 3, 4]
