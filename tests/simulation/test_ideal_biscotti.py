"""A run of `biscotti` in which nothing goes wrong comes to what `ideal.py` says, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from troth import streams
from troth.ids import NodeId
from troth.protocols.biscotti.ideal import IdealRound, ideal
from troth.protocols.biscotti.ledger.block import CertifiedBlock
from troth.simulation import simulate

INLINE = '[engine]\nname = "inline"\n'
PROTOCOLS = {
    "as it comes": "",
    "sums": 'combine = "sum"\n',
    "no mask": 'noise = { mask = { kind = "none" } }\n',
    "few slots": "noise = { noisers = 3, slots = 3, window_s = 5.0, "
    "mask = { kind = 'gaussian', sigma = 0.1 } }\n",
    "median": 'aggregation = "median"\n',
    "mixed first": 'aggregation = { rule = "trimmed_mean", byzantine = 2, pre = "nnm" }\n',
    "optimistic": "optimistic = true\n",
    "the ledger is noisy": "ledger_noise = { epsilon = 50.0, delta = 1e-5 }\nleast_updates = 3\n",
    "larger committees": "verifiers = 5\naggregators = 4\nsampled = 0.25\nleast_updates = 1\n",
    "crash faults": 'faults = "crash"\naggregators = 3\nquorum = 2\n',
}
LATENCY = "[network]\nlatency = { kind = 'lognormal', median_s = 0.1, sigma = 0.6 }\n"


@pytest.mark.parametrize("network", ["", LATENCY], ids=["at once", "delayed"])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_fault_free_run(scenario_file: Any, simulated: Any, name: str, network: str) -> None:
    run = simulated(
        scenario_file('name = "biscotti"\n' + PROTOCOLS[name], extra=INLINE + network, parties=12)
    ).go()
    expected = ideal_of(run)
    for party, runtime in run.world.nodes.items():
        chain = chain_of(runtime)
        assert len(chain) == len(expected), party
        for block, round in zip(chain, expected, strict=True):
            content = block.block.content
            assert tuple(line.contributor for line in content.contributions) == round.contributors
            np.testing.assert_array_equal(content.aggregate, round.aggregate_D)
            assert content.stake == round.stake.digest()
        np.testing.assert_array_equal(runtime.result, expected[-1].params_D)
    for report, round in zip(run.reports, expected, strict=True):
        np.testing.assert_array_equal(report.params_D, round.params_D)
        assert report.accepted == round.contributors


def test_each_peers_record_says_what_stake_it_ends_with(scenario_file: Any, simulated: Any) -> None:
    scenario = scenario_file('name = "biscotti"\n', extra=INLINE, parties=12)
    stake = ideal_of(simulated(scenario).go())[-1].stake.as_dict()
    assert len(set(stake.values())) > 1
    parties = simulate(scenario, progress=False).summary.parties
    assert {party.party: party.measures for party in parties} == {
        name: {"stake": amount} for name, amount in stake.items()
    }


def ideal_of(run: Any) -> list[IdealRound]:
    plan = {id: runtime.role.keywords for id, runtime in run.world.nodes.items()}
    secret = streams.secret(run.stage.scenario.seed)

    def masking(peer: NodeId, round: int) -> bytes:
        return secret.child("node", peer).child("biscotti", round, "mask").digest(32)

    first = next(iter(plan.values()))["plan"]
    keys = {id: bound["keys"] for id, bound in plan.items()}
    return ideal(first.rules, keys, first.initial_D, run.stage.engine.run, masking)


def chain_of(runtime: Any) -> list[CertifiedBlock]:
    """A node's chain, from its ledger."""
    certified = [
        runtime.ledger.line(hash, above=0, most_bytes=2**40) for hash in runtime.ledger.hashes
    ]
    return list(max(certified, key=len))


def test_a_contributor_that_finds_no_noise_says_so(scenario_file: Any, simulated: Any) -> None:
    """Or verifiers would wait for it until the time for updates is over."""
    noise = (
        "noise = { noisers = 6, needed = 6, slots = 2, mask = { kind = 'gaussian', sigma = 1 } }"
    )
    run = simulated(
        scenario_file('name = "biscotti"\nsampled = 0.5\n' + noise, extra=INLINE, parties=12)
    ).go()
    window_s, rounds = 1.0, 4
    assert run.world.traffic["NoUpdate"] > 0
    assert run.records[-1].simulated_s < 2 * window_s * rounds
