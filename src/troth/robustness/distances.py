"""Squared distances between all updates, at about the price of one matrix product.

||a - b||^2 = <a, a> + <b, b> - 2 <a, b> needs one product, but loses every digit when a and b are
much longer than their difference: float32 updates of norm 1000 that differ by 0.1 come out at
random, even negative. So the product is taken of differences from a centre, which is one of the
updates, in blocks of columns that fit the cache: subtracting costs no extra trip to memory, and a
float32 sum is never longer than a block.

The centre may be an attacker's, far from everybody. Then the honest are again close together and
far from the centre. Pairs whose distance is small beside their distance from the centre are
therefore measured again, around a centre of their own. The centre is at a known distance from
everybody, so every pass settles at least one update and there are at most P; without attackers
there is one.
"""

from __future__ import annotations

import numpy as np

from troth.robustness.updates import (
    BLOCK_COLUMNS,
    Updates,
    column_blocks,
    refuse_not_finite,
    shape_of,
)
from troth.wire import Float64s

SETTLED = 2.0**-8
"""A squared distance below this share of the two squared distances from the centre is measured
again. Above, its relative error is that of a float32 product (about 1e-6) times 2^8 at most."""

SETTLED_FLOAT64 = 2.0**-30

UNDERFLOW = 1e-24
"""Squared distances below this may have lost squares to float32's smallest number, 1e-38."""


def squared_distances(updates: Updates) -> Float64s:
    """||x_i - x_j||^2 for all pairs, shape (P, P), symmetric, with zeros on the diagonal.

    The relative error is below 1e-3 for any finite float32 updates, and near 1e-6 for updates that
    are about as far from each other as from update 0.

    Raises:
      UpdatesError: an update is not finite.
    """
    count, _ = shape_of(updates)
    squared_PP = np.zeros((count, count))
    groups = [list(range(count))]
    while groups:
        members = groups.pop()
        gram_MM, settled_share = _gram(updates, members)
        norm_M = np.diagonal(gram_MM)
        sum_MM = norm_M[:, np.newaxis] + norm_M
        group_MM = np.maximum(sum_MM - 2 * gram_MM, 0)
        np.fill_diagonal(group_MM, 0)
        squared_PP[np.ix_(members, members)] = group_MM
        open_MM = group_MM < settled_share * sum_MM
        np.fill_diagonal(open_MM, False)
        groups.extend([[members[i] for i in part] for part in _components(open_MM)])
    return squared_PP


def _gram(updates: Updates, members: list[int]) -> tuple[Float64s, float]:
    """Inner products of x_i - x_c for i in `members`, where c is the first of them, and the share
    above which a distance computed from them is settled."""
    gram_MM = _gram_in(np.float32, updates, members)
    if np.isfinite(gram_MM).all():
        short = [members[row] for row in np.flatnonzero(np.diagonal(gram_MM) < UNDERFLOW)]
        # Colluding attackers often send the very same update, which is no underflow.
        if all(np.array_equal(updates[member], updates[members[0]]) for member in short):
            return gram_MM, SETTLED
    gram_MM = _gram_in(np.float64, updates, members)
    if not np.isfinite(gram_MM).all():
        refuse_not_finite(updates)
        raise AssertionError("float64 holds the squared distance of any two float32 vectors")
    return gram_MM, SETTLED_FLOAT64


def _gram_in(
    number: type[np.float32] | type[np.float64], updates: Updates, members: list[int]
) -> Float64s:
    whole = updates if isinstance(updates, np.ndarray) and len(members) == len(updates) else None
    centre_D = updates[members[0]]
    gram_MM = np.zeros((len(members), len(members)))
    buffer_MB = np.empty((len(members), min(len(centre_D), BLOCK_COLUMNS)), number)
    with np.errstate(over="ignore", invalid="ignore"):
        for columns in column_blocks(len(centre_D)):
            block_MB = buffer_MB[:, : columns.stop - columns.start]
            if whole is not None:
                np.subtract(whole[:, columns], centre_D[columns], out=block_MB, dtype=number)
            else:
                for row, member in enumerate(members):
                    update_B = updates[member][columns]
                    np.subtract(update_B, centre_D[columns], out=block_MB[row], dtype=number)
            gram_MM += block_MB @ block_MB.T
    return gram_MM


def _components(open_MM: np.typing.NDArray[np.bool_]) -> list[list[int]]:
    """The connected components of the graph that have at least two nodes, nodes ascending."""
    linked_M = open_MM.any(axis=1)
    if not linked_M.any():
        return []
    # Imported here: without attackers there is nothing to look for. scipy comes without types.
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    _, label_M = connected_components(open_MM, directed=False)
    labels = np.unique(label_M[linked_M])
    return [np.flatnonzero(label_M == label).tolist() for label in labels]
