"""Bulyan: Krum chooses whom to hear, a trimmed mean what to hear of each coordinate."""

from __future__ import annotations

import numpy as np

from troth.robustness.bounds import require_inputs
from troth.robustness.coordinates import sorted_blocks
from troth.robustness.distances import squared_distances
from troth.robustness.krum import krum_scores
from troth.robustness.updates import Aggregate, Updates, shape_of
from troth.wire import Float32s, Float64s


def bulyan(updates: Updates, f: int) -> Aggregate:
    """Of theta = P - 2f updates that Krum selects one after the other, the coordinate-wise mean of
    the beta = theta - 2f values nearest to their median.

    Withstands f Byzantine inputs for P >= 4f + 3, and leaves an attacker less room in each
    coordinate than Krum does, O(1 / sqrt(D)). El Mhamdi et al., ICML 2018, section 4. A tie of Krum
    scores goes to the lowest position; a tie of distances from the median to the smaller value.

    Differs from the paper: its last calls of Krum leave fewer than 2f + 3 updates, so that
    P' - f - 2 neighbours may be none; one is then used, as in Flower.

    Raises:
      UpdatesError: an update is not finite, or P < 4f + 3.
    """
    count, dimension = shape_of(updates)
    require_inputs("bulyan", count, least=4 * f + 3, f=f)
    chosen = _select(squared_distances(updates), f, count - 2 * f)
    selected = [updates[index] for index in chosen]
    update_D = np.empty(dimension, np.float32)
    for columns, sorted_BT in sorted_blocks(selected):
        update_D[columns] = _mean_near_median(sorted_BT, 2 * f)
    return Aggregate(update_D)


def _select(squared_PP: Float64s, f: int, theta: int) -> list[int]:
    """Positions that Krum picks, ascending, each time out of those not yet picked."""
    left = list(range(len(squared_PP)))
    picked = []
    for _ in range(theta):
        best = int(np.argmin(krum_scores(squared_PP[np.ix_(left, left)], f)))
        picked.append(left.pop(best))
    return sorted(picked)


def _mean_near_median(sorted_BT: Float32s, drop: int) -> Float64s:
    """Row means without the `drop` values farthest from the row's median.

    What is near the median is contiguous in sorted order, so the farther end is dropped, `drop`
    times.
    """
    rows = np.arange(len(sorted_BT))
    wide_BT = sorted_BT.astype(np.float64)
    theta = wide_BT.shape[1]
    median_B = (wide_BT[:, (theta - 1) // 2] + wide_BT[:, theta // 2]) / 2
    first_B = np.zeros(len(rows), np.int64)
    last_B = np.full(len(rows), theta - 1)
    for _ in range(drop):
        below_B = median_B - wide_BT[rows, first_B]
        above_B = wide_BT[rows, last_B] - median_B
        first_B += below_B > above_B
        last_B -= below_B <= above_B
    kept_BK = first_B[:, np.newaxis] + np.arange(theta - drop)
    means_B: Float64s = np.take_along_axis(wide_BT, kept_BK, axis=1).mean(axis=1)
    return means_B
