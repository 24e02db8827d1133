"""A run in which nothing was ever accepted has trained nothing, and does not call itself a
success."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from troth.errors import RoundFailedError
from troth.records import RoundRecord
from troth.report.text import counted
from troth.wire import Float32s


def check_trained(
    rounds: Sequence[RoundRecord], models: Iterable[Float32s], initial_D: Float32s
) -> None:
    """Check that a run which has come to its end has trained anything.

    The records say whether an update was accepted. A protocol may have no notion of that, and a
    party of a star has no records; then a model that moved says that it was trained.

    Args:
      rounds: the records of all rounds that this node knows of.
      models: the models that the run ends with, each of shape (D,).
      initial_D: the model before round 1, shape (D,).

    Raises:
      RoundFailedError: no update was accepted in any round, and every model is the initial one.
    """
    if any(record.accepted for record in rounds):
        return
    if not all(np.array_equal(params_D, initial_D) for params_D in models):
        return
    said = f"in {counted(len(rounds), 'round')}" if rounds else "before the end of the training"
    raise RoundFailedError(
        f"no update was accepted {said}, so the model is still the one that training began with"
        f"{_why(rounds)}",
        hint="rounds.jsonl in the run's folder says what became of every update: parties that are "
        "missing need a longer deadline, updates that are rejected a lower [training] "
        "learning_rate or a less strict rule in [protocol]",
    )


def _why(rounds: Sequence[RoundRecord]) -> str:
    """What became of the last update that anything is known of."""
    for record in reversed(rounds):
        if record.rejected:
            last = record.rejected[-1]
            return f"; round {record.round}: {last.node}: {last.reason}"
        if record.missing:
            return f"; round {record.round}: {counted(len(record.missing), 'party')} missing"
    return ""
