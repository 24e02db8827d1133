"""The command line and the charter load without the heavy packages, so that `--help` is quick."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "polars",
    "sklearn",
    "scipy",
    "matplotlib",
    "pandas",
    "rich",
    "jinja2",
    "dp_accounting",
)


def loaded_by(program: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded after `program`."""
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{program}\nimport json, sys\nprint(json.dumps(list(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("program", "heavy"),
    [
        ("import troth", HEAVY),
        ("import troth.cli; assert callable(troth.cli.main)", HEAVY),
        ("import troth.charter.scenario", HEAVY),
        ("import troth.wire, troth.compute, troth.records", HEAVY),
        # Only a party with a privacy of its own needs an accountant.
        ("import troth.simulation, troth.protocols.tormentor.roles", ("dp_accounting",)),
    ],
)
def test_loads_nothing_heavy(program: str, heavy: tuple[str, ...]) -> None:
    loaded = loaded_by(program)
    assert "troth" in loaded
    assert not loaded & set(heavy)


def test_help_loads_nothing_heavy() -> None:
    """Building the help must not import the commands' own parts."""
    program = (
        "import troth.cli, sys\n"
        "sys.argv = ['troth', '--help']\n"
        "try:\n    troth.cli.main()\nexcept SystemExit as stop:\n    assert not stop.code"
    )
    assert not loaded_by(program) & set(HEAVY)


def test_the_check_can_fail() -> None:
    assert "torch" in loaded_by("import torch, troth")
