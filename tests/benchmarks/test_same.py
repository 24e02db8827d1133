"""`make same` sees every difference there may be between two commits' runs, and only those."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import same
from safetensors.numpy import save_file
from same import NEEDS_DATA, Result, Verdict, compare

ROOT = Path(__file__).parents[2]
HEAD = {"id": "1a", "height": 3, "hash": "7f"}
RESULT = Result("trace-2:01", {"model.safetensors:w": "aa"}, {"chain.sqlite": HEAD}, 1.0)

SCENARIO = """
name = "tiny"
seed = 1

[task]
kind = "classification"
data = { source = "named", name = "breast_cancer" }
model = "logistic"

[training]
rounds = 20
learning_rate = 0.5

[protocol]
name = "federated"

[parties]
count = 3
"""


def test_equal_runs_are_equal_however_long_they_took() -> None:
    assert compare(RESULT, replace(RESULT, seconds=9.0)) == Verdict("equal")


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (replace(RESULT, trace="trace-2:02"), "trace digest"),
        (replace(RESULT, models={"model.safetensors:w": "ab"}), "model model.safetensors:w"),
        (replace(RESULT, models={}), "model model.safetensors:w"),
        (
            replace(RESULT, chains={"chain.sqlite": HEAD | {"hash": "7e"}}),
            "chain chain.sqlite (hash)",
        ),
        (replace(RESULT, chains={}), "chain chain.sqlite (hash, height, id)"),
        (Result(problem="exit 3: no"), "working tree exit 3: no"),
        (Result(problem=NEEDS_DATA), f"working tree {NEEDS_DATA}"),
    ],
)
def test_whatever_differs_is_named(other: Result, what: str) -> None:
    assert compare(RESULT, other) == Verdict("differs", what)


def test_runs_that_fail_alike_are_not_equal() -> None:
    failed = Result(problem="exit 3: no")
    assert compare(failed, failed).result == "differs"


def test_runs_without_their_data_are_left_out() -> None:
    lacking = Result(problem=NEEDS_DATA)
    assert compare(lacking, lacking) == Verdict("left out", NEEDS_DATA)


def test_a_run_of_one_side_alone_is_said_to_be_that() -> None:
    assert compare(RESULT, None) == Verdict("only in BASE")
    assert compare(None, RESULT) == Verdict("only in the working tree")


@pytest.mark.parametrize(
    "other",
    [
        np.array([1.0, np.nextafter(np.float32(2), np.float32(3))], np.float32),
        np.array([[1.0, 2.0]], np.float32),
        np.array([1.0, 2.0], np.float32).view(np.int32),
    ],
    ids=["one bit", "another shape", "another type"],
)
def test_a_tensor_is_another_by_one_bit_its_shape_or_its_type(
    tmp_path: Path, other: np.ndarray
) -> None:
    weights = np.array([1.0, 2.0], np.float32)
    bias = np.zeros(1, np.float32)
    save_file({"b": bias, "w": weights}, tmp_path / "one", metadata={"written": "today"})
    save_file({"w": weights, "b": bias}, tmp_path / "again")
    save_file({"w": other, "b": bias}, tmp_path / "other")
    one, again, changed = (same.tensors(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one["b"] == changed["b"]
    assert one["w"] != changed["w"]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_is_run_is_short_and_repeatable(tmp_path: Path) -> None:
    """A scenario's rounds may stand in its charter, and an experiment's variant may set others."""
    charter = "[training]\nrounds = 2\n"
    _write(tmp_path / "examples/two/charter.toml", charter)
    _write(
        tmp_path / "examples/two/scenario.toml", 'charter = "charter.toml"\n[parties]\ncount = 3'
    )
    long = '[training]\nrounds = 90\n[parties]\ncount = 3\n[cost]\nkind = "measured"\n'
    _write(tmp_path / "experiments/paper/scenarios/long.toml", long)
    first = '[[variants]]\nname = "a"\nset = ["training.rounds=1"]\n'
    variants = first + '[[variants]]\nname = "b"\nset = []\n'
    _write(tmp_path / "experiments/paper/f.toml", f'scenario = "scenarios/long.toml"\n{variants}')
    _write(tmp_path / "experiments/paper/no-training.toml", 'kind = "key_sizes"\n')
    assert [(each.name, each.set) for each in same.scenarios(tmp_path)] == [
        ("examples/two/scenario", ("training.rounds=2",)),
        (
            "experiments/paper/f/a",
            ("training.rounds=1", "training.rounds=1", 'cost={ kind = "zero" }'),
        ),
    ]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit with Troth's own source and one small example."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    _write(root / "examples/tiny/scenario.toml", SCENARIO)
    who = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "All of it"]):
        subprocess.run(["git", *who, *command], cwd=root, check=True)
    return root


@pytest.mark.slow
def test_a_working_copy_beside_its_head(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal as it is; and where its source computes something else, that is seen."""
    assert same.main(["HEAD"], root=checkout) == 0
    told = capsys.readouterr()
    assert "0 runs are cached" in told.err
    assert "1 equal" in told.out

    streams = checkout / "src/troth/streams.py"
    source = streams.read_text()
    assert source.count('b"troth-stream"') == 1
    streams.write_text(source.replace('b"troth-stream"', 'b"other-stream"'))
    assert same.main(["HEAD"], root=checkout) == 1
    told = capsys.readouterr()
    assert "1 runs are cached" in told.err
    assert "differs: trace digest, model model.safetensors:" in told.out
    assert not list(checkout.glob("build/same/*/checkout"))
    assert not (checkout / ".git/worktrees").exists()


def test_what_is_no_commit_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert same.main(["no-such-branch"], root=checkout) == 2
    assert "error: no-such-branch is no commit" in capsys.readouterr().err
