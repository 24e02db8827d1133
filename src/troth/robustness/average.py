"""The weighted mean of updates, the rule of FedAvg."""

from __future__ import annotations

import numpy as np

from troth.robustness.combination import combine
from troth.robustness.updates import Aggregate, Updates, UpdatesError, shape_of
from troth.wire import Float64s, Int64s


def mean(updates: Updates, weights_P: Float64s | Int64s) -> Aggregate:
    """sum_p w_p x_p / sum_p w_p (McMahan et al., AISTATS 2017, algorithm 1).

    Breakdown point 0: a single party moves it anywhere.

    Args:
      updates: P updates (D,).
      weights_P: the examples behind each, above 0 and finite.

    Raises:
      UpdatesError: an update is not finite, or a weight is not above 0 and finite.
    """
    count, _ = shape_of(updates)
    if weights_P.shape != (count,):
        raise UpdatesError(f"weights have shape {weights_P.shape}, and there are {count} updates")
    bad = np.flatnonzero(~(np.isfinite(weights_P) & (weights_P > 0)))
    if bad.size:
        raise UpdatesError(
            f"weight {weights_P[bad[0]]} of update {bad[0]} is not above 0 and finite",
            inputs=[int(index) for index in bad],
        )
    # Divided by the largest first: the sum of the weights may not fit a float64.
    scaled_P = weights_P / weights_P.max()
    share_P = scaled_P / scaled_P.sum()
    return Aggregate(combine(updates, share_P), share_P.astype(np.float32))
