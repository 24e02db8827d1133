"""A run of `biscotti` between processes in which nothing goes wrong comes to what `ideal.py` says,
bit for bit.

Keys, and the noise that masks updates, follow from secrets of the operating system, so they are
read from the files that the peers had. What blinds commitments and shares comes from another
secret of each peer, and the outcome does not depend on it. With `ledger_noise` it would, so that is
compared in simulations only (`tests/simulation/test_conformance.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_nodes import LedgerPeers
from node_processes import ended, model

from troth.charter.loading import LoadedScenario, load_scenario
from troth.compute import Compute
from troth.engines.local import BatchedEngine
from troth.ids import NodeId, PartyId, party_id
from troth.protocols.biscotti.ideal import IdealRound, ideal
from troth.protocols.biscotti.ledger.block import read_kept
from troth.protocols.biscotti.operation.starting import LedgerPeer, read_peer
from troth.report.read import read_summary
from troth.worlds.simulated.stage import prepare

PARTIES, ROUNDS = 7, 3
NAMES = tuple(party_id(number, PARTIES) for number in range(PARTIES))
MEET_S, END_S = "240", 240.0

# Three peers contribute and the rule leaves one of them out, which one depends on the noise. Nobody
# waits for a phase to be over, so a long one costs nothing; the window is waited for, and who asks
# for noise after it may get another slot.
PROTOCOL = """name = "biscotti"
aggregation = { rule = "trimmed_mean", byzantine = 1 }
sampled = 0.4
verifiers = 1
phase_s = 60.0
linger_s = 8.0
[privacy]
noisers = 2
slots = 12
window_s = 3.0
mask = { kind = "gaussian", sigma = 1.0 }"""
TRAINING = "learning_rate = 0.5\nmomentum = 0.5"


@pytest.mark.slow
def test_a_fault_free_run_between_processes(scenario_file, tmp_path: Path) -> None:
    scenario = scenario_file(PROTOCOL, parties=PARTIES, rounds=ROUNDS, training=TRAINING)
    nodes = LedgerPeers(scenario, tmp_path, NAMES)
    with ended(nodes.nodes):
        for name in NAMES:
            nodes.start(name, "--give-up-after", MEET_S)
        for node in nodes.nodes.values():
            node.end(END_S)
    loaded = load_scenario(scenario)
    peers = {name: read_peer(loaded, name, nodes.files(name)) for name in NAMES}
    expected = ideal_of(loaded, peers)
    assert all(len(round.contributors) == 2 for round in expected)
    for name, peer in peers.items():
        with peer.open_chain(tmp_path / name) as chain:
            blocks = chain.branch(chain.tip().hash, above=0, most_bytes=2**40)
        assert len(blocks) == ROUNDS, name
        for block, round in zip(blocks, expected, strict=True):
            content = read_kept(block).block.content
            assert tuple(part.contributor for part in content.contributions) == round.contributors
            np.testing.assert_array_equal(content.aggregate, round.aggregate_D)
            assert content.stake == round.stake.digest()
        np.testing.assert_array_equal(model(tmp_path / name), expected[-1].params_D)
        (record,) = read_summary(tmp_path / name).parties
        assert record.measure("stake") == expected[-1].stake.as_dict()[name]


def ideal_of(loaded: LoadedScenario, peers: dict[PartyId, LedgerPeer]) -> list[IdealRound]:
    keys = {name: peer.members.keys[name] for name, peer in peers.items()}
    stage = prepare(loaded.scenario, base=loaded.base, root=None)
    # All parties' rows in one place, and the engine that nodes have. They ask it one thing at a
    # time, and so does this: engines agree up to the last bits of a float, not in them.
    engine = BatchedEngine(stage.bench)

    def compute(requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        return [value for request in requests for value in engine.run([request])]

    def no_ledger_noise(peer: NodeId, round: int) -> bytes:
        return bytes(32)

    try:
        rules = peers[NAMES[0]].members.rules
        return ideal(rules, keys, stage.initial_D, compute, no_ledger_noise)
    finally:
        engine.close()
        stage.engine.close()
