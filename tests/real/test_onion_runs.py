"""Brokered runs by Tor come to what a simulation does, whoever is killed on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from brokered_nodes import stopping, write_tumours
from onion_nodes import OnionBrokered

import troth
from troth.cli import run
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.report.folder import RunFolder
from troth.report.read import load_run

pytestmark = [pytest.mark.tor, pytest.mark.slow]

PROVIDERS, ROUNDS = 8, 8
BULK = 'synchrony = "bulk_synchronous"\nverifiers = []'


def test_ten_processes_train_the_model_of_the_simulation_whoever_is_killed(
    tor_network: Path, tmp_path: Path
) -> None:
    """Each with a tor of its own. The broker has the same onion address before and after."""
    scenario = write_tumours(tmp_path, BULK, rounds=ROUNDS)
    changes = [f"parties.count={PROVIDERS}"]
    with stopping(OnionBrokered(scenario, tmp_path, changes, config=tor_network)) as nodes:
        nodes.start_all()
        address, broker = nodes.address, nodes.nodes[BROKER]
        while broker.event("round")["round"] < 2:
            pass
        nodes.nodes["party-3"].kill()
        nodes.start("party-3")
        while broker.event("round")["round"] < ROUNDS // 2:
            pass
        broker.kill()
        nodes.start_broker()
        assert nodes.address == address
        nodes.end()
    simulated = troth.simulate(scenario, parties__count=PROVIDERS, progress=False)
    np.testing.assert_allclose(nodes.model(), simulated.parameters, atol=1e-6, rtol=0)
    final = load_run(nodes.folder / CURATOR).summary.final
    assert final is not None
    assert final.error == simulated.final.error
    # Nothing is lost, and nothing counts twice.
    witness = nodes.witness()
    assert len(witness.counted) == ROUNDS * PROVIDERS
    assert witness.restarts == 1
    rounds = load_run(nodes.folder / BROKER).rounds
    assert [record.round for record in rounds] == list(range(1, ROUNDS + 1))
    assert [len(record.accepted) for record in rounds] == [PROVIDERS] * ROUNDS


def test_a_launch_by_tor_is_the_simulation(
    tor_network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Curator and providers share one tor, and nothing of it is left."""
    scenario, into = write_tumours(tmp_path, BULK), tmp_path / "launched"
    launch = ["launch", str(scenario), "--tor", "--tor-config", str(tor_network)]
    assert run([*launch, "--into", str(into), "--quiet"]) == 0, capsys.readouterr().err
    simulated = troth.simulate(scenario, progress=False)
    launched = RunFolder(into)
    np.testing.assert_allclose(
        launched.read_model()[0]["params"], simulated.parameters, atol=1e-6, rtol=0
    )
    assert "5 processes on one machine, over TLS, by Tor" in launched.summary().notes
    left = [path.name for path in (into / "nodes").iterdir() if path.is_dir()]
    assert sorted(left) == [BROKER, CURATOR, "party-0", "party-1", "party-2"]
