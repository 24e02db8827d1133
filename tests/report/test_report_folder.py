"""A run's folder: what a kill at any moment leaves, names, resuming, reading back."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.errors import ExitCode, LocalError, UsageError, VerificationError
from troth.ids import Bytes, MeasuredSeconds, NodeId, Round, SimulatedSeconds
from troth.records import Metrics, PartyRecord, PrivacyRecord, Rejection, RoundRecord, Summary
from troth.report.atomic import append_line, numbered, replace_file
from troth.report.folder import SNAPSHOT, RunFolder
from troth.report.read import Run, load_run

MakeRecord = Callable[[int], RoundRecord]


def test_a_new_folder_holds_the_exact_scenario_and_a_running_summary(
    tmp_path: Path, summary: Summary
) -> None:
    text = "# Ünïcode\r\nname = 'x'\n\n"
    folder = RunFolder.create(tmp_path / "deep" / "runs" / "credit", text, summary)
    assert (folder.path / "scenario.toml").read_bytes() == text.encode()
    run = load_run(folder.path)
    assert run.scenario_text == text
    assert run.summary == summary
    assert run.rounds == ()


def test_a_taken_name_gets_the_next_free_suffix(tmp_path: Path, summary: Summary) -> None:
    (tmp_path / "credit-2").write_text("a file in the way")
    names = [RunFolder.create(tmp_path / "credit", "", summary).path.name for _ in range(3)]
    assert names == ["credit", "credit-3", "credit-4"]
    assert (tmp_path / "credit-2").read_text() == "a file in the way"


def test_an_empty_folder_of_that_name_is_used(tmp_path: Path, summary: Summary) -> None:
    (tmp_path / "credit").mkdir()
    assert RunFolder.create(tmp_path / "credit", "", summary).path == tmp_path / "credit"


@pytest.mark.parametrize("kind", ["link", "lost+found", "here", "above"])
def test_an_empty_folder_that_cannot_be_exchanged_is_filled(
    tmp_path: Path, summary: Summary, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    into = empty
    if kind == "link":
        into = tmp_path / "link"
        into.symlink_to(empty)
    if kind == "lost+found":
        (empty / kind).mkdir()
    if kind == "here":
        monkeypatch.chdir(empty)
        into = Path()
    if kind == "above":
        (empty / "lost+found").mkdir()
        monkeypatch.chdir(empty / "lost+found")
        into = Path("..")
    assert RunFolder.create(into, "seed = 1", summary).path == into
    assert load_run(empty).scenario_text == "seed = 1"
    assert next(numbered(into)) == into
    again = RunFolder.create(into, "seed = 2", summary).path
    assert again.resolve() == tmp_path / ("link-2" if kind == "link" else "empty-2")
    assert load_run(again).scenario_text == "seed = 2"


def test_the_root_folder_is_no_place_for_a_run(summary: Summary) -> None:
    with pytest.raises(UsageError, match=r"^/ is taken"):
        RunFolder.create(Path("/"), "", summary)


def test_runs_that_start_at_once_never_share_a_folder(tmp_path: Path, summary: Summary) -> None:
    def create(index: int) -> Path:
        return RunFolder.create(tmp_path / "credit", f"seed = {index}", summary).path

    with ThreadPoolExecutor(16) as pool:
        paths = list(pool.map(create, range(48)))
    assert len(set(paths)) == 48
    for index, path in enumerate(paths):
        assert load_run(path).scenario_text == f"seed = {index}"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in paths)


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path, summary: Summary) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*credit"):
        RunFolder.create(tmp_path / "file" / "credit", "", summary)


class Killed(BaseException):
    """Stands for a signal that ends the process."""


@pytest.mark.parametrize("moment", range(4))
def test_a_folder_appears_whole_or_not_at_all(
    tmp_path: Path, summary: Summary, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Creating takes four writes to the disk before the folder has its name."""
    calls = 0
    fsync = os.fsync

    def killed_at(descriptor: int) -> None:
        nonlocal calls
        if calls == moment:
            raise Killed
        calls += 1
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", killed_at)
    with pytest.raises(Killed):
        RunFolder.create(tmp_path / "credit", "seed = 1", summary)
    assert not (tmp_path / "credit").exists()


@pytest.mark.parametrize("before_rename", [True, False])
def test_a_write_cut_short_leaves_the_old_bytes_or_the_new_ones(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, before_rename: bool
) -> None:
    folder.write_snapshot(b"old" * 1000)
    replace = Path.replace

    def killed(path: Path, target: Path) -> None:
        if not before_rename:
            replace(path, target)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            folder.write_snapshot(b"new" * 1000)
    assert folder.read_snapshot() == (b"old" if before_rename else b"new") * 1000
    folder.write_snapshot(b"newest")
    assert folder.read_snapshot() == b"newest"
    assert not list(folder.path.glob(".*"))


def test_a_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*summary\.json: no such file") as caught:
        replace_file(tmp_path / "gone" / "summary.json", b"")
    assert caught.value.exit_code is ExitCode.USAGE
    with pytest.raises(UsageError, match=r"cannot write .*rounds\.jsonl"):
        append_line(tmp_path / "gone" / "rounds.jsonl", b"{}")


def test_rounds_truncated_at_any_byte_are_read_and_continued(
    folder: RunFolder, record: MakeRecord
) -> None:
    for round in (1, 2, 3):
        folder.append_round(record(round))
    file = folder.path / "rounds.jsonl"
    whole = file.read_bytes()
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        kept = whole[:length].count(b"\n")
        assert load_run(folder.path).rounds == tuple(record(r) for r in range(1, kept + 1))
        folder.append_round(record(kept + 1))
        assert load_run(folder.path).rounds == tuple(record(r) for r in range(1, kept + 2))


WRITER = """
import sys
from pathlib import Path
import msgspec
from troth.records import RoundRecord, Summary
from troth.report.folder import RunFolder

summary = Summary(
    status="running", name="n", protocol="p", seed=0, troth_version="0", charter_digest=""
)
folder = RunFolder.create(Path(sys.argv[1]), "seed = 0", summary)
for round in range(1, 10_000_000):
    nodes = [f"party-{index}" for index in range(200)]
    folder.append_round(RoundRecord(round=round, simulated_s=0.0, measured_s=0.0, accepted=nodes))
    folder.write_snapshot(round.to_bytes(8) * 20_000)
    folder.write_summary(msgspec.structs.replace(summary, rounds=round, notes=["n" * 5_000]))
    print(round, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 3, 11])
def test_a_killed_process_leaves_a_readable_folder(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            writer.stdout.readline()
        writer.kill()
    run = load_run(path)
    assert [record.round for record in run.rounds] == list(range(1, len(run.rounds) + 1))
    assert len(run.rounds) >= lines
    assert len(run.rounds) - run.summary.rounds in (0, 1)
    snapshot = RunFolder.open(path).read_snapshot()
    assert snapshot is not None
    assert snapshot == snapshot[:8] * 20_000
    assert run.summary.rounds <= int.from_bytes(snapshot[:8]) <= len(run.rounds)


def test_resuming_drops_the_rounds_after_the_snapshot(
    folder: RunFolder, record: MakeRecord
) -> None:
    for round in range(1, 8):
        folder.append_round(record(round))
    again = RunFolder.open(folder.path)
    again.truncate_rounds(4)
    again.append_round(record(5))
    assert again.rounds() == [record(round) for round in range(1, 6)]
    again.truncate_rounds(0)
    assert again.rounds() == []


@pytest.mark.parametrize("part", range(9))
def test_a_snapshot_with_a_flipped_bit_is_refused(folder: RunFolder, part: int) -> None:
    folder.write_snapshot(bytes(range(200)))
    assert folder.read_snapshot() == bytes(range(200))
    file = folder.path / SNAPSHOT
    data = bytearray(file.read_bytes())
    data[part * (len(data) - 1) // 8] ^= 4
    file.write_bytes(data)
    with pytest.raises(VerificationError, match="is damaged"):
        folder.read_snapshot()
    file.write_bytes(data[: part * 20])
    with pytest.raises(VerificationError, match="is damaged"):
        folder.read_snapshot()


def test_a_finished_run_has_no_snapshot_and_others_keep_theirs(
    folder: RunFolder, summary: Summary
) -> None:
    folder.write_snapshot(b"state")
    folder.finish(msgspec.structs.replace(summary, status="interrupted"))
    assert folder.read_snapshot() == b"state"
    folder.finish(msgspec.structs.replace(summary, status="finished"))
    with pytest.raises(UsageError, match=r"cannot read .*snapshot\.bin: no such file"):
        folder.read_snapshot()
    assert folder.summary().status == "finished"


def test_the_model_is_read_back_with_its_charter(folder: RunFolder) -> None:
    params_D = np.linspace(-1, 1, 21, dtype=np.float32)[::2]
    folder.write_model({"params": params_D}, "c4a7")
    params, digest = folder.read_model()
    assert digest == "c4a7"
    assert list(params) == ["params"]
    assert params["params"].dtype == np.float32
    np.testing.assert_array_equal(params["params"], params_D)


def test_parties_with_models_of_their_own_keep_them_apart(folder: RunFolder) -> None:
    models = {f"party-{index}": np.full(4, index, np.float32) for index in (2, 0, 1)}
    folder.write_model(models, "c4a7")
    params, _ = folder.read_model()
    assert {name: params_D.tolist() for name, params_D in params.items()} == {
        name: params_D.tolist() for name, params_D in models.items()
    }


def test_a_missing_or_damaged_model_is_an_error(folder: RunFolder) -> None:
    with pytest.raises(UsageError, match=r"model\.safetensors is missing"):
        folder.read_model()
    folder.write_model({"params": np.zeros(3, np.float32)}, "c4a7")
    file = folder.path / "model.safetensors"
    whole = file.read_bytes()
    for length in (0, 5, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(VerificationError, match="is damaged"):
            folder.read_model()
    folder.write_model({"params": np.zeros((2, 2), np.float32)}, "c4a7")
    with pytest.raises(VerificationError, match=r"shape \(2, 2\), not float32 of shape \(D,\)"):
        folder.read_model()


def test_privacy_is_its_own_file(folder: RunFolder) -> None:
    privacy = PrivacyRecord(mechanism="none", epsilon=None, delta=None, note="nothing bounds it")
    folder.write_privacy(privacy)
    data = (folder.path / "privacy.json").read_bytes()
    assert msgspec.json.decode(data, type=PrivacyRecord) == privacy


def damage(file: str, content: bytes | None) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        if content is None:
            (path / file).unlink()
        else:
            (path / file).write_bytes(content)

    return apply


NEWER = b'{"schema_version": 3, "status": "levitating"}'


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage("scenario.toml", None), r"scenario\.toml is missing"),
        (damage("scenario.toml", b"\xff\xfe"), r"scenario\.toml: is damaged: byte 0 is not UTF-8"),
        (damage("summary.json", None), r"summary\.json is missing"),
        (damage("summary.json", b""), r"summary\.json: is damaged"),
        (damage("summary.json", b"[" * 10_000), r"summary\.json: is damaged"),
        (
            damage("summary.json", b'{"schema_version": 1}'),
            r"is damaged: .*required field `status`",
        ),
        (
            damage("summary.json", b'{"status": "finished"}'),
            r"is damaged: .*`schema_version`",
        ),
        (damage("summary.json", NEWER), r"schema_version = 3 is above 2"),
        (damage("parties.jsonl", b"{}\n"), r"parties\.jsonl: line 1: is damaged"),
        (damage("rounds.jsonl", b'{"round": 1}\n{}\n'), r"rounds\.jsonl: line 1: is damaged"),
        (damage("rounds.jsonl", b"\n"), r"rounds\.jsonl: line 1: is damaged"),
    ],
)
def test_a_bad_folder_is_one_clear_error(
    folder: RunFolder, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder.path)
    with pytest.raises(LocalError, match=message) as caught:
        load_run(folder.path)
    assert type(caught.value) is (VerificationError if "damaged" in message else UsageError)
    assert caught.value.hint is not None


@pytest.mark.parametrize("name", ["scenario.toml", "summary.json", "parties.jsonl", "rounds.jsonl"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(folder: RunFolder, name: str) -> None:
    (folder.path / name).unlink(missing_ok=True)
    os.mkfifo(folder.path / name)
    with pytest.raises(UsageError, match=f"{name}: it is a pipe"):
        load_run(folder.path)


def test_what_is_no_folder_at_all_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone does not exist"):
        load_run(tmp_path / "gone")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file is not a folder"):
        RunFolder.open(tmp_path / "file")


def test_metrics_that_are_not_finite_are_null_and_come_back_as_nan(
    folder: RunFolder, summary: Summary, exploded: list[RoundRecord]
) -> None:
    folder.append_round(exploded[-1])
    folder.finish(msgspec.structs.replace(summary, status="failed", final=exploded[-1].metrics))
    assert json.loads((folder.path / "summary.json").read_text())["final"]["loss"] is None
    run = load_run(folder.path)
    for metrics in (run.summary.final, run.rounds[0].metrics):
        assert metrics is not None
        assert math.isnan(metrics.loss)
        assert math.isnan(metrics.error)
        assert metrics.attack_rate is None


def test_measures_that_are_not_finite_are_null_and_come_back_as_nan(
    folder: RunFolder, make_measured: Callable[..., Run]
) -> None:
    folder.write_summary(make_measured({"a": 1.5, "b": math.nan}).summary)
    (party,) = folder.summary().parties
    assert party.measure("a") == 1.5
    assert math.isnan(party.measure("b") or 0.0)
    assert party.measure("c") is None


def test_null_elsewhere_is_still_refused(folder: RunFolder) -> None:
    (folder.path / "rounds.jsonl").write_text(
        '{"round": 1, "simulated_s": null, "measured_s": 0}\n'
    )
    with pytest.raises(VerificationError, match=r"line 1: is damaged: .*simulated_s"):
        load_run(folder.path)


def test_keys_of_a_later_minor_version_are_passed_over(folder: RunFolder, summary: Summary) -> None:
    content = json.loads((folder.path / "summary.json").read_text())
    (folder.path / "summary.json").write_text(json.dumps({**content, "colour": "blue"}))
    assert load_run(folder.path).summary == summary


PARTY = NodeId("party-late")


@pytest.mark.parametrize("content", [None, b""])
def test_a_list_of_parties_that_is_too_short_is_damaged(
    folder: RunFolder, summary: Summary, content: bytes | None
) -> None:
    party = PartyRecord(party=PARTY, examples=3)
    folder.write_summary(msgspec.structs.replace(summary, parties=[party]))
    damage("parties.jsonl", content)(folder.path)
    with pytest.raises(VerificationError, match=r"parties\.jsonl: .* lists 0 parties, and .* 1"):
        load_run(folder.path)


def test_a_folder_of_version_1_has_its_parties_in_the_summary(
    folder: RunFolder, summary: Summary
) -> None:
    summary = msgspec.structs.replace(summary, parties=[PartyRecord(party=PARTY, examples=3)])
    folder.write_summary(summary)
    content = json.loads((folder.path / "summary.json").read_text())
    del content["parties_listed"]
    parties = [
        json.loads(line) for line in (folder.path / "parties.jsonl").read_text().splitlines()
    ]
    assert parties
    old = {**content, "schema_version": 1, "parties": parties}
    (folder.path / "summary.json").write_text(json.dumps(old))
    (folder.path / "parties.jsonl").unlink()
    read = load_run(folder.path).summary
    assert read == msgspec.structs.replace(summary, schema_version=1)


def test_a_longer_list_of_parties_than_the_summary_knows_is_newer(
    folder: RunFolder, summary: Summary
) -> None:
    """A kill between the writes of the two files leaves that."""
    more = [*summary.parties, PartyRecord(party=PARTY, examples=3)]
    lines = (msgspec.json.encode(party) + b"\n" for party in more)
    (folder.path / "parties.jsonl").write_bytes(b"".join(lines))
    assert load_run(folder.path).summary.parties == more


names = st.text(max_size=20).map(NodeId)
finite = st.floats(allow_nan=False, allow_infinity=False)
records = st.builds(
    RoundRecord,
    round=st.integers(0, 2**53).map(Round),
    simulated_s=finite.map(SimulatedSeconds),
    measured_s=finite.map(MeasuredSeconds),
    metrics=st.none() | st.builds(Metrics, loss=finite, error=finite, examples=st.integers(0, 9)),
    accepted=st.lists(names, max_size=3),
    rejected=st.lists(st.builds(Rejection, node=names, reason=st.text()), max_size=3),
    bytes_sent=st.integers(0, 2**53).map(Bytes),
)


@given(records)
def test_any_record_is_one_line_that_reads_back(record: RoundRecord) -> None:
    line = msgspec.json.encode(record)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=RoundRecord) == record
