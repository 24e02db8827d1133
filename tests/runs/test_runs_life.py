"""Every way a run can end is told to its folder and to its display."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from troth.charter.loading import load_scenario
from troth.charter.scenario import Scenario
from troth.errors import LocalError, RoundFailedError, UsageError
from troth.records import Status, Summary
from troth.report.folder import PARAMS, RunFolder
from troth.report.progress import QuietProgress
from troth.report.read import read_summary
from troth.runs.life import Life
from troth.runs.summary import summary_of


class Display(QuietProgress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Status, str | None]] = []

    def start(self, summary: Summary) -> None:
        self.told.append(("start", summary.status, summary.problem))

    def finish(self, summary: Summary) -> None:
        self.told.append(("finish", summary.status, summary.problem))


@pytest.fixture
def scenario(scenario_file) -> Scenario:
    return load_scenario(scenario_file(parties=2, rounds=3)).scenario


@pytest.fixture
def life(scenario: Scenario, tmp_path: Path) -> Life:
    def summary(status: Status) -> Summary:
        return summary_of(scenario, status, "real", rounds=2)

    folder = RunFolder.create(tmp_path / "run", "", summary("running"))
    return Life(summary, Display(), folder)


def kept(life: Life) -> Summary:
    assert life.folder is not None
    return read_summary(life.folder.path)


def told(life: Life) -> list[tuple[str, Status, str | None]]:
    assert isinstance(life.progress, Display)
    return life.progress.told


def test_while_it_runs_its_folder_says_so(life: Life) -> None:
    assert life.folder is not None
    life.folder.finish(life.summary("interrupted"))
    with life.running():
        assert kept(life).status == "running"
        assert told(life) == [("start", "running", None)]
        life.finish(life.summary("finished"), {})


def test_a_finished_run_leaves_its_model(life: Life) -> None:
    with life.running():
        life.finish(life.summary("finished"), {PARAMS: np.ones(3, np.float32)})
    assert told(life) == [("start", "running", None), ("finish", "finished", None)]
    assert kept(life).status == "finished"
    assert life.folder is not None
    models, digest = life.folder.read_model()
    np.testing.assert_array_equal(models[PARAMS], np.ones(3, np.float32))
    assert digest == kept(life).charter_digest


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (RoundFailedError("too few answers", hint="wait"), "failed", "too few answers\nhint: wait"),
        (KeyError("bug"), "failed", "KeyError('bug')"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
        (asyncio.CancelledError(), "interrupted", "interrupted"),
    ],
)
def test_whatever_stops_a_run_is_told_and_raised(
    life: Life, error: BaseException, status: Status, problem: str
) -> None:
    with pytest.raises(type(error)) as caught, life.running():
        raise error
    assert caught.value is error
    assert told(life) == [("start", "running", None), ("finish", status, problem)]
    assert (kept(life).status, kept(life).problem, kept(life).rounds) == (status, problem, 2)


def test_what_a_folder_says_of_an_error_can_be_chosen(life: Life) -> None:
    def short(error: LocalError) -> str:
        return error.message

    life = Life(life.summary, life.progress, life.folder, short)
    with pytest.raises(UsageError), life.running():
        raise UsageError("no such file", hint="make it")
    assert kept(life).problem == "no such file"


def test_a_run_without_a_folder_is_shown_all_the_same(life: Life) -> None:
    life = Life(life.summary, life.progress, None)
    with life.running():
        life.finish(life.summary("finished"), {PARAMS: np.ones(3, np.float32)})
    assert told(life)[-1] == ("finish", "finished", None)
