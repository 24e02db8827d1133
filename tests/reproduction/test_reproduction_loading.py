"""An experiment's file becomes scenarios, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_experiment import EXPERIMENT, write_experiment

from troth.errors import CharterError, ExitCode, UsageError
from troth.reproduction.loading import list_experiments, load_experiment


def test_variants_become_scenarios(tmp_path: Path) -> None:
    loaded = load_experiment("paper/small", write_experiment(tmp_path))
    two, four = (scenario.scenario for scenario in loaded.scenarios)
    assert (two.parties.count, two.charter.training.rounds) == (2, 3)
    assert (four.parties.count, four.charter.training.rounds) == (4, 2)
    assert loaded.experiment.variants[0].paper == {"time": 1.5}


def test_scenarios_are_no_experiments(tmp_path: Path) -> None:
    assert list_experiments(write_experiment(tmp_path)) == ["paper/small"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("title =", "titel =", "titel is not a known key"),
        ('title = "Two sizes"', 'title = ""', "title"),
        ('kind = "duration"', 'kind = "speed"', 'readings.time.kind = "speed" is not known'),
        ('"final error"', "5", "readings.error.label = 5 is a whole number, not a string"),
        ('name = "four"', 'name = "two"', 'variants[1].name = "two" is there already'),
        ('name = "four"', 'name = "Four!"', 'variants[1].name = "Four!"'),
        ("{ time = 1.5 }", "{ speed = 1.5 }", "variants[0].paper"),
        ("{ time = 1.5 }", '{ time = "1.5" }', "variants[0].paper.time"),
        ('over = "two"', 'over = "six"', 'ratios[0].over = "six" is not a variant'),
        ('reading = "time"', 'reading = "t"', 'ratios[0].reading = "t" is not a reading'),
        ("tiny.toml", "huge.toml", 'scenario = "scenarios/huge.toml" does not exist'),
        ("parties.count=4", "parties.count=0", "parties.count = 0 is below 1"),
        ("[readings.time]", "[readings.time", "is not TOML"),
        (
            "[[statements]]",
            '[plot]\nkind = "bars"\nreading = "loss"\n\n[[statements]]',
            'plot.reading = "loss" is not a reading',
        ),
        (
            "[[statements]]",
            '[plot]\nkind = "lines"\nreadings = ["loss"]\nx = "parties"\n\n[[statements]]',
            'plot.readings = "loss" is not a reading',
        ),
        (
            "[[statements]]",
            '[plot]\nkind = "curves"\nx = "rounds"\nmean_over_s = 2.0\n\n[[statements]]',
            'plot.mean_over_s = 2.0 goes with x = "seconds" only',
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in EXPERIMENT
    folder = write_experiment(tmp_path, EXPERIMENT.replace(old, new, 1))
    with pytest.raises(CharterError) as caught:
        load_experiment("paper/small", folder)
    assert says in caught.value.message
    assert str(folder / "paper") in caught.value.message
    assert caught.value.exit_code == ExitCode.CHARTER


def test_an_unknown_name_and_folder_are_named(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path)
    with pytest.raises(UsageError, match="no experiment paper/smal in") as caught:
        load_experiment("paper/smal", folder)
    assert "did you mean paper/small?" in str(caught.value.hint)
    with pytest.raises(UsageError, match="is not a folder of experiments"):
        load_experiment("paper/small", tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="no experiment"):
        load_experiment("../experiments/paper/small", folder)
