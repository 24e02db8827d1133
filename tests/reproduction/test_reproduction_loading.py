"""An experiment's file becomes scenarios, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_experiment import COMPUTED, EXPERIMENT, write_computed, write_experiment

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
        ('scenario = "scenarios/tiny.toml"', "", "scenario is missing"),
        ("about =", 'compute = "a:b"\nabout =', "stands beside compute"),
        ("about =", "seed = 1\nabout =", "seed = 1 does not go with a scenario"),
        ("paper = {", "arguments = { a = 1 }\npaper = {", "variants[0].arguments"),
        (
            'kind = "duration"',
            'kind = "value"\nname = "x"',
            'readings.time.kind = "value" does not go with a scenario',
        ),
        (
            "[[statements]]",
            '[plot]\nkind = "points"\ncurve = "c"\nx = "x"\ny = "y"\n\n[[statements]]',
            'plot.kind = "points" does not go with a scenario',
        ),
        (
            "[[statements]]",
            '[plot]\nkind = "curves"\ny = "loss"\n\n[[statements]]',
            'plot.y = "loss" is not',
        ),
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


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "value"\nname = "mean"', 'kind = "duration"', 'readings.mean.kind = "duration"'),
        ("paper = {", 'set = ["seed=2"]\npaper = {', "variants[0].set"),
        ('kind = "points"', 'kind = "curves"', "plot.curve is not a known key"),
        ("small_sums:draw", "small sums", "compute"),
    ],
)
def test_a_mistake_in_an_experiment_that_computes_is_named(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in COMPUTED
    folder = write_computed(tmp_path, COMPUTED.replace(old, new, 1))
    with pytest.raises(CharterError) as caught:
        load_experiment("paper/sums", folder)
    assert says in caught.value.message


def test_an_experiment_that_computes_needs_a_plot_of_what_it_computes(tmp_path: Path) -> None:
    start, end = COMPUTED.index("[plot]"), COMPUTED.index("[[variants]]")
    folder = write_computed(tmp_path, COMPUTED[:start] + COMPUTED[end:])
    with pytest.raises(CharterError, match=r'plot\.kind = "curves" does not go with compute'):
        load_experiment("paper/sums", folder)


def test_an_unknown_name_and_folder_are_named(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path)
    with pytest.raises(UsageError, match="no experiment paper/smal in") as caught:
        load_experiment("paper/smal", folder)
    assert "did you mean paper/small?" in str(caught.value.hint)
    with pytest.raises(UsageError, match="is not a folder of experiments"):
        load_experiment("paper/small", tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="no experiment"):
        load_experiment("../experiments/paper/small", folder)
