"""Clinics with files of their own and privacy of their own, as in examples/clinics_brokered."""

from __future__ import annotations

from pathlib import Path

import pytest
from brokered_nodes import Crash, brokered, provider_states, released, write_tumours

from troth.charter.loading import load_charter
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.report.read import load_run

EXAMPLE = Path(__file__).parents[2] / "examples" / "clinics_brokered"
FILES = EXAMPLE.parent / "own_files"
# Each rejection makes puzzles sixteen times as hard, and how many updates with noise are rejected
# depends on the noise.
EASIER = [
    "protocol.difficulty=1",
    'protocol.verifiers=[{ kind = "roni", share = 0.25, threshold = 1.0 }]',
]


@pytest.mark.slow
def test_clinics_train_from_their_own_files(tmp_path: Path) -> None:
    """One of them is killed, and goes on with its file, its seed and its ledger."""
    with brokered(write_tumours(tmp_path), tmp_path) as nodes:
        nodes.charter = load_charter(EXAMPLE / "charter.toml", overrides=EASIER)
        broker = nodes.start_broker()
        changes = [word for change in EASIER for word in ("--set", change)]
        curate = ["curate", EXAMPLE / "charter.toml", "--validation", FILES / "clinic-2.csv"]
        curate += ["--broker", nodes.address, "--identity", tmp_path / "curator.pem", *changes]
        nodes.start_verb(CURATOR, *curate)
        address = broker.event("deployed")
        assert address == nodes.joining
        join = {
            name: ["join", address, "--data", FILES / f"{name}.csv"]
            for name in ("clinic-0", "clinic-1")
        }
        join["clinic-0"] += ["--privacy", EXAMPLE / "privacy.toml"]
        nodes.start_verb("clinic-0", *join["clinic-0"], crash=Crash(5, "after"))
        nodes.start_verb("clinic-1", *join["clinic-1"])
        nodes.nodes["clinic-0"].died()
        nodes.start_verb("clinic-0", *join["clinic-0"])
        nodes.end()
    assert nodes.witness().saved is not None
    rounds = nodes.charter.training.rounds
    run = load_run(tmp_path / BROKER)
    assert [record.round for record in run.rounds] == list(range(1, rounds + 1))
    last = provider_states(nodes, "clinic-0")[-1]
    sent = released(nodes, "clinic-0")
    assert last.updates == len(sent) == last.ledger.last_release == rounds
    # Poisson samples of 16 of 100 rows: 7 steps an epoch.
    assert [entry.times for entry in last.ledger.entries] == [rounds * 3 * 7]
    told = load_run(tmp_path / "clinic-0").summary.privacy.parties
    assert [party.releases for party in told] == [rounds]
    assert 0 < told[0].epsilon <= 8.0
    # Nobody else's folder has a word of it, nor of the file.
    for file in (tmp_path / BROKER).rglob("*"):
        assert b"clinic-0" not in file.read_bytes()
    assert load_run(tmp_path / BROKER).summary.privacy.parties == []
    final = load_run(tmp_path / CURATOR).summary.final
    assert final.examples == 100
    assert final.loss < 1.0
