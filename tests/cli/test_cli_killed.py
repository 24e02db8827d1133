"""A run that is killed or interrupted leaves a readable folder, and goes on to the same end."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Troth, write_scenario

Process = Callable[..., subprocess.Popen[str]]

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


def read_until(process: subprocess.Popen[str], beginning: str) -> None:
    """Blocks until the process has written such a line of progress."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith(beginning):
            return
    raise AssertionError("".join(seen))


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
def test_a_killed_run_goes_on_to_the_same_end(
    folder: Path, troth: Troth, process: Process
) -> None:
    file = lively_scenario(folder)
    assert troth("simulate", file, "--into", "whole", "--quiet").code == 0
    whole = outcome(folder / "whole")
    for moment in ("small: federated", f"round  2/{ROUNDS}", f"round 17/{ROUNDS}"):
        run = folder / f"killed-{moment.split('/')[0].split()[-1]}"
        running = process("simulate", file, "--into", run)
        with running:
            read_until(running, moment)
            running.kill()
        assert running.returncode == -signal.SIGKILL
        seen = troth("report", run, "--format", "json")
        assert seen.code == 0, seen.err
        assert json.loads(seen.out)["runs"][0]["status"] == "running"
        resumed = troth("simulate", "--resume", run)
        assert resumed.code == 0, resumed.err
        assert outcome(run) == whole


@pytest.mark.slow
def test_a_run_killed_twice_goes_on(folder: Path, troth: Troth, process: Process) -> None:
    file = lively_scenario(folder)
    assert troth("simulate", file, "--into", "whole", "--quiet").code == 0
    run = folder / "killed"
    for arguments, moment in (((file, "--into", run), 9), (("--resume", run), 23)):
        with process("simulate", *arguments) as running:
            read_until(running, f"round {moment:>2}/{ROUNDS}")
            running.kill()
    assert troth("simulate", "--resume", run, "--quiet").code == 0
    assert outcome(run) == outcome(folder / "whole")


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on(
    folder: Path, troth: Troth, process: Process
) -> None:
    file = lively_scenario(folder)
    with process("simulate", file) as running:
        read_until(running, f"round  5/{ROUNDS}")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert running.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-2:] == [
        "error: interrupted",
        "hint: go on with: troth simulate --resume runs/small",
    ]
    seen = json.loads(troth("report", "runs/small", "--format", "json").out)
    assert seen["runs"][0]["status"] == "interrupted"
    assert troth("simulate", "--resume", "runs/small", "--quiet").code == 0
    assert troth("simulate", file, "--into", "whole", "--quiet").code == 0
    assert outcome(folder / "runs" / "small") == outcome(folder / "whole")
