"""Every experiment that comes with Troth can be run; at full size they are run by hand."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from troth.charter.loading import load_scenario, load_text
from troth.data.loading import load
from troth.data.spec import CallableData
from troth.report.progress import QuietProgress
from troth.reproduction.loading import list_experiments, load_experiment
from troth.reproduction.reproduce import reproduce
from troth.streams import Stream

FOLDER = Path(__file__).parents[2] / "experiments"
NAMES = list_experiments(FOLDER)
BESIDE = FOLDER.parents[1] / "shared" / "data"
DATA = Path(os.environ.get("TROTH_DATA") or BESIDE)
PRESENT = [
    name
    for name, folder in {"mnist": "mnist", "credit": "credit_default"}.items()
    if (DATA / folder).is_dir()
]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_loads_and_is_listed(name: str) -> None:
    loaded = load_experiment(name, FOLDER)
    assert list(loaded.work()) == [variant.name for variant in loaded.experiment.variants]
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


def test_committees_fail_as_the_documentation_says(tmp_path: Path) -> None:
    """Its numbers are those of docs/protocols/biscotti.md, and the lottery agrees with them."""
    loaded = load_experiment("biscotti/committees", FOLDER)
    done = reproduce(loaded, tmp_path, progress=QuietProgress())
    read = {
        row.name: {name: pair.measured for name, pair in row.readings.items()}
        for row in done.results.rows
    }
    assert read["26"]["privacy"] == pytest.approx(0.018, abs=0.001)
    assert read["26"]["privacy_training"] == pytest.approx(0.83, abs=0.01)
    assert read["3"]["privacy"] == pytest.approx(0.215, abs=0.001)
    for values in read.values():
        chance, counted = values["privacy"], values["counted"]
        assert chance is not None
        # Four standard deviations of 2,000 draws.
        assert counted == pytest.approx(chance, abs=4 * (chance * (1 - chance) / 2000) ** 0.5)


@pytest.mark.parametrize("name", PRESENT)
def test_ledgers_train_on_features_of_one_scale(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And on no copy of the label, unless it is asked for."""
    monkeypatch.setenv("TROTH_DATA", str(DATA))
    base = FOLDER / "biscotti" / "scenarios"

    def loaded(**arguments: bool) -> tuple[np.ndarray, np.ndarray]:
        spec = CallableData(callable=f"standardised:{name}", arguments=arguments)
        train = load(spec, root=None, base=base, stream=Stream(1, ())).train
        return train.x_NF.reshape(len(train), -1).astype(float), train.y_N

    x_NF, y_N = loaded()
    # Without pixels that no image uses.
    used_F = x_NF.std(axis=0) > 0
    assert abs(x_NF.mean()) < 1e-3
    assert x_NF.std() == pytest.approx(1, abs=1e-3)
    copies = [abs(np.corrcoef(x_N, y_N)[0, 1]) for x_N in x_NF[:, used_F].T]
    assert max(copies) < 0.99
    if name == "credit":
        assert abs(np.corrcoef(loaded(label_copy=True)[0][:, -1], y_N)[0, 1]) == pytest.approx(1)
