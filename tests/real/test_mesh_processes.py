"""Peers of a ledger as processes of their own: launched, killed, started again, left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from ledger_nodes import LedgerPeers
from node_processes import ended, model
from ports import free_port

from troth.charter.loading import load_scenario
from troth.cli import run
from troth.ids import NodeId
from troth.protocols.biscotti.operation.starting import read_peer
from troth.report.read import load_run

pytestmark = pytest.mark.waits

PARTIES, ROUNDS = 6, 4
ROUNDS_WITHOUT_ONE = 2
"""Where one is missing all the time, each takes as long as its steps may."""
END_S = 900.0
"""How long peers may take. A round that misses somebody waits for each of its steps to be over."""
NAMES = tuple(NodeId(f"party-{number}") for number in range(PARTIES))

# A round goes on as soon as everybody has said what it waits for; only who is not there costs time.
PROTOCOL = """name = "biscotti"
aggregation = { rule = "trimmed_mean", byzantine = 0 }
sampled = 0.34
verifiers = 1
faults = "crash"
quorum = 2
phase_s = 12.0
linger_s = 10.0
[privacy]
noisers = 2
needed = 1
slots = 4
window_s = 0.5
mask = { kind = "gaussian", sigma = 0.01 }"""


Start = Callable[[int], "Peers"]
"""Peers of a training of so many rounds, none of which runs yet."""


@pytest.fixture
def peers_of(scenario_file, tmp_path: Path) -> Start:
    def peers(rounds: int) -> Peers:
        training = "learning_rate = 0.5"
        file = scenario_file(PROTOCOL, parties=PARTIES, rounds=rounds, training=training)
        return Peers(file, tmp_path, rounds)

    return peers


def verified(chain: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """What an auditor says of a chain."""
    capsys.readouterr()
    assert run(["chain", "verify", str(chain), "--format", "json"]) == 0
    said: dict[str, object] = json.loads(capsys.readouterr().out)
    return said


class Peers(LedgerPeers):
    """All parties of a scenario."""

    def __init__(self, scenario: Path, folder: Path, rounds: int) -> None:
        super().__init__(scenario, folder, NAMES)
        self.rounds = rounds

    def check_agreed(
        self, names: Sequence[NodeId], capsys: pytest.CaptureFixture[str]
    ) -> list[int]:
        """All have the same model, and chains that hold and end with the same block; the heights of
        its certified blocks."""
        first = self.folder / names[0]
        audited = verified(first / "chain.sqlite", capsys)
        assert audited["height"] == self.rounds
        for name in names:
            np.testing.assert_array_equal(model(self.folder / name), model(first))
            chain = verified(self.folder / name / "chain.sqlite", capsys)
            assert chain["hash"] == audited["hash"]
        return [record.round for record in load_run(first).rounds if record.accepted]


def dispensable(peers: Peers) -> NodeId:
    """A peer without which round 1 comes to a sum: two aggregators open it, and one noiser hides
    each update. Other rounds draw it as verifier or contributor, and may be empty."""
    first = NAMES[0]
    peer = read_peer(load_scenario(peers.scenario), first, peers.files(first))
    rules = peer.members.rules
    return rules.context(rules.first(peer.initial_D).before).aggregators[-1]


@pytest.mark.slow
def test_peers_that_are_killed_catch_up(
    peers_of: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    """One who connects to all others, then one to whom most connect."""
    peers = peers_of(ROUNDS)
    with ended(peers.nodes):
        for name in NAMES:
            peers.start(name)
        for round, victim in ((1, NAMES[-1]), (2, NAMES[1])):
            while peers.nodes[NAMES[0]].event("round")["round"] < round:
                pass
            peers.nodes[victim].kill()
            peers.start(victim)
        for node in peers.nodes.values():
            node.end(END_S)
    assert peers.check_agreed(NAMES, capsys)


@pytest.mark.slow
def test_a_peer_that_has_lost_everything_comes_back_with_a_chain_of_another(
    peers_of: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its secret and key lie elsewhere. The chain is a copy that was made while another was down,
    whose owner has also said which block to trust."""
    peers, copy = peers_of(ROUNDS), tmp_path / "copy.sqlite"
    lost, other = NAMES[-1], NAMES[1]
    with ended(peers.nodes):
        for name in NAMES:
            peers.start(name)
        # It tells of a round when it has a certified block of that round or a later one.
        peers.nodes[other].event("round")
        peers.nodes[other].kill()
        for end in ("", "-wal"):
            shutil.copyfile(f"{tmp_path / other / 'chain.sqlite'}{end}", f"{copy}{end}")
        peers.start(other)
        capsys.readouterr()
        assert run(["chain", "show", str(copy), "--format", "json"]) == 0
        blocks = json.loads(capsys.readouterr().out)
        trusted = [block["hash"] for block in blocks if block["signers"]][-1]
        peers.nodes[lost].kill()
        shutil.rmtree(tmp_path / lost)
        peers.start(lost, "--chain", str(copy), "--trust", trusted)
        for node in peers.nodes.values():
            node.end(END_S)
    assert peers.check_agreed(NAMES, capsys)
    back = load_run(tmp_path / lost)
    assert any(trusted in note for note in back.summary.notes)
    # It tells of the rounds before it came, too.
    assert [record.round for record in back.rounds] == list(range(1, ROUNDS + 1))


@pytest.mark.slow
def test_others_train_without_a_peer_that_never_comes(
    peers_of: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = peers_of(ROUNDS_WITHOUT_ONE)
    absent = dispensable(peers)
    # All begin at once, because each waits for the others no longer than it waits for the absent.
    peers.urls = {name: f"https://127.0.0.1:{free_port()}" for name in NAMES}
    there = [name for name in NAMES if name != absent]
    with ended(peers.nodes):
        for name in there:
            peers.begin(name, "--give-up-after", "45")
        for node in peers.nodes.values():
            node.end(END_S)
    assert peers.check_agreed(there, capsys)
