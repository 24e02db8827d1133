"""What a launch makes of the folders that its nodes leave."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from troth.charter.loading import load_scenario
from troth.charter.scenario import Scenario
from troth.deployment.launch import NODES, together
from troth.deployment.launching import mesh, star
from troth.deployment.play import JOURNAL
from troth.errors import UsageError, VerificationError
from troth.ids import Bytes, NodeId
from troth.records import Metrics, PartyRecord, Summary, Traffic
from troth.report.folder import PARAMS, RunFolder
from troth.runs.summary import summary_of
from troth.worlds.real.journal import Journal

PARTIES = (NodeId("party-0"), NodeId("party-1"))
SERVER = NodeId("server")

Left = Callable[..., RunFolder]


def metrics(error: float) -> Metrics:
    return Metrics(loss=1.0, error=error, examples=100)


def party(name: NodeId, **more: object) -> PartyRecord:
    fields = {"party": name, "examples": 10} | more
    return msgspec.convert(fields, PartyRecord)


@pytest.fixture
def scenario(scenario_file) -> Scenario:
    return load_scenario(scenario_file(parties=2, rounds=3)).scenario


@pytest.fixture
def run_folder(scenario: Scenario, tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", "", summary_of(scenario, "running", "real"))


@pytest.fixture
def left(scenario: Scenario, run_folder: RunFolder) -> Left:
    """Writes a node's folder."""

    def write(name: NodeId, model: dict[str, list[float]], **more: object) -> RunFolder:
        summary: Summary = summary_of(scenario, "finished", "real", **more)
        folder = RunFolder.create(run_folder.path / NODES / name, "", summary)
        tensors = {key: np.array(value, np.float32) for key, value in model.items()}
        folder.write_model(tensors, summary.charter_digest)
        with closing(Journal(folder.path / JOURNAL, node=name, run="run")) as journal:
            journal.seal(folder.outcome_digest())
        return folder

    return write


def test_every_party_may_end_with_a_model_of_its_own(run_folder: RunFolder, left: Left) -> None:
    for number, name in enumerate(PARTIES):
        own, test = metrics(0.1 + number), metrics(0.2 + number)
        traffic = {"Order": Traffic(messages=number, bytes=Bytes(10))}
        record = msgspec.structs.replace(party(name), own=own, test=test, sent=traffic)
        left(name, {name: [float(number)]}, parties=[record], final=test, peak_rss_bytes=Bytes(7))
    summary, models = together(mesh(PARTIES), run_folder)
    assert {name: params.tolist() for name, params in models.items()} == {
        "party-0": [0.0],
        "party-1": [1.0],
    }
    assert [record.test for record in summary.parties] == [metrics(0.2), metrics(1.2)]
    assert [record.own for record in summary.parties] == [metrics(0.1), metrics(1.1)]
    assert summary.final == metrics(0.7)
    assert summary.traffic == {"Order": Traffic(messages=1, bytes=Bytes(20))}
    assert summary.peak_rss_bytes == 14
    assert not [note for note in summary.notes if "did not end" in note]
    run_folder.write_model(models, summary.charter_digest)
    assert sorted(run_folder.read_model()[0]) == list(PARTIES)


def test_peers_that_end_with_another_model_are_named(run_folder: RunFolder, left: Left) -> None:
    for number, name in enumerate(PARTIES):
        record = msgspec.structs.replace(party(name), own=metrics(0.1))
        left(name, {PARAMS: [float(number)]}, parties=[record], final=metrics(0.3))
    summary, models = together(mesh(PARTIES), run_folder)
    assert models[PARAMS].tolist() == [0.0]
    assert summary.final == metrics(0.3)
    assert "did not end with the model of party-0: party-1" in summary.notes


def test_a_hub_has_the_model_and_parties_know_their_own_rows(
    run_folder: RunFolder, left: Left
) -> None:
    seen = [party(name, bytes_sent=5) for name in PARTIES]
    left(SERVER, {PARAMS: [1.0]}, parties=seen, final=metrics(0.3))
    for name in PARTIES:
        record = msgspec.structs.replace(party(name), own=metrics(0.1))
        left(name, {PARAMS: [1.0]}, parties=[record], final=metrics(0.3))
    summary, models = together(star((SERVER, *PARTIES)), run_folder)
    assert models[PARAMS].tolist() == [1.0]
    assert summary.final == metrics(0.3)
    assert [record.own for record in summary.parties] == [metrics(0.1)] * 2
    assert [record.test for record in summary.parties] == [None] * 2
    assert [record.bytes_sent for record in summary.parties] == [5, 5]


def test_what_the_first_node_leaves_of_the_run_is_copied(run_folder: RunFolder, left: Left) -> None:
    for name in PARTIES:
        record = msgspec.structs.replace(party(name), own=metrics(0.1))
        folder = left(name, {PARAMS: [0.0]}, parties=[record])
        (folder.path / "accounts").write_text(name)
    together(mesh(PARTIES, leaves=("accounts",)), run_folder)
    assert (run_folder.path / "accounts").read_text() == PARTIES[0]


@pytest.mark.parametrize("file", ["model.safetensors", "summary.json", "parties.jsonl", JOURNAL])
@pytest.mark.parametrize("what", ["altered", "deleted"])
def test_what_a_node_has_left_is_taken_as_it_left_it(
    file: str, what: str, run_folder: RunFolder, left: Left
) -> None:
    """An altered number was taken for the outcome of the launch."""
    record = msgspec.structs.replace(party(PARTIES[0]), own=metrics(0.1))
    folders = [left(name, {PARAMS: [1.0]}, parties=[record]) for name in PARTIES]
    together(mesh(PARTIES), run_folder)
    place = folders[1].path / file
    if what == "deleted":
        place.unlink()
    else:
        data, sealed = place.read_bytes(), folders[1].outcome_digest()
        altered = {
            "model.safetensors": data[:-1] + bytes([data[-1] ^ 1]),
            "summary.json": data.replace(b'"seed": 1', b'"seed": 2'),
            "parties.jsonl": data.replace(b'"error":0.1', b'"error":0.2'),
            JOURNAL: data.replace(sealed, sealed[::-1]),
        }[file]
        assert altered != data
        place.write_bytes(altered)
    no_run = (file, what) == ("summary.json", "deleted")
    with pytest.raises(UsageError if no_run else VerificationError):
        together(mesh(PARTIES), run_folder)
