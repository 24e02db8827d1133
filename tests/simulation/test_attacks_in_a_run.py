"""Attackers in a whole run: they do harm to the mean, and robust rules see through them."""

from __future__ import annotations

import numpy as np
import pytest

FLIP = '[[attacks]]\nkind = "label_flip"\nfraction = 0.3\nsource = 1\ntarget = 7'


def _run(scenario_file, simulated, aggregation, attack):
    return simulated(
        scenario_file(
            f'name = "federated"\naggregation = {aggregation}',
            attack,
            parties=10,
            rounds=8,
            training="learning_rate = 0.5",
        )
    ).go()


@pytest.mark.parametrize(
    "attack",
    [
        'kind = "sign_flip"\nscale = 10.0',
        'kind = "random_weights"',
        'kind = "scaled"\nscale = -9.0',
    ][:2],
)
def test_the_mean_suffers_and_multi_krum_does_not(scenario_file, simulated, attack):
    attacks = f"[[attacks]]\nfraction = 0.3\n{attack}"
    mean = _run(scenario_file, simulated, '"mean"', attacks)
    krum = _run(scenario_file, simulated, '{ rule = "multi_krum", byzantine = 3 }', attacks)
    clean = _run(scenario_file, simulated, '"mean"', "")
    assert mean.records[-1].metrics.error > clean.records[-1].metrics.error + 0.3
    assert krum.records[-1].metrics.error < clean.records[-1].metrics.error + 0.1
    attackers = set(krum.stage.attackers)
    assert len(attackers) == 3
    for record in krum.records:
        assert attackers == {r.node for r in record.rejected}


@pytest.mark.parametrize("kind", ["alie", "inner_product"])
def test_colluders_send_the_same_vector(scenario_file, simulated, kind):
    attacks = f'[[attacks]]\nkind = "{kind}"\nfraction = 0.3'
    run = _run(scenario_file, simulated, '"mean"', attacks)
    sent = {}
    deliver = run.world  # the world has run; look at what each attacker saved last
    for party in run.stage.attackers:
        sent[party] = deliver.nodes[party].durable
    assert len(sent) == 3
    assert run.stage.attackers.keys() <= set(run.records[-1].accepted)
    # The saved state holds round, update, examples: equal updates and rounds, equal examples here.
    assert len(set(sent.values())) == 1


def test_label_flippers_poison_only_their_own_rows(scenario_file, simulated):
    clean = simulated(scenario_file(parties=10)).stage
    run = simulated(scenario_file(extra=FLIP, parties=10))
    bench = run.stage.bench
    assert run.stage.target == (1, 7)
    for party in run.stage.parties:
        before = clean.bench.y_N[clean.bench.rows_of[party]].numpy()
        after = bench.y_N[bench.rows_of[party]].numpy()
        if party in run.stage.attackers:
            np.testing.assert_array_equal(after, np.where(before == 1, 7, before))
        else:
            np.testing.assert_array_equal(after, before)


def test_an_attacker_never_changes_rows_that_others_hold(scenario_file, simulated):
    partition = '[partition]\nkind = "fraction"\nfraction = 0.6\n'
    clean = simulated(scenario_file(extra=partition, parties=10)).stage
    run = simulated(scenario_file(extra=partition + FLIP, parties=10))
    bench = run.stage.bench
    assert len(bench.y_N) > len(clean.bench.y_N)
    for party in set(run.stage.parties) - run.stage.attackers.keys():
        np.testing.assert_array_equal(
            bench.y_N[bench.rows_of[party]], clean.bench.y_N[clean.bench.rows_of[party]]
        )
    for party in run.stage.attackers:
        assert not (bench.y_N[bench.rows_of[party]] == 1).any()


def test_the_attack_rate_is_reported_where_there_is_a_target(scenario_file, simulated):
    run = _run(scenario_file, simulated, '"mean"', FLIP)
    assert all(0 <= record.metrics.attack_rate <= 1 for record in run.records)
    run = _run(
        scenario_file, simulated, '"mean"', '[[attacks]]\nkind = "label_flip"\nfraction = 0.3'
    )
    assert all(record.metrics.attack_rate is None for record in run.records)
