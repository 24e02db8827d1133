"""The model that a scenario trains, without its data where what is known of them suffices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from troth import streams
from troth.charter.rules.common import facts
from troth.charter.scenario import Scenario

if TYPE_CHECKING:
    from troth.learning.models import Model
    from troth.wire import Float32s


def model_of(scenario: Scenario, *, base: Path) -> Model:
    """Builds the model that a scenario trains.

    Data are opened only if they are not among the named sets.

    Args:
      base: the scenario file's folder, for relative paths and `module:callable`.

    Raises:
      CharterError: a model or data of one's own cannot be made.
      DataError: own files are missing, or do not hold what the schema says.
    """
    # Imported here: these come with numerical code, and `troth --help` need not wait.
    from troth.data.loading import load
    from troth.learning.build import build_model

    task, known = scenario.charter.task, facts(scenario.charter)
    if known is not None:
        features, classes = known.shape, known.classes or 0
    else:
        stream = streams.world(scenario.seed).child("data")
        data = load(task.data, root=None, base=base, stream=stream)
        features, classes = data.features, len(data.classes)
    return build_model(
        task.model,
        features=features,
        outputs=max(1, classes),
        task=task.kind,
        loss=task.loss,
        base=base,
    )


def initial_model(scenario: Scenario, *, base: Path) -> Float32s:
    """The model before round 1, shape (D,): the same for everybody who has the scenario.

    Raises:
      CharterError, DataError: as `model_of`.
    """
    return model_of(scenario, base=base).init(streams.learning(scenario.seed).child("initial"))
