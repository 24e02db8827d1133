"""What becomes of the model when an update, or an aggregate of updates, arrives."""

from __future__ import annotations

import numpy as np

from troth.learning.training import Training
from troth.wire import Float32s


def apply_update(
    params_D: Float32s,
    update_D: Float32s,
    velocity_D: Float32s,
    *,
    training: Training,
    round: int,
) -> tuple[Float32s, Float32s]:
    """The model and the velocity after `round` (from 1); all arrays have shape (D,).

    `delta`, `step`: w <- w + update, the velocity is the sender's business and stays.
    `gradient`: v <- momentum * v + update, w <- w - eta_r * v.
    """
    if training.update != "gradient":
        return params_D + update_D, velocity_D
    velocity_D = np.float32(training.momentum) * velocity_D + update_D
    return params_D - np.float32(training.rate(round)) * velocity_D, velocity_D
