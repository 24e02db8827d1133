"""What a local update gives, and how it is handed out: as arrays of its own that nobody changes."""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np

from troth.errors import RoundFailedError
from troth.ids import NodeId
from troth.learning.training import Training
from troth.wire import Float32s


class LocalResult(msgspec.Struct, frozen=True):
    """What came of a local update.

    `update_D` is a gradient or a change of the model, as `Training.update` says; `examples` is how
    many rows the party has (n_k of FedAvg), whatever the batch; `loss` is the mean over the steps
    of the mean loss of the batch before the step, without l2; `velocity_D` is set for `update =
    "step"` with momentum.

    Both arrays are read-only and own their memory: whoever keeps one keeps no other party's, and
    may hand it on without a copy.
    """

    update_D: Float32s
    examples: int
    loss: float
    velocity_D: Float32s | None = None


def hand_out(
    update_D: Float32s,
    *,
    node: NodeId,
    round: int,
    training: Training,
    examples: int,
    loss: float,
    velocity_D: Float32s | None = None,
) -> LocalResult:
    """The result of `node`; the arrays must be its own, and can no longer be written to. Called
    within `quiet`.

    Raises:
      RoundFailedError: the update is not finite.
    """
    if not finite(update_D):
        raise RoundFailedError(
            f"training diverged: the update of {node} in round {round} is not finite, "
            f"at learning_rate = {training.learning_rate}",
            hint="lower [training] learning_rate or momentum; if the model itself was poisoned, "
            "choose a robust aggregation rule",
        )
    update_D.flags.writeable = False
    if velocity_D is not None:
        velocity_D.flags.writeable = False
    return LocalResult(update_D, examples, loss, velocity_D)


def quiet() -> np.errstate:
    """Within it numpy does not warn of numbers that are not finite: `hand_out` refuses them."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def finite(vector_D: Float32s) -> bool:
    """Whether every number of `vector_D` is finite.

    Zero times a number is 0 unless that is infinite or no number, and so is the sum of such
    products: one pass in the matrix library, where `isfinite` takes two and an array for the
    answers. Numpy warns of what it finds, but within `quiet`.
    """
    return bool(np.dot(vector_D, _zeros(len(vector_D))) == 0)


@lru_cache(maxsize=4)
def _zeros(length: int) -> Float32s:
    return np.zeros(length, dtype=np.float32)
