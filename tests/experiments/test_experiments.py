"""Every experiment that comes with Troth can be run; at full size they are run by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from troth.charter.loading import load_scenario, load_text
from troth.report.progress import QuietProgress
from troth.reproduction.loading import list_experiments, load_experiment
from troth.reproduction.reproduce import reproduce

FOLDER = Path(__file__).parents[2] / "experiments"
NAMES = list_experiments(FOLDER)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_loads_and_is_listed(name: str) -> None:
    loaded = load_experiment(name, FOLDER)
    assert len(loaded.scenarios) == len(loaded.experiment.variants)
    assert f"`{name}`" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*/scenarios/*.toml")), ids=lambda f: f.stem)
def test_a_scenario_can_be_run_as_it_is(file: Path) -> None:
    assert load_scenario(file).scenario.charter.name == file.stem


def test_the_wide_area_runs_small(tmp_path: Path) -> None:
    """On data that is always there; the round trip of Tor is five times that without."""
    loaded = load_experiment("tormentor/table-3", FOLDER)
    small = ["task.data=breast_cancer", "partition.rows=50", "parties.count=3", "training.rounds=4"]
    scenarios = tuple(
        load_text(each.text, path=each.path, base=each.base, overrides=small)
        for each in loaded.scenarios
    )
    done = reproduce(
        replace(loaded, scenarios=scenarios),
        tmp_path,
        only=["10-tor", "10"],
        progress=QuietProgress(),
    )
    by_name = {row.name: row.readings["duration"] for row in done.results.rows}
    slow, quick = by_name["10-tor"].measured, by_name["10"].measured
    assert slow is not None
    assert quick is not None
    assert 4 < slow / quick < 7
