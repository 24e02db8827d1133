"""Rules that decide coordinate by coordinate: median and trimmed mean.

B is the number of columns in a block.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from troth.robustness.bounds import require_inputs
from troth.robustness.updates import (
    Aggregate,
    Updates,
    block_of,
    column_blocks,
    refuse_not_finite,
    shape_of,
)
from troth.wire import Float32s


def median(updates: Updates) -> Aggregate:
    """Coordinate-wise median; the mean of the middle two for an even number of updates.

    Breakdown point floor((P - 1) / 2) / P: any f < P / 2 inputs leave each coordinate between
    honest ones. Yin et al., ICML 2018, definition 1.

    Raises:
      UpdatesError: an update is not finite.
    """
    count, dimension = shape_of(updates)
    update_D = np.empty(dimension, np.float32)
    low, high = (count - 1) // 2, count // 2
    for columns, sorted_BP in sorted_blocks(updates):
        # Halved before they are added, which cannot overflow.
        update_D[columns] = (
            sorted_BP[:, low] if low == high else sorted_BP[:, low] / 2 + sorted_BP[:, high] / 2
        )
    return Aggregate(update_D)


def trimmed_mean(updates: Updates, f: int) -> Aggregate:
    """Coordinate-wise mean of what is left without the f largest and the f smallest values.

    Breakdown point f / P, for any f < P / 2. Yin et al., ICML 2018, definition 2, with beta =
    f / P.

    Raises:
      UpdatesError: an update is not finite, or P < 2f + 1.
    """
    count, dimension = shape_of(updates)
    require_inputs("trimmed_mean", count, least=2 * f + 1, f=f)
    update_D = np.empty(dimension, np.float32)
    for columns, sorted_BP in sorted_blocks(updates):
        update_D[columns] = sorted_BP[:, f : count - f].mean(axis=1, dtype=np.float64)
    return Aggregate(update_D)


def sorted_blocks(updates: Updates) -> Iterator[tuple[slice, Float32s]]:
    """The updates' coordinates, a block of columns at a time, each coordinate's values ascending.

    A whole sort of contiguous rows is several times faster here than a selection: numpy's sort is
    vectorised.

    Raises:
      UpdatesError: an update is not finite.
    """
    _, dimension = shape_of(updates)
    for columns in column_blocks(dimension):
        sorted_BP = block_of(updates, columns).T.copy()
        sorted_BP.sort(axis=1)
        # Infinities sort to the ends and NaN to the last place.
        if not (np.isfinite(sorted_BP[:, 0]).all() and np.isfinite(sorted_BP[:, -1]).all()):
            refuse_not_finite(updates)
        yield columns, sorted_BP
