"""From an experiment's file to scenarios that can be run, or computations."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from troth.charter.document import parse, read_text
from troth.charter.loading import LoadedScenario, convert, load_scenario
from troth.errors import CharterError, UsageError, charter_errors_in
from troth.reproduction.computing import Computation, computations_of
from troth.reproduction.spec import Experiment

SUFFIX = ".toml"


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment that can be run.

    Attributes:
      name: as on the command line: `PAPER/table-3`.
      scenarios: one for each variant, in the file's order, its changes made; none where the
        experiment computes.
      computations: one for each variant where it does.
    """

    name: str
    file: Path
    experiment: Experiment
    scenarios: tuple[LoadedScenario, ...] = ()
    computations: tuple[Computation, ...] = ()

    def work(self) -> dict[str, LoadedScenario | Computation]:
        """What is to be done for each variant, by its name."""
        names = [variant.name for variant in self.experiment.variants]
        return dict(zip(names, self.scenarios or self.computations, strict=True))


def list_experiments(folder: Path) -> list[str]:
    """The names of the experiments in `folder`: files `PAPER/NAME.toml`, ascending.

    Raises:
      UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder of experiments",
            hint="run it in a checkout of troth, or name the folder with --experiments",
        )
    files = sorted(folder.glob(f"*/*{SUFFIX}"))
    return [f"{file.parent.name}/{file.stem}" for file in files]


def read_experiment(name: str, folder: Path) -> Experiment:
    """The file alone, without its scenario.

    Raises:
      UsageError: there is no experiment of that name.
      CharterError: the file does not say something that can be run; names file, key and value.
    """
    known = list_experiments(folder)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"there is no experiment {name} in {folder}",
            hint=f"{guess}troth reproduce lists what there is",
        )
    file = folder / f"{name}{SUFFIX}"
    with charter_errors_in(file):
        experiment = convert(parse(read_text(file), file), Experiment)
        experiment.check()
    return experiment


def load_experiment(name: str, folder: Path) -> LoadedExperiment:
    """The file and every variant's scenario or computation.

    Raises: as `read_experiment`; a variant's changes or arguments may be wrong, too.
    """
    experiment = read_experiment(name, folder)
    file = folder / f"{name}{SUFFIX}"
    if experiment.scenario is None:
        return LoadedExperiment(
            name, file, experiment, computations=computations_of(experiment, file)
        )
    scenario = file.parent / experiment.scenario
    if not scenario.is_file():
        raise CharterError(
            "does not exist",
            file=file,
            key="scenario",
            value=experiment.scenario,
            hint="the path is relative to the experiment's file",
        )
    scenarios = tuple(
        load_scenario(scenario, overrides=variant.set) for variant in experiment.variants
    )
    return LoadedExperiment(name, file, experiment, scenarios)
