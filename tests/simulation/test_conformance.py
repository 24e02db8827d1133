"""What every protocol must show, those that come with Troth and one of somebody else.

What a protocol has to tell the suite stands in `conformance_cases.py`; nothing here knows of any.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance import (
    Case,
    HostileBytes,
    Setup,
    assert_same_models,
    attack,
    encoded,
    holds_floats,
    keys_of,
    labels_seen,
    listen,
    references_of,
    refusals,
    results,
    send_spoilt,
    story,
)
from conformance_cases import CASES, with_foreign

import troth
from stopped_launch import stopped_launch
from troth.charter.file import WORLD_KEYS
from troth.cli import run as troth_command
from troth.crypto.identity import Identity
from troth.ids import NodeId
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Protocol
from troth.protocols.registry import PROTOCOLS
from troth.report.folder import RunFolder
from troth.report.read import load_run
from troth.worlds.real.peers import peers_text
from troth.worlds.simulated import snapshot
from troth.worlds.simulated import world as world_module

SetUp = Callable[..., Any]

EACH = pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
SENDING = pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.record.sends_messages],
    ids=lambda case: case.name,
)


def each(kind: str) -> pytest.MarkDecorator:
    """Every scenario of that kind of every protocol."""
    return pytest.mark.parametrize(
        ("case", "setup"),
        [
            pytest.param(case, setup, id=f"{case.name}, {name}")
            for case in CASES.values()
            for name, setup in getattr(case, kind).items()
        ],
    )


def test_every_protocol_has_a_case() -> None:
    registered = {protocol.name: protocol for protocol in PROTOCOLS}
    missing = registered.keys() - CASES.keys()
    assert not missing, f"conformance_cases.py has no case for {', '.join(sorted(missing))}"
    for name, protocol in registered.items():
        assert CASES[name].record is protocol


@EACH
def test_a_case_leaves_nothing_out(case: Case) -> None:
    assert case.calm
    assert case.rough
    assert case.faults
    assert case.seeds > 0
    assert (case.hostile is not None) == case.record.sends_messages
    assert (case.nothing is not None) == case.record.sends_messages
    assert (case.launched is not None) == case.record.real_nodes
    assert bool(case.counted) == case.record.sends_messages


# ------------------------------------------------------------------ the outcome


@each("calm")
def test_a_run_without_faults_is_the_ideal(
    case: Case, setup: Setup, tmp_path: Path, simulated: SetUp
) -> None:
    run = simulated(setup.write(tmp_path, case.name)).go()
    leading = run.stage.cast.leading
    expected = [
        each if isinstance(each, dict) else dict.fromkeys(leading, each) for each in case.ideal(run)
    ]
    assert len(expected) == setup.rounds
    assert_same_models(results(run), {id: expected[-1][id] for id in leading})
    reported = {report.round for report in run.reports}
    assert reported == {record.round for record in run.records} == set(range(1, setup.rounds + 1))
    for report in run.reports:
        models = expected[report.round - 1].values()
        assert any(np.array_equal(report.params_D, model_D) for model_D in models), report.round
    assert labels_seen(run) <= set(case.record.labels)


@each("rough")
def test_two_runs_are_equal(case: Case, setup: Setup, tmp_path: Path, simulated: SetUp) -> None:
    path = setup.write(tmp_path, case.name)
    one, two = simulated(path).go(), simulated(path).go()
    assert one.world.trace_digest() == two.world.trace_digest()
    assert story(one.records) == story(two.records)
    assert len(one.records) > 0
    assert_same_models(results(one), results(two))


@each("rough")
def test_another_seed_gives_another_run(
    case: Case, setup: Setup, tmp_path: Path, simulated: SetUp
) -> None:
    digests = {
        simulated(setup.write(tmp_path, case.name, seed=seed)).go().world.trace_digest()
        for seed in (1, 2, 3)
    }
    assert len(digests) == 3


RUNS = """
import hashlib, json, sys, troth
for path in sys.argv[1:]:
    result = troth.simulate(path, progress=False)
    models = [result.parameters] if result.parameters is not None else result.models.values()
    digest = hashlib.sha256(b"".join(model.tobytes() for model in models))
    print(json.dumps([result.summary.trace_digest, digest.hexdigest()]))
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """What each rough scenario came to in processes with different hash seeds."""
    paths = {}
    for case in CASES.values():
        for number, (name, setup) in enumerate(case.rough.items()):
            folder = tmp_path_factory.mktemp(f"{case.name}-{number}")
            paths[case.name, name] = setup.write(folder, case.name)
    found: dict[tuple[str, str], set[str]] = {key: set() for key in paths}
    for hash_seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", RUNS, *map(str, paths.values())],
            env=with_foreign() | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        for key, line in zip(paths, done.stdout.splitlines(), strict=True):
            found[key].add(line)
    return found


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(case, name, id=f"{case.name}, {name}")
        for case in CASES.values()
        for name in case.rough
    ],
)
def test_other_processes_and_hash_seeds_give_the_same_run(
    case: Case, name: str, elsewhere: dict[tuple[str, str], set[str]]
) -> None:
    runs = elsewhere[case.name, name]
    assert len(runs) == 1, "processes with other hash seeds run otherwise"
    trace, _ = json.loads(next(iter(runs)))
    assert trace.startswith("trace-2:")


@pytest.mark.parametrize("engine", ["inline", pytest.param("processes", marks=pytest.mark.slow)])
@each("compared")
def test_engines_agree(
    case: Case, setup: Setup, engine: str, tmp_path: Path, simulated: SetUp
) -> None:
    """To 1e-5 per parameter, with the same decisions: what docs/determinism.md states."""
    path = setup.write(tmp_path, case.name)
    reference = simulated(path).go()
    workers = ["engine.workers=2"] if engine == "processes" else []
    other = simulated(path, [f'engine.name="{engine}"', *workers]).go()
    assert reference.stage.engine.name == "batched"
    assert other.stage.engine.name == engine
    assert reference.world.traffic == other.world.traffic
    for ours, theirs in zip(reference.reports, other.reports, strict=True):
        assert (ours.round, ours.accepted, ours.missing) == (
            theirs.round,
            theirs.accepted,
            theirs.missing,
        )
        np.testing.assert_allclose(ours.params_D, theirs.params_D, atol=1e-5)


@each("rough")
def test_resumed_from_any_moment_a_run_ends_the_same(
    case: Case, setup: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, simulated: SetUp
) -> None:
    monkeypatch.setattr(world_module, "EVENTS_BETWEEN_CHECKPOINTS", 1)
    path = setup.write(tmp_path, case.name)
    taken: list[tuple[int, bytes]] = []

    def checkpoint(run: Any) -> None:
        data = snapshot.take(run.world, scenario_digest="s", observer=run.recorder.state())
        taken.append((len(run.records), data))

    whole = simulated(path, checkpoint=checkpoint).go()
    assert len(taken) >= 5
    # Every moment would take minutes; a spread of them, the first and the last included.
    for index in sorted({0, len(taken) - 1, *range(0, len(taken), max(1, len(taken) // 12))}):
        records_before, data = taken[index]
        run = simulated(path)
        run.recorder.restore(snapshot.restore(run.world, data, scenario_digest="s"))
        run.finish()
        assert run.world.trace_digest() == whole.world.trace_digest(), f"moment {index}"
        assert_same_models(results(run), results(whole))
        assert story(run.records) == story(whole.records[records_before:])


@pytest.mark.parametrize(
    ("case", "setup", "seed"),
    [
        pytest.param(case, setup, seed, id=f"{case.name}, {name}, {seed}")
        for case in CASES.values()
        for name, setup in case.faults.items()
        for seed in range(case.seeds)
    ],
)
def test_under_faults_it_keeps_its_promises(
    case: Case, setup: Setup, seed: int, tmp_path: Path, simulated: SetUp
) -> None:
    path = setup.write(tmp_path, case.name, seed=seed)
    run = simulated(path)
    check = case.watch(run, frozenset(run.stage.cast.roles))
    run.go()
    repeat = f"to repeat: troth simulate {path} --set seed={seed}"
    assert [record.round for record in run.records] == list(range(1, setup.rounds + 1)), repeat
    for model_D in results(run).values():
        assert np.isfinite(model_D).all(), repeat
    assert labels_seen(run) <= set(case.record.labels)
    check()


@pytest.mark.parametrize("seed", range(2))
@SENDING
def test_hostile_bytes_are_refused_and_the_run_goes_on(
    case: Case, seed: int, tmp_path: Path, simulated: SetUp
) -> None:
    assert case.hostile is not None
    # Messages of a run with other keys: of this one the attacker knows what it says and hears.
    calm = simulated(case.hostile.write(tmp_path, case.name, seed=100 + seed))
    said = listen(calm)
    calm.go()
    run = simulated(case.hostile.write(tmp_path, case.name, seed=seed))
    attacker = NodeId(run.stage.parties[-1])
    check = case.watch(run, frozenset(run.stage.cast.roles) - {attacker})
    attack(run, attacker, HostileBytes(encoded(calm, said), seed))
    with refusals(run) as refused:
        run.go()
    assert [record.round for record in run.records] == [record.round for record in calm.records]
    for _, error in refused:
        assert error.culprits == (attacker,)
    # All others have had to do with it, and go on or have ended well.
    assert {receiver for receiver, _ in refused} == run.world.nodes.keys() - {attacker}
    listed = {entry.node for record in run.records for entry in record.rejected}
    assert attacker in listed
    for id in set(run.stage.cast.leading) - {attacker}:
        assert np.isfinite(run.world.nodes[id].result).all()
    check()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if any(map(holds_floats, case.record.message_types()))],
    ids=lambda case: case.name,
)
def test_numbers_that_are_not_finite_are_refused_and_the_run_goes_on(
    case: Case, value: float, tmp_path: Path, simulated: SetUp
) -> None:
    assert case.hostile is not None
    run = simulated(case.hostile.write(tmp_path, case.name))
    attacker = NodeId(run.stage.parties[-1])
    check = case.watch(run, frozenset(run.stage.cast.roles) - {attacker})
    spoilt = send_spoilt(run, attacker, value)
    run.go()
    assert spoilt
    assert [record.round for record in run.records] == list(range(1, case.hostile.rounds + 1))
    listed = {entry.node for record in run.records for entry in record.rejected}
    assert attacker in listed
    for id in set(run.stage.cast.leading) - {attacker}:
        assert np.isfinite(run.world.nodes[id].result).all()
    check()


@SENDING
def test_a_run_in_which_nothing_was_accepted_has_failed(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert case.nothing is not None
    path, folder = case.nothing.write(tmp_path, case.name), tmp_path / "run"
    assert troth_command(["simulate", str(path), "--into", str(folder)]) == 5
    written = capsys.readouterr()
    assert written.out == ""
    (said,) = [line for line in written.err.splitlines() if line.startswith("error: ")]
    run = load_run(folder)
    assert run.summary.status == "failed"
    assert run.summary.problem is not None
    assert run.summary.problem.startswith(said.removeprefix("error: "))
    assert not (folder / "model.safetensors").exists()
    assert not [party for record in run.rounds for party in record.accepted]
    # Whoever waits for so many updates gives up in the first round; others come to their end.
    if run.rounds:
        assert f"no update was accepted in {len(run.rounds)} round" in said
    # What was written down can be read by who goes on with it.
    assert troth_command(["report", str(folder), "--format", "json"]) == 0
    capsys.readouterr()
    assert troth_command(["simulate", "--resume", str(folder), "--quiet"]) == 5
    assert load_run(folder).summary.problem == run.summary.problem


# ------------------------------------------------------------------ real nodes


def one_at_a_time(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of a simulation is asked as that of a real node is: a request's place in a batch
    shows in its last digits."""
    together = run.stage.engine.run

    def run_each(requests: Sequence[Any]) -> list[Any]:
        return [value for request in requests for value in together([request])]

    monkeypatch.setattr(run.stage.engine, "run", run_each)


@pytest.fixture
def foreign_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", with_foreign()["PYTHONPATH"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [case for case in CASES.values() if case.record.real_nodes], ids=lambda case: case.name
)
def test_real_processes_come_to_the_simulation(
    case: Case,
    tmp_path: Path,
    simulated: SetUp,
    foreign_path: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert case.launched is not None
    path, folder = case.launched.write(tmp_path, case.name), tmp_path / "launched"
    code = troth_command(["launch", str(path), "--into", str(folder), "--format", "json"])
    written = capsys.readouterr()
    assert code == 0, written.err
    summary = json.loads(written.out)
    assert (summary["world"], summary["status"]) == ("real", "finished")
    rounds = case.launched.rounds
    assert f"round {rounds}/{rounds}" in written.err
    launched = load_run(folder)
    assert [record.round for record in launched.rounds] == list(range(1, rounds + 1))
    assert (folder / "report.html").is_file()
    # Keys and secrets were for this run only.
    assert not [*folder.rglob("*.pem"), *folder.rglob("*.secret*")]
    if case.record.topology != "mesh":
        model_D = RunFolder(folder).read_model()[0]["params"]
        run = simulated(path)
        one_at_a_time(run, monkeypatch)
        simulated_D = next(iter(results(run.go()).values()))
        np.testing.assert_allclose(model_D, simulated_D, atol=1e-6, rtol=0)
    if case.as_simulated:
        np.testing.assert_array_equal(model_D, simulated_D)
        expected = troth.simulate(path, progress=False)
        for type_, sent in expected.summary.traffic.items():
            # How often somebody asks who does not know that all is over, nobody can say.
            if type_ not in case.estimated:
                assert launched.summary.traffic[type_] == sent
        assert launched.summary.traffic.keys() == expected.summary.traffic.keys()
        assert launched.summary.final.error == expected.final.error
        for party, other in zip(launched.summary.parties, expected.summary.parties, strict=True):
            assert (party.party, party.examples, party.accepted, party.sent, party.own.error) == (
                other.party, other.examples, other.accepted, other.sent, other.own.error,
            )  # fmt: skip
        assert [record.metrics.error for record in launched.rounds] == [
            record.metrics.error for record in expected.rounds
        ]
    if case.check_launched is not None:
        case.check_launched(folder, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "number"),
    [
        pytest.param(
            case,
            number,
            id=f"{case.name}, {number.name}",
            marks=[pytest.mark.nightly] if case.record.topology != "star" else [],
        )
        for case in CASES.values()
        if case.record.real_nodes
        # Stars are launched alike, and how a launch ends that is told to depends on no protocol.
        for number in (signal.SIGKILL, signal.SIGTERM)
        if case.name == "federated" or (number is signal.SIGKILL and case.record.topology != "star")
    ],
)
def test_a_launch_that_was_stopped_goes_on_to_the_same_end(
    case: Case,
    number: signal.Signals,
    tmp_path: Path,
    simulated: SetUp,
    foreign_path: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert case.launched is not None
    path, folder = case.launched.write(tmp_path, case.name), tmp_path / "launched"
    stopped = stopped_launch(path, folder, number, env=with_foreign())
    assert load_run(folder).summary.status != "finished"
    if number is signal.SIGKILL:
        assert stopped.returncode == -number, stopped.stderr
    else:
        assert stopped.returncode == 130, stopped.stderr
        assert f"hint: go on with: troth launch --resume {folder}" in stopped.stderr.splitlines()
    assert troth_command(["simulate", "--resume", str(folder)]) == 2
    assert "troth launch --resume" in capsys.readouterr().err
    path.unlink()
    code = troth_command(["launch", "--resume", str(folder), "--format", "json"])
    written = capsys.readouterr()
    assert code == 0, written.err
    launched, rounds = load_run(folder), case.launched.rounds
    assert launched.summary.status == "finished"
    assert [record.round for record in launched.rounds] == list(range(1, rounds + 1))
    assert not [*folder.rglob("*.pem"), *folder.rglob("*.secret*")]
    if case.record.topology != "mesh":
        run = simulated(case.launched.write(tmp_path, case.name))
        one_at_a_time(run, monkeypatch)
        simulated_D = next(iter(results(run.go()).values()))
        model_D = RunFolder(folder).read_model()[0]["params"]
        np.testing.assert_allclose(model_D, simulated_D, atol=1e-6, rtol=0)
        assert all(len(record.accepted) == case.launched.parties for record in launched.rounds)
    if case.check_launched is not None:
        case.check_launched(folder, path)
    assert troth_command(["launch", "--resume", str(folder)]) == 2
    assert "its status is finished" in capsys.readouterr().err


@pytest.mark.slow
def test_a_launch_in_which_nothing_was_accepted_has_failed(
    tmp_path: Path, foreign_path: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """All turns are over before a party can have connected."""
    setup = Setup(protocol="upload = 0.2\ndeadline_s = 0.001", parties=2, rounds=2)
    path, folder = setup.write(tmp_path, "dssgd"), tmp_path / "launched"
    assert troth_command(["launch", str(path), "--into", str(folder), "--format", "json"]) == 5
    written = capsys.readouterr()
    assert written.out == ""
    run = load_run(folder)
    assert run.summary.status == "failed"
    assert run.summary.problem is not None
    assert "no update was accepted" in run.summary.problem
    server = load_run(folder / "nodes" / "server")
    assert server.summary.status == "failed"
    assert [record.round for record in server.rounds] == [1, 2]
    assert all(record.missing and not record.accepted for record in server.rounds)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if not case.record.real_nodes],
    ids=lambda case: case.name,
)
def test_without_real_nodes_it_is_refused(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, into = Setup().write(tmp_path, case.name), tmp_path / "run"
    identity = Identity.create()
    identity.save(tmp_path / "own.pem")
    public = {NodeId(f"party-{i}"): Identity.create().public for i in range(1, 6)}
    (tmp_path / "peers.toml").write_text(peers_text(public))
    node = ["node", "--scenario", path, "--as", "party-0", "--connect", "https://127.0.0.1:1"]
    node += ["--identity", tmp_path / "own.pem", "--peers", tmp_path / "peers.toml"]
    for command in (["launch", path], node):
        assert troth_command([*map(str, command), "--into", str(into)]) == 3
        error = capsys.readouterr().err
        assert error.count("error: ") == 1
        assert f'protocol.name = "{case.name}"' in error
        assert "troth simulate" in error
        assert "Traceback" not in error
        assert not into.exists()


# ------------------------------------------------------------------ records


@EACH
def test_what_a_record_refers_to_is_there(case: Case) -> None:
    found = references_of(case.record)
    assert "cast[0]" in found
    for place, reference in found.items():
        assert case.record.find(reference) is not None, place
    record, keys = case.record, keys_of(case.record.parameters)
    places = {f"protocol.{key}" for key in keys}
    for table in record.privacy:
        places |= {f"privacy.{key}" for key in keys_of(table)}
    assert record.short_forms.keys() <= places
    assert record.keeps is None or record.keeps.key in keys
    assert set(record.scenario_tables) <= set(WORLD_KEYS)
    assert len(set(record.labels)) == len(record.labels) > 0
    assert record.reveals


@each("rough")
def test_a_record_says_what_its_cast_is(
    case: Case, setup: Setup, tmp_path: Path, simulated: SetUp
) -> None:
    record, run = case.record, simulated(setup.write(tmp_path, case.name))
    run.stage.engine.close()
    cast, parties = run.stage.cast, set(run.stage.parties)
    parameters = run.stage.scenario.charter.protocol
    assert protocol_of(parameters) is record
    assert cast.roles.keys() - parties == set(record.coordinators)
    assert (parties <= cast.roles.keys()) == record.parties_are_nodes
    assert set(cast.leading) <= cast.roles.keys()
    assert len(set(cast.leading)) == len(cast.leading) > 0
    assert record.pools_rows is None or record.pools_rows in record.coordinators
    assert record.keeps is None or record.keeps.node in record.coordinators
    assert (run.stage.brought is not None) == (record.brings is not None)
    if record.sends_messages:
        assert set(cast.messages) == set(record.message_types())
    waiting = record.waits(parameters, len(parties))
    assert (waiting is not None) == record.sends_messages
    if waiting is not None:
        assert waiting.seconds == getattr(parameters, waiting.key)
        assert set(waiting.computations) <= set(record.labels)
    assert 0 <= record.asked(parameters, len(parties)) <= len(parties)
    assert (record.topology == "alone") == (not record.sends_messages)


@EACH
def test_labels_are_those_of_its_computations(case: Case, tmp_path: Path, simulated: SetUp) -> None:
    """That no other is seen is checked in every run of the suite."""
    seen: set[str] = set()
    for setup in (*case.rough.values(), *case.calm.values()):
        seen |= labels_seen(simulated(setup.write(tmp_path, case.name)).go())
        if seen == set(case.record.labels):
            break
    assert seen == set(case.record.labels)


@EACH
def test_who_speaks_to_whom_is_its_topology(case: Case, tmp_path: Path, simulated: SetUp) -> None:
    run = simulated(next(iter(case.rough.values())).write(tmp_path, case.name))
    said = listen(run)
    run.go()
    pairs = {(sender, receiver) for sender, to, _ in said for receiver in to}
    parties, coordinators = set(run.stage.parties), set(case.record.coordinators)
    match case.record.topology:
        case "alone":
            assert not pairs
        case "mesh":
            assert pairs <= {(a, b) for a in parties for b in parties if a != b}
            assert {a for a, _ in pairs} == parties
        case "star" | "brokered":
            hub = case.record.coordinators[0]
            assert all(hub in pair for pair in pairs)
            assert {a for a, _ in pairs} == parties | coordinators
    types = {type(message) for _, _, message in said}
    assert types <= set(case.record.message_types())


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(case, name, id=f"{case.name}, {name}")
        for case in CASES.values()
        for name in case.counted
    ],
)
def test_a_calm_round_sends_what_was_counted(
    case: Case, name: str, tmp_path: Path, simulated: SetUp
) -> None:
    setup = case.calm[name]
    run = simulated(setup.write(tmp_path, case.name)).go()
    counted = case.record.messages_per_round(
        run.stage.scenario.charter.charter_tables,
        len(run.stage.parties),
        run.stage.bench.model.dimension,
    )
    assert counted
    for type_, (messages, size) in counted.items():
        sent, all_bytes = run.world.traffic[type_], setup.rounds * size
        if type_ in case.estimated:
            assert sent / 2 <= setup.rounds * messages <= 2 * sent, type_
            continue
        assert sent == setup.rounds * messages, type_
        sent_bytes = run.world.traffic_bytes[type_]
        assert sent_bytes == pytest.approx(all_bytes, rel=case.bytes_within), type_
    assert run.world.traffic.keys() - counted.keys() <= set(case.uncounted)


@pytest.mark.parametrize("name", [field.name for field in fields(Protocol)])
def test_a_record_without_one_of_its_fields_is_none(name: str) -> None:
    record = PROTOCOLS[0]
    given = {field.name: getattr(record, field.name) for field in fields(Protocol)}
    assert Protocol(**given).name == record.name
    del given[name]
    with pytest.raises(TypeError, match=name):
        Protocol(**given)
