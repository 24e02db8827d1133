"""A working folder, and `troth` in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_lines import Outcome, Troth, write_scenario

from troth.cli import run


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
def scenario(folder: Path) -> Path:
    """A small scenario that runs in a moment."""
    return write_scenario(folder)
