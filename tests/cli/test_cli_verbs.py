"""What every verb prints, and where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from command_lines import Troth, write_scenario

from troth.cli.columns import columns
from troth.cli.root import troth as root


def test_simulate_keeps_a_run_with_a_report(troth: Troth, scenario: Path, folder: Path) -> None:
    outcome = troth("simulate", scenario.name)
    assert outcome.code == 0, outcome.err
    run = folder / "runs" / "small"
    assert {path.name for path in run.iterdir()} == {
        ".base",
        ".lock",
        "scenario.toml",
        "parties.jsonl",
        "summary.json",
        "rounds.jsonl",
        "privacy.json",
        "model.safetensors",
        "report.html",
    }
    lines = outcome.err.splitlines()
    rounds = [line.split()[:2] for line in lines if line.startswith("round")]
    assert rounds == [["round", f"{i}/3"] for i in (1, 2, 3)]
    assert lines[-2:] == [
        "report: runs/small/report.html",
        "next: troth simulate small.toml --set seed=2",
    ]
    assert "finished" in outcome.out
    assert "round 1/3" not in outcome.out
    assert "\x1b" not in outcome.out + outcome.err


def test_simulate_quietly_in_json(troth: Troth, scenario: Path) -> None:
    outcome = troth("simulate", scenario, "--quiet", "--format", "json", "--set", "seed=7")
    assert outcome.code == 0
    assert outcome.err == ""
    summary = json.loads(outcome.out)
    assert summary["seed"] == 7
    assert summary["status"] == "finished"
    assert summary["schema_version"] == 2
    assert summary["folder"] == "runs/small"
    assert 0 <= summary["final"]["error"] <= 1


def test_overrides_are_kept_in_the_run_and_not_in_the_file(troth: Troth, scenario: Path) -> None:
    before = scenario.read_text()
    changes = ["--set", "training.rounds=2", "--set", "protocol.aggregation=median"]
    assert troth("simulate", scenario, "--quiet", *changes, "--into", "kept").code == 0
    assert scenario.read_text() == before
    assert len(Path("kept/rounds.jsonl").read_text().splitlines()) == 2
    again = troth("check", "kept/scenario.toml", "--format", "json")
    assert json.loads(again.out)["rounds"] == 2


def test_a_taken_name_gets_a_number_and_runs_are_compared(troth: Troth, scenario: Path) -> None:
    first = troth("simulate", scenario, "--quiet")
    second = troth("simulate", scenario)
    assert first.out.split("trace digest")[1] == second.out.split("trace digest")[1]
    assert "report: runs/small-2/report.html" in second.err
    assert "next: troth report runs/small runs/small-2" in second.err
    both = troth("report", "runs/small", "runs/small-2", "--format", "json")
    assert both.code == 0
    result = json.loads(both.out)
    assert [run["folder"] for run in result["runs"]] == ["runs/small", "runs/small-2"]
    assert Path(result["report"]).name == "comparison.html"
    assert Path(result["report"]).is_file()
    written = troth("report", "runs/small", "--output", "page.html")
    assert written.err == "report: page.html\n"
    assert "error" in written.out
    assert Path("page.html").read_text().startswith("<!doctype html>")


def test_check_tells_what_would_happen(troth: Troth, folder: Path) -> None:
    file = write_scenario(
        folder, '[[attacks]]\nkind = "sign_flip"\nparties = ["party-2"]\n', count="12"
    )
    outcome = troth("check", file, "--set", "attacks[0].parties=['party-02']")
    assert outcome.code == 0, outcome.err
    rows = dict(line.split("  ", 1) for line in outcome.out.splitlines() if "  " in line)
    assert rows["protocol"].strip() == "federated"
    assert rows["parties"].strip() == "12: party-00, party-01 ... party-11"
    assert rows["attack"].strip() == "sign_flip: party-02"
    assert rows["model"].strip() == "650 parameters"
    assert rows["privacy"].strip().startswith("none: ")
    assert outcome.err.startswith("next: troth simulate ")
    assert list(folder.iterdir()) == [file]

    said = json.loads(troth("check", file, "--format", "json", "--set", "attacks=[]").out)
    assert said["attacks"] == []
    assert said["bytes_in_all"] == 3 * said["bytes_per_round"] > 0
    assert sum(t["bytes"] for t in said["traffic"].values()) == said["bytes_per_round"]


def test_check_of_a_protocol_without_messages(troth: Troth, folder: Path) -> None:
    outcome = troth("check", write_scenario(folder, protocol='"standalone"'))
    assert outcome.out.splitlines()[-1] == "nothing is sent"
    assert "coordinator" not in outcome.out


def test_what_check_promises_is_what_simulate_sends(troth: Troth, scenario: Path) -> None:
    promised = json.loads(troth("check", scenario, "--format", "json").out)["traffic"]
    sent = json.loads(troth("simulate", scenario, "--quiet", "--format", "json").out)["traffic"]
    for name, traffic in promised.items():
        assert sent[name]["messages"] == 3 * traffic["messages"]
        assert sent[name]["bytes"] == pytest.approx(3 * traffic["bytes"], rel=0.01)


def test_schema_is_a_json_schema(troth: Troth) -> None:
    outcome = troth("schema")
    assert outcome.code == 0
    assert "training" in json.loads(outcome.out)["properties"]


def test_new_writes_what_can_be_simulated(troth: Troth, folder: Path) -> None:
    made = troth("new", "My Task")
    assert made.code == 0, made.err
    assert made.out.splitlines() == [
        f"My Task/{name}" for name in ("charter.toml", "scenario.toml", "task.py")
    ]
    assert made.err == "next: troth simulate 'My Task/scenario.toml'\n"
    run = troth("simulate", "My Task/scenario.toml", "--set", "training.rounds=1")
    assert run.code == 0, run.err
    assert (folder / "runs" / "my-task").is_dir()
    again = troth("new", "My Task")
    assert again.code == 2
    assert "exists already" in again.err


def test_data_sets_are_listed_and_checked(troth: Troth) -> None:
    outcome = troth("data", "list")
    assert outcome.code == 0
    rows = {line.split()[0]: line for line in outcome.out.splitlines()[1:]}
    assert "present" in rows["digits"]
    assert "missing" in rows["credit"]
    assert "TROTH_DATA is not set" in outcome.err
    entries = json.loads(troth("data", "list", "--format", "json").out)
    assert [entry["name"] for entry in entries] == list(rows)
    assert troth("data", "check", "digits").out == "digits: sound\n"
    assert troth("data", "check").out.splitlines()[0] == "digits: sound"
    fetched = troth("data", "fetch", "digits")
    assert (fetched.code, fetched.err) == (0, "digits: is here already\n")


def test_fetch_needs_a_folder(troth: Troth) -> None:
    outcome = troth("data", "fetch", "credit")
    assert outcome.code == 3
    assert "TROTH_DATA" in outcome.err


def test_version_and_help(troth: Troth) -> None:
    assert troth("--version").out.startswith("troth ")
    overview = troth("--help")
    assert overview.code == 0
    for verb in ("simulate", "check", "report", "data", "new", "schema"):
        assert f"\n  {verb} " in overview.out
    bare = troth()
    assert bare.code == 2
    assert "simulate" in bare.err
    assert bare.out == ""


def every_verb() -> list[list[str]]:
    found = []
    for name, command in root.commands.items():
        found.append([name])
        if isinstance(command, click.Group):
            found += [[name, below] for below in command.commands]
    return found


@pytest.mark.parametrize("verb", every_verb(), ids=" ".join)
def test_help_of_a_verb_is_complete(verb: list[str], troth: Troth) -> None:
    """Help fits a terminal, and no line of the overview is cut off."""
    outcome = troth(*verb, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: troth {' '.join(verb)} ")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "..." not in troth(*verb[:-1], "--help").out.partition("Commands:")[2]


def test_help_loads_nothing_heavy() -> None:
    """Of all verbs in one process: what loads slowly must wait until a verb needs it."""
    program = (
        "import sys\n"
        "from troth.cli import run\n"
        f"for verb in {every_verb()}:\n"
        "    assert run([*verb, '--help']) == 0\n"
        "heavy = 'torch numpy polars sklearn scipy matplotlib rich jinja2 msgspec tomlkit'\n"
        "print('loaded:', [name for name in heavy.split() if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "loaded: []"


def test_a_closed_pipe_is_no_error(folder: Path) -> None:
    command = f"{sys.executable} -c 'from troth.cli import main; main()' schema | head -n 1"
    result = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.stdout == "{\n"
    assert result.stderr == ""


@pytest.mark.parametrize(("traceback", "shown"), [("", False), ("1", True)])
def test_a_bug_of_ours_is_said_to_be_one(folder: Path, traceback: str, shown: bool) -> None:
    """Plants a bug in a real process; with TROTH_TRACEBACK set Python shows all of it."""
    program = (
        "import troth.charter.schema as schema\n"
        "def broken(): raise RuntimeError('a wheel came off')\n"
        "schema.json_schema = broken\n"
        "from troth.cli import main\n"
        "main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "schema"],
        cwd=folder,
        env={**os.environ, "TROTH_TRACEBACK": traceback},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert ("Traceback" in result.stderr) == shown
    assert "RuntimeError: a wheel came off" in result.stderr
    assert ("error: this is a bug in troth" in result.stderr) != shown


def test_columns_are_aligned() -> None:
    assert columns([("a", "1", "x"), ("bcd", "10", "")], right=(1,)) == "a     1  x\nbcd  10"
