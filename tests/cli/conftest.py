"""Runs command lines, in this process and in a real one, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from troth.cli import run

Troth = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder on a machine without data sets of its own."""
    here = tmp_path / "work"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("TROTH_DATA", "TROTH_TRACEBACK", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return here


@pytest.fixture
def troth(folder: Path, capsys: pytest.CaptureFixture[str]) -> Troth:
    """`troth("check", file)` carries out one command line in `folder`."""
    assert folder.is_dir()

    def carry_out(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return Outcome(code, written.out, written.err)

    return carry_out


@pytest.fixture
def process(folder: Path) -> Callable[..., subprocess.Popen[str]]:
    """`process("simulate", file)` starts the same in a process of its own, which takes a snapshot
    at every chance."""

    def start(*arguments: object) -> subprocess.Popen[str]:
        program = (
            "import troth.simulation as simulation\n"
            "simulation.SNAPSHOT_EVERY_S = 0.0\n"
            "from troth.cli import main\n"
            "main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def scenario(folder: Path) -> Path:
    """A small scenario that runs in a moment."""
    return write_scenario(folder)


def write_scenario(folder: Path, extra: str = "", **keys: str) -> Path:
    """Six parties on some of the digits; `keys` replace what stands after a key's `=`."""
    values = {
        "name": '"small"',
        "seed": "1",
        "partition": '"equal"',
        "kind": '"classification"',
        "data": '{ source = "named", name = "digits", rows = 240, test_rows = 100 }',
        "model": '"softmax"',
        "rounds": "3",
        "learning_rate": "0.5",
        "protocol": '"federated"',
        "count": "6",
    } | keys
    path = folder / "small.toml"
    path.write_text(
        """
name = {name}
seed = {seed}
partition = {partition}
protocol = {protocol}

[task]
kind = {kind}
data = {data}
model = {model}

[training]
rounds = {rounds}
learning_rate = {learning_rate}

[parties]
count = {count}

""".format(**values)
        + extra
    )
    return path
