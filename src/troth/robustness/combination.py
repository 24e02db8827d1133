"""Weighted sums of updates: how a rule turns shares into an update."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from troth.robustness.updates import (
    BLOCK_COLUMNS,
    Updates,
    block_of,
    column_blocks,
    refuse_not_finite,
    shape_of,
)
from troth.wire import Float32s, Float64s

BLOCK_UPDATES = 64
"""Updates that are multiplied at a time: with `BLOCK_COLUMNS` columns 1 MB."""


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
            mixed_BD = _mix_blocks(updates, share32_BP, dimension)
    if not np.isfinite(mixed_BD).all():
        refuse_not_finite(updates)
        for columns in column_blocks(dimension):
            mixed_BD[:, columns] = share_BP @ block_of(updates, columns).astype(np.float64)
    return mixed_BD


def _mix_blocks(updates: Sequence[Float32s], share_BP: Float32s, dimension: int) -> Float32s:
    """`mix` of updates that lie apart: some are copied beside each other at a time, few enough that
    they are still in the cache when they are multiplied."""
    mixed_BD = np.zeros((len(share_BP), dimension), np.float32)
    block_PC = np.empty((BLOCK_UPDATES, min(dimension, BLOCK_COLUMNS)), np.float32)
    for columns in column_blocks(dimension):
        width = columns.stop - columns.start
        for first in range(0, len(updates), BLOCK_UPDATES):
            some = updates[first : first + BLOCK_UPDATES]
            part_PC = block_PC[: len(some), :width]
            np.stack([update_D[columns] for update_D in some], out=part_PC)
            mixed_BD[:, columns] += share_BP[:, first : first + len(some)] @ part_PC
    return mixed_BD
