"""A run that is killed or interrupted leaves a readable folder, and goes on to the same end."""

from __future__ import annotations

import errno
import json
import shutil
import signal
from pathlib import Path

import msgspec
import pytest
from command_lines import Troth, stopped_process, write_scenario

from troth.report.folder import RunFolder

ROUNDS = 40

# Losses and outages put messages, timers and restarts into the snapshots, too.
LIVELY = """
[network]
latency = 0.05
loss = 0.02

[[faults.crashes]]
node = "party-2"
at_s = 0.5
restart_after_s = 0.4
"""


def lively_scenario(folder: Path) -> Path:
    return write_scenario(
        folder,
        LIVELY,
        rounds=str(ROUNDS),
        protocol='{ name = "federated", deadline_s = 1.0, aggregation = "median" }',
    )


def outcome(folder: Path) -> tuple[bytes, str, list[tuple[int, float, list[str]]]]:
    """What must not depend on when a run was stopped: model, trace, and the story of its rounds."""
    summary = json.loads((folder / "summary.json").read_bytes())
    assert summary["status"] == "finished"
    rounds = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    assert len(rounds) == ROUNDS
    return (
        (folder / "model.safetensors").read_bytes(),
        summary["trace_digest"],
        [(record["round"], record["metrics"]["loss"], record["accepted"]) for record in rounds],
    )


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 9, 23, 24, 25, 34, 49, 94, 102])
def test_a_killed_run_goes_on_to_the_same_end(folder: Path, troth: Troth, moment: int) -> None:
    """The first moments lie in the making of the folder, the last in writing what came of the run,
    the others between and in the writes of rounds and snapshots."""
    file = lively_scenario(folder)
    run = folder / "runs" / "small"
    killed = stopped_process(folder, moment, signal.SIGKILL, "simulate", file)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if not run.exists():
        assert moment <= 23
        assert troth("simulate", file, "--quiet").code == 0
        assert run.exists()
        return
    seen = troth("report", run, "--format", "json")
    assert seen.code == 0, seen.err
    assert json.loads(seen.out)["runs"][0]["status"] == "running"
    resumed = troth("simulate", "--resume", run)
    assert resumed.code == 0, resumed.err
    assert troth("simulate", file, "--into", "whole", "--quiet").code == 0
    assert outcome(run) == outcome(folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1])
def test_a_run_killed_after_its_end_is_whole(folder: Path, troth: Troth, after: int) -> None:
    """Right before its report is written, and before it gets its name."""
    file = lively_scenario(folder)
    run = folder / "runs" / "small"
    whole = stopped_process(folder, 0, signal.SIGKILL, "simulate", file)
    shutil.rmtree(folder / "runs")
    moment = int(whole.stderr.rsplit("the report is operation", 1)[1]) + after
    killed = stopped_process(folder, moment, signal.SIGKILL, "simulate", file)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (run / "report.html").exists()
    assert troth("report", run).code == 0
    assert (run / "report.html").exists()
    resumed = troth("simulate", "--resume", run)
    assert resumed.code == 2
    assert "its status is finished" in resumed.err
    assert troth("simulate", file, "--into", "whole", "--quiet").code == 0
    assert outcome(run) == outcome(folder / "whole")


@pytest.mark.slow
def test_a_run_killed_twice_goes_on(folder: Path, troth: Troth) -> None:
    file = lively_scenario(folder)
    run = folder / "runs" / "small"
    for arguments in (["simulate", file], ["simulate", "--resume", run]):
        killed = stopped_process(folder, 30, signal.SIGKILL, *arguments)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert troth("simulate", "--resume", run, "--quiet").code == 0
    assert troth("simulate", file, "--into", "whole", "--quiet").code == 0
    assert outcome(run) == outcome(folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_says_how_to_go_on(
    folder: Path, troth: Troth, number: signal.Signals
) -> None:
    """It saves a snapshot first, whenever the last one was."""
    file = lively_scenario(folder)
    stopped = stopped_process(folder, 40, number, "simulate", file, every_s=1e6)
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stdout == ""
    assert "Traceback" not in stopped.stderr
    assert "hint: go on with: troth simulate --resume runs/small" in stopped.stderr.splitlines()
    assert stopped.stderr.count("error: ") == 1
    seen = json.loads(troth("report", "runs/small", "--format", "json").out)
    assert seen["runs"][0]["status"] == "interrupted"
    data = RunFolder.open(folder / "runs" / "small").read_snapshot()
    assert data is not None
    assert msgspec.msgpack.decode(data)["world"] is not None
    assert troth("simulate", "--resume", "runs/small", "--quiet").code == 0
    assert troth("simulate", file, "--into", "whole", "--quiet").code == 0
    assert outcome(folder / "runs" / "small") == outcome(folder / "whole")


@pytest.mark.slow
def test_an_interrupt_before_there_is_a_run_leaves_none(folder: Path) -> None:
    stopped = stopped_process(folder, 1, signal.SIGINT, "simulate", lively_scenario(folder))
    assert stopped.returncode == 130, stopped.stderr
    assert "error: interrupted" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert [path.name for path in folder.iterdir()] == ["small.toml"]


def test_an_empty_folder_is_run_in_also_where_it_is_a_mount(
    folder: Path, troth: Troth, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_scenario(folder, rounds="1")
    for name in ("empty", "mount"):
        (folder / name).mkdir()
    (folder / "mount" / "lost+found").mkdir()
    assert troth("simulate", file, "--into", "empty", "--quiet").code == 0

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "device or resource busy")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "is_mount", lambda path: path.name == "mount")
        patched.setattr(Path, "rename", busy)
        ran = troth("simulate", file, "--into", "mount", "--quiet")
        assert ran.code == 0, ran.err
    for name in ("empty", "mount"):
        assert RunFolder.open(folder / name).summary().status == "finished"
        assert not (folder / f"{name}-2").exists()
    assert troth("simulate", file, "--into", "mount", "--quiet").code == 0
    assert (folder / "mount-2").is_dir()


def test_a_kept_scenario_runs_again_from_anywhere(
    folder: Path, troth: Troth, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "\n".join(f"{20 + i},{'yes' if i % 2 else 'no'}" for i in range(60))
    (folder / "rows.csv").write_text(f"age,sick\n{rows}\n")
    columns = '[{ name = "age", minimum = 0, maximum = 120 }]'
    schema = f'{{ target = "sick", classes = ["no", "yes"], columns = {columns} }}'
    data = f'{{ source = "files", train = ["rows.csv"], test_fraction = 0.2, schema = {schema} }}'
    file = write_scenario(folder, rounds="1", count="2", data=data, model='"logistic"')
    assert troth("simulate", file, "--into", "first", "--quiet").code == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    for kept, into in (("../first", "second"), ("second", "third")):
        ran = troth("simulate", f"{kept}/scenario.toml", "--into", into, "--quiet")
        assert ran.code == 0, ran.err
    models = [
        RunFolder(folder / place).read_model()[0]["params"]
        for place in ("first", "elsewhere/third")
    ]
    assert models[0].tobytes() == models[1].tobytes()
