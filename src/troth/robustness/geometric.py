"""The geometric median of updates, found step by step."""

from __future__ import annotations

import numpy as np

from troth.robustness.coordinates import median
from troth.robustness.updates import Aggregate, Updates, block_of, column_blocks, shape_of
from troth.wire import Float32s, Float64s


def geometric_median(updates: Updates, iterations: int = 100, tolerance: float = 1e-6) -> Aggregate:
    """The point z with the least sum of distances to all updates, by smoothed Weiszfeld steps
    z <- sum_p beta_p x_p / sum_p beta_p, with beta_p = 1 / ||x_p - z||.

    Breakdown point floor((P - 1) / 2) / P. Pillutla, Kakade & Harchaoui, IEEE Trans. Signal
    Processing 2022, algorithm 2 (with equal weights).

    It starts from the coordinate-wise median, and measures lengths by the median distance from
    there: nu is `tolerance` times that, and it stops when a step is shorter than nu, or after
    `iterations` steps. Neither depends on how far away fewer than half of the updates are.

    Differs from the paper in three ways. It starts from a given point; from the mean, say, an
    attacker at distance 10^30 uses up all steps. Its nu is absolute, which is not equivariant to
    scale. And it smooths by beta_p <= 1 / nu, which stands still on an update that is not the
    median; updates nearer than nu count here as in Vardi & Zhang, PNAS 2000.

    Raises:
      UpdatesError: an update is not finite.
    """
    count, _ = shape_of(updates)
    z_D = median(updates).update_D.astype(np.float64)
    share_P = np.full(count, 1 / count)
    distance_P = _distances(updates, z_D)
    nu = tolerance * float(np.median(distance_P))
    for _ in range(iterations):
        near_P = distance_P <= nu
        near = np.count_nonzero(near_P)
        if near == count:
            share_P = near_P / near
            break
        beta_P = np.where(near_P, 0, 1 / np.where(near_P, 1, distance_P))
        share_P = beta_P / beta_P.sum()
        target_D = _combine(updates, share_P)
        if near:
            # The updates on z hold it with a force of one each, and the others pull it elsewhere.
            pull = float(np.linalg.norm(target_D - z_D) * beta_P.sum())
            if pull <= near:
                share_P = near_P / near
                break
            share_P = (1 - near / pull) * share_P + near_P / pull
            target_D += (near / pull) * (z_D - target_D)
        step = float(np.linalg.norm(target_D - z_D))
        z_D = target_D
        if step <= nu:
            break
        distance_P = _distances(updates, z_D)
    return Aggregate(z_D.astype(np.float32), share_P.astype(np.float32))


# In float64: an update's share may be 1e-30 and its length 1e30, and steps shorter than a float32's
# last digit must still end.


def _distances(updates: Updates, z_D: Float64s) -> Float64s:
    """||x_p - z||, shape (P,)."""
    squared_P = np.zeros(len(updates))
    for columns in column_blocks(len(z_D)):
        difference_PB = block_of(updates, columns) - z_D[columns]
        squared_P += np.einsum("pb,pb->p", difference_PB, difference_PB)
    return np.sqrt(squared_P)


def _combine(updates: Updates, share_P: Float64s) -> Float64s:
    dimension = len(updates[0])
    combined_D = np.empty(dimension)
    for columns in column_blocks(dimension):
        block_PB: Float32s = block_of(updates, columns)
        combined_D[columns] = share_P @ block_PB.astype(np.float64)
    return combined_D
