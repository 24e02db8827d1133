"""Weighted sums of updates: how a rule turns shares into an update."""

from __future__ import annotations

import numpy as np

from troth.robustness.updates import (
    Updates,
    block_of,
    column_blocks,
    refuse_not_finite,
    shape_of,
)
from troth.wire import Float32s, Float64s


def combine(updates: Updates, share_P: Float64s) -> Float32s:
    """sum_p share_p x_p, of shape (D,). Shares are not negative and sum to 1.

    Raises:
      UpdatesError: an update is not finite.
    """
    combined_D: Float32s = mix(updates, share_P[np.newaxis])[0]
    return combined_D


def mix(updates: Updates, share_BP: Float64s) -> Float32s:
    """B combinations of the updates, of shape (B, D); each row of `share_BP` as in `combine`.

    Works in float32. Where that overflows, although a combination of finite numbers with such
    shares cannot, it works in float64.

    Raises:
      UpdatesError: an update is not finite.
    """
    _, dimension = shape_of(updates)
    share32_BP = share_BP.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(updates, np.ndarray):
            mixed_BD: Float32s = share32_BP @ updates
        else:
            mixed_BD = np.empty((len(share_BP), dimension), np.float32)
            for columns in column_blocks(dimension):
                mixed_BD[:, columns] = share32_BP @ block_of(updates, columns)
    if not np.isfinite(mixed_BD).all():
        refuse_not_finite(updates)
        for columns in column_blocks(dimension):
            mixed_BD[:, columns] = share_BP @ block_of(updates, columns).astype(np.float64)
    return mixed_BD
